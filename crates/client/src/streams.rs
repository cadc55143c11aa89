//! One stream of calls to a node, shared by all calls to it: a unary call costs several times the CPU of a call on a stream.
//!
//! Calls go out as they come and answers come back in any order; a number tells them apart. When the stream breaks, every call
//! on it fails with the cause of the break, and the next call opens another one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use banyan_wire::errors;
use banyan_wire::v1::call::Method;
use banyan_wire::v1::call_answer::Answer;
use banyan_wire::v1::registry_client::RegistryClient;
use banyan_wire::v1::{Call, CallAnswer};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::link::Link;

/// Calls that wait for the connection to take them. A caller past them waits, within its own time.
const QUEUE: usize = 256;

type Waiting = oneshot::Sender<Result<Answer, Status>>;

/// An open stream of calls.
pub(crate) struct CallStream {
    calls: mpsc::Sender<Call>,
    desk: Arc<Desk>,
    /// Until the first call: operators, who make none, have no stream.
    unopened: Mutex<Option<Unopened>>,
}

struct Unopened {
    registry: RegistryClient<Channel>,
    outgoing: mpsc::Receiver<Call>,
}

/// Where answers are handed to those who wait for them.
struct Desk(Mutex<State>);

struct State {
    next: u64,
    waiting: HashMap<u64, Waiting>,
    /// Why the stream ended.
    ended: Option<Status>,
}

impl CallStream {
    /// A stream on a connection, opened by its first call. What goes wrong is told to the calls.
    pub(crate) fn on(link: &Link) -> Arc<Self> {
        let (calls, outgoing) = mpsc::channel(QUEUE);
        let desk = Arc::new(Desk(Mutex::new(State {
            next: 1,
            waiting: HashMap::new(),
            ended: None,
        })));
        Arc::new(Self {
            calls,
            desk,
            unopened: Mutex::new(Some(Unopened {
                registry: link.registry(),
                outgoing,
            })),
        })
    }

    fn open(&self) {
        let unopened = self
            .unopened
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(Unopened {
            mut registry,
            outgoing,
        }) = unopened
        else {
            return;
        };
        let closing = Closing(Arc::clone(&self.desk));
        let serving = async move {
            match registry.calls(ReceiverStream::new(outgoing)).await {
                Ok(incoming) => {
                    let status = closing.0.serve(incoming.into_inner()).await;
                    closing.0.end_underway(status);
                }
                Err(status) => closing.0.end(status),
            }
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends with the stream, which ends when the last handle to send calls is gone; a panic reaches the callers \
                      through `Closing`"
        )]
        tokio::spawn(serving);
    }

    /// Whether it has ended, so that another one is wanted.
    pub(crate) fn has_ended(&self) -> bool {
        self.desk.state().ended.is_some()
    }

    pub(crate) async fn call(&self, method: Method, time: Duration) -> Result<Answer, Status> {
        self.open();
        let (waiting, answer) = oneshot::channel();
        let id = self.desk.enter(waiting)?;
        // Leaves the desk also when the caller stops waiting.
        let _place = Place {
            desk: &self.desk,
            id,
        };
        let call = Call {
            id,
            timeout_ms: u32::try_from(time.as_millis()).unwrap_or(u32::MAX).max(1),
            method: Some(method),
        };
        // If nobody takes it, the stream has ended, and the desk says why.
        let _ = self.calls.send(call).await;
        answer
            .await
            .unwrap_or_else(|_| Err(Status::unavailable("the stream of calls has ended")))
    }
}

/// Ends the desk in any case, a panic and a runtime that is shut down included: nobody waits for an answer that cannot come.
struct Closing(Arc<Desk>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0
            .end(Status::unavailable("the stream of calls has ended"));
    }
}

struct Place<'a> {
    desk: &'a Desk,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.desk.state().waiting.remove(&self.id);
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, waiting: Waiting) -> Result<u64, Status> {
        let mut state = self.state();
        if let Some(status) = &state.ended {
            return Err(status.clone());
        }
        let id = state.next;
        state.next += 1;
        state.waiting.insert(id, waiting);
        Ok(id)
    }

    async fn serve(&self, mut incoming: Streaming<CallAnswer>) -> Status {
        loop {
            match incoming.message().await {
                Ok(Some(answer)) => self.hand_out(answer),
                Ok(None) => return Status::unavailable("the node has ended the stream of calls"),
                Err(status) => return status,
            }
        }
    }

    fn hand_out(&self, answer: CallAnswer) {
        // Nobody waits for it any more: the caller's time was up.
        let Some(waiting) = self.state().waiting.remove(&answer.id) else {
            return;
        };
        let result = match answer.answer {
            Some(Answer::Error(detail)) => Err(errors::to_status(&detail)),
            Some(answer) => Ok(answer),
            None => Err(Status::unknown("the answer is empty")),
        };
        // The same: the caller may have left in this moment.
        let _ = waiting.send(result);
    }

    /// Ends a stream that was open. Its end may be the fault of one call (a message that is too large); with several under way nobody can
    /// tell whose, and none of them is told that it was refused.
    fn end_underway(&self, status: Status) {
        let several = self.state().waiting.len() > 1;
        if several {
            let text = format!("the stream of calls broke: {:?}", status.code());
            self.end(Status::unavailable(text));
        } else {
            self.end(status);
        }
    }

    fn end(&self, status: Status) {
        let waiting = {
            let mut state = self.state();
            state.ended.get_or_insert_with(|| status.clone());
            std::mem::take(&mut state.waiting)
        };
        for caller in waiting.into_values() {
            let _ = caller.send(Err(status.clone()));
        }
    }
}
