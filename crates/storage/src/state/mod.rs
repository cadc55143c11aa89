//! The state store: everything that is replicated, on a RocksDB that writes no log of its own.
//!
//! * [`StateStore`]: the handle. One thread applies, one flushes and takes checkpoints, one hashes, two do
//!   long reads.
//! * [`ReadView`]: one snapshot for a whole request; it is what `apply` sees, too.
//! * [`schema`]: the keys.
//! * [`Checkpoint`], [`Incoming`] and [`VerifiedCheckpoint`]: how a state leaves a node and how it arrives.
//! * [`DigestState`]: the proof that two nodes hold the same.

mod apply;
mod batch;
mod checkpoint;
mod core;
mod decide;
mod digest;
mod generation;
mod inbox;
mod install;
mod markers;
mod readers;
mod records;
pub mod schema;
mod store;
mod upkeep;
mod verify;
mod view;

pub(crate) use self::core::int_property;
pub use apply::{EntryKind, EntryResult, RawValue, StateEntry};
pub use batch::Changes;
pub use checkpoint::{Checkpoint, CheckpointFile, CheckpointManifest, ManifestError};
pub use decide::{Decided, GroupBounds, decide};
pub use digest::DigestState;
pub use install::{Incoming, InstallError, InstallStep, VerifiedCheckpoint};
pub use readers::ReadersBusy;
pub use records::{Records, Snapshot, open};
pub use store::StateStore;
pub use verify::VerifyError;
pub use view::{Applied, Found, ReadView, StateView};
