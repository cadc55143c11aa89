//! A spawned task: its future lies in a slot that its host can empty.

use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use openraft_rt::AsyncRuntime as _;
use openraft_rt_sim::{SimJoinError, SimRuntime};
use tokio::sync::oneshot;

use super::{Host, count_poll, panics};

thread_local! {
    /// The host whose task, or destructor of a task, is on the stack.
    static CURRENT: RefCell<Option<Host>> = const { RefCell::new(None) };
}

pub(super) fn current() -> Option<Host> {
    CURRENT
        .try_with(|current| current.try_borrow().ok()?.clone())
        .ok()
        .flatten()
}

/// The result of a spawned task. Dropped, it lets the task go on.
///
/// Gives [`SimJoinError::Cancelled`] when the host of the task is killed, and [`SimJoinError::Panic`] when the task panicked.
#[derive(Debug)]
#[must_use = "drop it by name where nobody waits for the task"]
pub struct JoinHandle<T>(oneshot::Receiver<Result<T, SimJoinError>>);

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, SimJoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|received| received.unwrap_or(Err(SimJoinError::Cancelled)))
    }
}

/// Spawns in `host`; in a dead host the future is dropped instead. What a destructor spawns at the end of a run is never polled.
pub(super) fn spawn_in<T>(host: Option<Host>, future: T) -> JoinHandle<T::Output>
where
    T: Future + Send + 'static,
    T::Output: Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let work = Box::pin(async move {
        let result = AssertUnwindSafe(future).catch_unwind().await;
        let result =
            result.map_err(|payload| SimJoinError::Panic(panics::message(payload.as_ref())));
        // Without a receiver the task is detached.
        drop(sender.send(result));
    });
    let slot = Arc::new(Slot::default());
    let id = match &host {
        Some(host) => host.admit(&slot),
        None => Some(0),
    };
    match id {
        Some(id) => {
            slot.fill(work);
            drop(SimRuntime::spawn(Runner {
                host,
                id,
                slot,
                kept_in: None,
            }));
        }
        None => {
            within(host.as_ref(), || drop(work));
        }
    }
    JoinHandle(receiver)
}

/// Runs `f` as part of a task of `host`; `None` when it panicked, which is recorded.
pub(super) fn within<T>(host: Option<&Host>, f: impl FnOnce() -> T) -> Option<T> {
    let _scope = Scope::enter(host.cloned());
    let _inside = panics::Inside::enter();
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => Some(value),
        Err(payload) => {
            // The hook was first, unless somebody has replaced it.
            panics::record(&panics::message(payload.as_ref()));
            None
        }
    }
}

/// While it lives, `current` is the host that it was made with.
struct Scope(Option<Host>);

impl Scope {
    fn enter(host: Option<Host>) -> Self {
        Self(CURRENT.replace(host))
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// Where the future of a task lies while it is not polled. Empty once the task is over.
#[derive(Default)]
pub(super) struct Slot(Mutex<Parts>);

#[derive(Default)]
struct Parts {
    work: Option<BoxFuture<'static, ()>>,
    waker: Option<Waker>,
}

impl Slot {
    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self, work: BoxFuture<'static, ()>) {
        self.parts().work = Some(work);
    }

    /// The future, to be polled outside of the lock, or `None` when the task is over.
    fn take(&self, waker: &Waker) -> Option<BoxFuture<'static, ()>> {
        let mut parts = self.parts();
        parts.waker = Some(waker.clone());
        parts.work.take()
    }

    /// Drops the future as part of `host`, and wakes the emptied task so that the executor lets it go.
    pub(super) fn empty(&self, host: Option<&Host>) {
        let Parts { work, waker } = std::mem::take(&mut *self.parts());
        if work.is_some() {
            within(host, || drop(work));
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// What the executor holds of a task.
struct Runner {
    host: Option<Host>,
    id: u64,
    slot: Arc<Slot>,
    /// The stop of the host during which a wake-up of this task was last kept for later.
    kept_in: Option<u64>,
}

impl Future for Runner {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if let Some(host) = &this.host
            && host.keeps(context.waker(), &mut this.kept_in)
        {
            return Poll::Pending;
        }
        let Some(mut work) = this.slot.take(context.waker()) else {
            return Poll::Ready(());
        };
        count_poll();
        let polled = within(this.host.as_ref(), || work.as_mut().poll(context));
        // A destructor of another host may have killed this one meanwhile.
        let alive = this.host.as_ref().is_none_or(Host::is_alive);
        if alive && matches!(polled, Some(Poll::Pending)) {
            this.slot.fill(work);
            return Poll::Pending;
        }
        within(this.host.as_ref(), || drop(work));
        Poll::Ready(())
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Some(host) = &self.host {
            host.release(self.id);
        }
        // Full only when the whole run ends.
        self.slot.empty(self.host.as_ref());
    }
}
