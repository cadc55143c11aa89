//! The state machine as openraft wants it: apply, snapshots and their installation over `banyan_storage`.

mod disk;
mod machine;
mod retired;
mod snapshot;

pub use disk::StateDisk;
pub use machine::StateMachine;
pub use retired::Retired;
pub(crate) use snapshot::SnapshotInbox;
pub use snapshot::{SnapshotBuilder, SnapshotHandle, members_of, voter_sets_of};
