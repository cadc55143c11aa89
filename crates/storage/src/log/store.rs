//! The handle of the log store: memory first, then the flusher.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use rocksdb::DB;

use super::budget::QueueBudget;
use super::core::{Core, Counters};
use super::flusher::{self, Flusher, Job, Work};
use super::recovery::{damaged, decode_u64, read_marker, recover};
use super::schema::Marker;
use super::watermark::Watermark;
use crate::fault::{Fault, FaultCell};
use crate::mark::SyncedMark;
use crate::metrics::LogMetrics;
use crate::options::{Shared, StoreOptions};
use crate::pending::Pending;
use crate::stores::OpenError;

/// Called once, in the order of the calls, when the work is durable or has failed. Runs on the flusher's thread: it must be
/// short and must not block.
pub type LogDone = Box<dyn FnOnce(io::Result<()>) + Send>;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Its index.
    pub index: u64,
    /// The term of the leader that made it.
    pub term: u64,
    /// Its payload, in the bytes of the consensus crate.
    pub bytes: Bytes,
}

/// Where the log begins and ends, queued work included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogBounds {
    /// Index of the first entry; none if the log has no entry.
    pub first: Option<u64>,
    /// Index of the last entry; none if the log has no entry.
    pub last: Option<u64>,
    /// Index through which the log was purged; none if it never was.
    pub purged: Option<u64>,
    /// What the consensus crate stored with the last purge.
    pub purged_marker: Option<Bytes>,
}

/// The log store of a node. Cheap to clone; the last clone to go stops the flusher after it has written what is queued.
///
/// Changes are visible to every reader when the call returns, and durable when their callback runs. They become durable in the
/// order of the calls. A call blocks while the queue is full ([`StoreOptions::log_queue`], [`StoreOptions::log_queue_bytes`]).
#[derive(Clone)]
pub struct LogStore(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) core: Arc<Core>,
    /// Held while memory is changed and the job is queued, so that both have the same order.
    jobs: Mutex<Option<SyncSender<Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for LogStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("LogStore")
            .field("bounds", &self.bounds())
            .finish_non_exhaustive()
    }
}

impl LogStore {
    /// Opens the log in `directory`, and tells a torn tail (fine) from lost records (refused). `forming` allows to make it: otherwise one that
    /// is not there is a lost one, and a node that started empty in its place would vote a second time.
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
            store: "log",
            source,
        };
        let mark = directory.with_extension("watermark");
        if !forming {
            for path in [directory.join("CURRENT"), mark.clone()] {
                if !path.try_exists().map_err(io_error)? {
                    return Err(OpenError::LogGone { path });
                }
            }
        }
        let (mark, group_synced) = SyncedMark::open(&mark).map_err(io_error)?;
        let db = DB::open(&options.log_database(shared), directory).map_err(database_error)?;

        let group = match read_marker(&db, Marker::Group)? {
            None if forming => 0,
            // Forming a directory writes a first group before the identity.
            None => {
                return Err(OpenError::LogGone {
                    path: directory.to_owned(),
                });
            }
            Some(bytes) => {
                decode_u64(&bytes).ok_or_else(|| damaged("group marker has a wrong length"))?
            }
        };
        if group < group_synced {
            return Err(OpenError::RecordsLost {
                found: group,
                synced: group_synced,
            });
        }
        let memory = recover(&db, options.log_tail_bytes)?;
        let durable = memory.written;
        let core = Arc::new(Core {
            db,
            memory: Mutex::new(memory),
            watermark: Watermark::new(durable, fault.clone()),
            fault,
            budget: QueueBudget::new(options.log_queue_bytes),
            counters: Counters::default(),
            relaxed: options.conformance,
            _hold: shared.hold(),
        });
        let (sender, receiver) = sync_channel(options.log_queue);
        let purged = core.memory().bounds.purged.unwrap_or(0);
        let flusher = Flusher::new(
            Arc::clone(&core),
            mark,
            group,
            purged,
            options.log_group_bytes,
        );
        let thread = std::thread::Builder::new()
            .name("log-flusher".to_owned())
            .spawn(move || flusher::run(flusher, &receiver))
            .map_err(io_error)?;
        Ok(Self(Arc::new(Inner {
            core,
            jobs: Mutex::new(Some(sender)),
            thread: Some(thread),
        })))
    }

    /// Appends entries. They are readable when this returns; `done` runs when they are durable.
    ///
    /// # Errors
    /// `InvalidInput` if the entries are not contiguous with each other and with the log; the sticky fault if there is one.
    /// `done` does not run then.
    pub fn append(&self, records: Vec<LogRecord>, done: LogDone) -> io::Result<()> {
        let core = &self.0.core;
        self.submit(|| {
            let mut memory = core.memory();
            let mut next = match (memory.bounds.last, memory.bounds.purged) {
                (Some(last), _) => Some(last + 1),
                (None, Some(purged)) => Some(purged + 1),
                (None, None) => None,
            };
            for record in &records {
                if next.is_some_and(|next| next != record.index) {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        format!("entry {} appended where {next:?} is next", record.index),
                    ));
                }
                next = Some(record.index + 1);
            }
            for record in &records {
                memory.bounds.first.get_or_insert(record.index);
                memory.bounds.last = Some(record.index);
                memory.tail.push(record.clone());
            }
            Ok(Job {
                work: Work::Append(records),
                epoch: memory.epoch,
                done: Some(done),
            })
        })
    }

    /// Saves the vote; `done` runs when it is durable, in order with the entries.
    ///
    /// # Errors
    /// The sticky fault.
    pub fn save_vote(&self, vote: Bytes, done: LogDone) -> io::Result<()> {
        let core = &self.0.core;
        self.submit(|| {
            let mut memory = core.memory();
            memory.vote = Some(vote.clone());
            let work = Work::Marker {
                marker: Marker::Vote,
                bytes: vote,
                sync: true,
            };
            Ok(Job {
                work,
                epoch: memory.epoch,
                done: Some(done),
            })
        })
    }

    /// The vote saved last.
    #[must_use]
    pub fn read_vote(&self) -> Option<Bytes> {
        self.0.core.memory().vote.clone()
    }

    /// Saves the committed position: queued, and durable at the next sync that something else needs.
    ///
    /// # Errors
    /// The sticky fault.
    pub fn save_committed(&self, committed: Bytes) -> io::Result<()> {
        let core = &self.0.core;
        self.submit(|| {
            let mut memory = core.memory();
            memory.committed = Some(committed.clone());
            let work = Work::Marker {
                marker: Marker::Committed,
                bytes: committed,
                sync: false,
            };
            Ok(Job {
                work,
                epoch: memory.epoch,
                done: None,
            })
        })
    }

    /// The committed position saved last; after a crash an older one, or none.
    #[must_use]
    pub fn read_committed(&self) -> Option<Bytes> {
        self.0.core.memory().committed.clone()
    }

    /// Drops every entry after `index` (all, if none).
    ///
    /// # Errors
    /// The sticky fault.
    pub fn truncate_after(&self, index: Option<u64>, done: LogDone) -> io::Result<()> {
        let core = &self.0.core;
        self.submit(|| {
            let mut memory = core.memory();
            memory.epoch += 1;
            memory.tail.truncate_after(index);
            let bounds = &mut memory.bounds;
            let kept = bounds
                .last
                .min(index)
                .filter(|kept| bounds.first.is_some_and(|first| first <= *kept));
            bounds.last = kept;
            if kept.is_none() {
                bounds.first = None;
            }
            let floor = kept.or(bounds.purged);
            memory.written = memory.written.min(floor);
            core.watermark.set(core.watermark.index().min(floor));
            Ok(Job {
                work: Work::Truncate { index, floor },
                epoch: memory.epoch,
                done: Some(done),
            })
        })
    }

    /// Forgets every entry through `index`, and stores `marker` beside. An `index` past the last entry empties the log: the next
    /// entry is `index + 1`; one that was purged already changes nothing. Only for [`Stores::purge_log`](crate::Stores::purge_log), which knows how far the state is durable.
    pub(crate) fn purge(&self, index: u64, marker: Bytes, done: LogDone) -> io::Result<()> {
        let core = &self.0.core;
        self.submit(|| {
            let mut memory = core.memory();
            // Purging never goes back: what is gone already is only waited for, and the marker goes on telling of it.
            if memory.bounds.purged > Some(index) {
                return Ok(Job {
                    work: Work::Barrier,
                    epoch: memory.epoch,
                    done: Some(done),
                });
            }
            memory.tail.purge(index);
            let bounds = &mut memory.bounds;
            bounds.purged = Some(index);
            bounds.purged_marker = Some(marker.clone());
            if bounds.last.is_some_and(|last| last > index) {
                bounds.first = bounds.first.max(Some(index + 1));
            } else {
                bounds.first = None;
                bounds.last = None;
            }
            Ok(Job {
                work: Work::Purge { index, marker },
                epoch: memory.epoch,
                done: Some(done),
            })
        })
    }

    /// `done` runs when everything queued before is durable, unsynced markers included.
    ///
    /// # Errors
    /// The sticky fault.
    pub fn flush_barrier(&self, done: LogDone) -> io::Result<()> {
        let core = &self.0.core;
        self.submit(|| {
            Ok(Job {
                work: Work::Barrier,
                epoch: core.memory().epoch,
                done: Some(done),
            })
        })
    }

    /// [`flush_barrier`](Self::flush_barrier) as a future.
    pub fn barrier(&self) -> Pending<()> {
        let (answer, pending) = Pending::new("log");
        let fault = self.0.core.fault.clone();
        let done: LogDone = Box::new(move |result| {
            let result = result.map_err(|error| {
                fault
                    .get()
                    .unwrap_or_else(|| Fault::new("log", error.to_string()))
            });
            // The caller may have stopped waiting.
            let _ = answer.send(result);
        });
        // On error the callback is dropped, and the future fails.
        let _ = self.flush_barrier(done);
        pending
    }

    /// The bounds of the log, queued work included.
    #[must_use]
    pub fn bounds(&self) -> LogBounds {
        self.0.core.memory().bounds.clone()
    }

    /// The index through which the log is durable.
    #[must_use]
    pub fn durable(&self) -> Watermark {
        self.0.core.watermark.clone()
    }

    /// The log's figures.
    #[must_use]
    pub fn metrics(&self) -> LogMetrics {
        let core = &self.0.core;
        LogMetrics {
            appended_entries: core.counters.entries.load(Ordering::Relaxed),
            appended_bytes: core.counters.bytes.load(Ordering::Relaxed),
            groups: core.counters.groups.load(Ordering::Relaxed),
            sync: core.counters.sync.read(),
            queued: core.counters.queued.load(Ordering::Relaxed),
            tail_bytes: core.memory().tail.bytes() as u64,
            queued_bytes: core.budget.bytes() as u64,
            durable_index: core.watermark.index().unwrap_or(0),
            memtable_bytes: crate::state::int_property(
                &core.db,
                None,
                "rocksdb.cur-size-all-mem-tables",
            ),
            sst_bytes: crate::state::int_property(&core.db, None, "rocksdb.total-sst-files-size"),
        }
    }

    /// How long the disk has been busy with one write of the log; zero while nothing is written. A disk that works needs milliseconds.
    #[must_use]
    pub fn busy_for(&self) -> Duration {
        self.0.core.counters.busy.lasts()
    }

    pub(super) fn fail(&self, cause: String) -> Fault {
        self.0.core.fault.set(Fault::new("log", cause))
    }

    /// Changes memory by `prepare` and queues its job, both in one order.
    fn submit(&self, prepare: impl FnOnce() -> io::Result<Job>) -> io::Result<()> {
        let core = &self.0.core;
        let jobs = self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        core.fault.check()?;
        let sender = jobs.as_ref().ok_or_else(|| Fault::stopped("log"))?;
        let job = prepare()?;
        core.counters.queued.fetch_add(1, Ordering::Relaxed);
        core.budget.take(job.work.bytes());
        sender.send(job).map_err(|_| {
            core.fault
                .get()
                .unwrap_or_else(|| Fault::stopped("log"))
                .into()
        })
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
