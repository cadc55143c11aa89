//! A stream of calls: many at a time, without the cost of an HTTP/2 stream for each.
//!
//! A unary call pays for its headers, its own stream and its wake-ups on both sides; a call on a stream pays for its
//! message. Each call passes the gate for itself (role, validity of the certificate, bound on calls served at one time, time), is
//! counted in the metrics of its method, and fails alone.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use banyan_wire::errors::{self, Code};
use banyan_wire::v1::call::Method;
use banyan_wire::v1::call_answer::Answer;
use banyan_wire::v1::{Call, CallAnswer, ErrorDetail};
use futures::Stream;
use tokio::task::JoinSet;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Request, Response, Status, Streaming};

use super::context::{CallContext, ServiceParts};
use crate::edge::authorisation::{self, GRPC, Row};
use crate::edge::authority::Authenticated;
use crate::edge::gate::{Caller, Gate, timed_out};

/// Calls of one stream that are served at one time. Further ones stay in the stream's flow-control window.
const CALLS_IN_FLIGHT_MAX: usize = 256;

/// Serves the calls of streams.
pub trait ServeCall: Send + Sync + 'static {
    /// One call, with its number.
    type Call: Send + 'static;
    /// Its answer, with the same number.
    type Answer: Send + 'static;

    /// Serves one call, which has yet to pass the gate.
    fn serve_call(
        self: Arc<Self>,
        gate: Arc<Gate>,
        caller: Arc<Authenticated>,
        call: Self::Call,
    ) -> impl Future<Output = Self::Answer> + Send + 'static;
}

/// The answers to the calls of one stream.
pub struct Calls<S: ServeCall> {
    parts: Arc<S>,
    gate: Arc<Gate>,
    caller: Arc<Authenticated>,
    incoming: Streaming<S::Call>,
    /// Calls are still taken: the client has not closed its side, nothing failed, and the node is not stopping.
    open: bool,
    /// Why the calls ended, if not by the client's wish.
    failure: Option<Status>,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Each on a task of its own, which ends at the call's deadline whether or not the client reads: a client that does not would
    /// otherwise hold the places of its calls for ever. Answers that nobody has read count among the calls that are served.
    running: JoinSet<S::Answer>,
}

impl<S: ServeCall> Calls<S> {
    /// Over a request that has passed the gate.
    pub(super) fn of(
        parts: Arc<S>,
        request: Request<Streaming<S::Call>>,
    ) -> Result<Response<Self>, Status> {
        let extensions = request.extensions();
        let (Some(gate), Some(Caller(caller))) =
            (extensions.get::<Arc<Gate>>(), extensions.get::<Caller>())
        else {
            let detail = ErrorDetail::new(Code::IdentityMissing, "the request carries no identity");
            return Err(errors::to_status(&detail));
        };
        let (gate, caller) = (Arc::clone(gate), Arc::clone(caller));
        Ok(Response::new(Self {
            parts,
            stop: Box::pin(gate.stop.clone().cancelled_owned()),
            gate,
            caller,
            incoming: request.into_inner(),
            open: true,
            failure: None,
            running: JoinSet::new(),
        }))
    }

    /// Begins the calls that have arrived, up to the bound.
    fn take_calls(&mut self, context: &mut Context<'_>) {
        if self.open && self.stop.as_mut().poll(context).is_ready() {
            self.open = false;
        }
        while self.open && self.running.len() < CALLS_IN_FLIGHT_MAX {
            match Pin::new(&mut self.incoming).poll_next(context) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(call))) => self.begin(call),
                Poll::Ready(Some(Err(status))) => {
                    self.failure = Some(status);
                    self.open = false;
                }
                Poll::Ready(None) => self.open = false,
            }
        }
    }

    fn begin(&mut self, call: S::Call) {
        let (gate, caller) = (Arc::clone(&self.gate), Arc::clone(&self.caller));
        self.running
            .spawn(Arc::clone(&self.parts).serve_call(gate, caller, call));
    }
}

/// Serves one call of a stream behind the gate, within its time (`timeout_ms`; 0: as the node allows), and counts it under the name of its row.
pub(super) async fn behind_gate<T, F>(
    gate: &Gate,
    caller: Arc<Authenticated>,
    row: Option<&'static Row>,
    timeout_ms: u32,
    serve: impl FnOnce(CallContext) -> F,
) -> Result<T, ErrorDetail>
where
    F: Future<Output = Result<T, ErrorDetail>>,
{
    let begun = gate.clock.monotonic();
    let in_flight = gate.metrics.request_begins();
    let asked = (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms.into()));
    let answer = match row {
        Some(row) => match gate.enter(row, &caller, asked) {
            Ok(pass) => {
                let serving = serve(CallContext::new(caller, pass.answer_by));
                tokio::time::timeout_at(pass.cut_off, serving)
                    .await
                    .unwrap_or_else(|_| Err(timed_out(row.effect)))
            }
            Err(detail) => Err(detail),
        },
        None => Err(unserved()),
    };
    drop(in_flight);
    let code = match &answer {
        Err(detail) => detail.known_code().map_or("unknown", Code::label),
        Ok(_) => "OK",
    };
    let took = gate.clock.monotonic().saturating_duration_since(begun);
    let name = row.map_or("unknown", |row| row.name);
    gate.metrics.request_answered(name, code, took);
    answer
}

fn unserved() -> ErrorDetail {
    let text = "the call names no method that this node serves";
    ErrorDetail::new(Code::MethodUnknown, text)
}

/// The methods of the registry.
impl ServeCall for ServiceParts {
    type Call = Call;
    type Answer = CallAnswer;

    async fn serve_call(
        self: Arc<Self>,
        gate: Arc<Gate>,
        caller: Arc<Authenticated>,
        call: Call,
    ) -> CallAnswer {
        let row = call.method.as_ref().and_then(row_of);
        let serve = |context: CallContext| async move {
            match call.method {
                Some(method) => match self.serve(&context, method).await {
                    Answer::Error(detail) => Err(detail),
                    answer => Ok(answer),
                },
                None => Err(unserved()),
            }
        };
        let answer = behind_gate(&gate, caller, row, call.timeout_ms, serve).await;
        CallAnswer {
            id: call.id,
            answer: Some(answer.unwrap_or_else(Answer::Error)),
        }
    }
}

impl<S: ServeCall> Stream for Calls<S> {
    type Item = Result<S::Answer, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.take_calls(context);
        match this.running.poll_join_next(context) {
            Poll::Ready(Some(Ok(answer))) => Poll::Ready(Some(Ok(answer))),
            Poll::Ready(Some(Err(error))) => {
                // A defect; the panic itself is in the log. Whose call it was is not known any more, so the stream ends.
                tracing::error!(%error, "a call ended without an answer");
                this.open = false;
                this.running.abort_all();
                Poll::Ready(Some(Err(Status::internal(
                    "a call met a defect of this node",
                ))))
            }
            Poll::Ready(None) if !this.open => Poll::Ready(this.failure.take().map(Err)),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

/// The row of the authorisation table that a call of a stream is judged by.
pub(super) fn row_of(method: &Method) -> Option<&'static Row> {
    let path = match method {
        Method::Submit(_) => "/banyan.v1.Registry/Submit",
        Method::SubmitBatch(_) => "/banyan.v1.Registry/SubmitBatch",
        Method::GetPerson(_) => "/banyan.v1.Registry/GetPerson",
        Method::GetPersons(_) => "/banyan.v1.Registry/GetPersons",
        Method::FindPersons(_) => "/banyan.v1.Registry/FindPersons",
        Method::ScanPersons(_) => "/banyan.v1.Registry/ScanPersons",
        Method::GetHistory(_) => "/banyan.v1.Registry/GetHistory",
    };
    authorisation::find(GRPC, path)
}
