//! Snapshots: a checkpoint directory and what openraft wants to know of it. Never bytes in memory.

use std::{collections::BTreeSet, fmt, io, marker::PhantomData, sync::Arc};

use banyan_storage::StateStore;
use openraft::{RaftSnapshotBuilder, Snapshot, type_config::alias::SnapshotOf};
use openraft_rt::AsyncRuntime;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::sync::Semaphore;

use super::StateDisk;
use crate::types::{SnapshotMeta, StoredMembership, TypeConfig, log_id};

/// The data of a snapshot, as openraft passes it around.
pub enum SnapshotHandle<S: StateDisk = StateStore> {
    /// A checkpoint of this node, which stays on disk as long as the handle lives.
    Checkpoint(S::Checkpoint),
    /// What a leader sent, complete, verified and synced, not yet installed.
    Received(S::Received),
    /// Nothing is applied yet: there is nothing to take a checkpoint of, and nothing to send.
    Nothing,
}

// By hand, because `derive` would demand it of the disk.
impl<S: StateDisk> fmt::Debug for SnapshotHandle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint(checkpoint) => f.debug_tuple("Checkpoint").field(checkpoint).finish(),
            Self::Received(received) => f.debug_tuple("Received").field(received).finish(),
            Self::Nothing => f.write_str("Nothing"),
        }
    }
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
pub struct SnapshotBuilder<R, S = StateStore> {
    state: S,
    runtime: PhantomData<fn() -> R>,
}

impl<R, S> fmt::Debug for SnapshotBuilder<R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SnapshotBuilder")
    }
}

impl<R, S> SnapshotBuilder<R, S> {
    pub(super) fn new(state: S) -> Self {
        Self {
            state,
            runtime: PhantomData,
        }
    }
}

impl<R: AsyncRuntime, S: StateDisk> RaftSnapshotBuilder<TypeConfig<R>> for SnapshotBuilder<R, S> {
    type SnapshotData = SnapshotHandle<S>;

    async fn build_snapshot(
        &mut self,
    ) -> Result<SnapshotOf<TypeConfig<R>, SnapshotHandle<S>>, io::Error> {
        if self.state.applied().is_none() {
            return Ok(Snapshot {
                meta: SnapshotMeta::default(),
                snapshot: SnapshotHandle::Nothing,
            });
        }
        let checkpoint = self.state.checkpoint().await?;
        of_checkpoint::<R, S>(checkpoint)
    }
}

/// The snapshot that a checkpoint is.
pub(super) fn of_checkpoint<R: AsyncRuntime, S: StateDisk>(
    checkpoint: S::Checkpoint,
) -> Result<SnapshotOf<TypeConfig<R>, SnapshotHandle<S>>, io::Error> {
    let meta = SnapshotMeta {
        last_log_id: Some(log_id(S::position_of(&checkpoint))),
        last_membership: membership_from_bytes(&S::membership_of(&checkpoint))?,
    };
    Ok(Snapshot {
        meta,
        snapshot: SnapshotHandle::Checkpoint(checkpoint),
    })
}

/// The membership with its log id as the state store keeps it, with the nodes that were taken out of it or of an earlier one.
pub(super) fn membership_to_bytes(
    membership: &StoredMembership,
    retired: &BTreeSet<u64>,
) -> Result<bytes::Bytes, io::Error> {
    let mut stored = serde_json::to_value(membership)?;
    if let Some(fields) = stored.as_object_mut().filter(|_| !retired.is_empty()) {
        fields.insert(RETIRED.to_owned(), serde_json::to_value(retired)?);
    }
    Ok(serde_json::to_vec(&stored)?.into())
}

/// The ids of the members, of a membership as the state store keeps it; none if it cannot be read.
#[must_use]
pub fn members_of(stored: &[u8]) -> Option<BTreeSet<u64>> {
    let stored = membership_from_bytes(stored).ok()?;
    Some(stored.membership().nodes().map(|(id, _)| *id).collect())
}

/// The sets of voters, of a membership as the state store keeps it: two while it is joint; none if it cannot be read.
#[must_use]
pub fn voter_sets_of(stored: &[u8]) -> Option<Vec<BTreeSet<u64>>> {
    let stored = membership_from_bytes(stored).ok()?;
    Some(stored.membership().get_joint_config().clone())
}

/// A field beside those of [`StoredMembership`]. It is missing where no node was taken out yet.
const RETIRED: &str = "retired";

#[derive(Default, Deserialize)]
struct StoredRetired {
    #[serde(default)]
    retired: BTreeSet<u64>,
}

/// The nodes that were taken out, of what [`membership_to_bytes`] wrote.
pub(super) fn retired_from_bytes(bytes: &[u8]) -> Result<BTreeSet<u64>, io::Error> {
    let stored: StoredRetired = read(bytes)?;
    Ok(stored.retired)
}

/// Reads what [`membership_to_bytes`] wrote; no bytes are the membership of a cluster that has none yet.
pub(super) fn membership_from_bytes(bytes: &[u8]) -> Result<StoredMembership, io::Error> {
    read(bytes)
}

fn read<T: Default + DeserializeOwned>(bytes: &[u8]) -> Result<T, io::Error> {
    if bytes.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(bytes).map_err(|error| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the stored membership cannot be read: {error}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{member::Member, types::Membership};

    #[test]
    fn nodes_that_were_taken_out_are_stored_beside_the_membership() {
        let nodes: BTreeMap<u64, Member> = [1, 2].map(|id| (id, Member::default())).into();
        let membership = Membership::new(vec![[1].into()], nodes).unwrap();
        let at = log_id(banyan_domain::Position { term: 3, index: 7 });
        let stored = StoredMembership::new(Some(at), membership);
        for retired in [BTreeSet::new(), BTreeSet::from([3, 9])] {
            let bytes = membership_to_bytes(&stored, &retired).unwrap();
            assert_eq!(membership_from_bytes(&bytes).unwrap(), stored);
            assert_eq!(retired_from_bytes(&bytes).unwrap(), retired);
        }
        assert_eq!(retired_from_bytes(b"").unwrap(), BTreeSet::new());
        assert!(retired_from_bytes(b"{").is_err());
        // As releases before this wrote it.
        let before = serde_json::to_vec(&stored).unwrap();
        assert_eq!(
            membership_to_bytes(&stored, &BTreeSet::new())
                .unwrap()
                .len(),
            before.len()
        );
    }
}
