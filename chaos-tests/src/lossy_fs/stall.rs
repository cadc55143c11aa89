//! A disk that hangs: syncs begin and do not end until it works again, or until it is given up.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::disk::Refusal;

/// What a disk does with syncs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Syncs {
    #[default]
    Done,
    Hang,
    /// They fail, those too that hung: nothing of them is done.
    Fail,
}

#[derive(Debug, Default)]
struct State {
    syncs: Syncs,
    hanging: usize,
}

/// Whether syncs hang. Whoever syncs meanwhile waits here, and with it, soon, the whole file system: its few threads are taken.
#[derive(Debug, Default)]
pub(super) struct Stall {
    state: Mutex<State>,
    changed: Condvar,
}

impl Stall {
    /// From now on syncs hang, or are done, those too that hung.
    pub(super) fn set(&self, hangs: bool) {
        self.change(if hangs { Syncs::Hang } else { Syncs::Done });
    }

    /// From now on syncs fail, those too that hung, until [`Stall::set`].
    pub(super) fn give_up(&self) {
        self.change(Syncs::Fail);
    }

    /// How many syncs hang.
    pub(super) fn hanging(&self) -> usize {
        self.lock().hanging
    }

    /// Returns at once, or when the disk works again.
    ///
    /// # Errors
    /// [`Refusal::Broken`]: it was given up, and the sync must not be done.
    pub(super) fn wait(&self) -> Result<(), Refusal> {
        let mut state = self.lock();
        state.hanging += 1;
        let mut state = self
            .changed
            .wait_while(state, |state| state.syncs == Syncs::Hang)
            .unwrap_or_else(PoisonError::into_inner);
        state.hanging -= 1;
        if state.syncs == Syncs::Fail {
            return Err(Refusal::Broken);
        }
        Ok(())
    }

    fn change(&self, syncs: Syncs) {
        self.lock().syncs = syncs;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
