//! The journal: records that belong to this node alone, durable by their own group-commit thread.
//!
//! Never part of a digest, never replaced by an installed snapshot. Access records (who read whom) are synced here before the
//! answer to a read leaves (design decision 9). They are kept by law, so the journal deletes none to make room for others: past
//! its disk budget it refuses, and the read with it.
//!
//! | family | tag | key | value (sealed) |
//! |---|---|---|---|
//! | markers | 0x01 | tag, marker 1 byte | totals, see [`Totals`] |
//! | default | 0x02 | tag, sequence 8 bytes big endian | an access record, in the caller's bytes |
//! | | 0x03 to 0x05 | reserved: delivery cursors, transfer progress, import progress | |

mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use rocksdb::{ColumnFamily, DB, DEFAULT_COLUMN_FAMILY_NAME, ReadOptions};

use crate::codec::{self, Kind};
use crate::fault::{Fault, FaultCell};
use crate::lock::Hold;
use crate::mark::SyncedMark;
use crate::metrics::{JournalMetrics, LatencyCounter};
use crate::options::{Shared, StoreOptions};
use crate::pending::{Answer, Pending};
use crate::stores::OpenError;

/// The family of what is rewritten with every group. Records have a family of their own: in one with the totals, every file would overlap
/// every other one at the totals' key, and compaction would write all records again and again instead of moving files that it need not open.
const MARKERS: &str = "markers";
const MARKER: u8 = 0x01;
const ACCESS: u8 = 0x02;
const TOTALS_KEY: [u8; 2] = [MARKER, 1];
/// Appends that may wait for the writer; a caller blocks when it is full.
const QUEUE: usize = 4_096;

/// An access record as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRecord {
    /// Its number: from 1, without gaps, for the life of the data directory.
    pub sequence: u64,
    /// What was appended.
    pub bytes: Bytes,
}

/// The journal of a node. Cheap to clone; the last clone to go stops the writer after it has written what is queued.
#[derive(Clone)]
pub struct Journal(Arc<Inner>);

struct Inner {
    core: Arc<Core>,
    jobs: Mutex<Option<SyncSender<Job>>>,
    thread: Option<JoinHandle<()>>,
}

struct Core {
    db: DB,
    totals: Mutex<Totals>,
    budget_bytes: u64,
    fault: FaultCell,
    appended: AtomicU64,
    refused: AtomicU64,
    sync: LatencyCounter,
    /// Last: the database closes before.
    _hold: Hold,
}

struct Job {
    bytes: Vec<u8>,
    answer: Answer<u64, AppendError>,
}

/// Why an access record was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The disk budget is spent. No fault of the store: it takes records again when it is opened with a larger budget.
    #[error("access record of {record} bytes does not fit: {used} of {budget} bytes are used")]
    Full {
        /// Bytes of the record.
        record: u64,
        /// Bytes of the records kept.
        used: u64,
        /// Bytes that the records may take.
        budget: u64,
    },
    /// The store has failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// What the journal holds, written with every group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Totals {
    /// Sequence of the oldest record kept.
    first: u64,
    /// Sequence of the next record.
    next: u64,
    /// Payload bytes kept.
    bytes: u64,
    /// Records that an earlier version deleted because the budget was spent. Kept, so that the gap stays explained.
    dropped: u64,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Journal")
            .field("totals", &*self.0.core.totals())
            .finish_non_exhaustive()
    }
}

impl Journal {
    /// Opens the journal in `directory`. `forming` allows to make it: otherwise one that is not there is a lost one. So is one that knows less
    /// than the mark beside it, or whose totals and records disagree: its numbers would begin anew, and records would be overwritten.
    pub(crate) fn open(
        directory: &Path,
        options: &StoreOptions,
        shared: &Shared,
        fault: FaultCell,
        forming: bool,
    ) -> Result<Self, OpenError> {
        let io_error = |source| OpenError::Io {
            path: directory.to_owned(),
            source,
        };
        let database_error = |source| OpenError::Database {
            store: "journal",
            source,
        };
        if !forming {
            let path = directory.join("CURRENT");
            if !path.try_exists().map_err(io_error)? {
                return Err(OpenError::JournalGone { path });
            }
        }
        // It may be missing: earlier releases wrote none.
        let mark = directory.with_extension("watermark");
        let (mark, synced) = SyncedMark::open(&mark).map_err(io_error)?;
        let database = options.journal_database(shared);
        let families = [DEFAULT_COLUMN_FAMILY_NAME, MARKERS].map(|name| (name, database.clone()));
        let db = DB::open_cf_with_opts(&database, directory, families).map_err(database_error)?;
        let markers = markers(&db).map_err(OpenError::Damaged)?;
        let mut totals = db.get_cf(markers, TOTALS_KEY).map_err(database_error)?;
        if totals.is_none() {
            // Totals once stood with the records. Without them the numbers would begin anew, and the records be overwritten.
            totals = db.get(TOTALS_KEY).map_err(database_error)?;
        }
        let totals = match totals {
            None => Totals {
                first: 1,
                next: 1,
                bytes: 0,
                dropped: 0,
            },
            Some(value) => Totals::decode(&value)
                .map_err(|cause| OpenError::Damaged(Fault::new("journal", cause)))?,
        };
        let found = totals.next.saturating_sub(1);
        if found < synced {
            return Err(OpenError::AccessRecordsLost { found, synced });
        }
        check_newest(&db, totals).map_err(OpenError::Damaged)?;
        let core = Arc::new(Core {
            db,
            totals: Mutex::new(totals),
            budget_bytes: options.journal_budget_bytes,
            fault,
            appended: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            sync: LatencyCounter::default(),
            _hold: shared.hold(),
        });
        let (sender, receiver) = sync_channel(QUEUE);
        let writer = writer::Writer::new(Arc::clone(&core), mark);
        let thread = std::thread::Builder::new()
            .name("journal-writer".to_owned())
            .spawn(move || writer::run(writer, &receiver))
            .map_err(io_error)?;
        Ok(Self(Arc::new(Inner {
            core,
            jobs: Mutex::new(Some(sender)),
            thread: Some(thread),
        })))
    }

    /// Appends an access record. Resolves with its sequence number once it is synced; records become durable in the order of the
    /// calls. The call blocks while the queue (4,096 records) is full.
    ///
    /// # Errors
    /// [`AppendError::Full`] once the disk budget is spent, and the sticky fault.
    pub fn append_access(&self, bytes: Vec<u8>) -> Pending<u64, AppendError> {
        let (answer, pending) = Pending::new("journal");
        let jobs = self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(fault) = self.0.core.fault.check() {
            // The receiver is in this function's hands.
            let _ = answer.send(Err(fault.into()));
        } else if let Some(sender) = jobs.as_ref() {
            // If the writer is gone, so is the answer, and the future says so.
            let _ = sender.send(Job { bytes, answer });
        }
        pending
    }

    /// Access records from `sequence` on, at most `count_max`. Reads the disk: for threads that may block.
    ///
    /// # Errors
    /// The sticky fault; a damaged record is one.
    pub fn read_access(&self, sequence: u64, count_max: usize) -> Result<Vec<AccessRecord>, Fault> {
        let core = &self.0.core;
        core.fault.check()?;
        let first = core.totals().first;
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(vec![ACCESS + 1]);
        let mut iterator = core.db.raw_iterator_opt(options);
        iterator.seek(access_key(sequence.max(first)));
        let mut records = Vec::new();
        while records.len() < count_max
            && let Some((key, value)) = iterator.item()
        {
            let fail = |cause: String| core.fault.set(Fault::new("journal", cause));
            let sequence = sequence_of(key).map_err(fail)?;
            let bytes = codec::open(Kind::JournalRecord, key, value)
                .map_err(|error| fail(format!("access record {sequence}: {error}")))?;
            records.push(AccessRecord {
                sequence,
                bytes: Bytes::copy_from_slice(bytes),
            });
            iterator.next();
        }
        iterator
            .status()
            .map_err(|error| core.fault.set(Fault::new("journal", error.to_string())))?;
        Ok(records)
    }

    /// The journal's figures.
    #[must_use]
    pub fn metrics(&self) -> JournalMetrics {
        let core = &self.0.core;
        let totals = *core.totals();
        JournalMetrics {
            appended: core.appended.load(Ordering::Relaxed),
            sync: core.sync.read(),
            records: totals.next - totals.first,
            bytes: totals.bytes,
            budget_bytes: core.budget_bytes,
            refused: core.refused.load(Ordering::Relaxed),
            dropped: totals.dropped,
        }
    }
}

impl Core {
    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.jobs
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic of the thread has been reported by the thread.
            let _ = thread.join();
        }
    }
}

impl Totals {
    fn encode(self) -> Vec<u8> {
        let fields = [self.first, self.next, self.bytes, self.dropped];
        let plain: Vec<u8> = fields
            .iter()
            .flat_map(|field| field.to_be_bytes())
            .collect();
        codec::seal(Kind::JournalMarker, &TOTALS_KEY, &plain)
    }

    fn decode(value: &[u8]) -> Result<Self, String> {
        let plain = codec::open(Kind::JournalMarker, &TOTALS_KEY, value)
            .map_err(|error| error.to_string())?;
        let field = |index: usize| -> Option<u64> {
            plain
                .get(index * 8..index * 8 + 8)?
                .try_into()
                .ok()
                .map(u64::from_be_bytes)
        };
        match (field(0), field(1), field(2), field(3)) {
            (Some(first), Some(next), Some(bytes), Some(dropped)) => Ok(Self {
                first,
                next,
                bytes,
                dropped,
            }),
            _ => Err(format!("totals have {} bytes instead of 32", plain.len())),
        }
    }
}

fn markers(db: &DB) -> Result<&ColumnFamily, Fault> {
    db.cf_handle(MARKERS)
        .ok_or_else(|| Fault::new("journal", "the family of markers is not open"))
}

/// Refuses a journal whose newest record is not the one before the next of `totals`: both are written in one batch.
fn check_newest(db: &DB, totals: Totals) -> Result<(), Fault> {
    let fail = |cause: String| Fault::new("journal", cause);
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(vec![ACCESS]);
    options.set_iterate_upper_bound(vec![ACCESS + 1]);
    let mut iterator = db.raw_iterator_opt(options);
    iterator.seek_to_last();
    let newest = iterator.key().map(sequence_of).transpose().map_err(fail)?;
    iterator.status().map_err(|error| fail(error.to_string()))?;
    let expected = (totals.next > totals.first).then(|| totals.next - 1);
    if newest == expected {
        return Ok(());
    }
    let named = |sequence: Option<u64>| match sequence {
        Some(sequence) => format!("record {sequence}"),
        None => "no record".to_owned(),
    };
    Err(fail(format!(
        "its totals say that {} is the newest, but {} is",
        named(expected),
        named(newest)
    )))
}

/// The sequence of the record under `key`.
fn sequence_of(key: &[u8]) -> Result<u64, String> {
    key.get(1..)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u64::from_be_bytes)
        .ok_or_else(|| "key of an access record has a wrong length".to_owned())
}

fn access_key(sequence: u64) -> [u8; 9] {
    let mut key = [ACCESS; 9];
    key[1..].copy_from_slice(&sequence.to_be_bytes());
    key
}
