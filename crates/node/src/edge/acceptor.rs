//! Accepts TLS connections: bounded in number, each handshake with a deadline, each identity found once.
//!
//! A handshake runs on a task of its own, so that a slow client delays nobody. A connection past the bound is closed
//! at once: a client that waits in a full backlog learns nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use super::authority::{Authenticated, Authorities, IdentityFault};
use crate::metrics::Metrics;

/// The longest that a handshake may take.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// Connections that have finished their handshake and wait to be served.
const READY_CONNECTIONS_MAX: usize = 64;
/// Pause after the system refused to accept (out of descriptors), so that the loop does not spin.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Who is behind a connection: found once, at its start, and carried by each of its requests.
#[derive(Debug, Clone)]
pub struct Peer(pub Result<Arc<Authenticated>, IdentityFault>);

/// An accepted TLS connection.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    /// Who is behind it.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.peer.clone()
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// What an acceptor needs.
#[derive(Debug)]
pub struct AcceptorOptions {
    /// The name of the edge in metrics and logs: `client` or `http`.
    pub edge: &'static str,
    /// Where connections arrive.
    pub listener: TcpListener,
    /// How they are encrypted.
    pub tls: Arc<ServerConfig>,
    /// Who may be behind them.
    pub authorities: Arc<Authorities>,
    /// Open connections at one time.
    pub connections_max: usize,
    /// Where refusals are counted.
    pub metrics: Arc<Metrics>,
}

/// The loop that accepts until `stop`, to be run on a task, and the connections that it hands out.
pub fn accept_connections(
    options: AcceptorOptions,
    stop: CancellationToken,
) -> (impl Future<Output = ()> + Send, mpsc::Receiver<Connection>) {
    let (ready, connections) = mpsc::channel(READY_CONNECTIONS_MAX);
    (accept_loop(options, stop, ready), connections)
}

async fn accept_loop(
    options: AcceptorOptions,
    stop: CancellationToken,
    ready: mpsc::Sender<Connection>,
) {
    let acceptor = TlsAcceptor::from(options.tls);
    let slots = Arc::new(Semaphore::new(options.connections_max));
    // Bounded by the slots; those not done when the loop ends are dropped with it.
    let mut handshakes = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = handshakes.join_next() => continue,
            accepted = options.listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(edge = options.edge, %error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY_PAUSE).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            options
                .metrics
                .tls_refused(options.edge, "too_many_connections");
            continue;
        };
        let handshake = Handshake {
            edge: options.edge,
            acceptor: acceptor.clone(),
            authorities: Arc::clone(&options.authorities),
            metrics: Arc::clone(&options.metrics),
            ready: ready.clone(),
            slot,
        };
        handshakes.spawn(handshake.run(stream));
    }
}

struct Handshake {
    edge: &'static str,
    acceptor: TlsAcceptor,
    authorities: Arc<Authorities>,
    metrics: Arc<Metrics>,
    ready: mpsc::Sender<Connection>,
    slot: OwnedSemaphorePermit,
}

impl Handshake {
    async fn run(self, stream: TcpStream) {
        // Answers are small and waited for: Nagle's delay would only add to them.
        let _ = stream.set_nodelay(true);
        let shaken = tokio::time::timeout(HANDSHAKE_DEADLINE, self.acceptor.accept(stream)).await;
        let stream = match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                let reason = refusal_reason(&error);
                self.metrics.tls_refused(self.edge, reason);
                tracing::debug!(edge = self.edge, reason, "TLS handshake refused");
                return;
            }
            Err(_) => {
                self.metrics.tls_refused(self.edge, "handshake_deadline");
                return;
            }
        };
        let peer = self
            .authorities
            .authenticate(stream.get_ref().1.peer_certificates());
        if let Err(fault) = &peer
            && *fault != IdentityFault::Missing
        {
            // The connection stays: each request on it gets an answer that says why it is refused.
            self.metrics.tls_refused(self.edge, fault.label());
            tracing::warn!(
                edge = self.edge,
                reason = fault.label(),
                "client certificate not accepted"
            );
        }
        let connection = Connection {
            stream,
            peer: Peer(peer.map(Arc::new)),
            _slot: self.slot,
        };
        // Closed only when the edge is stopping.
        let _ = self.ready.send(connection).await;
    }
}

/// A word for metrics: what kind of handshake failure it was.
fn refusal_reason(error: &io::Error) -> &'static str {
    let cause = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::Expired)) => "expired",
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::ExpiredContext {
            ..
        })) => "expired",
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) => {
            "unknown_authority"
        }
        Some(rustls::Error::InvalidCertificate(_)) => "invalid_certificate",
        Some(rustls::Error::NoCertificatesPresented) => "no_certificate",
        Some(rustls::Error::PeerIncompatible(_)) => "incompatible",
        Some(_) => "protocol",
        None => "closed",
    }
}
