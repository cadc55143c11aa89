//! One wrong clock among the voters never becomes the registry's time.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use banyan_consensus::{Clock, ClockVerdict, LogPolicy, ProposeError, SystemClock, Timing};
use banyan_domain::Timestamp;

use crate::{
    cluster::{Cluster, PATIENCE},
    fixtures,
};

const HOUR_MS: i64 = 3_600_000;

/// The machine's clock, set so many milliseconds ahead.
#[derive(Default)]
struct SetClock(AtomicI64);

impl SetClock {
    fn set(&self, ahead_ms: i64) {
        self.0.store(ahead_ms, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().get() + self.0.load(Ordering::SeqCst))
    }

    fn boot_time(&self) -> Duration {
        SystemClock.boot_time()
    }
}

type Clocks = BTreeMap<u64, Arc<SetClock>>;

/// Three voters whose clocks are heard by each other.
async fn started() -> (Cluster, Clocks) {
    let mut cluster = Cluster::new(3, 0, LogPolicy::default());
    // On a busy machine shorter times bring elections of their own.
    cluster.timing = Timing::millis(100, 1_500, 3_000);
    let mut clocks = Clocks::new();
    for (id, node) in &mut cluster.nodes {
        let clock = Arc::new(SetClock::default());
        node.clock = clock.clone();
        clocks.insert(*id, clock);
    }
    for id in 1..=3 {
        cluster.start(id).await;
    }
    cluster.bootstrap().await;
    cluster.propose(0..5).await;
    for id in 1..=3 {
        until("all clocks are heard", || {
            cluster.consensus(id).clock_offsets().len() == 2
        })
        .await;
    }
    (cluster, clocks)
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What a leader answers to one more command.
async fn refusal(cluster: &Cluster, leader: u64, number: u64) -> ProposeError {
    let envelopes = fixtures::envelopes(number..number + 1);
    let asked = cluster.consensus(leader);
    asked
        .propose(envelopes, Duration::from_secs(5))
        .await
        .expect_err("it is not to propose")
}

fn replicated_time(cluster: &Cluster, node: u64) -> i64 {
    let applied = cluster.stores(node).state.applied();
    applied.expect("something is applied").time.get()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_clock_is_set_ahead_proposes_nothing_and_gives_leadership_away() {
    let (cluster, clocks) = started().await;
    let leader = cluster.leader().await;
    clocks[&leader].set(HOUR_MS);
    // At once: nobody has asked anybody since.
    let refused = refusal(&cluster, leader, 5).await;
    let moved_already = matches!(refused, ProposeError::NotLeader { .. });
    assert!(
        moved_already || matches!(refused, ProposeError::ClockSkewed { .. }),
        "{refused:?}"
    );
    let deadline = Instant::now() + PATIENCE;
    while cluster.leader().await == leader {
        assert!(Instant::now() < deadline, "node {leader} still leads");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The next leader sees one clock that differs and one that agrees, and goes on.
    let outcomes = cluster.propose(5..10).await;
    assert_eq!(outcomes.len(), 5);
    let next = cluster.leader().await;
    assert_eq!(
        cluster.consensus(next).clock_verdict(),
        ClockVerdict::Agreed
    );
    let now = SystemClock.now().get();
    assert!(replicated_time(&cluster, next) <= now, "time was moved");
    // It shows who is wrong, to the operator.
    until("the offset shows", || {
        cluster.consensus(next).clock_offsets()[&banyan_domain::NodeId(leader)] > HOUR_MS - 5_000
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_clocks_that_differ_none_is_believed() {
    let (mut cluster, clocks) = started().await;
    let leader = cluster.leader().await;
    let mut followers = (1..=3).filter(|id| *id != leader);
    let (away, other) = (
        followers.next().expect("two"),
        followers.next().expect("two"),
    );
    cluster.kill(away).await;
    clocks[&other].set(-HOUR_MS);
    let leads = cluster.consensus(leader);
    until(
        "the other clock is heard, and that of the dead one forgotten",
        || leads.clock_verdict() == ClockVerdict::Doubtful,
    )
    .await;
    let refused = refusal(&cluster, leader, 5).await;
    assert!(
        matches!(refused, ProposeError::ClockSkewed { .. }),
        "{refused:?}"
    );
    // Nothing shows that the other would do better.
    assert_eq!(cluster.leader().await, leader);
    clocks[&other].set(0);
    until("the clocks agree", || {
        leads.clock_verdict() == ClockVerdict::Agreed
    })
    .await;
    cluster.propose(5..10).await;
}
