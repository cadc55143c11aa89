//! What the handle and the flusher share: the database, the log as readers see it, and the watermark.

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
