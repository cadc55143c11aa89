//! The index through which a log is durable, as something to wait on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::fault::{Fault, FaultCell, changed_or_fault};

/// The index through which this node's log is durable. Cheap to clone; every clone shows the same value.
///
/// It starts at the last stored entry (or the purge point, if the log is empty; at nothing, if it was never purged either), and falls
/// only when the log is truncated. Nothing is not index 0: the first entry of a cluster has that index.
#[derive(Clone, Debug)]
pub struct Watermark(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    raised: Condvar,
    watch: watch::Sender<Option<u64>>,
    fault: FaultCell,
}

#[derive(Debug)]
struct State {
    index: Option<u64>,
    closed: bool,
}

impl Watermark {
    pub(crate) fn new(index: Option<u64>, fault: FaultCell) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::new(State {
                index,
                closed: false,
            }),
            raised: Condvar::new(),
            watch: watch::Sender::new(index),
            fault,
        }))
    }

    /// The index through which the log is durable now; none if nothing is.
    #[must_use]
    pub fn index(&self) -> Option<u64> {
        self.lock().index
    }

    /// Resolves when the log is durable through `index`.
    ///
    /// # Errors
    /// The fault, if the log has failed or is closed before.
    pub async fn reached(&self, index: u64) -> Result<(), Fault> {
        let mut watch = self.0.watch.subscribe();
        loop {
            {
                let state = self.lock();
                if state.index >= Some(index) {
                    return Ok(());
                }
                self.0.fault.check()?;
                if state.closed {
                    return Err(Fault::stopped("log"));
                }
            }
            changed_or_fault(&mut watch, &self.0.fault).await;
        }
    }

    /// Like [`reached`](Self::reached), blocking the calling thread. Gives up once `stop` is set and [`wake`](Self::wake) called.
    pub(crate) fn wait(&self, index: u64, stop: &AtomicBool) -> Result<(), Fault> {
        let mut state = self.lock();
        while state.index < Some(index) {
            self.0.fault.check()?;
            if state.closed || stop.load(Ordering::SeqCst) {
                return Err(Fault::stopped("log"));
            }
            state = self
                .0
                .raised
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Raises or lowers the mark and wakes whoever waits.
    pub(crate) fn set(&self, index: Option<u64>) {
        let mut state = self.lock();
        state.index = index;
        self.0.raised.notify_all();
        self.0.watch.send_replace(index);
    }

    /// Wakes whoever waits, so that a fault or a stop is seen.
    pub(crate) fn wake(&self) {
        let state = self.lock();
        self.0.raised.notify_all();
        self.0.watch.send_replace(state.index);
    }

    /// No more will come: waiters get an error.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
