//! RocksDB: the log store, the state store and the journal of one node.
//!
//! A data directory holds three databases (design decision 3, ADR on the three stores):
//!
//! ```text
//! <data_dir>/identity.json       cluster, node and format: whose directory this is
//!           /lock                held while a process has the directory open
//!           /log/                log, vote, committed marker; WAL, synced by one flusher thread
//!           /log.watermark       the newest group known to be synced: tells a torn tail from lost data
//!           /state/<n>/          replicated state, generation n; WAL off, the log replays what a crash took
//!           /state/CURRENT       number of the generation in use; switched by rename
//!           /checkpoints/<p>/    checkpoints at position p, each with `banyan-manifest.json`
//!           /incoming/           checkpoints that are being received
//!           /journal/            node-local records; WAL, synced
//!           /journal.watermark   the newest access record known to be synced
//!           /damaged.txt         only where stored content was found damaged: the directory is refused
//! ```
//!
//! Rules that hold everywhere in this crate:
//!
//! * Every stored value passes through [`codec`].
//! * The state is never more durable than the log: [`StateStore::apply`] waits for the log's watermark.
//! * An IO error is sticky ([`Fault`]): every later call fails, nothing is retried, the node has to stop.
//! * Blocking work runs on threads that this crate owns; functions that answer later return a [`Pending`] future.
#![deny(missing_docs)]

pub mod codec;
mod damage;
mod fault;
mod files;
mod identity;
mod journal;
mod lock;
mod log;
mod mark;
mod metrics;
mod options;
mod pending;
mod state;
mod stores;

pub use fault::{Fault, FaultCell};
pub use identity::{FORMAT_VERSION, FirstStart, Identity, IdentityError};
pub use journal::{AccessRecord, AppendError, Journal};
pub use lock::Closed;
pub use log::{LogBounds, LogDone, LogRecord, LogStore, Watermark};
pub use metrics::{Histogram, JournalMetrics, LatencyCounter, LogMetrics, Metrics, StateMetrics};
pub use options::StoreOptions;
pub use pending::Pending;
pub use state::{
    Applied, Changes, Checkpoint, CheckpointFile, CheckpointManifest, Decided, DigestState,
    EntryKind, EntryResult, Found, GroupBounds, Incoming, InstallError, InstallStep, ManifestError,
    RawValue, ReadView, ReadersBusy, Records, Snapshot, StateEntry, StateStore, StateView,
    VerifiedCheckpoint, VerifyError, decide, open, schema,
};
pub use stores::{OpenError, Stores, purge_allowed};
