//! Staleness needs no synchronised clocks: wall clocks that step and run off, boot-time clocks that run off, and the promise holds.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use banyan_consensus::{Clock, Consensus, LogPolicy, SystemClock};
use banyan_domain::Timestamp;
use banyan_storage::Stores;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::cluster::{Cluster, PATIENCE};

/// A wall clock is set anew this often,
const STEP_EVERY: Duration = Duration::from_millis(20);
/// to within this of the true time. Further than that an idempotency key would be refused as made in the future, which is another test.
const STEP_MAX_MS: i64 = 120_000;
/// How far off a clock runs.
const DRIFT: f64 = 0.05;
/// Writes of the one writer.
const WRITES: u64 = 600;
/// Writes after which the leader is killed.
const KILL_AT: u64 = 300;
/// A reader looks this often.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A machine's clocks, both wrong, as functions of the true time since the test began.
struct WrongClock {
    begun: Instant,
    wall_at_begin: i64,
    seed: u64,
    wall_rate: f64,
    boot_rate: f64,
    /// Each machine was started at another time.
    boot_at_begin: Duration,
}

impl WrongClock {
    fn new(node: u64, begun: Instant) -> Self {
        let sign = if node.is_multiple_of(2) { 1.0 } else { -1.0 };
        Self {
            begun,
            wall_at_begin: SystemClock.now().get(),
            seed: node,
            wall_rate: 1.0 + sign * DRIFT,
            boot_rate: 1.0 - sign * DRIFT,
            boot_at_begin: Duration::from_secs(1_000 * node),
        }
    }

    /// The true moment at which the boot-time clock showed this.
    fn moment(&self, boot_time: Duration) -> Instant {
        let since = boot_time.saturating_sub(self.boot_at_begin).as_secs_f64() / self.boot_rate;
        // A microsecond for the rounding of fractions.
        self.begun + Duration::from_secs_f64(since).saturating_sub(Duration::from_micros(1))
    }
}

impl Clock for WrongClock {
    fn now(&self) -> Timestamp {
        let elapsed = self.begun.elapsed();
        let mut steps = ChaCha8Rng::seed_from_u64(self.seed);
        let slot = elapsed.as_millis() / STEP_EVERY.as_millis();
        steps.set_stream(u64::try_from(slot).expect("a test ends before that"));
        let step = steps.random_range(-STEP_MAX_MS..=STEP_MAX_MS);
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds of a minute")]
        let elapsed = (elapsed.as_secs_f64() * 1000.0 * self.wall_rate) as i64;
        Timestamp(self.wall_at_begin + elapsed + step)
    }

    fn boot_time(&self) -> Duration {
        self.boot_at_begin
            + Duration::from_secs_f64(self.begun.elapsed().as_secs_f64() * self.boot_rate)
    }
}

/// What a reader saw of a node.
struct Look {
    node: u64,
    /// The true moment as of which the node said that it is fresh,
    fresh_as_of: Instant,
    /// when it was asked,
    at: Instant,
    /// and what it had applied after that.
    applied: u64,
    time: Timestamp,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_as_fresh_as_they_say_whatever_their_clocks_show() {
    let begun = Instant::now();
    let mut cluster = Cluster::new(3, 1, LogPolicy::default());
    // Clocks like these may not stamp a registry's time; what is held here is that nothing else depends on them.
    cluster.clock_offset_max = Duration::from_secs(3_600);
    let mut clocks = BTreeMap::new();
    for (id, node) in &mut cluster.nodes {
        let clock = Arc::new(WrongClock::new(*id, begun));
        node.clock = clock.clone();
        clocks.insert(*id, clock);
    }
    for id in 1..=4 {
        cluster.start(id).await;
    }
    cluster.bootstrap().await;

    let over = Arc::new(AtomicBool::new(false));
    let looks = Arc::new(Mutex::new(Vec::new()));
    let reader = |cluster: &Cluster, id: u64| {
        let (consensus, stores) = (cluster.consensus(id), cluster.stores(id));
        let (clock, over, looks) = (
            Arc::clone(&clocks[&id]),
            Arc::clone(&over),
            Arc::clone(&looks),
        );
        tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                if let Some(look) = look(id, &consensus, &stores, &clock) {
                    looks.lock().unwrap().push(look);
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        })
    };
    let killed = cluster.leader().await;
    let mut readers: Vec<_> = (1..=4)
        .filter(|id| *id != killed)
        .map(|id| reader(&cluster, id))
        .collect();

    // True moments at which writes were acknowledged, in the order of their positions.
    let mut acknowledged: Vec<(u64, Instant)> = Vec::new();
    for number in 0..WRITES {
        if number == KILL_AT {
            cluster.kill(killed).await;
        }
        let outcomes = cluster.propose(number..number + 1).await;
        acknowledged.push((outcomes[0].position.index, Instant::now()));
    }
    // The one that was killed takes part again, from knowing nothing of its freshness.
    cluster.start(killed).await;
    readers.push(reader(&cluster, killed));
    let deadline = Instant::now() + PATIENCE;
    while !looks
        .lock()
        .unwrap()
        .iter()
        .any(|look: &Look| look.node == killed)
    {
        assert!(
            Instant::now() < deadline,
            "node {killed} is never fresh again"
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
    over.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }

    let looks = looks.lock().unwrap();
    let mut behind = 0;
    for look in looks.iter() {
        let promised = last_before(&acknowledged, look.fresh_as_of);
        assert!(
            look.applied >= promised,
            "node {} said that it is fresh as of {:?} ago, and had applied {} of {promised}",
            look.node,
            look.at - look.fresh_as_of,
            look.applied
        );
        behind += u64::from(look.applied < last_before(&acknowledged, look.at));
    }
    // Had the nodes claimed to be fresh as of now, the check would have found them out.
    assert!(
        behind > 0,
        "no node ever lagged in {} looks: nothing was tested",
        looks.len()
    );
    for node in 1..=4 {
        let of_node: Vec<&Look> = looks.iter().filter(|look| look.node == node).collect();
        assert!(!of_node.is_empty(), "node {node} was never fresh");
        assert!(
            of_node.is_sorted_by_key(|look| look.time),
            "the replicated time of node {node} went back"
        );
    }
}

fn look(node: u64, consensus: &Consensus, stores: &Stores, clock: &WrongClock) -> Option<Look> {
    let at = Instant::now();
    // In the order of a read: the promise first, then what is there.
    let fresh_as_of = clock.moment(consensus.fresh_as_of()?);
    let applied = stores.state.applied()?;
    Some(Look {
        node,
        fresh_as_of,
        at,
        applied: applied.position.index,
        time: applied.time,
    })
}

/// The position of the last write that was acknowledged before a moment; 0 if none was.
fn last_before(acknowledged: &[(u64, Instant)], moment: Instant) -> u64 {
    let count = acknowledged.partition_point(|(_, at)| *at < moment);
    count.checked_sub(1).map_or(0, |last| acknowledged[last].0)
}
