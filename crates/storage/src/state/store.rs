//! The handle of the state store, and what its threads share.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::watch;

use super::apply::{self, ApplyJob, EntryResult, StateEntry};
use super::checkpoint::{self, Checkpoint, CheckpointManifest, HashCache};
use super::core::{self, Core, Counters, Paths, Published, int_property};
use super::digest::{self, DigestBoard, DigestState};
use super::generation;
use super::inbox::Inbox;
use super::install::{Incoming, InstallError, VerifiedCheckpoint};
use super::readers::{Readers, ReadersBusy};
use super::schema::Family;
use super::upkeep::{self, UpkeepJob};
use super::view::{Applied, ReadView};
use crate::fault::{Fault, FaultCell, changed_or_fault};
use crate::log::LogStore;
use crate::metrics::StateMetrics;
use crate::options::{Shared, StoreOptions};
use crate::pending::Pending;
use crate::stores::OpenError;

/// Requests for flushes and checkpoints that may wait.
const UPKEEP_QUEUE: usize = 16;

/// The replicated state of a node. Cheap to clone; the last clone to go stops the threads, after what is queued and durable in the log is done.
#[derive(Clone)]
pub struct StateStore(Arc<Inner>);

struct Inner {
    core: Arc<Core>,
    apply_jobs: Mutex<Option<SyncSender<ApplyJob>>>,
    upkeep_jobs: Mutex<Option<SyncSender<UpkeepJob>>>,
    threads: Vec<JoinHandle<()>>,
    readers: Readers,
}

impl std::fmt::Debug for StateStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("StateStore")
            .field("applied", &self.applied())
            .finish_non_exhaustive()
    }
}

impl StateStore {
    /// Opens the generation that is in use and clears away what interrupted installations have left. `forming` allows to make the
    /// first generation.
    pub(crate) fn open(
        data_directory: &Path,
        options: &StoreOptions,
        shared: &Arc<Shared>,
        fault: FaultCell,
        log: LogStore,
        forming: bool,
    ) -> Result<Self, OpenError> {
        let io_error = |source| OpenError::Io {
            path: data_directory.to_owned(),
            source,
        };
        let paths = Paths {
            state: data_directory.join("state"),
            checkpoints: data_directory.join("checkpoints"),
            incoming: data_directory.join("incoming"),
        };
        for path in [&paths.state, &paths.checkpoints, &paths.incoming] {
            fs::create_dir_all(path).map_err(io_error)?;
        }
        let generation = core::open_current(&paths, options, shared, forming)?;
        let view = ReadView::of(Arc::clone(&generation))?;
        let (applied, membership) = view
            .applied()
            .and_then(|applied| Ok((applied, view.membership()?)))
            .map_err(|error| OpenError::Damaged(Fault::new("state", error.0)))?;
        drop(view);

        // After recovery: what an interrupted installation, transfer or checkpoint has left is of no use.
        generation::remove_others(&paths.state, generation.number).map_err(io_error)?;
        let inbox = Inbox::open(paths.incoming.clone()).map_err(io_error)?;
        let checkpoints = checkpoint::load(&paths.checkpoints, &fault).map_err(io_error)?;
        let mut hashes = HashCache::default();
        for checkpoint in &checkpoints {
            let manifest = checkpoint.manifest();
            if manifest.generation == generation.number {
                hashes.seed(generation.number, &manifest.files);
            }
        }

        let (digests, digest_jobs, digest_queue) = DigestBoard::new();
        let core = Arc::new(Core {
            paths,
            options: options.clone(),
            shared: Arc::clone(shared),
            log,
            fault,
            digests,
            counters: Counters::default(),
            closing: AtomicBool::new(false),
            current: RwLock::new(generation),
            applied_watch: watch::Sender::new(applied.map_or(0, |applied| applied.position.index)),
            // What was read at open is in files: nothing is in a memtable yet.
            published: Mutex::new(Published {
                applied,
                membership,
                durable: applied,
            }),
            checkpoints: Mutex::new(checkpoints),
            hashes: Mutex::new(hashes),
            inbox: Mutex::new(inbox),
            graveyard: Mutex::new(Vec::new()),
        });
        let (apply_sender, apply_queue) = sync_channel(options.apply_queue);
        let (upkeep_sender, upkeep_queue) = sync_channel(UPKEEP_QUEUE);
        let threads = [
            spawn("state-apply", {
                let core = Arc::clone(&core);
                move || apply::run(&core, &apply_queue, &digest_jobs)
            }),
            spawn("state-digest", {
                let core = Arc::clone(&core);
                move || digest::run(&core.digests, &digest_queue, &core.fault)
            }),
            spawn("state-upkeep", {
                let core = Arc::clone(&core);
                move || upkeep::run(&core, &upkeep_queue)
            }),
        ]
        .into_iter()
        .collect::<io::Result<Vec<_>>>()
        .map_err(io_error)?;
        Ok(Self(Arc::new(Inner {
            core,
            apply_jobs: Mutex::new(Some(apply_sender)),
            upkeep_jobs: Mutex::new(Some(upkeep_sender)),
            threads,
            readers: Readers::start().map_err(io_error)?,
        })))
    }

    /// Applies committed entries, in order and without gaps. Resolves with one result for each entry, once they are visible to readers.
    ///
    /// Consecutive entries share a write batch; each batch waits until the log is durable through its last entry. The call blocks
    /// while the queue is full ([`StoreOptions::apply_queue`]).
    ///
    /// # Errors
    /// The sticky fault: an entry out of order, a record that cannot be read, an IO error. The node must stop.
    pub fn apply(&self, entries: Vec<StateEntry>) -> Pending<Vec<EntryResult>> {
        let (answer, pending) = Pending::new("state");
        self.0.core.counters.queued.fetch_add(1, Ordering::Relaxed);
        send(&self.0.apply_jobs, ApplyJob::Apply { entries, answer });
        pending
    }

    /// The last applied entry's position and the replicated time; none if nothing was ever applied.
    #[must_use]
    pub fn applied(&self) -> Option<Applied> {
        self.0.core.applied()
    }

    /// The applied membership, in the bytes of the consensus crate; none if none was ever applied.
    #[must_use]
    pub fn membership(&self) -> Option<Bytes> {
        self.0.core.published().membership.clone()
    }

    /// The applied position that is known to survive a power loss. A lower bound: RocksDB may have flushed more.
    #[must_use]
    pub fn durable_applied(&self) -> Option<Applied> {
        self.0.core.published().durable
    }

    /// Resolves when the entry at `index` is applied, or with the fault that keeps it from being applied.
    ///
    /// # Errors
    /// The sticky fault.
    pub async fn reached(&self, index: u64) -> Result<(), Fault> {
        let core = &self.0.core;
        let mut watch = core.applied_watch.subscribe();
        loop {
            if *watch.borrow_and_update() >= index && core.applied().is_some() {
                return Ok(());
            }
            core.fault.check()?;
            changed_or_fault(&mut watch, &core.fault).await;
        }
    }

    /// One snapshot of the state, for all reads of a request or of a scan. While it lives, compaction keeps what it holds of every key that
    /// is written or deleted meanwhile, and the whole generation if a snapshot is installed: whoever keeps it longer than a request takes has
    /// a bound on how many and how long.
    ///
    /// # Errors
    /// The sticky fault.
    pub fn view(&self) -> Result<ReadView, Fault> {
        self.0.core.fault.check()?;
        ReadView::of(self.0.core.current())
    }

    /// Does a long read on a thread of its own, with a view that it brings along. Resolves with what it returns.
    ///
    /// # Errors
    /// [`ReadersBusy`] at once; a fault that is not sticky if the store was closed meanwhile.
    pub fn read_apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Pending<T>, ReadersBusy> {
        self.0.readers.read(work)
    }

    /// Makes what is applied durable, all families at once. Resolves with the position that is durable then.
    ///
    /// # Errors
    /// The sticky fault.
    pub fn flush(&self) -> Pending<Option<Applied>> {
        let (answer, pending) = Pending::new("state");
        send(&self.0.upkeep_jobs, UpkeepJob::Flush { answer });
        pending
    }

    /// Takes a checkpoint of what is applied (or returns the one at the same position) and forgets old ones.
    ///
    /// # Errors
    /// The sticky fault; a fault that is not sticky if nothing is applied yet.
    pub fn checkpoint(&self) -> Pending<Checkpoint> {
        let (answer, pending) = Pending::new("state");
        send(&self.0.upkeep_jobs, UpkeepJob::Checkpoint { answer });
        pending
    }

    /// The newest checkpoint on disk.
    #[must_use]
    pub fn newest_checkpoint(&self) -> Option<Checkpoint> {
        self.0.core.checkpoints().last().cloned()
    }

    /// Prepares to receive a checkpoint, or to go on where the same one broke off. What was received of any other one, and not installed,
    /// is removed. Blocks.
    ///
    /// # Errors
    /// A manifest that is refused, [`InstallError::Busy`], or an error of the system.
    pub fn begin_install(&self, manifest: CheckpointManifest) -> Result<Incoming, InstallError> {
        self.0.core.fault.check()?;
        Incoming::begin(&self.0.core, manifest)
    }

    /// Makes what was received the state, and resolves with the position that is applied and durable then. Readers of
    /// the old state finish undisturbed. A crash at any moment leaves the old or the new state, whole.
    ///
    /// # Errors
    /// [`InstallError`]: the old state stays, unless it is a fault.
    pub fn install(&self, verified: VerifiedCheckpoint) -> Pending<Applied, InstallError> {
        let (answer, pending) = Pending::new("state");
        self.0.core.counters.queued.fetch_add(1, Ordering::Relaxed);
        send(&self.0.apply_jobs, ApplyJob::Install { verified, answer });
        pending
    }

    /// This node's digest at the mark with log index `index`.
    #[must_use]
    pub fn digest(&self, index: u64) -> DigestState {
        let core = &self.0.core;
        // The position is read first: a mark that is applied in between is on the board then.
        let applied = core.applied().map_or(0, |applied| applied.position.index);
        match core.digests.get(index) {
            Some(state) => state,
            None if index > applied => DigestState::Pending,
            None => DigestState::Unknown(format!(
                "this node stands at {applied} and has not applied a digest mark at {index} since it started: \
                 it was restarted, has installed a snapshot, or there is no such mark among the last ones"
            )),
        }
    }

    /// The digest of the state as it is now, outside of any mark. Reads everything; blocks.
    ///
    /// # Errors
    /// The sticky fault.
    pub fn digest_now(&self) -> Result<([u8; 32], u64), Fault> {
        self.view()?
            .digest()
            .map_err(|error| self.0.core.fault.set(Fault::new("state", error.0)))
    }

    /// The state's figures.
    #[must_use]
    pub fn metrics(&self) -> StateMetrics {
        let core = &self.0.core;
        let generation = core.current();
        let sum = |property: &str| {
            Family::ALL
                .into_iter()
                .filter_map(|family| generation.family(family).ok())
                .map(|family| int_property(&generation.db, Some(family), property))
                .sum()
        };
        StateMetrics {
            groups: core.counters.groups.load(Ordering::Relaxed),
            commands: core.counters.commands.load(Ordering::Relaxed),
            decide: core.counters.decide.read(),
            log_wait: core.counters.log_wait.read(),
            write: core.counters.write.read(),
            flush: core.counters.flush.read(),
            queued: core.counters.queued.load(Ordering::Relaxed),
            memtable_bytes: sum("rocksdb.cur-size-all-mem-tables"),
            sst_bytes: sum("rocksdb.total-sst-files-size"),
            durable_applied: core
                .published()
                .durable
                .map_or(0, |applied| applied.position.index),
        }
    }

    /// Whether the rules are off that openraft's store suite breaks.
    pub(crate) fn relaxed(&self) -> bool {
        self.0.core.options.conformance
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.core.closing.store(true, Ordering::SeqCst);
        self.core.log.durable().wake();
        self.apply_jobs
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        self.upkeep_jobs
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        for thread in self.threads.drain(..) {
            if thread.thread().id() != std::thread::current().id() {
                // A panic of the thread has been reported by the thread.
                let _ = thread.join();
            }
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
}

/// Queues a job. If the thread is gone the job's answer goes with it, and its future says so.
fn send<T>(jobs: &Mutex<Option<SyncSender<T>>>, job: T) {
    let sender = jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(sender) = sender {
        let _ = sender.send(job);
    }
}
