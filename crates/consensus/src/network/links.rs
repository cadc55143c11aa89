//! Links that a fault test has cut: what one node does not send, or does not hear, although the network would carry it.
//!
//! Nothing in production cuts a link. A test does, where cutting a real one would take another network.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tonic::Status;

/// The links of one node that are cut. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Links(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Read on every call, so that whole links cost no lock.
    any: AtomicBool,
    cut: Mutex<Cut>,
}

#[derive(Debug, Default)]
struct Cut {
    to: BTreeSet<u64>,
    from: BTreeSet<u64>,
}

impl Links {
    /// From now on this node begins no call to these nodes and hears nothing from those: of calls under way, streams of appends included, it
    /// hears no more. A stream that is open *to* a node goes on until that node is told to hear nothing: cut a link at both ends. Replaces
    /// what was cut before; two empty sets heal everything.
    pub fn cut(&self, to: impl IntoIterator<Item = u64>, from: impl IntoIterator<Item = u64>) {
        let mut cut = self.sets();
        cut.to = to.into_iter().collect();
        cut.from = from.into_iter().collect();
        let any = !cut.to.is_empty() || !cut.from.is_empty();
        self.0.any.store(any, Ordering::Release);
    }

    fn sets(&self) -> MutexGuard<'_, Cut> {
        self.0.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn check_to(&self, node: u64) -> Result<(), Status> {
        if self.0.any.load(Ordering::Acquire) && self.sets().to.contains(&node) {
            return Err(Status::unavailable("a test has cut the link to this node"));
        }
        Ok(())
    }

    pub(crate) fn check_from(&self, node: u64) -> Result<(), Status> {
        if self.0.any.load(Ordering::Acquire) && self.sets().from.contains(&node) {
            return Err(Status::unavailable(
                "a test has cut the link from this node",
            ));
        }
        Ok(())
    }
}
