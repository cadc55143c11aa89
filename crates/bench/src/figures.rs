//! One histogram for all systems, and what a run comes to.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::load::Failure;

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
    /// Calls that the system refused because it had no room; they count neither as calls nor as errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refusals: Option<Refusals>,
    /// What was really sent; open loops only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sending: Option<Sending>,
}

/// Calls that were refused for overload. Latencies in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Refusals {
    pub(crate) count: u64,
    pub(crate) per_second: f64,
    /// Those that said when to come back.
    pub(crate) hinted: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
}

/// What the generator of an open loop did. A call that left later than it was due has that in its latency.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sending {
    /// Calls that left within the time that counts.
    pub(crate) per_second: f64,
    /// By how much they left later than they were due, in microseconds.
    pub(crate) late_p50_us: u64,
    pub(crate) late_p99_us: u64,
}

struct Shard {
    latencies: Histogram<u64>,
    refusals: Histogram<u64>,
    hinted: u64,
    lateness: Histogram<u64>,
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
                refusals: new_histogram(),
                hinted: 0,
                lateness: new_histogram(),
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
        answer: Result<u64, Failure>,
        in_time: bool,
    ) {
        let Some(shard) = self.0.get(slot % SHARDS) else {
            return;
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(operations) => {
                shard.latencies.saturating_record(microseconds(latency));
                if in_time {
                    shard.operations += operations;
                }
            }
            Err(Failure::Refused { hint }) => {
                shard.refusals.saturating_record(microseconds(latency));
                shard.hinted += u64::from(hint);
            }
            Err(Failure::Error(error)) => {
                shard.errors += 1;
                shard.error.get_or_insert(error);
            }
        }
    }

    /// A call left within the time that counts, so much later than it was due.
    pub(crate) fn sent(&self, slot: usize, late: Duration) {
        if let Some(shard) = self.0.get(slot % SHARDS) {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.lateness.saturating_record(microseconds(late));
        }
    }

    /// The sum of all callers' records.
    pub(crate) fn figures(&self, counted: Duration) -> Figures {
        let (mut latencies, mut refusals) = (new_histogram(), new_histogram());
        let (mut lateness, mut hinted) = (new_histogram(), 0);
        let mut figures = Figures {
            seconds: counted.as_secs_f64(),
            ..Figures::default()
        };
        for shard in &self.0 {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            // All have the same bounds.
            let _ = latencies.add(&shard.latencies);
            let _ = refusals.add(&shard.refusals);
            let _ = lateness.add(&shard.lateness);
            hinted += shard.hinted;
            figures.operations += shard.operations;
            figures.errors += shard.errors;
            figures.error = figures.error.or_else(|| shard.error.clone());
        }
        let seconds = figures.seconds.max(0.001);
        figures.per_second = figures.operations as f64 / seconds;
        figures.calls = latencies.len();
        figures.p50_us = latencies.value_at_quantile(0.50);
        figures.p90_us = latencies.value_at_quantile(0.90);
        figures.p99_us = latencies.value_at_quantile(0.99);
        figures.p999_us = latencies.value_at_quantile(0.999);
        figures.max_us = latencies.max();
        figures.refusals = (!refusals.is_empty()).then(|| Refusals {
            count: refusals.len(),
            per_second: refusals.len() as f64 / seconds,
            hinted,
            p50_us: refusals.value_at_quantile(0.50),
            p99_us: refusals.value_at_quantile(0.99),
            max_us: refusals.max(),
        });
        figures.sending = (!lateness.is_empty()).then(|| Sending {
            per_second: lateness.len() as f64 / seconds,
            late_p50_us: lateness.value_at_quantile(0.50),
            late_p99_us: lateness.value_at_quantile(0.99),
        });
        figures
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
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
        recorder.record(2, Duration::ZERO, Err("broken".to_owned().into()), true);
        let figures = recorder.figures(Duration::from_secs(1));
        assert_eq!((figures.operations, figures.calls), (500, 2));
        assert!(figures.max_us.abs_diff(3_000_000) <= 3_000);
        assert_eq!(figures.errors, 1);
        assert_eq!(figures.error.as_deref(), Some("broken"));
    }

    #[test]
    fn refusals_have_a_histogram_of_their_own() {
        let recorder = Recorder::new();
        recorder.record(0, Duration::from_millis(9), Ok(1), true);
        for number in 1..=100_u64 {
            let refused = Failure::Refused { hint: number > 10 };
            let slot = usize::try_from(number).unwrap();
            recorder.record(slot, Duration::from_micros(10 * number), Err(refused), true);
            recorder.sent(slot, Duration::from_micros(number));
        }
        let figures = recorder.figures(Duration::from_secs(2));
        assert_eq!((figures.calls, figures.errors), (1, 0));
        assert!(figures.p99_us.abs_diff(9_000) <= 9, "{}", figures.p99_us);
        let refusals = figures.refusals.unwrap();
        assert_eq!((refusals.count, refusals.hinted), (100, 90));
        assert!((refusals.per_second - 50.0).abs() < 1e-9);
        assert!(refusals.p99_us.abs_diff(990) <= 1, "{refusals:?}");
        let sending = figures.sending.unwrap();
        assert!((sending.per_second - 50.0).abs() < 1e-9);
        assert!(sending.late_p50_us.abs_diff(50) <= 1, "{sending:?}");
    }
}
