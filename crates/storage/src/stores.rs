//! The three stores of a data directory, opened and tied together.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::fault::{Fault, FaultCell};
use crate::identity::{self, Found, Identity, IdentityError};
use crate::journal::Journal;
use crate::log::{LogDone, LogStore};
use crate::metrics::Metrics;
use crate::options::StoreOptions;
use crate::state::StateStore;

/// Why a data directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It belongs to someone else, or has lost its identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Another process has it open.
    #[error("data directory {} is in use by another process", path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("data directory could not be prepared at {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// RocksDB refused.
    #[error("{store} database could not be opened")]
    Database {
        /// `log`, `state` or `journal`.
        store: &'static str,
        /// RocksDB's reason.
        #[source]
        source: rocksdb::Error,
    },
    /// Records that had been synced are gone: the log is damaged before its tail. The node must not vote with it.
    #[error(
        "log ends at write group {found}, but group {synced} had been synced: the log is damaged before its tail"
    )]
    RecordsLost {
        /// The newest group in the database.
        found: u64,
        /// The newest group known to be synced.
        synced: u64,
    },
    /// A stored value is damaged.
    #[error(transparent)]
    Damaged(#[from] Fault),
}

/// The stores of one node. Dropping it (and every clone of its parts, and every view) closes the databases; queued writes are done first.
#[derive(Debug)]
pub struct Stores {
    /// Log, vote and markers.
    pub log: LogStore,
    /// The replicated state.
    pub state: StateStore,
    /// Node-local records.
    pub journal: Journal,
    fault: FaultCell,
    /// Held open: closing it gives the directory up.
    lock: Arc<File>,
}

impl Clone for Stores {
    fn clone(&self) -> Self {
        Self {
            log: self.log.clone(),
            state: self.state.clone(),
            journal: self.journal.clone(),
            fault: self.fault.clone(),
            lock: Arc::clone(&self.lock),
        }
    }
}

impl Stores {
    /// Opens the data directory, or makes it if it does not exist or is empty. Blocks for as long as recovery takes (the log
    /// is read once).
    ///
    /// # Errors
    /// See [`OpenError`]: another cluster's, node's or format's directory, one in use, damaged records, or an IO error.
    pub fn open(
        directory: &Path,
        identity: &Identity,
        options: &StoreOptions,
    ) -> Result<Self, OpenError> {
        let io_error = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        std::fs::create_dir_all(directory).map_err(io_error(directory))?;
        let lock = lock(directory)?;
        let found = identity::begin(directory, identity)?;
        let shared = Arc::new(options.share().map_err(|source| OpenError::Database {
            store: "log",
            source,
        })?);
        let fault = FaultCell::default();
        let log = LogStore::open(&directory.join("log"), options, &shared, fault.clone())?;
        let state = StateStore::open(
            directory,
            options,
            &shared,
            fault.clone(),
            log.clone(),
            found == Found::Forming,
        )?;
        let journal = Journal::open(&directory.join("journal"), options, &shared, fault.clone())?;
        if found == Found::Forming {
            crate::files::sync_directory(directory).map_err(io_error(directory))?;
            identity::complete(directory, identity)?;
        }
        Ok(Self {
            log,
            state,
            journal,
            fault,
            lock: Arc::new(lock),
        })
    }

    /// Forgets the log through `index`, and stores `marker` beside; `done` runs when that is durable.
    ///
    /// # Errors
    /// `InvalidInput` if the state is not known to be durable through `index` ([`StateStore::flush`] first): entries that a crash
    /// would need again must stay. The sticky fault. `done` does not run on error.
    pub fn purge_log(&self, index: u64, marker: Bytes, done: LogDone) -> io::Result<()> {
        let durable = self
            .state
            .durable_applied()
            .map(|applied| applied.position.index);
        if !self.state.relaxed() && durable.is_none_or(|durable| durable < index) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "log purge through {index} refused: the state is durable through {durable:?}"
                ),
            ));
        }
        self.log.purge(index, marker, done)
    }

    /// The sticky fault of the directory: the node waits on [`FaultCell::occurred`] and stops.
    #[must_use]
    pub fn fault(&self) -> FaultCell {
        self.fault.clone()
    }

    /// The figures of all three stores.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics {
            log: self.log.metrics(),
            state: self.state.metrics(),
            journal: self.journal.metrics(),
        }
    }
}

/// Takes the directory for this process. RocksDB has locks of its own; this one covers what lies beside its databases.
fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join("lock");
    let io_error = |source| OpenError::Io {
        path: path.clone(),
        source,
    };
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(io_error)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked {
            path: directory.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(io_error(source)),
    }
}
