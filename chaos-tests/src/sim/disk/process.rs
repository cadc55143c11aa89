//! The disk as a running process has it: what writes, and what consensus asks of it.

use std::{
    io,
    ops::Range,
    sync::{Arc, MutexGuard},
    time::Duration,
};

use banyan_consensus::{LogDisk, StateDisk};
use banyan_domain::{
    Position,
    seeded_bugs::{SeededBug, planted},
};
use banyan_storage::{
    Applied, EntryResult, Fault, GroupBounds, InstallError, LogBounds, LogDone, LogRecord,
    StateEntry, decide, purge_allowed,
};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use openraft_rt::AsyncRuntime as _;
use rand::Rng as _;
use tokio::sync::{Notify, mpsc, oneshot};

use super::{Group, Image, Inner, Machine, log::Work};
use crate::sim::{
    node::ballot,
    observer::Observer,
    runtime::{Simulated, now},
};

/// Jobs that one sync covers at most.
const GROUP_JOBS_MAX: usize = 64;
/// Checkpoints that a machine keeps.
const CHECKPOINTS_KEPT: usize = 2;

enum StateJob {
    Apply {
        entries: Vec<StateEntry>,
        answer: oneshot::Sender<Result<Vec<EntryResult>, io::Error>>,
    },
    Install {
        image: Image,
        answer: oneshot::Sender<Result<Applied, InstallError>>,
    },
}

struct Process {
    machine: Arc<Machine>,
    observer: Observer,
    bounds: GroupBounds,
    queued: Notify,
    synced: Notify,
    power: Notify,
    jobs: mpsc::UnboundedSender<StateJob>,
}

/// The disk of a running process. Cheap to clone.
#[derive(Clone)]
pub struct Disk(Arc<Process>);

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.machine.fmt(f)
    }
}

impl Disk {
    /// Opens what the machine holds, and starts the tasks that write. For the host of the process.
    ///
    /// # Errors
    /// What is stored is damaged: the process must not start.
    pub fn open(
        machine: &Arc<Machine>,
        observer: Observer,
        bounds: GroupBounds,
    ) -> Result<Self, String> {
        {
            let inner = machine.inner();
            if let Some(damage) = &inner.damaged {
                return Err(damage.clone());
            }
            if !inner.log.durable.gapless() {
                return Err("the log has a hole".to_owned());
            }
        }
        machine.inner().failed = false;
        let (jobs, queue) = mpsc::unbounded_channel();
        let disk = Self(Arc::new(Process {
            machine: Arc::clone(machine),
            observer,
            bounds,
            queued: Notify::new(),
            synced: Notify::new(),
            power: Notify::new(),
            jobs,
        }));
        drop(Simulated::spawn(flush(disk.clone())));
        drop(Simulated::spawn(write_state(disk.clone(), queue)));
        Ok(disk)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.machine.inner()
    }

    /// The state as readers see it now.
    pub fn image(&self) -> Image {
        self.inner().current.clone()
    }

    /// How long the log has been in one write.
    pub fn busy_for(&self) -> Duration {
        let since = self.inner().busy_since;
        since.map_or(Duration::ZERO, |since| now().saturating_sub(since))
    }

    /// Resolves after the first fault: the process must stop, as `banyand` does, whether or not anybody waited for what failed.
    pub async fn failed(&self) {
        while !self.inner().failed {
            self.0.synced.notified().await;
        }
    }

    /// Resolves when an armed power cut is due: whoever waits must cut the power.
    pub async fn power_cut(&self) {
        self.0.power.notified().await;
    }

    /// Takes as long as the disk takes, and fails if it is full.
    async fn work(&self) -> io::Result<()> {
        let takes = {
            let mut inner = self.inner();
            let inner = &mut *inner;
            let (least, most) = inner.speed.micros;
            let micros = inner.rng.random_range(least..=most);
            let stalls = inner.rng.random_ratio(1, inner.speed.stall_one_in);
            Duration::from_micros(if stalls { 100 * micros } else { micros })
        };
        Simulated::sleep(takes).await;
        loop {
            let until = self.inner().stalled_until;
            if now() >= until {
                break;
            }
            self.0.observer.sometimes("a disk stalled");
            Simulated::sleep(until.saturating_sub(now())).await;
        }
        if self.inner().full {
            self.0.observer.sometimes("a full disk stopped a node");
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }

    /// Refuses after a fault: as in the stores, the first one of log or state ends all work on both.
    fn check(&self) -> io::Result<()> {
        if self.inner().failed {
            return Err(io::Error::other("the disk of this process has failed"));
        }
        Ok(())
    }

    /// A fault: nothing is written any more, and whoever waits for the log learns that.
    fn fail(&self) {
        self.inner().failed = true;
        self.0.synced.notify_waiters();
    }

    fn submit(&self, work: Work, done: Option<LogDone>) -> io::Result<()> {
        self.check()?;
        self.inner().log.submit(work, done);
        self.0.queued.notify_one();
        Ok(())
    }

    /// Applies what a job holds, group by group.
    async fn apply(&self, entries: &[StateEntry]) -> io::Result<Vec<EntryResult>> {
        let mut results = Vec::with_capacity(entries.len());
        let mut rest = entries;
        while !rest.is_empty() {
            self.check()?;
            let decided = {
                let (image, applied) = {
                    let inner = self.inner();
                    (inner.current.clone(), inner.current.applied)
                };
                decide(&image.view(), applied, rest, &self.0.bounds)?
            };
            let Some(applied) = decided.applied else {
                break;
            };
            let group = Group::of(decided.changes, decided.applied, decided.membership);
            self.log_durable_through(applied.position.index).await?;
            self.work().await?;
            let (taken, after) = rest.split_at(decided.results.len());
            let image = {
                let mut inner = self.inner();
                inner.current.write(&group);
                inner.pending.extend(group.split());
                inner.current.clone()
            };
            self.0
                .observer
                .applied(self.0.machine.node, taken, &decided.results, &image);
            results.extend(decided.results);
            rest = after;
        }
        Ok(results)
    }

    /// The state is never more durable than the log.
    async fn log_durable_through(&self, index: u64) -> io::Result<()> {
        let mut waited = false;
        while !self.inner().log.is_durable(index) && !planted(SeededBug::ApplyAheadOfLog) {
            self.check()?;
            waited = true;
            self.0.synced.notified().await;
        }
        if waited {
            self.0
                .observer
                .sometimes("an entry was committed before it was durable here");
        }
        Ok(())
    }

    async fn install(&self, image: Image) -> Result<Applied, InstallError> {
        let fault = |error: io::Error| InstallError::Fault(Fault::new("state", error.to_string()));
        self.check().map_err(fault)?;
        let applied = self.inner().current.index();
        if applied > image.index() {
            return Err(InstallError::Older {
                offered: image.index(),
                applied,
            });
        }
        // The state must not get ahead of what this node has promised in its log.
        let (done, synced) = oneshot::channel();
        let done: LogDone = Box::new(move |result| drop(done.send(result)));
        self.submit(Work::Barrier, Some(done)).map_err(fault)?;
        match synced.await {
            Ok(result) => result.map_err(fault)?,
            Err(_) => return Err(fault(io::Error::other("the log has stopped"))),
        }
        // Moved and opened; then the pointer is switched, at one moment.
        self.work().await.map_err(fault)?;
        self.work().await.map_err(fault)?;
        let Some(applied) = image.applied else {
            return Err(fault(io::Error::other("a snapshot of nothing")));
        };
        {
            let mut inner = self.inner();
            inner.current = image.clone();
            inner.flushed = image.clone();
            inner.pending.clear();
            inner.installed = image.index();
        }
        self.0.observer.installed(self.0.machine.node, &image);
        Ok(applied)
    }
}

/// The one task that syncs the log: takes what is queued, writes it, answers in order.
async fn flush(disk: Disk) {
    loop {
        disk.0.queued.notified().await;
        loop {
            let count = {
                let mut inner = disk.inner();
                let count = inner.log.queue.len().min(GROUP_JOBS_MAX);
                if count > 0 {
                    inner.busy_since = Some(now());
                    if let Some(syncs) = &mut inner.armed {
                        *syncs = syncs.saturating_sub(1);
                        if *syncs == 0 {
                            inner.armed = None;
                            disk.0.power.notify_one();
                        }
                    }
                }
                count
            };
            if count == 0 {
                break;
            }
            let result = match disk.check() {
                Ok(()) => disk.work().await,
                failed => failed,
            };
            let mut done = Vec::new();
            {
                let mut inner = disk.inner();
                inner.busy_since = None;
                for _ in 0..count {
                    let Some(job) = inner.log.queue.pop_front() else {
                        break;
                    };
                    if result.is_ok() {
                        inner.log.durable.carry_out(&job.work);
                    }
                    done.extend(job.done);
                }
            }
            let failed = result.err();
            let last = disk.inner().log.durable.last().unwrap_or(0);
            let synced = [disk.0.machine.node, last, u64::from(failed.is_none())];
            disk.0.observer.event("sync", &synced);
            for done in done {
                done(match &failed {
                    None => Ok(()),
                    Some(error) => Err(io::Error::from(error.kind())),
                });
            }
            disk.0.synced.notify_waiters();
            if failed.is_some() {
                // What is queued included.
                disk.inner().log.queue.clear();
                disk.fail();
                return;
            }
        }
    }
}

/// The one task that changes the state.
async fn write_state(disk: Disk, mut jobs: mpsc::UnboundedReceiver<StateJob>) {
    while let Some(job) = jobs.recv().await {
        match job {
            StateJob::Apply { entries, answer } => {
                let result = disk.apply(&entries).await;
                if result.is_err() {
                    disk.fail();
                }
                // Whoever asked may have stopped waiting.
                let _ = answer.send(result);
            }
            StateJob::Install { image, answer } => {
                let result = disk.install(image).await;
                if matches!(result, Err(InstallError::Fault(_))) {
                    disk.fail();
                }
                let _ = answer.send(result);
            }
        }
    }
}

impl LogDisk for Disk {
    fn bounds(&self) -> LogBounds {
        self.inner().log.view.bounds()
    }

    fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<LogRecord>> {
        let read = self.inner().log.read(range, bytes_max);
        if read.is_err() {
            self.fail();
        }
        read
    }

    fn append(&self, records: Vec<LogRecord>, done: LogDone) -> io::Result<()> {
        self.check()?;
        self.inner().log.check_follows(&records)?;
        self.0.observer.appended(self.0.machine.node, &records);
        self.submit(Work::Append(records), Some(done))
    }

    fn save_vote(&self, vote: Bytes, done: LogDone) -> io::Result<()> {
        let (term, node, _) = ballot(Some(&vote));
        self.0
            .observer
            .event("vote", &[self.0.machine.node, term, node]);
        self.submit(Work::Vote(vote), Some(done))
    }

    fn read_vote(&self) -> Option<Bytes> {
        self.inner().log.view.vote.clone()
    }

    fn save_committed(&self, committed: Bytes) -> io::Result<()> {
        self.submit(Work::Committed(committed), None)
    }

    fn read_committed(&self) -> Option<Bytes> {
        self.inner().log.view.committed.clone()
    }

    fn truncate_after(&self, index: Option<u64>, done: LogDone) -> io::Result<()> {
        self.0.observer.sometimes("a log was truncated");
        self.submit(Work::Truncate(index), Some(done))
    }

    fn purge(&self, index: u64, marker: Bytes, done: LogDone) -> io::Result<()> {
        let durable = self.inner().flushed.applied;
        purge_allowed(durable.map(|applied| applied.position.index), index)?;
        self.0.observer.sometimes("a log was purged");
        self.submit(Work::Purge(index, marker), Some(done))
    }
}

impl StateDisk for Disk {
    type Checkpoint = Image;
    type Received = Image;

    fn apply(
        &self,
        entries: Vec<StateEntry>,
    ) -> BoxFuture<'static, Result<Vec<EntryResult>, io::Error>> {
        let (answer, answered) = oneshot::channel();
        // Queued by the call itself, in the order of the calls.
        let _ = self.0.jobs.send(StateJob::Apply { entries, answer });
        async move {
            answered
                .await
                .unwrap_or_else(|_| Err(io::Error::other("the state has stopped")))
        }
        .boxed()
    }

    fn applied(&self) -> Option<Applied> {
        self.inner().current.applied
    }

    fn membership(&self) -> Option<Bytes> {
        self.inner().current.membership.clone()
    }

    fn checkpoint(&self) -> BoxFuture<'static, Result<Image, io::Error>> {
        let disk = self.clone();
        async move {
            disk.check()?;
            disk.work().await.inspect_err(|_| disk.fail())?;
            let mut inner = disk.inner();
            let image = inner.current.clone();
            if image.is_damaged() {
                drop(inner);
                disk.fail();
                return Err(io::Error::other("a file of the state fails its checksum"));
            }
            if image.applied.is_none() {
                return Err(io::Error::other("nothing is applied yet"));
            }
            if !planted(SeededBug::PurgePastFlush) {
                inner.flushed = image.clone();
                inner.pending.clear();
            }
            // One for each position, as there is one directory for each.
            inner
                .checkpoints
                .retain(|kept| kept.index() != image.index());
            inner.checkpoints.push(image.clone());
            let surplus = inner.checkpoints.len().saturating_sub(CHECKPOINTS_KEPT);
            inner.checkpoints.drain(..surplus);
            drop(inner);
            disk.0.observer.sometimes("a checkpoint was taken");
            Ok(image)
        }
        .boxed()
    }

    fn newest_checkpoint(&self) -> Option<Image> {
        self.inner().checkpoints.last().cloned()
    }

    fn position_of(checkpoint: &Image) -> Position {
        checkpoint
            .applied
            .map(|applied| applied.position)
            .unwrap_or_default()
    }

    fn membership_of(checkpoint: &Image) -> Bytes {
        checkpoint.membership.clone().unwrap_or_default()
    }

    fn receive(&self, checkpoint: Image) -> Result<Image, io::Error> {
        self.check()?;
        Ok(checkpoint)
    }

    fn install(&self, received: Image) -> BoxFuture<'static, Result<Applied, InstallError>> {
        let (answer, answered) = oneshot::channel();
        let image = received;
        let _ = self.0.jobs.send(StateJob::Install { image, answer });
        async move {
            answered
                .await
                .unwrap_or_else(|_| Err(InstallError::Fault(Fault::new("state", "it has stopped"))))
        }
        .boxed()
    }
}
