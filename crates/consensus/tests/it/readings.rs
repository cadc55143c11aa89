//! Readings: what a read asks for is held by its snapshot, and the bound is checked after that and again at the end.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use banyan_consensus::{
    BarrierError, Clock, Consensus, LogPolicy, ReadLevel, ReadRefusal, Snapshots, SystemClock,
};
use banyan_domain::{Position, Timestamp};
use banyan_storage::{Fault, ReadView, Stores};

use crate::cluster::{Cluster, PATIENCE};

const HOUR: Duration = Duration::from_secs(3_600);
/// A bound that a healthy node meets on a machine under load.
const BOUND: Duration = Duration::from_secs(600);
/// For reads that are to be refused.
const SHORT: Duration = Duration::from_millis(300);

/// The machine's clocks; its boot time goes ahead when a test says so, as that of a process that was stopped.
#[derive(Default)]
struct Stopwatch(AtomicU64);

impl Stopwatch {
    fn stop_for(&self, time: Duration) {
        self.0.fetch_add(time.as_secs(), Ordering::SeqCst);
    }
}

impl Clock for Stopwatch {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn boot_time(&self) -> Duration {
        SystemClock.boot_time() + Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

/// The real store, with something that happens right after each snapshot is opened.
struct State<F> {
    stores: Stores,
    opened: Cell<u32>,
    then: F,
}

impl<F: Fn(u32)> State<F> {
    fn new(stores: Stores, then: F) -> Self {
        let opened = Cell::new(0);
        Self {
            stores,
            opened,
            then,
        }
    }
}

impl<F: Fn(u32)> Snapshots for State<F> {
    type View = ReadView;
    type Fault = Fault;

    fn open(&self) -> Result<(ReadView, Position), Fault> {
        let view = self.stores.state.view()?;
        let applied = view.applied().expect("the view can be read");
        self.opened.set(self.opened.get() + 1);
        (self.then)(self.opened.get());
        Ok((
            view,
            applied.map_or_else(Position::default, |applied| applied.position),
        ))
    }

    fn applied(&self) -> u64 {
        let applied = self.stores.state.applied();
        applied.map_or(0, |applied| applied.position.index)
    }
}

/// One voter, whose boot time goes ahead as told, fresh by a barrier.
async fn started() -> (Cluster, Arc<Stopwatch>) {
    let mut cluster = Cluster::new(1, 0, LogPolicy::default());
    let clock = Arc::new(Stopwatch::default());
    cluster.nodes.get_mut(&1).expect("a node").clock = clock.clone();
    cluster.start(1).await;
    cluster.bootstrap().await;
    cluster.propose(0..5).await;
    let consensus = cluster.consensus(1);
    let barrier = consensus.barrier(PATIENCE).await.expect("it leads");
    consensus.reach(barrier, PATIENCE).await.expect("applied");
    (cluster, clock)
}

/// Blocks its thread until the node is fresh as of a later moment than this; the node goes on, on a runtime of its own.
fn fresher_than(consensus: &Consensus, moment: Duration) {
    let deadline = Instant::now() + PATIENCE;
    while consensus.fresh_as_of().is_none_or(|fresh| fresh <= moment) {
        assert!(Instant::now() < deadline, "the node grows no fresher");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_as_fresh_as_the_node_was_before_it_was_opened() {
    let (cluster, _) = started().await;
    let consensus = cluster.consensus(1);
    for level in [
        ReadLevel::Any,
        ReadLevel::Within(BOUND),
        ReadLevel::After(Position { term: 0, index: 0 }),
        ReadLevel::Linearizable,
    ] {
        let taken = Cell::new(Duration::ZERO);
        // The node grows fresher between the snapshot and what is said of it.
        let state = State::new(cluster.stores(1), |_| {
            taken.set(consensus.boot_time());
            fresher_than(&consensus, consensus.boot_time());
        });
        let reading = consensus.open_reading(level, PATIENCE, &state).await;
        let reading = reading.expect("a healthy leader serves every level");
        let now = consensus.boot_time();
        let staleness = reading.staleness(now).expect("a barrier was applied");
        let age = now - taken.get();
        assert!(staleness >= age, "{level:?}: {staleness:?} of {age:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stood_still_after_its_snapshot_takes_another_one() {
    let (cluster, clock) = started().await;
    let consensus = cluster.consensus(1);
    let state = State::new(cluster.stores(1), |opened| {
        if opened == 1 {
            clock.stop_for(HOUR);
        }
    });
    let level = ReadLevel::Within(BOUND);
    let reading = consensus.open_reading(level, PATIENCE, &state).await;
    let reading = reading.expect("fresh after a barrier");
    assert_eq!(state.opened.get(), 2, "the first snapshot was an hour old");
    let staleness = reading.staleness(consensus.boot_time());
    assert!(staleness.is_some_and(|staleness| staleness <= BOUND));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stands_still_after_every_snapshot_refuses() {
    let (cluster, clock) = started().await;
    let consensus = cluster.consensus(1);
    let state = State::new(cluster.stores(1), |_| clock.stop_for(HOUR));
    let level = ReadLevel::Within(BOUND);
    let refused = consensus.open_reading(level, PATIENCE, &state).await;
    match refused {
        Err(ReadRefusal::TooStale { stale, barrier }) => {
            assert!(stale.staleness.is_some_and(|staleness| staleness >= HOUR));
            assert_eq!((stale.bound, barrier), (BOUND, None));
        }
        other => panic!("not too stale: {other:?}"),
    }
    assert_eq!(state.opened.get(), 2);
    // Without a bound the same state is served, and says how old it may be.
    let any = consensus.open_reading(ReadLevel::Any, PATIENCE, &state);
    let any = any.await.expect("served");
    let (_, staleness) = any.close(consensus.boot_time()).expect("no bound");
    assert!(staleness.is_some_and(|staleness| staleness >= HOUR));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_took_too_long_does_not_leave() {
    let (cluster, clock) = started().await;
    let consensus = cluster.consensus(1);
    let state = State::new(cluster.stores(1), |_| ());
    let level = ReadLevel::Within(BOUND);
    let open = || consensus.open_reading(level, PATIENCE, &state);
    let in_time = open().await.expect("fresh");
    let (_, staleness) = in_time.close(consensus.boot_time()).expect("in time");
    assert!(staleness.is_some_and(|staleness| staleness <= BOUND));

    let late = open().await.expect("fresh");
    clock.stop_for(HOUR);
    let refused = late.close(consensus.boot_time()).expect_err("too late");
    assert!(refused.staleness.is_some_and(|staleness| staleness >= HOUR));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_that_no_history_of_the_cluster_has_are_refused() {
    let (cluster, _) = started().await;
    let consensus = cluster.consensus(1);
    let state = State::new(cluster.stores(1), |_| ());
    let after = |position| consensus.open_reading(ReadLevel::After(position), PATIENCE, &state);
    let come_to = cluster.caught_up(1).await.applied.expect("applied");
    let reading = after(come_to).await.expect("it is there");
    assert_eq!(reading.position(), come_to);
    drop(reading);

    let ahead = Position {
        index: come_to.index + 1,
        ..come_to
    };
    match after(ahead).await {
        Err(ReadRefusal::AheadOfCluster { wanted, reached }) => {
            assert_eq!((wanted, reached), (ahead.index, come_to.index));
        }
        other => panic!("not ahead: {other:?}"),
    }
    let later_term = Position {
        term: come_to.term + 1,
        ..come_to
    };
    let refused = after(later_term).await;
    assert!(
        matches!(refused, Err(ReadRefusal::TermUnknown)),
        "{refused:?}"
    );
}

/// Two voters, of which one is dead: whoever is left leads nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_the_refusal_says_why_no_barrier_helped() {
    let mut cluster = Cluster::started(2, 0, LogPolicy::default()).await;
    cluster.propose(0..5).await;
    cluster.caught_up(1).await;
    cluster.kill(2).await;
    let consensus = cluster.consensus(1);
    let state = State::new(cluster.stores(1), |_| ());
    let opened = |level| consensus.open_reading(level, SHORT, &state);

    let refused = opened(ReadLevel::Linearizable).await;
    assert!(
        matches!(
            refused,
            Err(ReadRefusal::Barrier(BarrierError::Unconfirmed(_)))
        ),
        "{refused:?}"
    );
    // A bound of nothing is met by no snapshot.
    match opened(ReadLevel::Within(Duration::ZERO)).await {
        Err(ReadRefusal::TooStale { barrier, .. }) => {
            assert!(
                matches!(barrier, Some(BarrierError::Unconfirmed(_))),
                "{barrier:?}"
            );
        }
        other => panic!("not too stale: {other:?}"),
    }
    assert!(opened(ReadLevel::Any).await.is_ok());
}
