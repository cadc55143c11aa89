//! The three stores of a data directory, opened and tied together.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use banyan_domain::seeded_bugs::{SeededBug, planted};
use bytes::Bytes;

use crate::damage;
use crate::fault::{Fault, FaultCell};
use crate::identity::{self, FirstStart, Found, Identity, IdentityError};
use crate::journal::Journal;
use crate::lock::{Closed, Hold};
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
    /// The directory has its identity but not its log. Votes and entries that this node has promised are lost with it: the node must not
    /// start with an empty one in its place.
    #[error("the log of a formed data directory is gone: {} is missing or empty", path.display())]
    LogGone {
        /// What was looked for.
        path: PathBuf,
    },
    /// The directory has its identity but not its journal. The access records in it are kept by law: the node must not number them anew.
    #[error("the journal of a formed data directory is gone: {} is missing", path.display())]
    JournalGone {
        /// What was looked for.
        path: PathBuf,
    },
    /// Access records that had been synced are gone: the journal is damaged before its tail, or an older copy lies in its place.
    #[error(
        "journal ends at access record {found}, but record {synced} had been synced: the journal is damaged before its tail"
    )]
    AccessRecordsLost {
        /// The newest record that the journal knows of; zero: none.
        found: u64,
        /// The newest record known to be synced.
        synced: u64,
    },
    /// Stored content was found damaged while a node ran on the directory.
    #[error("data directory {} was found damaged: {what}", path.display())]
    FoundDamaged {
        /// The data directory.
        path: PathBuf,
        /// What was found then.
        what: String,
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
    /// Which incarnation of the cluster this is: counts recoveries after a lost quorum, from 1. Positions of two incarnations are not of
    /// one history.
    pub incarnation: u64,
    fault: FaultCell,
    hold: Hold,
}

impl Clone for Stores {
    fn clone(&self) -> Self {
        Self {
            log: self.log.clone(),
            state: self.state.clone(),
            journal: self.journal.clone(),
            incarnation: self.incarnation,
            fault: self.fault.clone(),
            hold: self.hold.clone(),
        }
    }
}

impl Stores {
    /// Opens the data directory, or makes it where `first_start` permits it and it does not exist or is empty. Blocks for as long as
    /// recovery takes (the log is read once).
    ///
    /// # Errors
    /// See [`OpenError`]: a directory without identity that may not be formed, another cluster's, node's or format's directory, one in use,
    /// a log or a journal that is gone, damaged records, one that was found damaged before, or an IO error.
    pub fn open(
        directory: &Path,
        identity: &Identity,
        first_start: FirstStart,
        options: &StoreOptions,
    ) -> Result<Self, OpenError> {
        let io_error = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        match first_start {
            FirstStart::Permitted => {
                crate::files::create_directory(directory).map_err(io_error(directory))?;
            }
            FirstStart::Refused if directory.try_exists().map_err(io_error(directory))? => {}
            FirstStart::Refused => {
                let path = directory.to_owned();
                return Err(IdentityError::NotFormed { path }.into());
            }
        }
        let hold = Hold::take(directory)?;
        let found = identity::begin(directory, identity, first_start)?;
        if let Some(what) = damage::found(directory).map_err(io_error(directory))? {
            let path = directory.to_owned();
            return Err(OpenError::FoundDamaged { path, what });
        }
        let forming = found == Found::Forming;
        let shared =
            Arc::new(
                options
                    .share(hold.clone())
                    .map_err(|source| OpenError::Database {
                        store: "log",
                        source,
                    })?,
            );
        let fault = FaultCell::of(directory);
        let log = LogStore::open(
            &directory.join("log"),
            options,
            &shared,
            fault.clone(),
            forming,
        )?;
        let state = StateStore::open(
            directory,
            options,
            &shared,
            fault.clone(),
            log.clone(),
            forming,
        )?;
        let journal = Journal::open(
            &directory.join("journal"),
            options,
            &shared,
            fault.clone(),
            forming,
        )?;
        if forming {
            // A first synced group: an empty log can then be told from one that was emptied.
            first_group(&log).map_err(io_error(&directory.join("log")))?;
            crate::files::sync_directory(directory).map_err(io_error(directory))?;
            identity::complete(directory, identity)?;
        }
        Ok(Self {
            log,
            state,
            journal,
            incarnation: identity::incarnation(directory)?,
            fault,
            hold,
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
        if !self.state.relaxed() {
            purge_allowed(durable, index)?;
        }
        self.log.purge(index, marker, done)
    }

    /// The sticky fault of the directory: the node waits on [`FaultCell::occurred`] and stops.
    #[must_use]
    pub fn fault(&self) -> FaultCell {
        self.fault.clone()
    }

    /// What to wait on, after the last handle of all stores was dropped, before the process ends or the directory is opened again.
    #[must_use]
    pub fn closed(&self) -> Closed {
        self.hold.closed()
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

/// Whether the log may be purged through `index`, when the state is durable through `durable`: after a crash the log must hold whatever the state
/// has lost.
///
/// # Errors
/// `InvalidInput` when it may not.
pub fn purge_allowed(durable: Option<u64>, index: u64) -> io::Result<()> {
    if durable.is_some_and(|durable| durable >= index) || planted(SeededBug::PurgePastFlush) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("log purge through {index} refused: the state is durable through {durable:?}"),
    ))
}

/// Writes a synced group without content, and waits for it by means that work on any thread.
fn first_group(log: &LogStore) -> io::Result<()> {
    let (sender, receiver) = std::sync::mpsc::channel();
    log.flush_barrier(Box::new(move |result| drop(sender.send(result))))?;
    receiver
        .recv()
        .unwrap_or_else(|_| Err(Fault::stopped("log").into()))
}
