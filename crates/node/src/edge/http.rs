//! The HTTP edge: metrics for operators, liveness and readiness for anyone.
//!
//! It is served twice: over TLS on the node's own address, and as plain HTTP on a loopback address, where only
//! liveness and readiness exist.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use banyan_wire::errors::Code;
use banyan_wire::v1::ErrorDetail;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::acceptor::{Connection, Peer};
use super::authorisation::{self, Access, HTTP};
use super::authority::IdentityFault;
use crate::clock::SharedClock;
use crate::metrics::Metrics;
use crate::readiness::Readiness;

/// A connection that has not sent the next request's headers by then is closed.
const HEADER_DEADLINE: Duration = Duration::from_secs(30);
/// Open connections of the plain listener: a supervisor and a few curious people.
const PLAIN_CONNECTIONS_MAX: usize = 64;
/// Pause after the system refused to accept (out of descriptors), so that the loop does not spin.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(50);

/// What the routes need.
#[derive(Clone)]
pub struct HttpParts {
    /// Counters, and the text of a scrape.
    pub metrics: Arc<Metrics>,
    /// Brings gauges up to date before a scrape.
    pub refresh: Arc<dyn Fn() + Send + Sync>,
    /// Whether the node serves.
    pub readiness: Arc<Readiness>,
    /// For durations and for the validity of certificates.
    pub clock: SharedClock,
}

/// One of the two listeners, as its requests see it.
#[derive(Clone)]
struct Edge {
    parts: HttpParts,
    /// The plain listener has no identities and serves what is for anyone.
    plain: bool,
    peer: Peer,
}

/// Serves TLS connections until `stop`, then lets running requests end.
pub async fn serve_tls(
    parts: HttpParts,
    mut connections: mpsc::Receiver<Connection>,
    stop: CancellationToken,
) {
    let tasks = TaskTracker::new();
    loop {
        let connection = tokio::select! {
            () = stop.cancelled() => break,
            connection = connections.recv() => connection,
        };
        let Some(connection) = connection else { break };
        let edge = Edge {
            parts: parts.clone(),
            plain: false,
            peer: connection.peer(),
        };
        tasks.spawn(serve_connection(edge, connection, stop.clone()));
    }
    tasks.close();
    tasks.wait().await;
}

/// Serves plain HTTP on a loopback listener until `stop`.
///
/// # Errors
/// The listener is not on a loopback address.
pub async fn serve_plain(
    parts: HttpParts,
    listener: TcpListener,
    stop: CancellationToken,
) -> io::Result<()> {
    if !listener.local_addr()?.ip().is_loopback() {
        return Err(io::Error::other(
            "the plain health listener is not on a loopback address",
        ));
    }
    let edge = Edge {
        parts,
        plain: true,
        peer: Peer(Err(IdentityFault::Missing)),
    };
    let slots = Arc::new(Semaphore::new(PLAIN_CONNECTIONS_MAX));
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_RETRY_PAUSE).await;
            continue;
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            continue;
        };
        let (edge, stop) = (edge.clone(), stop.clone());
        tasks.spawn(async move {
            serve_connection(edge, stream, stop).await;
            drop(slot);
        });
    }
    tasks.close();
    tasks.wait().await;
    Ok(())
}

async fn serve_connection(
    edge: Edge,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    stop: CancellationToken,
) {
    let service = tower::service_fn(move |request: Request<Incoming>| {
        let answer = dispatch(&edge, &request);
        async move { Ok::<_, std::convert::Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    // A connection that breaks off has nobody left to tell.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

fn dispatch<B>(edge: &Edge, request: &Request<B>) -> Response<Body> {
    let begun = edge.parts.clock.monotonic();
    let row = authorisation::find(HTTP, request.uri().path())
        .filter(|row| !edge.plain || row.access == Access::Anyone);
    let name = row.map_or("unknown", |row| row.name);
    let (answer, code) = match row {
        None => refused(&ErrorDetail::new(Code::MethodUnknown, "no such page")),
        Some(_) if !matches!(*request.method(), Method::GET | Method::HEAD) => refused(
            &ErrorDetail::new(Code::MethodUnknown, "only GET and HEAD are served"),
        ),
        Some(row) => match admit(edge, row.access) {
            Ok(()) => edge.answer(row.name),
            Err(detail) => refused(&detail),
        },
    };
    let took = edge
        .parts
        .clock
        .monotonic()
        .saturating_duration_since(begun);
    edge.parts.metrics.request_answered(name, code, took);
    answer
}

fn admit(edge: &Edge, access: Access) -> Result<(), ErrorDetail> {
    match &edge.peer.0 {
        Ok(caller) if edge.parts.clock.now_ms() / 1000 <= caller.not_after => {
            access.admit(Some(caller))
        }
        Err(fault) if access != Access::Anyone => Err(super::gate::identity_detail(*fault)),
        _ => access.admit(None),
    }
}

impl Edge {
    fn answer(&self, name: &str) -> (Response, &'static str) {
        match name {
            "livez" => state(self.parts.readiness.alive()),
            "readyz" => state(self.parts.readiness.ready()),
            "metrics" => self.scrape(),
            // A row without a page: the integration tests ask for every route.
            _ => refused(&ErrorDetail::new(Code::MethodUnknown, "no such page")),
        }
    }

    fn scrape(&self) -> (Response, &'static str) {
        (self.parts.refresh)();
        match self.parts.metrics.encode() {
            Ok(text) => {
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                (([(header::CONTENT_TYPE, kind)], text).into_response(), "OK")
            }
            Err(_) => refused(&ErrorDetail::new(
                Code::NodeFault,
                "metrics cannot be written",
            )),
        }
    }
}

fn state(state: Result<(), &'static str>) -> (Response, &'static str) {
    match state {
        Ok(()) => ((StatusCode::OK, "ok\n").into_response(), "OK"),
        Err(reason) => {
            let body = format!("not now: {reason}\n");
            (
                (StatusCode::SERVICE_UNAVAILABLE, body).into_response(),
                "503",
            )
        }
    }
}

fn refused(detail: &ErrorDetail) -> (Response, &'static str) {
    let code = detail.known_code().unwrap_or(Code::NodeFault);
    let status = StatusCode::from_u16(code.row().http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = format!("{} {}: {}\n", detail.code, detail.name, detail.message);
    ((status, body).into_response(), code.label())
}
