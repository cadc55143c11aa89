//! A disk that hangs: syncs begin and do not end until it works again.

use std::sync::{Condvar, Mutex, PoisonError};

/// Whether syncs hang. Whoever syncs meanwhile waits here, and with it, soon, the whole file system: its few threads are taken.
#[derive(Debug, Default)]
pub(super) struct Stall {
    hangs: Mutex<bool>,
    changed: Condvar,
}

impl Stall {
    pub(super) fn set(&self, hangs: bool) {
        *self.hangs.lock().unwrap_or_else(PoisonError::into_inner) = hangs;
        self.changed.notify_all();
    }

    /// Returns at once, or when the disk works again.
    pub(super) fn wait(&self) {
        let hangs = self.hangs.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(hangs, |hangs| *hangs));
    }
}
