//! How fast one node answers reads by number from its own store, as its clients see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use banyan_client::Client;
use banyan_wire::v1;
use hdrhistogram::Histogram;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinSet;

use crate::access;
use crate::history::Pin;

/// Latencies are recorded in microseconds up to this one; slower answers count as this slow.
const LATENCY_US_MAX: u64 = 60_000_000;
/// First reads of each client that are not counted: connections are made, caches filled.
const WARM_UP_READS: u64 = 50;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Options {
    pub node: String,
    /// Clients with one read under way each, on a connection each.
    pub clients: usize,
    /// Reads to count, all clients together.
    pub reads: u64,
    /// Ends the measurement earlier.
    pub within: Duration,
    pub seed: u64,
}

/// What was measured.
#[derive(Debug, Clone)]
pub struct Latencies {
    pub reads: u64,
    pub p50_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
    pub reads_per_second: f64,
    /// Reads without an answer, or with an answer that did not hold the person.
    pub failed: u64,
    /// Why the first of them failed.
    pub failure: Option<String>,
}

#[derive(Debug)]
struct Counted {
    latencies: Histogram<u64>,
    failed: u64,
    failure: Option<String>,
}

/// Reads persons drawn from `pins` at one node, from several clients at once.
///
/// # Errors
/// Those of `client_of`.
pub async fn measure<E>(
    options: &Options,
    pins: Arc<Vec<Pin>>,
    client_of: impl Fn(usize) -> Result<Client, E>,
) -> Result<Latencies, E> {
    let budget = Arc::new(AtomicU64::new(options.reads));
    let mut readers = JoinSet::new();
    let start = Instant::now();
    for index in 0..options.clients {
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        rng.set_stream(index as u64 + 1);
        readers.spawn(read_many(
            client_of(index)?,
            options.node.clone(),
            Arc::clone(&pins),
            Arc::clone(&budget),
            start + options.within,
            rng,
        ));
    }
    let mut all = Counted {
        latencies: new_histogram(),
        failed: 0,
        failure: None,
    };
    while let Some(joined) = readers.join_next().await {
        match joined {
            Ok(counted) => {
                // Both have the same bounds.
                let _ = all.latencies.add(&counted.latencies);
                all.failed += counted.failed;
                all.failure = all.failure.or(counted.failure);
            }
            Err(error) => {
                all.failed += 1;
                all.failure = Some(error.to_string());
            }
        }
    }
    let elapsed = start.elapsed().as_secs_f64().max(0.001);
    Ok(Latencies {
        reads: all.latencies.len(),
        p50_us: all.latencies.value_at_quantile(0.50),
        p99_us: all.latencies.value_at_quantile(0.99),
        max_us: all.latencies.max(),
        reads_per_second: all.latencies.len() as f64 / elapsed,
        failed: all.failed,
        failure: all.failure,
    })
}

fn new_histogram() -> Histogram<u64> {
    // Three significant digits: the bounds are constants that are known to be valid.
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("bounds of the histogram are valid")
}

async fn read_many(
    client: Client,
    node: String,
    pins: Arc<Vec<Pin>>,
    budget: Arc<AtomicU64>,
    end: Instant,
    mut rng: ChaCha8Rng,
) -> Counted {
    let mut counted = Counted {
        latencies: new_histogram(),
        failed: 0,
        failure: None,
    };
    let mut warm_up = WARM_UP_READS;
    while !pins.is_empty() && Instant::now() < end {
        let counts = warm_up == 0;
        if counts && !take_one(&budget) {
            break;
        }
        warm_up = warm_up.saturating_sub(1);
        let request = v1::GetPersonRequest {
            number: Some(v1::get_person_request::Number::Pin(
                pins[rng.random_range(0..pins.len())].0.clone(),
            )),
            consistency: None,
            purpose: "latency of local reads".to_owned(),
        };
        let asked = Instant::now();
        let answer = client.get_person_from(&node, request).await;
        let took = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
        let failure = match answer {
            Ok(read) if read.answer.person.is_some() => None,
            Ok(_) => Some("the node does not know the person".to_owned()),
            Err(error) => Some(access::reason(&error)),
        };
        if counts {
            counted.latencies.saturating_record(took.max(1));
        }
        if let Some(failure) = failure {
            counted.failed += 1;
            counted.failure.get_or_insert(failure);
        }
    }
    counted
}

fn take_one(budget: &AtomicU64) -> bool {
    budget
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        })
        .is_ok()
}
