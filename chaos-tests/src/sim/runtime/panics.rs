//! Panics of tasks: the first of a run is kept, and none ends the run.
//!
//! The hook is the one thing here that the whole process shares. It sees panics that the code under test catches, and knows where a panic
//! began; it writes only into the state of its own thread, and leaves panics outside of tasks to the hook that was there before.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::PanicHookInfo;
use std::sync::Once;
use std::time::Duration;

use openraft_rt_sim::SimInstant;

use super::Host;

/// A panic inside a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPanic {
    /// Name of the host of the task; `None` for a task outside of hosts.
    pub host: Option<String>,
    /// What the panic said, and the line of code where that is known.
    pub message: String,
    /// Virtual time since the start of the run.
    pub at: Duration,
}

impl fmt::Display for TaskPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "a task of host {host} panicked")?,
            None => write!(f, "a task outside of hosts panicked")?,
        }
        write!(f, " at {:?}: {}", self.at, self.message)
    }
}

thread_local! {
    static FIRST: RefCell<Option<TaskPanic>> = const { RefCell::new(None) };
    /// How many tasks and destructors of tasks are on the stack.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// While it lives, panics of this thread are those of a task.
pub(super) struct Inside;

impl Inside {
    pub(super) fn enter() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// Makes panics inside tasks go into the record instead of to the standard error stream. Once for a process, for all runs.
pub(super) fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            // A thread that ends may have dropped its state already.
            let inside = DEPTH.try_with(Cell::get).unwrap_or(0) > 0;
            if inside {
                record(&text(info));
            } else {
                before(info);
            }
        }));
    });
}

/// Notes a panic of the task that is on the stack, unless there was one before.
pub(super) fn record(message: &str) {
    FIRST.with(|first| {
        // The hook runs in the middle of anything: it must not panic itself.
        let Ok(mut first) = first.try_borrow_mut() else {
            return;
        };
        if first.is_none() {
            *first = Some(TaskPanic {
                host: Host::current().map(|host| host.name().to_owned()),
                message: message.to_owned(),
                at: SimInstant::try_now()
                    .map(SimInstant::elapsed_since_start)
                    .unwrap_or_default(),
            });
        }
    });
}

/// The first panic of the run.
pub(super) fn take_first() -> Option<TaskPanic> {
    FIRST.take()
}

/// Clears the state of this thread.
pub(super) fn forget() {
    FIRST.set(None);
}

/// What a caught panic said.
pub(super) fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a text".to_owned()
    }
}

fn text(info: &PanicHookInfo<'_>) -> String {
    let said = info.payload_as_str().unwrap_or("a panic without a text");
    match info.location() {
        Some(place) => format!("{said} ({}:{})", place.file(), place.line()),
        None => said.to_owned(),
    }
}
