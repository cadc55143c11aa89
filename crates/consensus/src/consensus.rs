//! The handle of consensus on one node: propose, look, lead, stop.

mod proposals;

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use banyan_domain::NodeId;
use openraft::{
    Raft, RaftNetworkFactory,
    async_runtime::watch::WatchReceiver as _,
    errors::Fatal,
    network::NetSnapshot,
    storage::{RaftLogStorage, RaftStateMachine},
};
use openraft_rt::AsyncRuntime;
use openraft_rt_tokio::TokioRuntime;

use crate::{
    barrier::{Barriers, Freshness, LeaderBarriers},
    clock::Clock,
    keeper,
    log::LogAdapter,
    member::Member,
    network::{Admission, PeerNetwork, TlsError, tls},
    parts::{Parts, RawValues, StartOptions},
    peers::Peers,
    pings::{self, Pings},
    proposer::Proposer,
    settings::{SettingsError, Timing, raft_config},
    state::{Retired, SnapshotInbox, StateMachine},
    status::{Role, Status},
    steward::{self, Stay, Steward},
    types::TypeConfig,
    voter_clocks::{ClockVerdict, VoterClocks},
};

/// Why consensus did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Times or bounds that contradict each other.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Certificates that cannot be used, or are not this node's.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The stores cannot be read, or contradict each other.
    #[error("the node's log and state cannot be recovered: {0}")]
    Recovery(String),
}

/// Consensus has failed on this node: the process must end, and its supervisor decides.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// The disk, or an entry that this release cannot apply.
    #[error("consensus stopped on a storage fault: {0}")]
    Storage(String),
    /// A defect.
    #[error("consensus stopped on a defect")]
    Panicked,
}

/// One node's part in consensus. Cheap to clone. Generic over the runtime `R` and the state machine `SM`; production uses the
/// defaults.
///
/// All of its tasks, and the connections to peers, live on the runtime on which it was started: give it one of its own, which
/// neither clients nor storage can block.
pub struct Consensus<R = TokioRuntime, SM = StateMachine<R>>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    inner: Arc<Inner<R, SM>>,
}

struct Inner<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    raft: Raft<TypeConfig<R>, SM>,
    proposer: Proposer<R>,
    barriers: Barriers<R, SM>,
    timing: Timing,
    stopping: AtomicBool,
    stay: Stay,
    raw_values: RawValues,
    clock: Arc<dyn Clock>,
    clocks: VoterClocks,
    retired: Retired,
    /// What the peer server needs; none where something else brings the messages.
    peers: Option<Peers<R>>,
}

/// A handle that keeps nothing alive: for tasks that end with consensus.
pub(crate) struct WeakConsensus<R, SM>(Weak<Inner<R, SM>>)
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>;

impl<R, SM> WeakConsensus<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    pub(crate) fn upgrade(&self) -> Option<Consensus<R, SM>> {
        let inner = self.0.upgrade()?;
        Some(Consensus { inner })
    }
}

impl<R, SM> Clone for Consensus<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<R, SM> fmt::Debug for Consensus<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consensus")
            .field("node", self.inner.raft.node_id())
            .finish_non_exhaustive()
    }
}

impl<R: AsyncRuntime> Consensus<R, StateMachine<R>> {
    /// Starts consensus over the real stores and the real wire. Returns once the state has been recovered as far as this node knows
    /// it to be committed; serve peers with [`Consensus::serve_peers`] right after.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(options: StartOptions) -> Result<Self, StartError> {
        let StartOptions {
            cluster,
            node,
            members,
            stores,
            tls,
            timing,
            log_policy,
            preference,
            clock,
            clock_offset_max,
            raw_values,
        } = options;
        tls::check_own(&tls, &cluster, node.node.get())?;
        let voters = members
            .iter()
            .filter(|(_, member)| member.voter)
            .map(|(id, _)| id.get())
            .collect();
        let state = StateMachine::new(stores.state.clone()).with_raw_values(raw_values);
        let admission = Admission::new(cluster.clone(), voters, state.retired());
        let network = PeerNetwork::new(cluster.clone(), tls.clone(), timing, admission.links());
        let inbox = SnapshotInbox::new(stores.state.clone());
        let peers = Peers::new(tls, network.clone(), admission, inbox);
        let log = LogAdapter::new(stores.clone());
        let written = stores.log.clone();
        let parts = Parts {
            node: node.node,
            log_size: log.size(),
            log,
            fresh: state.fresh(),
            retired: state.retired(),
            state,
            barriers: Arc::new(network.clone()),
            pings: Arc::new(network.clone()),
            network,
            cluster,
            timing,
            log_policy,
            preference,
            busy_for: Arc::new(move || written.busy_for()),
            clock,
            clock_offset_max,
        };
        Self::assemble(parts, Some(peers), raw_values).await
    }
}

impl<R, SM> Consensus<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    /// Starts consensus over whatever log, state machine and network are given.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start_with<LS, NF>(parts: Parts<LS, SM, NF>) -> Result<Self, StartError>
    where
        LS: RaftLogStorage<TypeConfig<R>>,
        NF: RaftNetworkFactory<TypeConfig<R>>,
        NF::Network: NetSnapshot<TypeConfig<R>, SnapshotData = SM::SnapshotData>,
    {
        Self::assemble(parts, None, RawValues::Refused).await
    }

    async fn assemble<LS, NF>(
        parts: Parts<LS, SM, NF>,
        peers: Option<Peers<R>>,
        raw_values: RawValues,
    ) -> Result<Self, StartError>
    where
        LS: RaftLogStorage<TypeConfig<R>>,
        NF: RaftNetworkFactory<TypeConfig<R>>,
        NF::Network: NetSnapshot<TypeConfig<R>, SnapshotData = SM::SnapshotData>,
    {
        let config = raft_config(&parts.cluster, parts.timing, parts.log_policy)?;
        let raft = Raft::new(
            parts.node.get(),
            Arc::new(config),
            parts.network,
            parts.log,
            parts.state,
        )
        .await
        .map_err(|fatal| StartError::Recovery(fatal.to_string()))?;
        let clocks = VoterClocks::new(parts.clock_offset_max);
        let proposer = Proposer::start(
            raft.clone(),
            Arc::clone(&parts.clock),
            clocks.clone(),
            parts.timing.election_max,
        );
        let leader = LeaderBarriers::start(&raft, parts.timing);
        let freshness = Freshness::new(
            raft.clone(),
            leader,
            parts.barriers,
            Arc::clone(&parts.clock),
            parts.fresh,
        );
        let barriers = Barriers::start(freshness, parts.timing.heartbeat * 2);
        // Its first round repairs a log that was purged past the newest snapshot.
        drop(R::spawn(keeper::run(
            raft.clone(),
            parts.log_size,
            parts.log_policy,
        )));
        let stay = Stay::default();
        let steward = Steward {
            preference: parts.preference,
            busy_for: parts.busy_for,
            clock: Arc::clone(&parts.clock),
            clocks: clocks.clone(),
            stay: stay.clone(),
        };
        let pings = Pings {
            wire: parts.pings,
            clock: Arc::clone(&parts.clock),
            clocks: clocks.clone(),
        };
        let inner = Arc::new(Inner {
            raft,
            proposer,
            barriers,
            timing: parts.timing,
            stopping: AtomicBool::new(false),
            stay,
            raw_values,
            retired: parts.retired,
            peers,
            clock: parts.clock,
            clocks,
        });
        let weak = || WeakConsensus(Arc::downgrade(&inner));
        drop(R::spawn(steward::run(weak(), steward)));
        drop(R::spawn(pings::run(weak(), pings)));
        Ok(Self { inner })
    }

    /// For this long, from now, this node does not move leadership to a preferred site; zero ends what was asked before. Planned transfers, and
    /// those away from a stalled disk, go on. Forgotten at a restart.
    pub fn stay(&self, time: Duration) {
        self.inner.stay.until(self.boot_time() + time);
    }

    /// openraft's own handle: for whoever brings the messages of peers, or changes the membership, without the wire of this crate.
    pub fn raft(&self) -> &Raft<TypeConfig<R>, SM> {
        &self.inner.raft
    }

    pub(crate) fn peers(&self) -> Option<&Peers<R>> {
        self.inner.peers.as_ref()
    }

    pub(crate) fn proposer(&self) -> &Proposer<R> {
        &self.inner.proposer
    }

    pub(crate) fn timing(&self) -> Timing {
        self.inner.timing
    }

    pub(crate) fn retired(&self) -> &Retired {
        &self.inner.retired
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.inner.clock)
    }

    /// What the other voters' clocks say of this node's, at this moment.
    #[must_use]
    pub fn clock_verdict(&self) -> ClockVerdict {
        let clock = &self.inner.clock;
        self.inner.clocks.verdict(clock.now(), clock.boot_time())
    }

    /// By how many milliseconds the clock of each other voter is ahead of this node's; negative: behind. Those that were not heard within ten
    /// seconds are missing.
    #[must_use]
    pub fn clock_offsets(&self) -> BTreeMap<NodeId, i64> {
        let clock = &self.inner.clock;
        self.inner.clocks.offsets(clock.now(), clock.boot_time())
    }

    pub(crate) fn mark_stopping(&self) {
        self.inner.stopping.store(true, Ordering::Release);
    }

    pub(crate) fn barriers(&self) -> &Barriers<R, SM> {
        &self.inner.barriers
    }

    /// This node's view of itself and the cluster.
    #[must_use]
    pub fn status(&self) -> Status {
        let refused = self
            .inner
            .peers
            .as_ref()
            .map_or(0, |peers| peers.admission().refusals().count());
        Status::of(&self.inner.raft.metrics().borrow_watched(), refused)
    }

    /// The leader as this node knows it, itself included.
    #[must_use]
    pub fn leader(&self) -> Option<Member> {
        let metrics = self.inner.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics.current_leader?;
        metrics.membership_config.get_node(&leader).cloned()
    }

    /// Whether this node leads at the moment.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.inner.raft.server_metrics().borrow_watched().state == openraft::ServerState::Leader
    }

    /// Resolves when the predicate holds for this node's status, or fails when the time is over or the node has stopped.
    ///
    /// # Errors
    /// The last status seen.
    pub async fn wait_for(
        &self,
        within: Duration,
        holds: impl Fn(&Status) -> bool + Send + Sync,
    ) -> Result<Status, Box<Status>> {
        let mut metrics = self.inner.raft.metrics();
        let waiting = async {
            loop {
                let status = self.status();
                if holds(&status) {
                    return Ok(status);
                }
                if status.role == Role::Stopped || metrics.changed().await.is_err() {
                    return Err(Box::new(self.status()));
                }
            }
        };
        match R::timeout(within, Box::pin(waiting)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(Box::new(self.status())),
        }
    }

    /// Waits until the leader that this node knows, if it knows one, is as wanted; false when the time is over. Wakes only when leadership moves or
    /// the membership changes, so that many callers may wait. A node that has stopped learns of no leader, and the time passes: whoever tries
    /// again after it does not spin.
    pub async fn wait_for_leader(
        &self,
        within: Duration,
        wanted: impl Fn(Option<NodeId>) -> bool + Send + Sync,
    ) -> bool {
        let mut metrics = self.inner.raft.server_metrics();
        let waiting = async {
            loop {
                let leader = metrics.borrow_watched().current_leader;
                if wanted(leader.map(NodeId)) {
                    return true;
                }
                if metrics.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        R::timeout(within, Box::pin(waiting)).await.unwrap_or(false)
    }

    /// Waits until the state is at least what it was before a restart: until the cluster's commit position covers this node's whole
    /// log, and it is applied. A node that serves reads before may show an older state than it showed before.
    ///
    /// # Errors
    /// When the time is over first: without a leader this cannot be known.
    pub async fn recovered(&self, within: Duration) -> Result<(), NotRecovered> {
        self.inner
            .raft
            .wait_for_recovery(Some(within))
            .await
            .map(|_| ())
            .map_err(|_| NotRecovered(within))
    }

    /// Asks for a snapshot; it is taken in the background.
    ///
    /// # Errors
    /// When this node has stopped.
    pub async fn take_snapshot(&self) -> Result<(), Failure> {
        self.inner.raft.trigger().snapshot().await.map_err(failure)
    }

    /// Resolves when consensus has failed on this node; the process must then end. Pends for ever after an orderly stop.
    pub fn watch_fatal(&self) -> impl Future<Output = Failure> + Send + use<R, SM> {
        let mut metrics = self.inner.raft.metrics();
        async move {
            loop {
                let fatal = metrics.borrow_watched().running_state.clone().err();
                match fatal {
                    Some(fatal @ (Fatal::StorageError(_) | Fatal::Panicked)) => {
                        return failure(fatal);
                    }
                    Some(Fatal::Stopped) => std::future::pending::<()>().await,
                    None => {
                        // The core's side is gone without a word: it has panicked, unless it was stopped.
                        if metrics.changed().await.is_err()
                            && metrics.borrow_watched().running_state.is_ok()
                        {
                            return Failure::Panicked;
                        }
                    }
                }
            }
        }
    }
}

/// The state could not be shown to be as new as before the restart.
#[derive(Debug, thiserror::Error)]
#[error("the cluster's commit position was not learnt within {0:?}")]
pub struct NotRecovered(Duration);

fn failure<R: AsyncRuntime>(fatal: Fatal<TypeConfig<R>>) -> Failure {
    match fatal {
        Fatal::StorageError(error) => Failure::Storage(error.to_string()),
        Fatal::Panicked => Failure::Panicked,
        Fatal::Stopped => Failure::Storage("consensus has been stopped".to_owned()),
    }
}
