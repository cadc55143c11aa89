//! One task that turns concurrent proposals into few log entries.
//!
//! Callers encode their commands themselves and wait in a bounded queue. The task takes all that wait, up to the bounds of an
//! entry, stamps the leader's time and proposes; several entries may be under way. While all places are taken, the queue
//! grows and the next entry gets larger: batches follow the load, and no timer adds delay when there is none.
//!
//! Each caller gets its slice of the entry's outcomes. A caller that stops waiting before its commands were taken has
//! definitely not proposed; after that the outcome is unknown.

use std::{
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use banyan_domain::{Envelope, Outcome, Position};
use openraft::{
    Raft, errors::Fatal, impls::OneshotResponder, raft::ClientWriteResult,
    storage::RaftStateMachine,
};
use openraft_rt::AsyncRuntime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::{
    clock::Clock,
    payload::{self, EncodedCommands},
    propose_error::{ProposeError, RETRY_AFTER, refusal},
    types::{Payload, Response, TypeConfig},
};

/// Commands of one entry at most. Replicas decode and apply an entry as a whole.
pub const ENTRY_COMMANDS_MAX: usize = 1_000;
/// Encoded bytes of one entry after which no further caller joins it.
pub(crate) const ENTRY_BYTES_JOINED: usize = 1 << 20;
/// Encoded bytes of one entry at most: what a single caller may propose at once.
pub const ENTRY_BYTES_MAX: usize = 4 << 20;
/// Entries under way at once.
pub(crate) const ENTRIES_IN_FLIGHT_MAX: usize = 8;
/// Callers that may wait.
pub(crate) const QUEUE_CALLERS_MAX: usize = 4_096;

/// What a caller waits for.
enum Ask {
    Commands(EncodedCommands),
    /// A digest mark goes alone into its entry.
    DigestMark,
}

enum Answer {
    Outcomes(Vec<Outcome>),
    DigestMark(Position),
}

/// Where a caller's commands are: waiting, taken by the task, or given up by the caller before they were taken.
#[derive(Default)]
struct Ticket(AtomicU8);

impl Ticket {
    const WAITING: u8 = 0;
    const TAKEN: u8 = 1;
    const GIVEN_UP: u8 = 2;

    fn settle(&self, to: u8) -> bool {
        self.0
            .compare_exchange(Self::WAITING, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// True if the task may propose them.
    fn take(&self) -> bool {
        self.settle(Self::TAKEN)
    }

    /// True if they were not taken, and now will not be.
    fn give_up(&self) -> bool {
        self.settle(Self::GIVEN_UP)
    }
}

struct Job {
    ask: Ask,
    ticket: Arc<Ticket>,
    answer: oneshot::Sender<Result<Answer, ProposeError>>,
}

/// The callers' end of the queue.
pub(crate) struct Proposer<R> {
    queue: mpsc::Sender<Job>,
    held: watch::Sender<bool>,
    runtime: PhantomData<fn() -> R>,
}

/// Callers wait in the queue, and nothing is proposed, until this is dropped.
pub(crate) struct Held(watch::Sender<bool>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

impl<R> Clone for Proposer<R> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            held: self.held.clone(),
            runtime: PhantomData,
        }
    }
}

impl<R: AsyncRuntime> Proposer<R> {
    /// Starts the task on the ambient runtime of `R`. It ends when the last handle is gone.
    pub(crate) fn start<SM>(raft: Raft<TypeConfig<R>, SM>, clock: Arc<dyn Clock>) -> Self
    where
        SM: RaftStateMachine<TypeConfig<R>>,
    {
        let (queue, jobs) = mpsc::channel(QUEUE_CALLERS_MAX);
        let (held, holding) = watch::channel(false);
        drop(R::spawn(run(raft, clock, jobs, holding)));
        Self {
            queue,
            held,
            runtime: PhantomData,
        }
    }

    /// Lets callers wait, for leadership to go elsewhere without refusals; none if they are held already.
    pub(crate) fn hold(&self) -> Option<Held> {
        let begun = self
            .held
            .send_if_modified(|held| !std::mem::replace(held, true));
        begun.then(|| Held(self.held.clone()))
    }

    /// Proposes commands and waits for their outcomes.
    pub(crate) async fn propose(
        &self,
        envelopes: &[Envelope],
        within: Duration,
    ) -> Result<Vec<Outcome>, ProposeError> {
        if envelopes.is_empty() {
            return Ok(Vec::new());
        }
        let encoded = payload::encode_commands(envelopes);
        let (commands, bytes) = (encoded.count, encoded.bytes.len());
        if commands > ENTRY_COMMANDS_MAX || bytes > ENTRY_BYTES_MAX {
            return Err(ProposeError::TooLarge { commands, bytes });
        }
        match self.submit(Ask::Commands(encoded), within).await? {
            Answer::Outcomes(outcomes) if outcomes.len() == commands => Ok(outcomes),
            _ => Err(ProposeError::OutcomeUnknown),
        }
    }

    /// Proposes a digest mark; answers with its position once it is applied here.
    pub(crate) async fn digest_mark(&self, within: Duration) -> Result<Position, ProposeError> {
        match self.submit(Ask::DigestMark, within).await? {
            Answer::DigestMark(position) => Ok(position),
            Answer::Outcomes(_) => Err(ProposeError::OutcomeUnknown),
        }
    }

    async fn submit(&self, ask: Ask, within: Duration) -> Result<Answer, ProposeError> {
        let (answer, answered) = oneshot::channel();
        let ticket = Arc::new(Ticket::default());
        let job = Job {
            ask,
            ticket: Arc::clone(&ticket),
            answer,
        };
        self.queue.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ProposeError::Overloaded {
                retry_after: RETRY_AFTER,
            },
            mpsc::error::TrySendError::Closed(_) => ProposeError::ShuttingDown,
        })?;
        match R::timeout(within, answered).await {
            Ok(Ok(result)) => result,
            // The task is gone with the job: after a fault or while stopping.
            Ok(Err(_)) if ticket.give_up() => Err(ProposeError::ShuttingDown),
            Err(_elapsed) if ticket.give_up() => Err(ProposeError::Overloaded {
                retry_after: RETRY_AFTER,
            }),
            Ok(Err(_)) | Err(_) => Err(ProposeError::OutcomeUnknown),
        }
    }
}

/// Callers whose commands share one entry.
struct Batch {
    payload: Payload,
    callers: Vec<(usize, oneshot::Sender<Result<Answer, ProposeError>>)>,
}

async fn run<R, SM>(
    raft: Raft<TypeConfig<R>, SM>,
    clock: Arc<dyn Clock>,
    mut jobs: mpsc::Receiver<Job>,
    mut holding: watch::Receiver<bool>,
) where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    let places = Arc::new(Semaphore::new(ENTRIES_IN_FLIGHT_MAX));
    let mut next: Option<Job> = None;
    loop {
        let first = match next.take() {
            Some(job) => job,
            None => match jobs.recv().await {
                Some(job) => job,
                None => return,
            },
        };
        // A place first, then the callers: those who come while all places are taken join this entry.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        // The sender is gone only with the last handle, and then nobody holds.
        let _ = holding.wait_for(|held| !held).await;
        let Some(batch) = gather(first, &mut jobs, &mut next, clock.as_ref()) else {
            continue;
        };
        propose(&raft, batch, place).await;
    }
}

/// Takes what waits, up to the bounds of an entry. What does not fit becomes `next`.
fn gather(
    first: Job,
    jobs: &mut mpsc::Receiver<Job>,
    next: &mut Option<Job>,
    clock: &dyn Clock,
) -> Option<Batch> {
    let mut parts = Vec::new();
    let mut callers = Vec::new();
    let (mut commands, mut bytes) = (0, 0);
    let mut candidate = Some(first);
    while let Some(job) = candidate.take() {
        match &job.ask {
            Ask::DigestMark if callers.is_empty() => {
                if job.ticket.take() {
                    // Any number that differs from mark to mark serves.
                    #[expect(
                        clippy::cast_sign_loss,
                        reason = "only told apart, never read as a time"
                    )]
                    let payload = payload::digest_mark(clock.now().get() as u64);
                    return Some(Batch {
                        payload,
                        callers: vec![(0, job.answer)],
                    });
                }
            }
            Ask::Commands(encoded)
                if callers.is_empty()
                    || (commands + encoded.count <= ENTRY_COMMANDS_MAX
                        && bytes + encoded.bytes.len() <= ENTRY_BYTES_JOINED) =>
            {
                if job.ticket.take() {
                    commands += encoded.count;
                    bytes += encoded.bytes.len();
                    parts.push(encoded.bytes.clone());
                    callers.push((encoded.count, job.answer));
                }
            }
            Ask::DigestMark | Ask::Commands(_) => {
                *next = Some(job);
                break;
            }
        }
        candidate = jobs.try_recv().ok();
    }
    if callers.is_empty() {
        return None;
    }
    Some(Batch {
        payload: payload::join_commands(clock.now(), parts.iter()),
        callers,
    })
}

/// Hands one entry to openraft and leaves a task behind that answers its callers.
async fn propose<R, SM>(raft: &Raft<TypeConfig<R>, SM>, batch: Batch, place: OwnedSemaphorePermit)
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    let (responder, written) =
        OneshotResponder::<TypeConfig<R>, ClientWriteResult<TypeConfig<R>>>::new_pair();
    if let Err(fatal) = raft.client_write_ff(batch.payload, Some(responder)).await {
        // The core was gone before it took the message: definitely not proposed.
        let error = match fatal {
            Fatal::Stopped => ProposeError::ShuttingDown,
            Fatal::StorageError(_) | Fatal::Panicked => ProposeError::Fault,
        };
        answer(batch.callers, &error);
        return;
    }
    drop(R::spawn(async move {
        let result = written.await;
        drop(place);
        match result {
            Ok(Ok(response)) => deliver(batch.callers, response.data),
            Ok(Err(error)) => answer(batch.callers, &refusal(error)),
            Err(_) => answer(batch.callers, &ProposeError::OutcomeUnknown),
        }
    }));
}

type Callers = Vec<(usize, oneshot::Sender<Result<Answer, ProposeError>>)>;

/// Gives each caller its slice.
fn deliver(callers: Callers, response: Response) {
    match response {
        Response::Outcomes(outcomes) => {
            let mut outcomes = outcomes.into_iter();
            for (count, caller) in callers {
                let slice = outcomes.by_ref().take(count).collect();
                let _ = caller.send(Ok(Answer::Outcomes(slice)));
            }
        }
        Response::DigestMark(position) => {
            for (_, caller) in callers {
                let _ = caller.send(Ok(Answer::DigestMark(position)));
            }
        }
        Response::Nothing => answer(callers, &ProposeError::OutcomeUnknown),
    }
}

fn answer(callers: Callers, error: &ProposeError) {
    for (_, caller) in callers {
        // The caller may have stopped waiting.
        let _ = caller.send(Err(error.clone()));
    }
}

#[cfg(test)]
mod tests {
    use banyan_domain::Timestamp;
    use bytes::Bytes;

    use super::*;

    struct Fixed;
    impl Clock for Fixed {
        fn now(&self) -> Timestamp {
            Timestamp(7)
        }

        fn boot_time(&self) -> Duration {
            Duration::from_secs(7)
        }
    }

    fn job(
        ask: Ask,
    ) -> (
        Job,
        Arc<Ticket>,
        oneshot::Receiver<Result<Answer, ProposeError>>,
    ) {
        let (answer, answered) = oneshot::channel();
        let ticket = Arc::new(Ticket::default());
        (
            Job {
                ask,
                ticket: Arc::clone(&ticket),
                answer,
            },
            ticket,
            answered,
        )
    }

    fn commands(count: usize, bytes: usize) -> Ask {
        Ask::Commands(EncodedCommands {
            bytes: Bytes::from(vec![0; bytes]),
            count,
        })
    }

    #[test]
    fn waiting_callers_share_an_entry_up_to_its_bounds() {
        let (queue, mut jobs) = mpsc::channel(16);
        let mut answers = Vec::new();
        let (first, _, answered) = job(commands(400, 10));
        answers.push(answered);
        for ask in [commands(500, 10), commands(200, 10), Ask::DigestMark] {
            let (job, _, answered) = job(ask);
            answers.push(answered);
            queue.try_send(job).ok().unwrap();
        }
        let mut next = None;
        let batch = gather(first, &mut jobs, &mut next, &Fixed).unwrap();
        assert_eq!(
            batch
                .callers
                .iter()
                .map(|(count, _)| *count)
                .collect::<Vec<_>>(),
            [400, 500]
        );
        let batch = gather(next.take().unwrap(), &mut jobs, &mut next, &Fixed).unwrap();
        assert_eq!(
            batch
                .callers
                .iter()
                .map(|(count, _)| *count)
                .collect::<Vec<_>>(),
            [200]
        );
        let batch = gather(next.take().unwrap(), &mut jobs, &mut next, &Fixed).unwrap();
        assert_eq!(payload::kind(batch.payload.bytes()), "digest mark");
        assert!(next.is_none());
    }

    #[test]
    fn a_caller_that_gave_up_is_not_proposed() {
        let (_queue, mut jobs) = mpsc::channel(16);
        let (first, ticket, _answered) = job(commands(1, 10));
        assert!(ticket.give_up());
        assert!(gather(first, &mut jobs, &mut None, &Fixed).is_none());
        let (second, ticket, _answered) = job(commands(1, 10));
        assert!(gather(second, &mut jobs, &mut None, &Fixed).is_some());
        assert!(!ticket.give_up(), "taken: the outcome is unknown");
    }

    #[test]
    fn a_large_caller_goes_alone() {
        let (queue, mut jobs) = mpsc::channel(16);
        let (first, ..) = job(commands(1, ENTRY_BYTES_JOINED + 1));
        let (second, ..) = job(commands(1, 10));
        queue.try_send(second).ok().unwrap();
        let mut next = None;
        assert_eq!(
            gather(first, &mut jobs, &mut next, &Fixed)
                .unwrap()
                .callers
                .len(),
            1
        );
        assert!(next.is_some());
    }
}
