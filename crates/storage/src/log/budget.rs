//! The bytes that may wait for the flusher: a caller blocks until there is room for what it brings.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that are queued, with a bound.
#[derive(Debug)]
pub(super) struct QueueBudget {
    bytes_max: usize,
    state: Mutex<State>,
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    bytes: usize,
    closed: bool,
}

impl QueueBudget {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            state: Mutex::default(),
            room: Condvar::new(),
        }
    }

    /// Takes `bytes`, after waiting until they fit. What is larger than the bound fits when nothing else is queued. Does not wait any more
    /// once the flusher has ended: queueing fails then.
    pub(super) fn take(&self, bytes: usize) {
        let mut state = self.lock();
        while state.bytes > 0 && state.bytes.saturating_add(bytes) > self.bytes_max && !state.closed
        {
            state = self
                .room
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.bytes = state.bytes.saturating_add(bytes);
    }

    /// The flusher has written, or refused, work of so many bytes.
    pub(super) fn give_back(&self, bytes: usize) {
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
        self.room.notify_all();
    }

    /// The flusher has ended.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.room.notify_all();
    }

    /// Bytes that are queued now.
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
