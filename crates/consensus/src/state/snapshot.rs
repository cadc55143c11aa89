//! Snapshots: a checkpoint directory and what openraft wants to know of it. Never bytes in memory.

use std::{fmt, io, marker::PhantomData, sync::Arc};

use banyan_storage::{Checkpoint, CheckpointManifest, StateStore, VerifiedCheckpoint};
use openraft::{RaftSnapshotBuilder, Snapshot, type_config::alias::SnapshotOf};
use openraft_rt::AsyncRuntime;
use tokio::sync::Semaphore;

use crate::types::{SnapshotMeta, StoredMembership, TypeConfig, log_id};

/// The data of a snapshot, as openraft passes it around.
#[derive(Debug)]
pub enum SnapshotHandle {
    /// A checkpoint of this node, which stays on disk as long as the handle lives.
    Checkpoint(Checkpoint),
    /// What a leader sent, complete, verified and synced, not yet installed.
    Received(VerifiedCheckpoint),
    /// Nothing is applied yet: there is nothing to take a checkpoint of, and nothing to send.
    Nothing,
}

/// Where snapshots from peers arrive: one at a time.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotInbox {
    pub(crate) state: StateStore,
    pub(crate) slot: Arc<Semaphore>,
}

impl SnapshotInbox {
    pub(crate) fn new(state: StateStore) -> Self {
        Self {
            state,
            slot: Arc::new(Semaphore::new(1)),
        }
    }
}

/// Takes a checkpoint when openraft asks for a snapshot. Only what a checkpoint covers is ever purged from the log, and a
/// checkpoint covers only what is flushed: so the log always holds what a crash can take from the state.
pub struct SnapshotBuilder<R> {
    state: StateStore,
    runtime: PhantomData<fn() -> R>,
}

impl<R> fmt::Debug for SnapshotBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SnapshotBuilder")
    }
}

impl<R> SnapshotBuilder<R> {
    pub(super) fn new(state: StateStore) -> Self {
        Self {
            state,
            runtime: PhantomData,
        }
    }
}

impl<R: AsyncRuntime> RaftSnapshotBuilder<TypeConfig<R>> for SnapshotBuilder<R> {
    type SnapshotData = SnapshotHandle;

    async fn build_snapshot(
        &mut self,
    ) -> Result<SnapshotOf<TypeConfig<R>, SnapshotHandle>, io::Error> {
        if self.state.applied().is_none() {
            return Ok(Snapshot {
                meta: SnapshotMeta::default(),
                snapshot: SnapshotHandle::Nothing,
            });
        }
        let checkpoint = self.state.checkpoint().await?;
        of_checkpoint::<R>(checkpoint)
    }
}

/// The snapshot that a checkpoint is.
pub(super) fn of_checkpoint<R: AsyncRuntime>(
    checkpoint: Checkpoint,
) -> Result<SnapshotOf<TypeConfig<R>, SnapshotHandle>, io::Error> {
    let meta = meta(checkpoint.manifest())?;
    Ok(Snapshot {
        meta,
        snapshot: SnapshotHandle::Checkpoint(checkpoint),
    })
}

fn meta(manifest: &CheckpointManifest) -> Result<SnapshotMeta, io::Error> {
    let last_membership = membership_from_bytes(&manifest.membership)?;
    Ok(SnapshotMeta {
        last_log_id: Some(log_id(manifest.position())),
        last_membership,
    })
}

/// The membership with its log id as the state store keeps it.
pub(super) fn membership_to_bytes(
    membership: &StoredMembership,
) -> Result<bytes::Bytes, io::Error> {
    serde_json::to_vec(membership)
        .map(bytes::Bytes::from)
        .map_err(io::Error::other)
}

/// Reads what [`membership_to_bytes`] wrote; no bytes are the membership of a cluster that has none yet.
pub(super) fn membership_from_bytes(bytes: &[u8]) -> Result<StoredMembership, io::Error> {
    if bytes.is_empty() {
        return Ok(StoredMembership::default());
    }
    serde_json::from_slice(bytes).map_err(|error| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the stored membership cannot be read: {error}"),
        )
    })
}
