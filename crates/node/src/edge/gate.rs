//! The gate before every gRPC service: identity, authorisation table, load, deadline, metrics, one form of error.
//!
//! It also gives the errors that tonic makes by itself (an oversized message, bytes that are no message) a code of the
//! registry's, so that a caller never meets a status without a page to read.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use banyan_wire::errors::{self, Code};
use banyan_wire::v1::ErrorDetail;
use http::{HeaderMap, Request, Response};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::acceptor::Peer;
use super::authorisation::{self, Effect, GRPC, Row};
use super::authority::{Authenticated, IdentityFault};
use super::places::{Counted, Counter, Place, Places};
use crate::clock::SharedClock;
use crate::metrics::Metrics;

/// A handler gives up this much before the caller's own clock does, so that the answer still arrives: at most.
const ANSWER_MARGIN_MAX: Duration = Duration::from_millis(100);

/// Who sent a request; put into its extensions by the gate.
#[derive(Debug, Clone)]
pub struct Caller(pub Arc<Authenticated>);

/// By when a handler must have its answer; put into the request's extensions by the gate.
#[derive(Debug, Clone, Copy)]
pub struct AnswerBy(pub Instant);

/// After which time a write of one command should come back, if consensus will refuse it for load; it gets the number of such writes that are
/// being served already.
pub type Room = Box<dyn Fn(usize) -> Option<Duration> + Send + Sync>;

/// What the gate needs; one for all connections.
pub struct Gate {
    /// For the requests served at one time.
    pub places: Places,
    /// Looks whether there is room for a write.
    pub room: Room,
    /// Writes of one command that are being served.
    pub writes: Counter,
    /// The longest that a request may take.
    pub deadline_max: Duration,
    /// Where requests are counted.
    pub metrics: Arc<Metrics>,
    /// For the validity of certificates and for durations.
    pub clock: SharedClock,
    /// Methods that this node serves besides those of [`GRPC`]; a registry has none.
    pub further: &'static [Row],
    /// Ends the streams of calls when the node stops: they take no more calls and answer those that they have.
    pub stop: CancellationToken,
}

/// Puts a [`Gate`] before a service.
#[derive(Clone)]
pub struct GateLayer(pub Arc<Gate>);

impl<S> Layer<S> for GateLayer {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated {
            gate: Arc::clone(&self.0),
            inner,
        }
    }
}

/// A service behind the gate.
#[derive(Clone)]
pub struct Gated<S> {
    gate: Arc<Gate>,
    inner: S,
}

impl<S, E> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = E> + Clone + Send + 'static,
    S::Future: Send + 'static,
    E: Send + 'static,
{
    type Response = Response<Body>;
    type Error = E;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let gate = Arc::clone(&self.gate);
        Box::pin(async move {
            let begun = gate.clock.monotonic();
            let path = request.uri().path();
            let row =
                authorisation::find(GRPC, path).or_else(|| authorisation::find(gate.further, path));
            let name = row.map_or("unknown", |row| row.name);
            let in_flight = gate.metrics.request_begins();
            let (answer, code) = match gate.admit(row, request) {
                Ok(admitted) => admitted.serve(&mut inner).await?,
                Err(detail) => refusal(&detail),
            };
            drop(in_flight);
            let took = gate.clock.monotonic().saturating_duration_since(begun);
            gate.metrics.request_answered(name, code, took);
            tracing::debug!(
                method = name,
                code,
                took_us = took.as_micros() as u64,
                "answered"
            );
            Ok(answer)
        })
    }
}

/// A request that passed the gate.
struct Admitted {
    request: Request<Body>,
    row: &'static Row,
    pass: Pass,
}

/// What one call is granted: a place among those served at one time, which ends with this value, and its time.
pub struct Pass {
    /// By when a handler must have its answer.
    pub answer_by: AnswerBy,
    /// When the call is cut off. Later than `answer_by`, so that the handler can put its own words to a timeout.
    pub cut_off: Instant,
    _place: Place,
    _counted: Option<Counted>,
}

impl Gate {
    /// Lets one call in: the authorisation table, the bound on calls served at one time, its time.
    ///
    /// `asked` is what the caller allows; without it, and at most, a call gets `deadline_max`.
    ///
    /// # Errors
    /// The detail to answer with: an identity that has expired, a role that the table refuses, overload.
    pub fn enter(
        &self,
        row: &'static Row,
        caller: &Authenticated,
        asked: Option<Duration>,
    ) -> Result<Pass, ErrorDetail> {
        self.check_validity(caller)?;
        if let Err(detail) = row.access.admit(Some(caller)) {
            tracing::warn!(
                method = row.name,
                principal = caller.actor.principal.as_str(),
                code = detail.code,
                "refused by the authorisation table"
            );
            return Err(detail);
        }
        // Before the request is read: to parse, to check and to encode what is refused in the end would take the time of what is admitted. Whether it is
        // a dry run is not known yet; that waits as well.
        let counted = row.is_single_write().then(|| self.writes.count());
        if let Some((_, before)) = &counted
            && let Some(retry_after) = (self.room)(*before)
        {
            let text = "too many proposals are waiting";
            return Err(ErrorDetail::new(Code::Overloaded, text).with_retry_after(retry_after));
        }
        let place = self
            .places
            .take(self.clock.monotonic())
            .map_err(|retry_after| {
                let text = "as many requests as allowed are being served";
                ErrorDetail::new(Code::Overloaded, text).with_retry_after(retry_after)
            })?;
        let allowed = asked.map_or(self.deadline_max, |asked| asked.min(self.deadline_max));
        let now = Instant::now();
        let margin = (allowed / 10).min(ANSWER_MARGIN_MAX);
        Ok(Pass {
            answer_by: AnswerBy(now + allowed.saturating_sub(margin)),
            // Half of the margin is left to the handler for putting its own words to a timeout.
            cut_off: now + allowed.saturating_sub(margin / 2),
            _place: place,
            _counted: counted.map(|(counted, _)| counted),
        })
    }

    fn admit(
        self: &Arc<Self>,
        row: Option<&'static Row>,
        mut request: Request<Body>,
    ) -> Result<Admitted, ErrorDetail> {
        let caller = self.caller(&request)?;
        let row = row.ok_or_else(|| {
            ErrorDetail::new(
                Code::MethodUnknown,
                "no such method in the authorisation table",
            )
        })?;
        let pass = self.enter(row, &caller, time_allowed(request.headers())?)?;
        let extensions = request.extensions_mut();
        extensions.insert(pass.answer_by);
        extensions.insert(Caller(caller));
        extensions.insert(Arc::clone(self));
        Ok(Admitted { request, row, pass })
    }

    fn caller(&self, request: &Request<Body>) -> Result<Arc<Authenticated>, ErrorDetail> {
        let peer = request.extensions().get::<Peer>();
        let caller = match peer {
            Some(Peer(Ok(caller))) => Arc::clone(caller),
            Some(Peer(Err(fault))) => return Err(identity_detail(*fault)),
            None => return Err(identity_detail(IdentityFault::Missing)),
        };
        self.check_validity(&caller)?;
        Ok(caller)
    }

    /// The handshake checked the validity once; a long-lived connection must not outlive it.
    fn check_validity(&self, caller: &Authenticated) -> Result<(), ErrorDetail> {
        if self.clock.now_ms() / 1000 > caller.not_after {
            return Err(ErrorDetail::new(
                Code::IdentityMissing,
                "the certificate of this connection has expired",
            ));
        }
        Ok(())
    }
}

impl Admitted {
    async fn serve<S, E>(self, inner: &mut S) -> Result<(Response<Body>, &'static str), E>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = E>,
    {
        let Self { request, row, pass } = self;
        match tokio::time::timeout_at(pass.cut_off, inner.call(request)).await {
            Ok(answer) => Ok(with_code(answer?)),
            Err(_) => Ok(refusal(&timed_out(row.effect))),
        }
    }
}

/// What a caller is told whose call was cut off.
#[must_use]
pub fn timed_out(effect: Effect) -> ErrorDetail {
    match effect {
        Effect::Reads => ErrorDetail::new(Code::DeadlineExceeded, "the time allowed ran out"),
        Effect::Writes => ErrorDetail::new(
            Code::OutcomeUnknown,
            "the time allowed ran out while the command was on its way",
        ),
    }
}

/// The error for a connection whose certificate is not accepted.
#[must_use]
pub fn identity_detail(fault: IdentityFault) -> ErrorDetail {
    let code = match fault {
        IdentityFault::Missing
        | IdentityFault::Malformed
        | IdentityFault::NoIdentity
        | IdentityFault::NotValid => Code::IdentityMissing,
        IdentityFault::OtherCluster => Code::IdentityOtherCluster,
        IdentityFault::UnknownAuthority | IdentityFault::WrongAuthority => Code::AuthorityMismatch,
    };
    ErrorDetail::new(code, fault.to_string())
}

fn refusal(detail: &ErrorDetail) -> (Response<Body>, &'static str) {
    let label = detail.known_code().map_or("unknown", Code::label);
    (errors::to_status(detail).into_http(), label)
}

/// The answer and the label of its code. A status without one of our codes gets one.
fn with_code(answer: Response<Body>) -> (Response<Body>, &'static str) {
    // A status in the headers means that there is no message: an error, or an empty stream.
    let Some(status) = Status::from_header_map(answer.headers()) else {
        return (answer, "OK");
    };
    if status.code() == tonic::Code::Ok {
        return (answer, "OK");
    }
    if let Some(code) = errors::from_status(&status).and_then(|detail| detail.known_code()) {
        return (answer, code.label());
    }
    refusal(&foreign_detail(&status))
}

/// An error that tonic made by itself. Its text is not passed on: it may quote the request.
fn foreign_detail(status: &Status) -> ErrorDetail {
    match status.code() {
        tonic::Code::OutOfRange => ErrorDetail::new(
            Code::MessageTooLarge,
            format!(
                "the message exceeds {} bytes",
                super::grpc::MESSAGE_BYTES_MAX
            ),
        ),
        tonic::Code::Unimplemented => ErrorDetail::new(
            Code::MethodUnknown,
            "this node does not serve the method or encoding",
        ),
        tonic::Code::NotFound => ErrorDetail::new(Code::MethodUnknown, "no such service"),
        tonic::Code::DeadlineExceeded | tonic::Code::Cancelled => {
            ErrorDetail::new(Code::DeadlineExceeded, "the time allowed ran out")
        }
        _ => ErrorDetail::new(
            Code::InvalidFields,
            "the bytes are not a message of this method",
        ),
    }
}

/// What the caller allows, from the header `grpc-timeout` (at most 8 digits and a unit, gRPC over HTTP/2).
fn time_allowed(headers: &HeaderMap) -> Result<Option<Duration>, ErrorDetail> {
    let Some(value) = headers.get("grpc-timeout") else {
        return Ok(None);
    };
    let parsed = value.to_str().ok().and_then(parse_timeout);
    parsed.map(Some).ok_or_else(|| {
        ErrorDetail::new(
            Code::InvalidFields,
            "grpc-timeout must be 1 to 8 digits and a unit",
        )
    })
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
