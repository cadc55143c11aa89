//! A real leader over a scripted wire: its peers take every request at once, and answer as many as they are let. That is what a leader sees that
//! was stopped, with answers waiting in its sockets.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use banyan_consensus::{
    BarrierError, BarrierWire, Clock as _, Consensus, LogAdapter, LogPolicy, Member, OFFSET_MAX,
    Parts, PingWire, Preference, SnapshotHandle, StateMachine, SystemClock, Timing, TokioRuntime,
    TypeConfig, Urgency,
};
use banyan_domain::{NodeId, Position, Timestamp};
use banyan_storage::{FirstStart, Identity, StoreOptions, Stores};
use futures::{FutureExt as _, Stream, StreamExt as _, future::BoxFuture};
use openraft::{
    OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    base::BoxStream,
    entry::RaftEntry as _,
    errors::{RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
        VoteRequest, VoteResponse,
    },
    type_config::alias::{SnapshotOf, VoteOf},
};
use tokio::sync::{Semaphore, mpsc};

use crate::cluster::PATIENCE;

type C = TypeConfig<TokioRuntime>;
type Answer = Result<StreamAppendResult<C>, RPCError<C>>;

/// One scripted peer: it takes every request at once, and answers as many as it is let.
pub(crate) struct Peer {
    appends_taken: AtomicU64,
    heartbeats_taken: AtomicU64,
    /// Index before the first entry of each append, in the order of the appends.
    begins: Mutex<Vec<Option<u64>>>,
    /// Milliseconds that it takes to save a vote.
    vote_takes: AtomicU64,
    pub(crate) appends: Semaphore,
    heartbeats: Semaphore,
}

impl Peer {
    pub(crate) fn new() -> Self {
        Self {
            appends_taken: AtomicU64::new(0),
            heartbeats_taken: AtomicU64::new(0),
            begins: Mutex::default(),
            vote_takes: AtomicU64::new(0),
            appends: Semaphore::new(Self::FREELY),
            heartbeats: Semaphore::new(Self::FREELY),
        }
    }

    const FREELY: usize = 1 << 20;

    /// From now on no answer leaves without [`Semaphore::add_permits`].
    pub(crate) fn hold(&self) {
        self.appends.forget_permits(Self::FREELY);
        self.heartbeats.forget_permits(Self::FREELY);
    }

    /// From now on a vote is saved after so long.
    pub(crate) fn vote_slowly(&self, takes: Duration) {
        let millis = u64::try_from(takes.as_millis()).expect("a short time");
        self.vote_takes.store(millis, Ordering::SeqCst);
    }

    async fn save_vote(&self) {
        let takes = self.vote_takes.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(takes)).await;
    }

    pub(crate) fn appends_taken(&self) -> u64 {
        self.appends_taken.load(Ordering::SeqCst)
    }

    pub(crate) fn heartbeats_taken(&self) -> u64 {
        self.heartbeats_taken.load(Ordering::SeqCst)
    }
}

impl Peer {
    /// Where each append began: the index before its first entry.
    pub(crate) fn begins(&self) -> Vec<Option<u64>> {
        let begins = self.begins.lock();
        begins.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Clone)]
struct Script(BTreeMap<u64, Arc<Peer>>);

struct Wire {
    peer: Arc<Peer>,
    heartbeats: bool,
}

impl RaftNetworkFactory<C> for Script {
    type Network = Wire;

    async fn new_client(&mut self, target: u64, _: &Member) -> Wire {
        let peer = Arc::clone(&self.0[&target]);
        Wire {
            peer,
            heartbeats: false,
        }
    }

    async fn new_heartbeat_client(&mut self, target: u64, _: &Member) -> Wire {
        let peer = Arc::clone(&self.0[&target]);
        Wire {
            peer,
            heartbeats: true,
        }
    }
}

impl RaftNetworkV2<C> for Wire {
    type SnapshotData = SnapshotHandle;

    async fn append_entries(
        &mut self,
        _: AppendEntriesRequest<C>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<C>, RPCError<C>> {
        Err(unreachable_peer())
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _: RPCOption,
    ) -> openraft::base::BoxFuture<'s, Result<BoxStream<'s, Answer>, RPCError<C>>>
    where
        S: Stream<Item = AppendEntriesRequest<C>> + OptionalSend + Unpin + 'static,
    {
        let (taken, answers) = mpsc::unbounded_channel();
        let (peer, heartbeats) = (Arc::clone(&self.peer), self.heartbeats);
        let peer_of_requests = Arc::clone(&self.peer);
        tokio::spawn(input.for_each(move |request| {
            let counter = if heartbeats {
                &peer_of_requests.heartbeats_taken
            } else {
                &peer_of_requests.appends_taken
            };
            let last = request
                .entries
                .last()
                .map(|entry| entry.log_id())
                .or(request.prev_log_id);
            if !heartbeats {
                let begin = request.prev_log_id.map(|log_id| log_id.index);
                let begins = peer_of_requests.begins.lock();
                begins.unwrap_or_else(PoisonError::into_inner).push(begin);
            }
            // The stream of answers may be gone already.
            let _ = taken.send(last);
            counter.fetch_add(1, Ordering::SeqCst);
            std::future::ready(())
        }));
        let answers =
            futures::stream::unfold((answers, peer), move |(mut answers, peer)| async move {
                let last = answers.recv().await?;
                let gate = if heartbeats {
                    &peer.heartbeats
                } else {
                    &peer.appends
                };
                gate.acquire().await.expect("the gate stays").forget();
                Some((Ok(Ok(last)), (answers, peer)))
            });
        std::future::ready(Ok(answers.boxed())).boxed()
    }

    async fn vote(
        &mut self,
        request: VoteRequest<C>,
        _: RPCOption,
    ) -> Result<VoteResponse<C>, RPCError<C>> {
        self.peer.save_vote().await;
        Ok(VoteResponse::new(request.vote, None, true))
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<C>,
        _: RPCOption,
    ) -> Result<VoteResponse<C>, RPCError<C>> {
        Ok(VoteResponse::new(request.vote, None, true))
    }

    async fn full_snapshot(
        &mut self,
        _: VoteOf<C>,
        _: SnapshotOf<C, SnapshotHandle>,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<C>, StreamingError<C>> {
        Err(unreachable_peer().into())
    }
}

fn unreachable_peer() -> RPCError<C> {
    RPCError::Unreachable(Unreachable::from_string("not in this script"))
}

/// This node leads, so it asks nobody.
struct NobodyElse;

impl BarrierWire for NobodyElse {
    fn ask(
        &self,
        _: u64,
        _: &Member,
        _: Urgency,
    ) -> BoxFuture<'static, Result<Position, BarrierError>> {
        std::future::ready(Err(BarrierError::Stopped)).boxed()
    }
}

/// All clocks of the script are this machine's.
impl PingWire for NobodyElse {
    fn ping(&self, _: u64, _: &Member) -> BoxFuture<'static, Result<Timestamp, String>> {
        std::future::ready(Ok(SystemClock.now())).boxed()
    }
}

pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("timed out: {what}"));
}

/// Two peers, nodes 2 and 3.
pub(crate) fn peers() -> BTreeMap<u64, Arc<Peer>> {
    [2, 3].map(|id| (id, Arc::new(Peer::new()))).into()
}

/// Node 1 over this folder, with these peers. Not bootstrapped.
pub(crate) async fn start(
    folder: &Path,
    peers: &BTreeMap<u64, Arc<Peer>>,
    timing: Timing,
) -> (Consensus, Stores) {
    start_with_pings(folder, peers, timing, Arc::new(NobodyElse)).await
}

/// The same, with peers whose clocks can be asked for.
pub(crate) async fn start_with_pings(
    folder: &Path,
    peers: &BTreeMap<u64, Arc<Peer>>,
    timing: Timing,
    pings: Arc<dyn PingWire>,
) -> (Consensus, Stores) {
    let identity = Identity {
        cluster: "script".to_owned(),
        node: 1,
    };
    let stores = Stores::open(
        folder,
        &identity,
        FirstStart::Permitted,
        &StoreOptions::default(),
    )
    .expect("stores");
    let log = LogAdapter::new(stores.clone());
    let state = StateMachine::new(stores.state.clone());
    let parts = Parts {
        cluster: "script".to_owned(),
        node: NodeId(1),
        log_size: log.size(),
        log,
        fresh: state.fresh(),
        retired: state.retired(),
        state,
        network: Script(peers.clone()),
        timing,
        log_policy: LogPolicy::default(),
        preference: Preference::default(),
        busy_for: Arc::new(|| Duration::ZERO),
        clock: Arc::new(SystemClock),
        clock_offset_max: OFFSET_MAX,
        barriers: Arc::new(NobodyElse),
        pings,
    };
    let consensus = Consensus::start_with(parts).await;
    (consensus.expect("consensus starts"), stores)
}

/// The three, as they are bootstrapped.
pub(crate) fn members() -> BTreeMap<NodeId, Member> {
    let member = |id| {
        let member = Member {
            node: NodeId(id),
            voter: true,
            ..Member::default()
        };
        (NodeId(id), member)
    };
    (1..=3).map(member).collect()
}
