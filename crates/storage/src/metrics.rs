//! Counters of the stores, for the node to export.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the latency buckets, in microseconds; one more bucket holds what is above the last.
pub(crate) const LATENCY_BOUNDS_MICROS: [u64; 14] = [
    50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400, 409_600,
    1_638_400,
];

/// A latency histogram that threads add to.
#[derive(Debug, Default)]
pub struct LatencyCounter {
    count: AtomicU64,
    sum_micros: AtomicU64,
    buckets: [AtomicU64; LATENCY_BOUNDS_MICROS.len() + 1],
}

impl LatencyCounter {
    pub(crate) fn add(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
    }

    /// What has been counted so far.
    #[must_use]
    pub fn read(&self) -> Histogram {
        Histogram {
            count: self.count.load(Ordering::Relaxed),
            sum_micros: self.sum_micros.load(Ordering::Relaxed),
            buckets: self
                .buckets
                .iter()
                .enumerate()
                .map(|(index, bucket)| {
                    (
                        LATENCY_BOUNDS_MICROS.get(index).copied(),
                        bucket.load(Ordering::Relaxed),
                    )
                })
                .collect(),
        }
    }
}

/// A read-out of a [`LatencyCounter`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Number of measurements.
    pub count: u64,
    /// Their sum, in microseconds.
    pub sum_micros: u64,
    /// (inclusive upper bound in microseconds, measurements in this bucket alone); the last has no bound.
    pub buckets: Vec<(Option<u64>, u64)>,
}

/// The log store's figures.
#[derive(Clone, Debug, Default)]
pub struct LogMetrics {
    /// Entries appended since the store was opened.
    pub appended_entries: u64,
    /// Payload bytes appended since the store was opened.
    pub appended_bytes: u64,
    /// Write groups since the store was opened; those that were synced are counted in `sync`.
    pub groups: u64,
    /// Duration of each synced group write.
    pub sync: Histogram,
    /// Jobs that wait for the flusher now.
    pub queued: u64,
    /// Bytes that these jobs hold.
    pub queued_bytes: u64,
    /// Bytes in the tail cache now.
    pub tail_bytes: u64,
    /// Index through which the log is durable; zero also while nothing is.
    pub durable_index: u64,
    /// Bytes in memtables now.
    pub memtable_bytes: u64,
    /// Bytes in SST files now.
    pub sst_bytes: u64,
}

/// The state store's figures.
#[derive(Clone, Debug, Default)]
pub struct StateMetrics {
    /// Write groups since the store was opened.
    pub groups: u64,
    /// Commands applied since the store was opened, rejected ones too.
    pub commands: u64,
    /// Duration of deciding and encoding one group.
    pub decide: Histogram,
    /// Time that groups waited for the log to be durable.
    pub log_wait: Histogram,
    /// Duration of each RocksDB write.
    pub write: Histogram,
    /// Duration of each forced flush.
    pub flush: Histogram,
    /// Jobs that wait for the apply thread now.
    pub queued: u64,
    /// Bytes in memtables now, all families.
    pub memtable_bytes: u64,
    /// Bytes in SST files now, all families.
    pub sst_bytes: u64,
    /// Index through which the state is known to be durable.
    pub durable_applied: u64,
}

/// The journal's figures.
#[derive(Clone, Debug, Default)]
pub struct JournalMetrics {
    /// Records appended since the store was opened.
    pub appended: u64,
    /// Duration of each synced group write.
    pub sync: Histogram,
    /// Records kept now.
    pub records: u64,
    /// Bytes of the records kept now.
    pub bytes: u64,
    /// Bytes that the records may take.
    pub budget_bytes: u64,
    /// Records refused because the budget was spent, since the store was opened.
    pub refused: u64,
    /// Records that an earlier version of this program deleted because the budget was spent, since the journal was made.
    pub dropped: u64,
}

/// All figures of a data directory.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Log store.
    pub log: LogMetrics,
    /// State store.
    pub state: StateMetrics,
    /// Journal.
    pub journal: JournalMetrics,
}
