//! One task that turns concurrent proposals into few log entries.
//!
//! Callers encode their commands themselves and wait in a bounded queue. The task takes all that wait, up to the bounds of an
//! entry, stamps the leader's time and proposes; several entries may be under way. While all places are taken, the queue
//! grows and the next entry gets larger: batches follow the load, and no timer adds delay when there is none.
//!
//! Each caller gets its slice of the entry's outcomes. A caller that stops waiting before its commands were taken has
//! definitely not proposed; after that the outcome is unknown.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use banyan_domain::seeded_bugs::{SeededBug, planted};
use banyan_domain::{Envelope, Outcome, Position, Timestamp};
use banyan_wire::internal_v1::RawValue;
use openraft::{
    Raft, ServerState, async_runtime::watch::WatchReceiver as _, errors::Fatal,
    impls::OneshotResponder, raft::ClientWriteResult, storage::RaftStateMachine,
};
use openraft_rt::{AsyncRuntime, Instant as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::{
    clock::Clock,
    first_answer,
    load::{Admitted, Class, Load},
    payload::{self, BatchKind, EncodedBatch},
    propose_error::{ProposeError, RETRY_AFTER, refusal},
    queue::{Answer, Ask, Caller, Job, Jobs, Ticket},
    types::{Payload, Response, TypeConfig},
    voter_clocks::{ClockVerdict, VoterClocks},
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

/// The callers' end of the queue.
pub(crate) struct Proposer<R> {
    /// Callers with few commands, and callers with many.
    single: mpsc::Sender<Job>,
    bulk: mpsc::Sender<Job>,
    load: Load,
    held: watch::Sender<bool>,
    runtime: PhantomData<fn() -> R>,
}

/// Callers wait in the queue, and nothing is proposed, until this is dropped.
pub(crate) struct Held(watch::Sender<bool>);

impl Drop for Held {
    fn drop(&mut self) {
        if !planted(SeededBug::TransferHoldKept) {
            self.0.send_replace(false);
        }
    }
}

impl<R> Clone for Proposer<R> {
    fn clone(&self) -> Self {
        Self {
            single: self.single.clone(),
            bulk: self.bulk.clone(),
            load: self.load.clone(),
            held: self.held.clone(),
            runtime: PhantomData,
        }
    }
}

impl<R: AsyncRuntime> Proposer<R> {
    /// Starts the task on the ambient runtime of `R`. It ends when the last handle is gone.
    pub(crate) fn start<SM>(
        raft: Raft<TypeConfig<R>, SM>,
        clock: Arc<dyn Clock>,
        clocks: VoterClocks,
        election_max: Duration,
    ) -> Self
    where
        SM: RaftStateMachine<TypeConfig<R>>,
    {
        let (single, single_jobs) = mpsc::channel(QUEUE_CALLERS_MAX);
        let (bulk, bulk_jobs) = mpsc::channel(QUEUE_CALLERS_MAX);
        let (held, holding) = watch::channel(false);
        let load = Load::default();
        let jobs = Jobs::new(single_jobs, bulk_jobs);
        drop(R::spawn(run(
            raft,
            Stamps { clock, clocks },
            jobs,
            holding,
            load.clone(),
            election_max,
        )));
        Self {
            single,
            bulk,
            load,
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

    /// After which time commands should come back that would be refused for load.
    pub(crate) fn refuses(&self, commands: usize, on_their_way: usize) -> Option<Duration> {
        self.load.refuses(commands, on_their_way)
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
        match self.submit_batch(encoded, within).await? {
            Answer::Outcomes(outcomes) if outcomes.len() == envelopes.len() => Ok(outcomes),
            _ => Err(ProposeError::OutcomeUnknown),
        }
    }

    /// Proposes raw values and waits until they are stored; answers with the position of their entry.
    pub(crate) async fn put_values(
        &self,
        values: &[RawValue],
        within: Duration,
    ) -> Result<Position, ProposeError> {
        match self
            .submit_batch(payload::encode_values(values), within)
            .await?
        {
            Answer::Values(position) => Ok(position),
            _ => Err(ProposeError::OutcomeUnknown),
        }
    }

    /// Submits what one caller proposes, if there is room for it in an entry and among what is outstanding.
    async fn submit_batch(
        &self,
        encoded: EncodedBatch,
        within: Duration,
    ) -> Result<Answer, ProposeError> {
        let (commands, bytes) = (encoded.count, encoded.bytes.len());
        if commands > ENTRY_COMMANDS_MAX || bytes > ENTRY_BYTES_MAX {
            return Err(ProposeError::TooLarge { commands, bytes });
        }
        let place = self
            .load
            .admit(commands)
            .map_err(|retry_after| ProposeError::Overloaded { retry_after })?;
        let queue = match Class::of(commands) {
            Class::Single => &self.single,
            Class::Bulk => &self.bulk,
        };
        self.submit(queue, Ask::Batch(encoded), Some(place), within)
            .await
    }

    /// Proposes a digest mark; answers with its position once it is applied here.
    pub(crate) async fn digest_mark(&self, within: Duration) -> Result<Position, ProposeError> {
        match self
            .submit(&self.single, Ask::DigestMark, None, within)
            .await?
        {
            Answer::DigestMark(position) => Ok(position),
            Answer::Outcomes(_) | Answer::Values(_) => Err(ProposeError::OutcomeUnknown),
        }
    }

    async fn submit(
        &self,
        queue: &mpsc::Sender<Job>,
        ask: Ask,
        place: Option<Admitted>,
        within: Duration,
    ) -> Result<Answer, ProposeError> {
        let (answer, answered) = oneshot::channel();
        let ticket = Arc::new(Ticket::default());
        let job = Job {
            ask,
            ticket: Arc::clone(&ticket),
            caller: Caller::new(answer, place),
        };
        queue.try_send(job).map_err(|error| match error {
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
    callers: Callers,
}

type Callers = Vec<(usize, Caller)>;

async fn run<R, SM>(
    raft: Raft<TypeConfig<R>, SM>,
    stamps: Stamps,
    mut jobs: Jobs,
    mut holding: watch::Receiver<bool>,
    load: Load,
    election_max: Duration,
) where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    let places = Arc::new(Semaphore::new(ENTRIES_IN_FLIGHT_MAX));
    loop {
        let Some(first) = jobs.first().await else {
            return;
        };
        let saturated = places.available_permits() == 0;
        // A place first, then the callers: those who come while all places are taken join this entry.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        // The sender is gone only with the last handle, and then nobody holds.
        let _ = holding.wait_for(|held| !held).await;
        first_answer::wait(&raft, election_max).await;
        stamps.heard(&raft, election_max).await;
        let (stamp, verdict) = stamps.next();
        let Some(batch) = gather(first, &mut jobs, stamp) else {
            continue;
        };
        if verdict != ClockVerdict::Agreed && leads(&raft) {
            let retry_after = RETRY_AFTER;
            answer(batch.callers, &ProposeError::ClockSkewed { retry_after });
            continue;
        }
        let entry = UnderWay {
            place,
            load: load.clone(),
            clock: Arc::clone(&stamps.clock),
            since: stamps.clock.boot_time(),
            saturated,
        };
        propose(&raft, batch, entry).await;
    }
}

/// Where the time of a proposal comes from.
struct Stamps {
    clock: Arc<dyn Clock>,
    clocks: VoterClocks,
}

/// How often a leader looks whether it has heard other clocks.
const HEARD_POLL: Duration = Duration::from_millis(10);

impl Stamps {
    /// Waits while this node leads and has not heard enough other clocks to believe its own, at most `within`. That takes a round trip after all were down,
    /// and no time otherwise.
    async fn heard<R, SM>(&self, raft: &Raft<TypeConfig<R>, SM>, within: Duration)
    where
        R: AsyncRuntime,
        SM: RaftStateMachine<TypeConfig<R>>,
    {
        let deadline = R::Instant::now() + within;
        while self.next().1 == ClockVerdict::Unheard && leads(raft) && R::Instant::now() < deadline
        {
            R::sleep(HEARD_POLL).await;
        }
    }

    /// The time now, and whether it may be written into the log: what is judged is what would be written.
    fn next(&self) -> (Timestamp, ClockVerdict) {
        let stamp = self.clock.now();
        if planted(SeededBug::ClockNotJudged) {
            return (stamp, ClockVerdict::Agreed);
        }
        (stamp, self.clocks.verdict(stamp, self.clock.boot_time()))
    }
}

/// Another node's clock is its own business: whoever follows is refused by openraft, with a hint.
fn leads<R, SM>(raft: &Raft<TypeConfig<R>, SM>) -> bool
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    raft.server_metrics().borrow_watched().state == ServerState::Leader
}

/// An entry that was proposed and is not answered.
struct UnderWay {
    place: OwnedSemaphorePermit,
    load: Load,
    clock: Arc<dyn Clock>,
    since: Duration,
    /// Whether it had to wait for its place.
    saturated: bool,
}

impl UnderWay {
    fn answered(self, commands: usize) {
        drop(self.place);
        let now = self.clock.boot_time();
        let took = now.saturating_sub(self.since);
        self.load.answered(commands, took, now, self.saturated);
    }
}

/// Takes what waits, up to the bounds of an entry. The first that does not fit waits for the next one.
fn gather(first: Job, jobs: &mut Jobs, stamp: Timestamp) -> Option<Batch> {
    let mut parts = Vec::new();
    let mut callers = Vec::new();
    let (mut kind, mut commands, mut bytes) = (BatchKind::Commands, 0, 0);
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
                    let payload = payload::digest_mark(stamp.get() as u64);
                    return Some(Batch {
                        payload,
                        callers: vec![(0, job.caller)],
                    });
                }
            }
            Ask::Batch(encoded)
                if callers.is_empty()
                    || (encoded.kind == kind
                        && commands + encoded.count <= ENTRY_COMMANDS_MAX
                        && bytes + encoded.bytes.len() <= ENTRY_BYTES_JOINED) =>
            {
                if job.ticket.take() {
                    kind = encoded.kind;
                    commands += encoded.count;
                    bytes += encoded.bytes.len();
                    parts.push(encoded.bytes.clone());
                    callers.push((encoded.count, job.caller));
                }
            }
            Ask::DigestMark | Ask::Batch(_) => {
                jobs.put_back(job);
                break;
            }
        }
        candidate = jobs.waiting(false);
    }
    if callers.is_empty() {
        return None;
    }
    Some(Batch {
        payload: payload::join(kind, stamp, parts.iter()),
        callers,
    })
}

/// Hands one entry to openraft and leaves a task behind that answers its callers.
async fn propose<R, SM>(raft: &Raft<TypeConfig<R>, SM>, batch: Batch, entry: UnderWay)
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
        if matches!(result, Ok(Ok(_))) {
            entry.answered(batch.callers.iter().map(|(count, _)| count).sum());
        }
        match result {
            Ok(Ok(response)) => deliver(batch.callers, response.data),
            Ok(Err(error)) => answer(batch.callers, &refusal(error)),
            Err(_) => answer(batch.callers, &ProposeError::OutcomeUnknown),
        }
    }));
}

/// Gives each caller its slice.
fn deliver(callers: Callers, response: Response) {
    match response {
        Response::Outcomes(outcomes) => {
            let mut outcomes = outcomes;
            if callers.len() > 1 && planted(SeededBug::OutcomesSwapped) {
                outcomes.rotate_left(1);
            }
            let mut outcomes = outcomes.into_iter();
            for (count, caller) in callers {
                let slice = outcomes.by_ref().take(count).collect();
                caller.answer(Ok(Answer::Outcomes(slice)));
            }
        }
        Response::Values(position) => {
            for (_, caller) in callers {
                caller.answer(Ok(Answer::Values(position)));
            }
        }
        Response::DigestMark(position) => {
            for (_, caller) in callers {
                caller.answer(Ok(Answer::DigestMark(position)));
            }
        }
        Response::Nothing => answer(callers, &ProposeError::OutcomeUnknown),
    }
}

fn answer(callers: Callers, error: &ProposeError) {
    for (_, caller) in callers {
        caller.answer(Err(error.clone()));
    }
}

#[cfg(test)]
mod tests;
