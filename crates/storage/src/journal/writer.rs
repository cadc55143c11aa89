//! The thread that writes the journal: one synced write for each group, and the disk budget.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rocksdb::{WriteBatch, WriteOptions};

use super::{AppendError, Core, Job, TOTALS_KEY, Totals, access_key};
use crate::codec::{self, Kind};
use crate::fault::Fault;
use crate::mark::SyncedMark;

/// Records in one group at most.
const GROUP_MAX: usize = 1_024;
/// How long a group that has begun waits for more records, if the group before it had several: those who wrote that one
/// are probably about to write again, and one sync for all of them is sooner done than two. Somewhat less than a sync
/// takes on a good disk. As `commit_delay` and `commit_siblings` of PostgreSQL do; a single reader never waits.
const GATHER_TIME_MAX: Duration = Duration::from_micros(150);
/// Share of the budget, in percent, from which on the log warns.
const WARNING_PERCENT: u64 = 80;

pub(super) struct Writer {
    core: Arc<Core>,
    /// The newest record known to be synced.
    mark: SyncedMark,
    synced: WriteOptions,
    warned: bool,
    refusing: bool,
}

impl Writer {
    pub(super) fn new(core: Arc<Core>, mark: SyncedMark) -> Self {
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        let mut writer = Self {
            core,
            mark,
            synced,
            warned: false,
            refusing: false,
        };
        let used = writer.core.totals().bytes;
        writer.watch(used);
        writer
    }

    /// Writes what fits into the budget, in one synced write. Says for each record which number it got, or why it got none.
    fn write(&mut self, group: &[Job]) -> Result<Vec<Result<u64, AppendError>>, String> {
        let mut totals = *self.core.totals();
        let mut batch = WriteBatch::default();
        let answers: Vec<_> = group
            .iter()
            .map(|job| self.put(&mut batch, &mut totals, &job.bytes))
            .collect();
        let appended = answers.iter().filter(|answer| answer.is_ok()).count() as u64;
        let refused = answers.len() as u64 - appended;
        if refused > 0 {
            self.core.refused.fetch_add(refused, Ordering::Relaxed);
            if !std::mem::replace(&mut self.refusing, true) {
                tracing::error!(
                    used_bytes = totals.bytes,
                    budget_bytes = self.core.budget_bytes,
                    "the journal's disk budget is spent: this node refuses reads of persons until it has more (BNY-0412)"
                );
            }
        }
        if appended == 0 {
            return Ok(answers);
        }
        let markers = super::markers(&self.core.db).map_err(|fault| fault.to_string())?;
        batch.put_cf(markers, TOTALS_KEY, totals.encode());
        let started = Instant::now();
        self.core
            .db
            .write_opt(batch, &self.synced)
            .map_err(|error| error.to_string())?;
        self.core.sync.add(started.elapsed());
        self.mark
            .advance(totals.next - 1)
            .map_err(|error| format!("synced mark: {error}"))?;
        self.core.appended.fetch_add(appended, Ordering::Relaxed);
        *self.core.totals() = totals;
        self.watch(totals.bytes);
        Ok(answers)
    }

    fn put(
        &self,
        batch: &mut WriteBatch,
        totals: &mut Totals,
        bytes: &[u8],
    ) -> Result<u64, AppendError> {
        let record = bytes.len() as u64;
        if record > self.core.budget_bytes.saturating_sub(totals.bytes) {
            return Err(AppendError::Full {
                record,
                used: totals.bytes,
                budget: self.core.budget_bytes,
            });
        }
        let sequence = totals.next;
        let key = access_key(sequence);
        batch.put(key, codec::seal(Kind::JournalRecord, &key, bytes));
        totals.next += 1;
        totals.bytes += record;
        Ok(sequence)
    }

    /// Warns once that the budget is running out.
    fn watch(&mut self, used_bytes: u64) {
        let budget_bytes = self.core.budget_bytes;
        if !self.warned && used_bytes >= budget_bytes / 100 * WARNING_PERCENT {
            self.warned = true;
            tracing::warn!(
                used_bytes,
                budget_bytes,
                "the journal has used {WARNING_PERCENT} % of its disk budget: beyond it reads of persons are refused"
            );
        }
    }
}

/// Runs until every handle is gone.
pub(super) fn run(mut writer: Writer, jobs: &Receiver<Job>) {
    let mut group = Vec::new();
    let mut last = 0;
    while let Ok(job) = jobs.recv() {
        group.push(job);
        gather(&mut group, jobs, last);
        last = group.len();
        let result = writer.core.fault.check().and_then(|()| {
            writer
                .write(&group)
                .map_err(|cause| writer.core.fault.set(Fault::new("journal", cause)))
        });
        // Whoever appended may have stopped waiting.
        match result {
            Ok(answers) => {
                for (job, answer) in group.drain(..).zip(answers) {
                    let _ = job.answer.send(answer);
                }
            }
            Err(fault) => {
                for job in group.drain(..) {
                    let _ = job.answer.send(Err(fault.clone().into()));
                }
            }
        }
    }
    if let Err(error) = writer.mark.sync() {
        tracing::warn!(%error, "synced mark of the journal could not be synced at close");
    }
}

/// Takes what is queued; then, if the last group had several records, waits a little for as many as it had.
fn gather(group: &mut Vec<Job>, jobs: &Receiver<Job>, last: usize) {
    take_queued(group, jobs);
    if last < 2 {
        return;
    }
    let until = Instant::now() + GATHER_TIME_MAX;
    while group.len() < last {
        let left = until.saturating_duration_since(Instant::now());
        let Ok(job) = jobs.recv_timeout(left) else {
            return;
        };
        group.push(job);
    }
    take_queued(group, jobs);
}

fn take_queued(group: &mut Vec<Job>, jobs: &Receiver<Job>) {
    while group.len() < GROUP_MAX
        && let Ok(job) = jobs.try_recv()
    {
        group.push(job);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{SyncSender, sync_channel};

    use super::*;
    use crate::pending::Pending;

    fn queue(count: usize) -> (SyncSender<Job>, Receiver<Job>) {
        let (sender, receiver) = sync_channel(GROUP_MAX * 2);
        for _ in 0..count {
            send(&sender);
        }
        (sender, receiver)
    }

    fn send(sender: &SyncSender<Job>) {
        let (answer, _pending) = Pending::new("journal");
        let bytes = Vec::new();
        sender.send(Job { bytes, answer }).unwrap();
    }

    fn gathered(jobs: &Receiver<Job>, last: usize) -> (usize, Duration) {
        let mut group = vec![jobs.recv().unwrap()];
        let begun = Instant::now();
        gather(&mut group, jobs, last);
        (group.len(), begun.elapsed())
    }

    #[test]
    fn a_single_reader_never_waits_for_others() {
        for last in [0, 1] {
            let (sender, jobs) = queue(0);
            let times = (0..20).map(|_| {
                send(&sender);
                gathered(&jobs, last).1
            });
            let least = times.min().unwrap();
            assert!(least < GATHER_TIME_MAX / 4, "{least:?}");
        }
    }

    #[test]
    fn after_a_group_of_several_the_next_waits_until_it_is_as_large_or_the_time_is_up() {
        let (_sender, jobs) = queue(1);
        let (count, time) = gathered(&jobs, 2);
        assert_eq!(count, 1);
        assert!(time >= GATHER_TIME_MAX, "{time:?}");
        // As large as the last one, and all that is queued: no waiting.
        let least = (0..20).map(|_| {
            let (_sender, jobs) = queue(7);
            let (count, time) = gathered(&jobs, 5);
            assert_eq!(count, 7);
            time
        });
        assert!(least.min().unwrap() < GATHER_TIME_MAX);
    }

    #[test]
    fn a_group_is_bounded() {
        let (_sender, jobs) = queue(GROUP_MAX + 10);
        assert_eq!(gathered(&jobs, GROUP_MAX).0, GROUP_MAX);
    }
}
