//! A barrier is confirmed only by what was sent after it was asked for, also where answers come late.
//!
//! The leader is real; its two peers are a script that holds their answers back. That is what a leader sees that was stopped, for longer
//! than an election, with answers waiting in its sockets.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use banyan_consensus::{
    BarrierError, BarrierWire, Consensus, LogAdapter, LogPolicy, Member, OFFSET_MAX, Parts,
    PingWire, Preference, Role, SnapshotHandle, StateMachine, SystemClock, Timing, TokioRuntime,
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

use crate::{cluster::PATIENCE, fixtures};

type C = TypeConfig<TokioRuntime>;
type Answer = Result<StreamAppendResult<C>, RPCError<C>>;

/// One scripted peer: it takes every request at once, and answers as many as it is let.
struct Peer {
    appends_taken: AtomicU64,
    heartbeats_taken: AtomicU64,
    appends: Semaphore,
    heartbeats: Semaphore,
}

impl Peer {
    fn new() -> Self {
        Self {
            appends_taken: AtomicU64::new(0),
            heartbeats_taken: AtomicU64::new(0),
            appends: Semaphore::new(Self::FREELY),
            heartbeats: Semaphore::new(Self::FREELY),
        }
    }

    const FREELY: usize = 1 << 20;

    /// From now on no answer leaves without [`Semaphore::add_permits`].
    fn hold(&self) {
        self.appends.forget_permits(Self::FREELY);
        self.heartbeats.forget_permits(Self::FREELY);
    }

    fn appends_taken(&self) -> u64 {
        self.appends_taken.load(Ordering::SeqCst)
    }

    fn heartbeats_taken(&self) -> u64 {
        self.heartbeats_taken.load(Ordering::SeqCst)
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
        let counter = Arc::clone(&self.peer);
        tokio::spawn(input.for_each(move |request| {
            let counter = if heartbeats {
                &counter.heartbeats_taken
            } else {
                &counter.appends_taken
            };
            let last = request
                .entries
                .last()
                .map(|entry| entry.log_id())
                .or(request.prev_log_id);
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

/// The script has no clocks.
impl PingWire for NobodyElse {
    fn ping(&self, _: u64, _: &Member) -> BoxFuture<'static, Result<Timestamp, String>> {
        std::future::ready(Err("no clock".to_owned())).boxed()
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("timed out: {what}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_to_an_older_append_confirms_no_barrier() {
    let directory = tempfile::tempdir().expect("a directory");
    let identity = Identity {
        cluster: "script".to_owned(),
        node: 1,
    };
    let stores = Stores::open(
        &directory.path().join("data"),
        &identity,
        FirstStart::Permitted,
        &StoreOptions::default(),
    )
    .expect("stores");
    let peers: BTreeMap<u64, Arc<Peer>> = [2, 3].map(|id| (id, Arc::new(Peer::new()))).into();
    let members: BTreeMap<NodeId, Member> = (1..=3)
        .map(|id| {
            let member = Member {
                node: NodeId(id),
                voter: true,
                ..Member::default()
            };
            (NodeId(id), member)
        })
        .collect();
    let log = LogAdapter::new(stores.clone());
    let state = StateMachine::new(stores.state.clone());
    let leader = Consensus::start_with(Parts {
        cluster: "script".to_owned(),
        node: NodeId(1),
        log_size: log.size(),
        log,
        fresh: state.fresh(),
        state,
        network: Script(peers.clone()),
        // Long enough that the script, and no timer, decides what is sent.
        timing: Timing::millis(2_000, 10_000, 20_000),
        log_policy: LogPolicy::default(),
        preference: Preference::default(),
        busy_for: Arc::new(|| Duration::ZERO),
        clock: Arc::new(SystemClock),
        clock_offset_max: OFFSET_MAX,
        barriers: Arc::new(NobodyElse),
        pings: Arc::new(NobodyElse),
    })
    .await
    .expect("consensus starts");
    leader
        .bootstrap(&members, PATIENCE)
        .await
        .expect("it leads");
    let settled = |status: &banyan_consensus::Status| {
        let last = status.last_log_index;
        status.role == Role::Leader
            && status.applied.map(|position| position.index) == last
            && (2..=3).all(|id| status.members[&NodeId(id)].matched == last)
    };
    let status = leader.wait_for(PATIENCE, settled).await.expect("settled");
    let before = status.last_log_index.expect("a log");
    // The appends without entries that tell of the last commit have been answered as well.
    leader.barrier(PATIENCE).await.expect("confirmed");
    let (second, third) = (&peers[&2], &peers[&3]);
    second.hold();
    third.hold();

    // An entry goes out to both.
    let (at_second, at_third) = (second.appends_taken(), third.appends_taken());
    let proposing = tokio::spawn({
        let leader = leader.clone();
        async move { leader.propose(fixtures::envelopes(0..1), PATIENCE).await }
    });
    until("the entry is under way", || {
        second.appends_taken() == at_second + 1 && third.appends_taken() == at_third + 1
    })
    .await;

    // A reader asks; the heartbeats sent for it stay unanswered.
    let heartbeats = second.heartbeats_taken();
    let mut asking = tokio::spawn({
        let leader = leader.clone();
        async move { leader.barrier(PATIENCE).await }
    });
    until("a heartbeat went out for it", || {
        second.heartbeats_taken() > heartbeats
    })
    .await;

    // One answer to the entry commits it, and an append without entries tells both peers so.
    third.appends.add_permits(1);
    proposing
        .await
        .expect("no panic")
        .expect("committed by two of three");
    until("the commit is told", || {
        second.appends_taken() == at_second + 2
    })
    .await;

    // The late answer to the entry, which the other peer sent before the reader asked.
    second.appends.add_permits(1);
    leader
        .wait_for(PATIENCE, |status| {
            status.members[&NodeId(2)].matched == Some(before + 1)
        })
        .await
        .expect("the answer has arrived");
    let early = tokio::time::timeout(Duration::from_millis(300), &mut asking).await;
    assert!(
        early.is_err(),
        "nothing that was sent after the reader asked has been answered, yet: {early:?}"
    );

    // The answer to what was sent after it.
    second.appends.add_permits(1);
    let barrier = asking.await.expect("no panic").expect("confirmed");
    assert!(barrier.position.index >= before, "{barrier:?}");
    leader.shutdown(None).await;
}
