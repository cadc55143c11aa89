//! One histogram for all systems, and what a run comes to.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Latencies are recorded in microseconds up to this one; slower answers count as this slow.
const LATENCY_US_MAX: u64 = 60_000_000;
/// Histograms that callers share, so that they rarely wait for each other and memory does not grow with their number.
const SHARDS: usize = 8;

/// What one run measured. Latencies in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Operations acknowledged within the time that counts; a batch counts as its records.
    pub(crate) operations: u64,
    /// The time that counts.
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    /// Calls, not records: a batch is one.
    pub(crate) calls: u64,
    pub(crate) p50_us: u64,
    pub(crate) p90_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    pub(crate) max_us: u64,
    /// Calls without the answer that was wanted.
    pub(crate) errors: u64,
    /// The first of them.
    pub(crate) error: Option<String>,
    /// Longest time without an acknowledgement to any client, in milliseconds; rows that kill a leader only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stop_ms: Option<f64>,
}

struct Shard {
    latencies: Histogram<u64>,
    operations: u64,
    errors: u64,
    error: Option<String>,
}

/// Where callers record what they saw.
pub(crate) struct Recorder(Vec<Mutex<Shard>>);

impl Recorder {
    pub(crate) fn new() -> Recorder {
        let shard = || {
            Mutex::new(Shard {
                latencies: new_histogram(),
                operations: 0,
                errors: 0,
                error: None,
            })
        };
        Recorder((0..SHARDS).map(|_| shard()).collect())
    }

    /// A call that was sent in the time that counts. Its operations count only where `in_time`: the answer came in that time too.
    pub(crate) fn record(
        &self,
        slot: usize,
        latency: Duration,
        answer: Result<u64, String>,
        in_time: bool,
    ) {
        let Some(shard) = self.0.get(slot % SHARDS) else {
            return;
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(operations) => {
                let microseconds = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
                shard.latencies.saturating_record(microseconds.max(1));
                if in_time {
                    shard.operations += operations;
                }
            }
            Err(error) => {
                shard.errors += 1;
                shard.error.get_or_insert(error);
            }
        }
    }

    /// The sum of all callers' records.
    pub(crate) fn figures(&self, counted: Duration) -> Figures {
        let mut latencies = new_histogram();
        let mut figures = Figures {
            seconds: counted.as_secs_f64(),
            ..Figures::default()
        };
        for shard in &self.0 {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            // All have the same bounds.
            let _ = latencies.add(&shard.latencies);
            figures.operations += shard.operations;
            figures.errors += shard.errors;
            figures.error = figures.error.or_else(|| shard.error.clone());
        }
        figures.per_second = figures.operations as f64 / figures.seconds.max(0.001);
        figures.calls = latencies.len();
        figures.p50_us = latencies.value_at_quantile(0.50);
        figures.p90_us = latencies.value_at_quantile(0.90);
        figures.p99_us = latencies.value_at_quantile(0.99);
        figures.p999_us = latencies.value_at_quantile(0.999);
        figures.max_us = latencies.max();
        figures
    }
}

fn new_histogram() -> Histogram<u64> {
    // Three significant digits: the bounds are constants that are known to be valid.
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("bounds of the histogram are valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_all_callers_together() {
        let recorder = Recorder::new();
        for number in 1..=1000_u64 {
            let slot = usize::try_from(number).unwrap();
            recorder.record(slot, Duration::from_micros(number), Ok(1), true);
        }
        let figures = recorder.figures(Duration::from_secs(2));
        assert_eq!(figures.calls, 1000);
        assert_eq!(figures.operations, 1000);
        assert!((figures.per_second - 500.0).abs() < 1e-9);
        // Three significant digits: within a thousandth.
        assert!(figures.p50_us.abs_diff(500) <= 1, "{}", figures.p50_us);
        assert!(figures.p99_us.abs_diff(990) <= 1, "{}", figures.p99_us);
        assert_eq!(figures.max_us, 1000);
    }

    #[test]
    fn late_answer_counts_as_latency_and_not_as_throughput() {
        let recorder = Recorder::new();
        recorder.record(0, Duration::from_millis(1), Ok(500), true);
        recorder.record(1, Duration::from_secs(3), Ok(500), false);
        recorder.record(2, Duration::ZERO, Err("refused".to_owned()), true);
        let figures = recorder.figures(Duration::from_secs(1));
        assert_eq!((figures.operations, figures.calls), (500, 2));
        assert!(figures.max_us.abs_diff(3_000_000) <= 3_000);
        assert_eq!(figures.errors, 1);
        assert_eq!(figures.error.as_deref(), Some("refused"));
    }
}
