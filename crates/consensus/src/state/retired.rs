//! Nodes that were members once: none of them comes back.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use banyan_domain::NodeId;

/// The ids of all nodes that were ever taken out of the membership, as far as this node has applied it. Clones are one.
///
/// An id names one node for ever (Ongaro 2014, section 4.1, counts on servers that keep what they promised): a node that was taken out has missed
/// what the others did since, and its disk may be another one by now. The set is replicated: it is stored with the membership, travels in snapshots,
/// and is part of the state's digest.
#[derive(Clone, Debug, Default)]
pub struct Retired(Arc<Mutex<BTreeSet<u64>>>);

impl Retired {
    fn ids(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this node was a member and is none any more.
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.ids().contains(&node.get())
    }

    pub(super) fn set(&self, ids: BTreeSet<u64>) {
        *self.ids() = ids;
    }

    #[cfg(test)]
    pub(crate) fn of(ids: impl Into<BTreeSet<u64>>) -> Self {
        Self(Arc::new(Mutex::new(ids.into())))
    }
}
