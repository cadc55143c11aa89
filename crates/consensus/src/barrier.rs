//! Read barriers: how a node knows that its state holds everything that was committed before a moment.
//!
//! A barrier is a log position that the leader gave out after a quorum had confirmed, *after the request for it arrived*, that the
//! leader still leads. openraft calls this ReadIndex; leases are not used, since no test can show that clocks keep them.
//!
//! # The bound on staleness
//!
//! A node notes the boot time `t0` before it sends a request for a barrier, gets position `p`, and applies up to `p`. Claim: from then on
//! its state holds every write that was acknowledged before `t0`, so at boot time `now` no acknowledged write that it lacks is
//! older than `now - t0`.
//!
//! Proof. Let `w` be a write that was acknowledged before `t0`. An acknowledged write is committed: it is in the log of a
//! quorum, and every later leader holds it. The leader that answered was confirmed by a quorum after the request arrived, so after `t0`;
//! at that moment no leader of a higher term had been elected by a quorum that the confirming one does not meet, so its log held `w`. Its
//! barrier is the later of its commit position when the request was handled and the first entry of its own term; both are
//! at or past `w`: a leader of an earlier term committed `w` before `t0`, hence before this leader's first entry was committed, and
//! log matching puts it before that entry; a write of this leader's own term was committed by this leader before it was
//! acknowledged. So `w` is at or before `p`, and a node that has applied `p` has applied `w`. ∎
//!
//! The proof takes from openraft that a confirmation rests on messages sent after the request. The published 0.10.0-alpha.37 breaks that in
//! one schedule; the copy that is built here does not (ADR 0023, `tests/it/paused_leader.rs`).
//!
//! Only differences of one node's own boot-time clock enter, so wall clocks may step and differ. A boot-time clock that runs slow by
//! a factor shortens the bound by that factor; the boot-time clock of Linux also counts the time that a machine was suspended.
//! A node that is stopped and goes on sees the stop in `now - t0`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use banyan_domain::Position;
use banyan_domain::seeded_bugs::{SeededBug, planted};
use futures::future::BoxFuture;
use openraft::{
    LinearizerOption, Raft, ServerState,
    async_runtime::watch::WatchReceiver as _,
    errors::{LinearizableReadError, RaftError},
    storage::RaftStateMachine,
};
use openraft_rt::{AsyncRuntime, Instant as _};
use tokio::sync::{mpsc, oneshot};

use crate::{clock::Clock, member::Member, settings::Timing, types::TypeConfig};

/// Callers that may wait for a barrier at one time.
const WAITING_MAX: usize = 8_192;
/// A node that lags asks again after this long: its bound shrinks as soon as it has caught up.
const APPLY_PATIENCE: Duration = Duration::from_secs(2);
/// Pause before a barrier is asked for again after a failure.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Why there is no barrier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BarrierError {
    /// No leader is known, or it cannot be reached, or it has lost touch with a majority.
    #[error("no leader with a quorum confirmed a read barrier: {0}")]
    Unconfirmed(String),
    /// The barrier is known, but this node's state has not come so far.
    #[error("this node has applied up to {applied}, the barrier is {barrier}")]
    Behind {
        /// The last index that this node has applied.
        applied: u64,
        /// The index to apply first.
        barrier: u64,
    },
    /// As many readers as allowed are waiting already.
    #[error("too many reads are waiting for a barrier")]
    Overloaded,
    /// This node is stopping, or has failed.
    #[error("this node is stopping")]
    Stopped,
}

/// A position that a leader gave out, and when it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// Everything that was acknowledged before `asked_at` is at or before this position.
    pub position: Position,
    /// Boot time of this node just before it sent the request.
    pub asked_at: Duration,
}

/// How much a request for a barrier is worth to its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A reader waits: the leader asks a quorum at once.
    Now,
    /// Nobody waits: the next heartbeats or replicated entries will do, and cost nothing more.
    Patient,
}

/// Asks another node, which is believed to lead, for a barrier. The simulator brings its own.
pub trait BarrierWire: Send + Sync + 'static {
    /// The position that the leader confirmed. Resolves within a few election times.
    ///
    /// # Errors
    /// Why it did not.
    fn ask(
        &self,
        leader: u64,
        node: &Member,
        urgency: Urgency,
    ) -> BoxFuture<'static, Result<Position, BarrierError>>;
}

/// The boot time as of which this node's state is known to be fresh; unknown after a start and after an installed snapshot.
#[derive(Clone, Debug, Default)]
pub struct FreshAsOf(Arc<AtomicU64>);

impl FreshAsOf {
    fn note(&self, asked_at: Duration) {
        // Nanoseconds of 584 years; one is added to tell "at boot" from "unknown".
        let nanos = u64::try_from(asked_at.as_nanos()).unwrap_or(u64::MAX - 1) + 1;
        self.0.fetch_max(nanos, Ordering::AcqRel);
    }

    fn get(&self) -> Option<Duration> {
        let nanos = self.0.load(Ordering::Acquire);
        nanos.checked_sub(1).map(Duration::from_nanos)
    }

    /// The state has been replaced: whatever was known of the old one says nothing.
    pub fn forget(&self) {
        self.0.store(0, Ordering::Release);
    }
}

type Waiter<T> = oneshot::Sender<Result<T, BarrierError>>;

/// Barriers that a leader gives out: all callers that wait at a moment share one confirmation by a quorum.
pub(crate) struct LeaderBarriers {
    now: mpsc::Sender<Waiter<Position>>,
    patient: mpsc::Sender<Waiter<Position>>,
}

impl LeaderBarriers {
    pub(crate) fn start<R, SM>(raft: &Raft<TypeConfig<R>, SM>, timing: Timing) -> Arc<Self>
    where
        R: AsyncRuntime,
        SM: RaftStateMachine<TypeConfig<R>>,
    {
        let begin = |at_once: bool| {
            let (sender, waiting) = mpsc::channel(WAITING_MAX);
            // Zero: only an acknowledgement of something sent after the request counts.
            let option = LinearizerOption::new(Some(Duration::ZERO), at_once)
                .with_wait_timeout(timing.election_max);
            drop(R::spawn(confirm(raft.clone(), waiting, option)));
            sender
        };
        Arc::new(Self {
            now: begin(true),
            patient: begin(false),
        })
    }

    /// A position confirmed by a quorum after this call began.
    pub(crate) async fn confirm(&self, urgency: Urgency) -> Result<Position, BarrierError> {
        let queue = match urgency {
            Urgency::Now => &self.now,
            Urgency::Patient => &self.patient,
        };
        wait_in(queue).await
    }
}

async fn wait_in<T>(queue: &mpsc::Sender<Waiter<T>>) -> Result<T, BarrierError> {
    let (waiter, answer) = oneshot::channel();
    queue.try_send(waiter).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => BarrierError::Overloaded,
        mpsc::error::TrySendError::Closed(_) => BarrierError::Stopped,
    })?;
    answer.await.unwrap_or(Err(BarrierError::Stopped))
}

/// All that wait now; one confirmation that begins after that; the answer to all.
async fn confirm<R, SM>(
    raft: Raft<TypeConfig<R>, SM>,
    mut waiting: mpsc::Receiver<Waiter<Position>>,
    option: LinearizerOption,
) where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    let mut round = Vec::new();
    while waiting.recv_many(&mut round, WAITING_MAX).await > 0 {
        let lease_unchecked = planted(SeededBug::NoLeaseCheck) && leads_in_its_own_term(&raft);
        if lease_unchecked || planted(SeededBug::BarrierNotConfirmed) {
            let applied = applied_position(&raft);
            for waiter in round.drain(..) {
                let _ = waiter.send(Ok(applied));
            }
            continue;
        }
        let confirmed = raft.get_read_linearizer(option.clone()).await;
        let answer = match confirmed {
            Ok(_) if planted(SeededBug::BarrierBeforeOwnTerm) => Ok(applied_position(&raft)),
            Ok(linearizer) => {
                let id = linearizer.read_log_id();
                Ok(Position {
                    term: id.committed_leader_id().term,
                    index: id.index(),
                })
            }
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(_))) => Err(
                BarrierError::Unconfirmed("the node asked does not lead".to_owned()),
            ),
            Err(RaftError::APIError(error)) => Err(BarrierError::Unconfirmed(error.to_string())),
            Err(RaftError::Fatal(_)) => Err(BarrierError::Stopped),
        };
        for waiter in round.drain(..) {
            // Whoever asked may have stopped waiting.
            let _ = waiter.send(answer.clone());
        }
    }
}

/// Whether this node takes itself for the leader, and has applied an entry of its own term: all that a barrier needs but a quorum.
fn leads_in_its_own_term<R, SM>(raft: &Raft<TypeConfig<R>, SM>) -> bool
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    let server = raft.server_metrics();
    let server = server.borrow_watched();
    server.state == ServerState::Leader && applied_position(raft).term == server.vote.leader_id.term
}

/// What this node has applied; nought and nought before the first entry.
fn applied_position<R, SM>(raft: &Raft<TypeConfig<R>, SM>) -> Position
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    let applied = raft.data_metrics().borrow_watched().last_applied;
    applied
        .as_ref()
        .map(crate::types::position)
        .unwrap_or_default()
}

/// What a node needs to ask for barriers and to know how fresh it is.
pub(crate) struct Freshness<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    raft: Raft<TypeConfig<R>, SM>,
    leader: Arc<LeaderBarriers>,
    wire: Arc<dyn BarrierWire>,
    clock: Arc<dyn Clock>,
    fresh: FreshAsOf,
}

impl<R, SM> Clone for Freshness<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    fn clone(&self) -> Self {
        Self {
            raft: self.raft.clone(),
            leader: Arc::clone(&self.leader),
            wire: Arc::clone(&self.wire),
            clock: Arc::clone(&self.clock),
            fresh: self.fresh.clone(),
        }
    }
}

/// The shared requests of one node: readers join the next one that is sent.
pub(crate) struct Barriers<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    freshness: Freshness<R, SM>,
    asking: mpsc::Sender<Waiter<Barrier>>,
}

impl<R, SM> Barriers<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    /// Begins to keep this node's freshness up, with a patient barrier in each `interval`.
    pub(crate) fn start(freshness: Freshness<R, SM>, interval: Duration) -> Self {
        let (asking, waiting) = mpsc::channel(WAITING_MAX);
        drop(R::spawn(ask_for_readers(freshness.clone(), waiting)));
        drop(R::spawn(keep_fresh(
            freshness.clone(),
            interval,
            asking.downgrade(),
        )));
        Self { freshness, asking }
    }

    pub(crate) fn leader(&self) -> Arc<LeaderBarriers> {
        Arc::clone(&self.freshness.leader)
    }

    pub(crate) fn boot_time(&self) -> Duration {
        self.freshness.clock.boot_time()
    }

    pub(crate) fn fresh_as_of(&self) -> Option<Duration> {
        self.freshness.fresh.get()
    }

    /// A barrier asked for after this call began; tried again until the time is over.
    pub(crate) async fn barrier(&self, within: Duration) -> Result<Barrier, BarrierError> {
        let deadline = R::Instant::now() + within;
        loop {
            let error = match R::timeout_at(deadline, Box::pin(wait_in(&self.asking))).await {
                Ok(Err(error @ BarrierError::Unconfirmed(_))) => error,
                Ok(result) => return result,
                Err(_elapsed) => {
                    return Err(BarrierError::Unconfirmed(format!(
                        "no answer within {within:?}"
                    )));
                }
            };
            if R::Instant::now() + RETRY_PAUSE >= deadline {
                return Err(error);
            }
            R::sleep(RETRY_PAUSE).await;
        }
    }

    /// Waits until this node has applied the barrier; the node is then fresh as of the moment it was asked for.
    pub(crate) async fn reach(
        &self,
        barrier: Barrier,
        within: Duration,
    ) -> Result<(), BarrierError> {
        if !planted(SeededBug::BarrierNotReached) {
            self.freshness
                .applied(barrier.position.index, within)
                .await?;
        }
        self.freshness.fresh.note(barrier.asked_at);
        Ok(())
    }

    pub(crate) async fn applied(&self, index: u64, within: Duration) -> Result<(), BarrierError> {
        self.freshness.applied(index, within).await
    }
}

impl<R, SM> Freshness<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    pub(crate) fn new(
        raft: Raft<TypeConfig<R>, SM>,
        leader: Arc<LeaderBarriers>,
        wire: Arc<dyn BarrierWire>,
        clock: Arc<dyn Clock>,
        fresh: FreshAsOf,
    ) -> Self {
        Self {
            raft,
            leader,
            wire,
            clock,
            fresh,
        }
    }

    async fn ask(&self, urgency: Urgency) -> Result<Barrier, BarrierError> {
        // Before anything is sent: what is acknowledged from here on, the barrier need not cover.
        let asked_at = self.clock.boot_time();
        let position = self.ask_leader(urgency).await?;
        let asked_at = if planted(SeededBug::StalenessFromAnswer) {
            self.clock.boot_time()
        } else {
            asked_at
        };
        Ok(Barrier { position, asked_at })
    }

    async fn ask_leader(&self, urgency: Urgency) -> Result<Position, BarrierError> {
        let (leader, node) = {
            let metrics = self.raft.server_metrics();
            let metrics = metrics.borrow_watched();
            let leader = metrics.current_leader;
            let node = leader.and_then(|id| metrics.membership_config.get_node(&id).cloned());
            (leader, node)
        };
        match leader {
            None => Err(BarrierError::Unconfirmed("no leader is known".to_owned())),
            Some(leader) if leader == *self.raft.node_id() => self.leader.confirm(urgency).await,
            Some(leader) => match node {
                Some(node) => self.wire.ask(leader, &node, urgency).await,
                None => Err(BarrierError::Unconfirmed(
                    "the leader is not in the membership".to_owned(),
                )),
            },
        }
    }

    async fn applied(&self, index: u64, within: Duration) -> Result<(), BarrierError> {
        let deadline = R::Instant::now() + within;
        let mut metrics = self.raft.data_metrics();
        loop {
            let applied = metrics
                .borrow_watched()
                .last_applied
                .as_ref()
                .map_or(0, |id| id.index);
            if applied >= index {
                return Ok(());
            }
            match R::timeout_at(deadline, Box::pin(metrics.changed())).await {
                Ok(Ok(())) => {}
                Ok(Err(_closed)) => return Err(BarrierError::Stopped),
                Err(_elapsed) => {
                    return Err(BarrierError::Behind {
                        applied,
                        barrier: index,
                    });
                }
            }
        }
    }
}

/// One request for all readers that wait when it is sent. Readers that come later wait for the next one.
async fn ask_for_readers<R, SM>(
    freshness: Freshness<R, SM>,
    mut waiting: mpsc::Receiver<Waiter<Barrier>>,
) where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    let mut round = Vec::new();
    while waiting.recv_many(&mut round, WAITING_MAX).await > 0 {
        let answer = freshness.ask(Urgency::Now).await;
        for waiter in round.drain(..) {
            // Whoever asked may have stopped waiting.
            let _ = waiter.send(answer.clone());
        }
    }
}

/// A patient barrier in each interval, as long as anybody could ask how fresh this node is.
async fn keep_fresh<R, SM>(
    freshness: Freshness<R, SM>,
    interval: Duration,
    handle: mpsc::WeakSender<Waiter<Barrier>>,
) where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    while handle.upgrade().is_some() {
        if let Ok(barrier) = freshness.ask(Urgency::Patient).await
            && freshness
                .applied(barrier.position.index, APPLY_PATIENCE)
                .await
                .is_ok()
        {
            freshness.fresh.note(barrier.asked_at);
        }
        R::sleep(interval).await;
    }
}
