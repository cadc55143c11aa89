//! The one thread that writes to the log database: takes what is queued, writes it as one batch, syncs once, answers in order.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use bytes::Bytes;
use rocksdb::{WriteBatch, WriteOptions};

use super::core::Core;
use super::recovery::encode_entry;
use super::schema::{Marker, entry_key, marker_key};
use super::store::{LogDone, LogRecord};
use crate::codec::{self, Kind};
use crate::fault::Fault;
use crate::mark::SyncedMark;

/// Jobs in one group at most: bounds the time until the first of them is answered.
const GROUP_JOBS_MAX: usize = 1_024;

pub(super) struct Job {
    pub(super) work: Work,
    /// The truncation count when it was queued.
    pub(super) epoch: u64,
    pub(super) done: Option<LogDone>,
}

pub(super) enum Work {
    Append(Vec<LogRecord>),
    Marker {
        marker: Marker,
        bytes: Bytes,
        sync: bool,
    },
    /// `floor` is the index through which the log stands after it; none if nothing is left and nothing was purged.
    Truncate {
        index: Option<u64>,
        floor: Option<u64>,
    },
    Purge {
        index: u64,
        marker: Bytes,
    },
    Barrier,
}

pub(super) struct Flusher {
    core: Arc<Core>,
    mark: SyncedMark,
    /// Number of the last group.
    group: u64,
    /// Index through which entries are already deleted: the next purge starts there and not at zero, so that range tombstones stay
    /// narrow.
    purged: u64,
    group_bytes_max: usize,
    synced: WriteOptions,
    unsynced: WriteOptions,
}

impl Flusher {
    pub(super) fn new(
        core: Arc<Core>,
        mark: SyncedMark,
        group: u64,
        purged: u64,
        group_bytes_max: usize,
    ) -> Self {
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        Self {
            core,
            mark,
            group,
            purged,
            group_bytes_max,
            synced,
            unsynced: WriteOptions::default(),
        }
    }

    /// Writes a group and answers its jobs.
    fn flush(&mut self, jobs: &mut Vec<Job>) {
        self.core.counters.busy.begin();
        let result = self.core.fault.check().and_then(|()| {
            self.write(jobs)
                .map_err(|cause| self.core.fault.set(Fault::new("log", cause)))
        });
        self.core.counters.busy.end();
        self.core
            .counters
            .queued
            .fetch_sub(jobs.len() as u64, Ordering::Relaxed);
        self.core
            .budget
            .give_back(jobs.iter().map(|job| job.work.bytes()).sum());
        match result {
            Ok(()) => {
                self.publish(jobs);
                for job in jobs.drain(..) {
                    if let Some(done) = job.done {
                        done(Ok(()));
                    }
                }
            }
            Err(fault) => {
                self.core.watermark.wake();
                for job in jobs.drain(..) {
                    if let Some(done) = job.done {
                        done(Err(io::Error::from(fault.clone())));
                    }
                }
            }
        }
    }

    fn write(&mut self, jobs: &[Job]) -> Result<(), String> {
        let payload: usize = jobs.iter().map(|job| job.work.bytes()).sum();
        let mut batch = WriteBatch::with_capacity_bytes(payload + 64 * jobs.len() + 256);
        let mut sync = false;
        for job in jobs {
            sync |= self.stage(&job.work, &mut batch);
        }
        self.group += 1;
        put_marker(&mut batch, Marker::Group, &self.group.to_be_bytes());
        let counters = &self.core.counters;
        counters.groups.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        let options = if sync { &self.synced } else { &self.unsynced };
        self.core
            .db
            .write_opt(batch, options)
            .map_err(|error| error.to_string())?;
        if sync {
            counters.sync.add(started.elapsed());
            self.mark
                .advance(self.group)
                .map_err(|error| format!("synced mark: {error}"))?;
        }
        Ok(())
    }

    /// Adds one job to the batch; true if it asks for a sync.
    fn stage(&mut self, work: &Work, batch: &mut WriteBatch) -> bool {
        match work {
            Work::Append(records) => {
                for record in records {
                    let key = entry_key(record.index);
                    batch.put(key, encode_entry(&key, record));
                }
                let counters = &self.core.counters;
                counters
                    .entries
                    .fetch_add(records.len() as u64, Ordering::Relaxed);
                counters
                    .bytes
                    .fetch_add(work.bytes() as u64, Ordering::Relaxed);
                true
            }
            Work::Marker {
                marker,
                bytes,
                sync,
            } => {
                put_marker(batch, *marker, bytes);
                *sync
            }
            Work::Truncate { index, .. } => {
                let from = index.map_or(0, |index| index + 1);
                batch.delete_range(&entry_key(from)[..], &super::schema::ENTRIES_END[..]);
                true
            }
            Work::Purge { index, marker } => {
                if *index >= self.purged {
                    batch.delete_range(entry_key(self.purged), entry_key(index + 1));
                    self.purged = index + 1;
                }
                let mut bytes = Vec::with_capacity(8 + marker.len());
                bytes.extend_from_slice(&index.to_be_bytes());
                bytes.extend_from_slice(marker);
                put_marker(batch, Marker::Purged, &bytes);
                true
            }
            Work::Barrier => true,
        }
    }

    /// Tells memory and the watermark what is now in the database.
    fn publish(&self, jobs: &[Job]) {
        let mut memory = self.core.memory();
        let epoch = memory.epoch;
        let reached = jobs
            .iter()
            .filter(|job| job.epoch == epoch)
            .filter_map(|job| match &job.work {
                Work::Append(records) => records.last().map(|record| record.index),
                Work::Truncate { floor, .. } => *floor,
                Work::Purge { index, .. } => Some(*index),
                Work::Marker { .. } | Work::Barrier => None,
            })
            .max();
        if reached > memory.written {
            memory.written = reached;
            memory.tail.evict(reached);
            // Under the lock of memory, so that a truncation cannot come in between.
            self.core.watermark.set(reached);
        }
    }
}

/// Runs until every handle is gone.
pub(super) fn run(mut flusher: Flusher, jobs: &Receiver<Job>) {
    let closing = Closing(Arc::clone(&flusher.core));
    let mut group = Vec::new();
    while let Ok(job) = jobs.recv() {
        let mut bytes = job.work.bytes();
        group.push(job);
        while group.len() < GROUP_JOBS_MAX && bytes < flusher.group_bytes_max {
            let Ok(job) = jobs.try_recv() else { break };
            bytes += job.work.bytes();
            group.push(job);
        }
        flusher.flush(&mut group);
    }
    if let Err(error) = flusher.mark.sync() {
        tracing::warn!(%error, "synced mark of the log could not be synced at close");
    }
    drop(closing);
}

/// Wakes the waiters when the thread ends, however it ends.
struct Closing(Arc<Core>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.watermark.close();
        self.0.budget.close();
    }
}

impl Work {
    /// What it costs while it waits and in its batch, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Append(records) => records.iter().map(|record| record.bytes.len() + 32).sum(),
            Self::Marker { bytes, .. } | Self::Purge { marker: bytes, .. } => bytes.len(),
            Self::Truncate { .. } | Self::Barrier => 0,
        }
    }
}

fn put_marker(batch: &mut WriteBatch, marker: Marker, bytes: &[u8]) {
    let key = marker_key(marker);
    batch.put(key, codec::seal(Kind::LogMarker, &key, bytes));
}
