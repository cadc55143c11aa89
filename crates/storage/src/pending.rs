//! The answer of a storage thread, as a future that belongs to no runtime.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::fault::Fault;

/// Resolves when the storage thread has done the work. Dropping it does not undo the work.
///
/// Fails with the store's [`Fault`] if the thread is gone.
#[must_use = "the work is only known to be done when this future has resolved"]
#[derive(Debug)]
pub struct Pending<T, E = Fault> {
    receiver: oneshot::Receiver<Result<T, E>>,
    store: &'static str,
}

/// The half that a storage thread holds.
pub(crate) type Answer<T, E = Fault> = oneshot::Sender<Result<T, E>>;

impl<T, E: From<Fault>> Pending<T, E> {
    pub(crate) fn new(store: &'static str) -> (Answer<T, E>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self { receiver, store })
    }

    /// Blocks the calling thread until the answer is there. Not to be called on an async runtime's thread.
    ///
    /// # Errors
    /// What the work failed with.
    pub fn wait(self) -> Result<T, E> {
        let store = self.store;
        self.receiver
            .blocking_recv()
            .unwrap_or_else(|_| Err(Fault::stopped(store).into()))
    }
}

impl<T, E: From<Fault>> Future for Pending<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let store = self.store;
        Pin::new(&mut self.receiver)
            .poll(context)
            .map(|answer| answer.unwrap_or_else(|_| Err(Fault::stopped(store).into())))
    }
}
