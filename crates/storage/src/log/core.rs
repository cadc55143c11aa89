//! What the handle and the flusher share: the database, the log as readers see it, and the watermark.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rocksdb::DB;

use super::budget::QueueBudget;
use super::store::LogBounds;
use super::tail::Tail;
use super::watermark::Watermark;
use crate::fault::FaultCell;
use crate::lock::Hold;
use crate::metrics::LatencyCounter;

/// What the handle and the flusher share.
pub(super) struct Core {
    pub(super) db: DB,
    pub(super) memory: Mutex<Memory>,
    pub(super) watermark: Watermark,
    pub(super) fault: FaultCell,
    /// Bytes of what waits for the flusher.
    pub(super) budget: QueueBudget,
    pub(super) counters: Counters,
    /// Whether the rules are off that openraft's store suite breaks.
    pub(super) relaxed: bool,
    /// Last: the database closes before.
    pub(super) _hold: Hold,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) entries: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) groups: AtomicU64,
    pub(super) queued: AtomicU64,
    pub(super) sync: LatencyCounter,
    pub(super) busy: Busy,
}

/// Since when the flusher has been in one write.
#[derive(Debug)]
pub(super) struct Busy {
    origin: Instant,
    /// Nanoseconds from `origin` to the start of the write, plus one; zero while there is none.
    since: AtomicU64,
}

impl Default for Busy {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            since: AtomicU64::new(0),
        }
    }
}

impl Busy {
    pub(super) fn begin(&self) {
        let nanos = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX - 1);
        self.since.store(nanos + 1, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.since.store(0, Ordering::Relaxed);
    }

    pub(super) fn lasts(&self) -> Duration {
        match self.since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => self
                .origin
                .elapsed()
                .saturating_sub(Duration::from_nanos(since - 1)),
        }
    }
}

/// The log as readers see it.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) tail: Tail,
    pub(super) bounds: LogBounds,
    pub(super) vote: Option<Bytes>,
    pub(super) committed: Option<Bytes>,
    /// Counts truncations, so that a group that was queued before one cannot raise the watermark after it.
    pub(super) epoch: u64,
    /// Index through which the database has the entries; none if it has none and was never purged.
    pub(super) written: Option<u64>,
}

impl Core {
    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
