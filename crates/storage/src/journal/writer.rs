//! The thread that writes the journal: one synced write for each group, and the disk budget.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use rocksdb::{ReadOptions, WriteBatch, WriteOptions};

use super::{Core, Job, TOTALS_KEY, Totals, access_key};
use crate::codec::{self, Kind};
use crate::fault::Fault;

/// Records in one group at most.
const GROUP_MAX: usize = 1_024;

pub(super) struct Writer {
    core: Arc<Core>,
    budget_bytes: u64,
    synced: WriteOptions,
}

impl Writer {
    pub(super) fn new(core: Arc<Core>, budget_bytes: u64) -> Self {
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        Self {
            core,
            budget_bytes,
            synced,
        }
    }

    fn write(&self, group: &[Job]) -> Result<u64, String> {
        let mut totals = *self.core.totals();
        let first = totals.next;
        let mut batch = WriteBatch::default();
        for job in group {
            let key = access_key(totals.next);
            batch.put(key, codec::seal(Kind::JournalRecord, &key, &job.bytes));
            totals.next += 1;
            totals.bytes += job.bytes.len() as u64;
        }
        if totals.bytes > self.budget_bytes {
            self.drop_oldest(&mut batch, &mut totals, first)?;
        }
        batch.put(TOTALS_KEY, totals.encode());
        let started = Instant::now();
        self.core
            .db
            .write_opt(batch, &self.synced)
            .map_err(|error| error.to_string())?;
        self.core.sync.add(started.elapsed());
        self.core
            .appended
            .fetch_add(group.len() as u64, Ordering::Relaxed);
        *self.core.totals() = totals;
        Ok(first)
    }

    /// Deletes the oldest stored records until a twentieth of the budget is free, so that it is not done for every group.
    /// Those of the group itself (from `group_first` on) stay.
    fn drop_oldest(
        &self,
        batch: &mut WriteBatch,
        totals: &mut Totals,
        group_first: u64,
    ) -> Result<(), String> {
        let goal = self.budget_bytes - self.budget_bytes / 20;
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(access_key(group_first).to_vec());
        options.fill_cache(false);
        let mut iterator = self.core.db.raw_iterator_opt(options);
        iterator.seek(access_key(totals.first));
        let from = totals.first;
        while totals.bytes > goal
            && let Some(value) = iterator.value()
        {
            totals.bytes = totals
                .bytes
                .saturating_sub(value.len().saturating_sub(codec::OVERHEAD) as u64);
            totals.first += 1;
            iterator.next();
        }
        iterator.status().map_err(|error| error.to_string())?;
        let count = totals.first - from;
        if count > 0 {
            batch.delete_range(access_key(from), access_key(totals.first));
            totals.dropped += count;
            tracing::warn!(
                count,
                dropped = totals.dropped,
                budget_bytes = self.budget_bytes,
                "access records were deleted because the journal's disk budget is spent"
            );
        }
        Ok(())
    }
}

/// Runs until every handle is gone.
pub(super) fn run(writer: Writer, jobs: &Receiver<Job>) {
    let mut group = Vec::new();
    while let Ok(job) = jobs.recv() {
        group.push(job);
        while group.len() < GROUP_MAX {
            let Ok(job) = jobs.try_recv() else { break };
            group.push(job);
        }
        let result = writer.core.fault.check().and_then(|()| {
            writer
                .write(&group)
                .map_err(|cause| writer.core.fault.set(Fault::new("journal", cause)))
        });
        for (offset, job) in (0_u64..).zip(group.drain(..)) {
            // Whoever appended may have stopped waiting.
            let _ = job.answer.send(result.clone().map(|first| first + offset));
        }
    }
}
