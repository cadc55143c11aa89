//! A machine's disk, simulated: it keeps its order, forgets at a power cut what was not synced, tears the last write, stalls, fills up, and
//! flips bits.
//!
//! Log and state stand in one model, so that the order in which they become durable is what production has: the log is synced in groups by one task;
//! the state enters memory once the log is durable, and becomes durable group by group whenever RocksDB feels like it, or at a checkpoint.
//! What decides (views, keys, codec, groups, the bound of purges) is the storage crate's own code.

mod image;
mod log;
mod process;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use banyan_domain::seeded_bugs::{SeededBug, planted};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use self::log::Log;
pub use self::{
    image::{Group, Image, Memory},
    log::LogImage,
    process::Disk,
};
use super::runtime::now;

/// How many of the first writes survive that were not synced: as often all or none as anything between, for those are the cases that hurt.
fn part(rng: &mut impl Rng, count: usize) -> usize {
    match rng.random_range(0..4) {
        0 => 0,
        1 => count,
        _ => rng.random_range(0..=count),
    }
}

/// How fast a disk is.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// A sync, or a write of the state, takes from ... to ... microseconds.
    pub micros: (u64, u64),
    /// One sync in so many takes a hundred times as long.
    pub stall_one_in: u32,
}

/// What a machine keeps when its process ends, and what its disk does.
pub struct Machine {
    node: u64,
    inner: Mutex<Inner>,
}

struct Inner {
    log: Log,
    /// What readers of the state see.
    current: Image,
    /// What a power cut leaves of it at least.
    flushed: Image,
    /// What was written since: any first part of it may survive.
    pending: Vec<Group>,
    checkpoints: Vec<Image>,
    rng: ChaCha8Rng,
    speed: Speed,
    /// Nothing is written before this moment.
    stalled_until: Duration,
    full: bool,
    damaged: Option<String>,
    /// Since when the log is in one write.
    busy_since: Option<Duration>,
    /// After so many more syncs the power goes.
    armed: Option<u32>,
    /// Where the newest snapshot that was installed stands.
    installed: u64,
    /// The disk was lost: there is nothing that could be started.
    lost: bool,
    /// A read or a write of the process failed: it writes nothing more.
    failed: bool,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// What a power cut took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cut {
    /// Writes of the log that were lost.
    pub log_writes: usize,
    /// Whether the last write that survived did so in part.
    pub torn: bool,
    /// Groups of the state that were lost.
    pub groups: usize,
}

impl Machine {
    /// An empty one. Its disk draws from a seed of its own.
    pub fn new(node: u64, seed: u64, speed: Speed) -> Arc<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(0x0d15_0000 + node);
        Arc::new(Self {
            node,
            inner: Mutex::new(Inner {
                log: Log::default(),
                current: Image::default(),
                flushed: Image::default(),
                pending: Vec::new(),
                checkpoints: Vec::new(),
                rng,
                speed,
                stalled_until: Duration::ZERO,
                full: false,
                damaged: None,
                busy_since: None,
                armed: None,
                installed: 0,
                lost: false,
                failed: false,
            }),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose disk it is.
    pub fn node(&self) -> u64 {
        self.node
    }

    /// The power goes, with the process: call it after the process's tasks are gone.
    pub fn cut(&self) -> Cut {
        let mut inner = self.inner();
        let inner = &mut *inner;
        let (log_writes, torn) = inner.log.cut(&mut inner.rng);
        let kept = part(&mut inner.rng, inner.pending.len());
        for group in inner.pending.iter().take(kept) {
            inner.flushed.write(group);
        }
        let groups = inner.pending.len() - kept;
        inner.pending.clear();
        inner.current = inner.flushed.clone();
        if planted(SeededBug::PurgePastFlush) {
            // What this bug calls a checkpoint was never flushed.
            inner.checkpoints.clear();
        }
        inner.busy_since = None;
        inner.armed = None;
        Cut {
            log_writes,
            torn,
            groups,
        }
    }

    /// The process ends and the machine goes on: the system writes everything in its own time.
    pub fn process_killed(&self) {
        let mut inner = self.inner();
        let inner = &mut *inner;
        // What the process had queued and not handed to the system is gone, of the log's writes perhaps all of it.
        inner.log.cut(&mut inner.rng);
        // RocksDB's memtables are the process's own.
        let kept = part(&mut inner.rng, inner.pending.len());
        for group in inner.pending.drain(..).take(kept) {
            inner.flushed.write(&group);
        }
        inner.current = inner.flushed.clone();
        if planted(SeededBug::PurgePastFlush) {
            inner.checkpoints.clear();
        }
        inner.busy_since = None;
        inner.armed = None;
    }

    /// Nothing is written for so long from now on.
    pub fn stall(&self, time: Duration) {
        self.inner().stalled_until = now() + time;
    }

    /// From now on every write fails, or none does.
    pub fn set_full(&self, full: bool) {
        self.inner().full = full;
    }

    /// The power goes at the `syncs`-th sync from now on, or does not; see [`Disk::power_cut`].
    pub fn arm(&self, syncs: Option<u32>) {
        self.inner().armed = syncs;
    }

    /// Flips a bit of what is stored: of the log if `log`, else of the state. The process must be gone. False if there is nothing.
    pub fn flip(&self, log: bool, place: usize) -> bool {
        let mut inner = self.inner();
        if log {
            let count = inner.log.durable.entries.len();
            if count == 0 {
                return false;
            }
            let index = inner.log.durable.entries.keys().nth(place % count).copied();
            inner.damaged = Some(format!("entry {index:?} does not match its checksum"));
            true
        } else {
            let flipped = inner.flushed.flip(place);
            inner.current = inner.flushed.clone();
            flipped
        }
    }

    /// The disk is lost, and an empty one in its place.
    pub fn wipe(&self) {
        let mut inner = self.inner();
        inner.lost = true;
        inner.log = Log::default();
        inner.current = Image::default();
        inner.flushed = Image::default();
        inner.pending.clear();
        inner.checkpoints.clear();
        inner.damaged = None;
        inner.installed = 0;
        inner.full = false;
        inner.busy_since = None;
    }

    /// What a power cut would leave of the log at least.
    pub fn durable_log<T>(&self, read: impl FnOnce(&LogImage) -> T) -> T {
        read(&self.inner().log.durable)
    }

    /// Whether the disk was lost: a node refuses to begin with an empty one under a number that was used.
    pub fn is_lost(&self) -> bool {
        self.inner().lost && !planted(SeededBug::WipedVoterReturns)
    }

    /// Index through which an installed snapshot holds what the log need not.
    pub fn installed(&self) -> u64 {
        self.inner().installed
    }

    /// The log as readers see it.
    pub fn log<T>(&self, read: impl FnOnce(&LogImage) -> T) -> T {
        read(&self.inner().log.view)
    }

    /// The state as readers see it.
    pub fn state(&self) -> Image {
        self.inner().current.clone()
    }
}
