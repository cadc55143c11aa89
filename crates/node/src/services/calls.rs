//! A stream of calls: many at a time, without the cost of an HTTP/2 stream for each.
//!
//! A unary call pays for its headers, its own stream and its wake-ups on both sides; a call on a stream pays for its
//! message. Each call passes the gate for itself (role, validity of the certificate, bound on calls served at one time, time), is
//! counted in the metrics of its method, and fails alone.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

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

/// What is read of a call before it passes the gate.
pub struct Head {
    /// Its number, which its answer gets.
    pub id: u64,
    /// The row of its method; none if this node has no such method.
    pub row: Option<&'static Row>,
    /// The caller's time in milliseconds; 0: as the node allows.
    pub timeout_ms: u32,
}

/// Serves the calls of streams.
pub trait ServeCall: Send + Sync + 'static {
    /// One call, with its number.
    type Call: Send + 'static;
    /// What it comes to where it is not refused.
    type Served: Send + 'static;
    /// Its answer, with the same number.
    type Answer: Send + Unpin + 'static;

    /// What the gate goes by.
    fn head(call: &Self::Call) -> Head;

    /// Serves one call that has passed the gate.
    ///
    /// # Errors
    /// The refusal.
    fn serve_call(
        self: Arc<Self>,
        context: CallContext,
        call: Self::Call,
    ) -> impl Future<Output = Result<Self::Served, ErrorDetail>> + Send + 'static;

    /// The answer to the call of this number.
    fn answer(id: u64, served: Result<Self::Served, ErrorDetail>) -> Self::Answer;
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
    /// Answers to calls that the gate did not let in: they need no task.
    refused: VecDeque<S::Answer>,
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
            refused: VecDeque::new(),
        }))
    }

    /// Begins the calls that have arrived, up to the bound.
    fn take_calls(&mut self, context: &mut Context<'_>) {
        if self.open && self.stop.as_mut().poll(context).is_ready() {
            self.open = false;
        }
        while self.open && self.running.len() + self.refused.len() < CALLS_IN_FLIGHT_MAX {
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
        let begun = self.gate.clock.monotonic();
        let in_flight = self.gate.metrics.request_begins();
        let Head {
            id,
            row,
            timeout_ms,
        } = S::head(&call);
        let asked = (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms.into()));
        let entered = match row {
            Some(row) => self
                .gate
                .enter(row, &self.caller, asked)
                .map(|pass| (row, pass)),
            None => Err(unserved()),
        };
        let (row, pass) = match entered {
            Ok(entered) => entered,
            Err(detail) => {
                drop(in_flight);
                count(&self.gate, row, begun, Some(&detail));
                self.refused.push_back(S::answer(id, Err(detail)));
                return;
            }
        };
        let parts = Arc::clone(&self.parts);
        let gate = Arc::clone(&self.gate);
        let caller = Arc::clone(&self.caller);
        self.running.spawn(async move {
            let serving = parts.serve_call(CallContext::new(caller, pass.answer_by), call);
            let served = tokio::time::timeout_at(pass.cut_off, serving)
                .await
                .unwrap_or_else(|_| Err(timed_out(row.effect)));
            drop(pass);
            drop(in_flight);
            count(&gate, Some(row), begun, served.as_ref().err());
            S::answer(id, served)
        });
    }
}

/// Counts a call in the metrics of its method.
fn count(gate: &Gate, row: Option<&Row>, begun: Instant, refusal: Option<&ErrorDetail>) {
    let code = match refusal {
        Some(detail) => detail.known_code().map_or("unknown", Code::label),
        None => "OK",
    };
    let took = gate.clock.monotonic().saturating_duration_since(begun);
    let name = row.map_or("unknown", |row| row.name);
    gate.metrics.request_answered(name, code, took);
}

fn unserved() -> ErrorDetail {
    let text = "the call names no method that this node serves";
    ErrorDetail::new(Code::MethodUnknown, text)
}

/// The methods of the registry.
impl ServeCall for ServiceParts {
    type Call = Call;
    type Served = Answer;
    type Answer = CallAnswer;

    fn head(call: &Call) -> Head {
        Head {
            id: call.id,
            row: call.method.as_ref().and_then(row_of),
            timeout_ms: call.timeout_ms,
        }
    }

    async fn serve_call(
        self: Arc<Self>,
        context: CallContext,
        call: Call,
    ) -> Result<Answer, ErrorDetail> {
        let method = call.method.ok_or_else(unserved)?;
        match self.serve(&context, method).await {
            Answer::Error(detail) => Err(detail),
            answer => Ok(answer),
        }
    }

    fn answer(id: u64, served: Result<Answer, ErrorDetail>) -> CallAnswer {
        CallAnswer {
            id,
            answer: Some(served.unwrap_or_else(Answer::Error)),
        }
    }
}

impl<S: ServeCall> Stream for Calls<S> {
    type Item = Result<S::Answer, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.take_calls(context);
        let joined = this.running.poll_join_next(context);
        // Answers of calls that were served go first; there are fewer of them.
        if !matches!(joined, Poll::Ready(Some(_)))
            && let Some(answer) = this.refused.pop_front()
        {
            return Poll::Ready(Some(Ok(answer)));
        }
        match joined {
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
