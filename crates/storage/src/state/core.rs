//! What the handle and the threads of the state store share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use rocksdb::{ColumnFamily, DB};
use tokio::sync::watch;

use super::checkpoint::{Checkpoint, CheckpointFile, HashCache};
use super::digest::DigestBoard;
use super::generation::{self, Generation};
use super::inbox::Inbox;
use super::schema::Family;
use super::view::Applied;
use crate::fault::{Fault, FaultCell};
use crate::files;
use crate::log::LogStore;
use crate::metrics::LatencyCounter;
use crate::options::{Shared, StoreOptions};
use crate::stores::OpenError;

/// The directories of the state store.
#[derive(Debug)]
pub(super) struct Paths {
    pub(super) state: PathBuf,
    pub(super) checkpoints: PathBuf,
    pub(super) incoming: PathBuf,
}

/// What the handle and the threads share.
pub(super) struct Core {
    pub(super) paths: Paths,
    pub(super) options: StoreOptions,
    pub(super) shared: Arc<Shared>,
    pub(super) log: LogStore,
    pub(super) fault: FaultCell,
    pub(super) digests: Arc<DigestBoard>,
    pub(super) counters: Counters,
    /// Set when the last handle goes: nobody waits for the log any more.
    pub(super) closing: AtomicBool,
    pub(super) current: RwLock<Arc<Generation>>,
    pub(super) published: Mutex<Published>,
    pub(super) applied_watch: watch::Sender<u64>,
    pub(super) checkpoints: Mutex<Vec<Checkpoint>>,
    pub(super) hashes: Mutex<HashCache>,
    pub(super) inbox: Mutex<Inbox>,
    /// Generations that were replaced, until their last reader is gone.
    pub(super) graveyard: Mutex<Vec<Arc<Generation>>>,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) groups: AtomicU64,
    pub(super) commands: AtomicU64,
    pub(super) queued: AtomicU64,
    pub(super) decide: LatencyCounter,
    pub(super) log_wait: LatencyCounter,
    pub(super) write: LatencyCounter,
    pub(super) flush: LatencyCounter,
}

/// What is known about the state without reading it.
#[derive(Clone, Debug, Default)]
pub(super) struct Published {
    pub(super) applied: Option<Applied>,
    pub(super) membership: Option<Bytes>,
    pub(super) durable: Option<Applied>,
}

impl Core {
    /// The generation in use.
    pub(super) fn current(&self) -> Arc<Generation> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn applied(&self) -> Option<Applied> {
        self.published().applied
    }

    /// Tells readers what has been applied.
    pub(super) fn publish(&self, applied: Applied, membership: Option<Bytes>) {
        {
            let mut published = self.published();
            published.applied = Some(applied);
            if membership.is_some() {
                published.membership = membership;
            }
        }
        self.applied_watch.send_replace(applied.position.index);
    }

    /// Remembers that the state is durable through `applied`: a checkpoint of the generation in use was found to stand there, and
    /// RocksDB makes one only from files, after a flush of its own that may take more than [`flush`](Self::flush) took.
    pub(super) fn found_durable(&self, applied: Applied) {
        let mut published = self.published();
        published.durable = published.durable.max(Some(applied));
    }

    /// Flushes all families at once and remembers how far the state is durable.
    pub(super) fn flush(&self) -> Result<Option<Applied>, Fault> {
        self.fault.check()?;
        // The position first. If a snapshot is installed in between, the new generation is flushed, which holds at least this position; the
        // other way round the old one would be flushed and a position called durable that only the new one's memory may hold.
        let applied = self.applied();
        let generation = self.current();
        if self.published().durable == applied {
            return Ok(applied);
        }
        let started = std::time::Instant::now();
        let families = Family::ALL
            .into_iter()
            .map(|family| generation.family(family))
            .collect::<Result<Vec<_>, Fault>>()?;
        generation
            .db
            .flush_cfs_opt(&families, &rocksdb::FlushOptions::default())
            .map_err(|error| {
                self.fault
                    .set(Fault::new("state", format!("flush: {error}")))
            })?;
        self.counters.flush.add(started.elapsed());
        let mut published = self.published();
        published.durable = published.durable.max(applied);
        Ok(published.durable)
    }

    /// Puts a new generation in the place of the old one, whose readers finish undisturbed.
    pub(super) fn replace(
        &self,
        generation: Arc<Generation>,
        applied: Applied,
        membership: Option<Bytes>,
        files: &[CheckpointFile],
    ) {
        self.hashes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .seed(generation.number, files);
        let old = {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, generation)
        };
        self.graveyard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(old);
        *self.published() = Published {
            applied: Some(applied),
            membership,
            durable: Some(applied),
        };
        self.applied_watch.send_replace(applied.position.index);
    }

    /// Closes and removes replaced generations that nobody reads any more.
    pub(super) fn bury(&self) {
        let unread: Vec<_> = {
            let mut graveyard = self
                .graveyard
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            graveyard
                .extract_if(.., |generation| Arc::strong_count(generation) == 1)
                .collect()
        };
        for generation in unread {
            let directory = generation.directory.clone();
            drop(generation);
            if let Err(error) = files::remove_directory(&directory) {
                tracing::warn!(%error, directory = %directory.display(), "old generation of the state could not be removed");
            }
        }
    }

    /// Removes what was received and never installed, once the state has come as far without it.
    pub(super) fn clear_inbox(&self) {
        let Some(applied) = self.applied() else {
            return;
        };
        if let Err(error) = self.inbox().clear(applied.position.index) {
            tracing::warn!(%error, "a received checkpoint that is of no use any more could not be removed");
        }
    }

    pub(super) fn checkpoint_at(&self, index: u64) -> Option<Checkpoint> {
        self.checkpoints()
            .iter()
            .find(|checkpoint| checkpoint.manifest().index == index)
            .cloned()
    }

    /// Adds a checkpoint and removes the oldest that are beyond the number to keep and that nobody holds.
    pub(super) fn keep(&self, checkpoint: &Checkpoint) {
        let index = checkpoint.manifest().index;
        let mut checkpoints = self.checkpoints();
        if !checkpoints
            .iter()
            .any(|kept| kept.manifest().index == index)
        {
            checkpoints.push(checkpoint.clone());
            checkpoints.sort_by_key(|kept| kept.manifest().index);
        }
        let surplus = checkpoints
            .len()
            .saturating_sub(self.options.checkpoints_kept.max(1));
        let mut position = 0;
        checkpoints.retain(|kept| {
            position += 1;
            let stays = position > surplus || kept.is_pinned();
            if !stays && let Err(error) = files::remove_directory(kept.directory()) {
                tracing::warn!(%error, "old checkpoint could not be removed");
            }
            stays
        });
    }

    pub(super) fn checkpoints(&self) -> MutexGuard<'_, Vec<Checkpoint>> {
        self.checkpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn published(&self) -> MutexGuard<'_, Published> {
        self.published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// An integer property of RocksDB; zero if it has none.
pub(crate) fn int_property(db: &DB, family: Option<&ColumnFamily>, property: &str) -> u64 {
    let value = match family {
        None => db.property_int_value(property),
        Some(family) => db.property_int_value_cf(family, property),
    };
    value.ok().flatten().unwrap_or(0)
}

/// Opens the generation that the pointer names; makes the first one in a new data directory.
pub(super) fn open_current(
    paths: &Paths,
    options: &StoreOptions,
    shared: &Shared,
    forming: bool,
) -> Result<Arc<Generation>, OpenError> {
    let io_error = |source| OpenError::Io {
        path: paths.state.clone(),
        source,
    };
    let database_error = |source| OpenError::Database {
        store: "state",
        source,
    };
    let number = match generation::read_pointer(&paths.state)? {
        Some(number) => number,
        None if forming => 1,
        None => {
            return Err(OpenError::Damaged(Fault::new(
                "state",
                "CURRENT is missing: the state is lost",
            )));
        }
    };
    if !forming
        && !generation::generation_directory(&paths.state, number)
            .join("CURRENT")
            .exists()
    {
        return Err(OpenError::Damaged(Fault::new(
            "state",
            format!("generation {number} is missing"),
        )));
    }
    let generation =
        Generation::open(&paths.state, number, options, shared).map_err(database_error)?;
    if forming {
        files::sync_directory(&paths.state).map_err(io_error)?;
        generation::write_pointer(&paths.state, number).map_err(io_error)?;
    }
    Ok(Arc::new(generation))
}
