//! One simulated process.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use super::JoinHandle;
use super::task::{self, Slot};

/// One simulated process: the tasks spawned in it, and those that they spawn. Clones are the same process, and equal.
///
/// A process that is started again is a new host, mostly of the same name.
#[derive(Clone)]
pub struct Host(Arc<Process>);

struct Process {
    name: String,
    life: Mutex<Life>,
}

struct Life {
    alive: bool,
    /// How often the host was stopped.
    stops: u64,
    stopped: bool,
    spawned: u64,
    /// In the order of spawning. The executor owns the slots, so that a handle kept after a run keeps no task.
    slots: BTreeMap<u64, Weak<Slot>>,
    /// Wake-ups that came while the host was stopped, the oldest first.
    kept: Vec<Waker>,
}

impl Host {
    /// A live process without tasks. The name is for people; several hosts may have the same.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(Arc::new(Process {
            name: name.to_owned(),
            life: Mutex::new(Life {
                alive: true,
                stops: 0,
                stopped: false,
                spawned: 0,
                slots: BTreeMap::new(),
                kept: Vec::new(),
            }),
        }))
    }

    /// The host whose task runs now; `None` in the main future and in tasks outside of hosts.
    #[must_use]
    pub fn current() -> Option<Host> {
        task::current()
    }

    /// The name that it was made with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// True until [`Host::kill`]; a stopped host is alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.life().alive
    }

    /// True between [`Host::pause`] and [`Host::resume`].
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.life().stopped
    }

    /// Tasks that are not over.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.life().slots.len()
    }

    /// Spawns a task of this host. In a dead host the future is dropped at once, and its handle gives `Cancelled`.
    pub fn spawn<T>(&self, future: T) -> JoinHandle<T::Output>
    where
        T: Future + Send + 'static,
        T::Output: Send + 'static,
    {
        task::spawn_in(Some(self.clone()), future)
    }

    /// Takes the power away: drops the future of every task, in the order of spawning. None of them runs again, and what a destructor
    /// spawns in this host is dropped, too. A second call does nothing.
    ///
    /// Destructors do run, as they must to free memory. A simulated disk or network has to look at [`Host::is_alive`] where a
    /// destructor could write or send.
    ///
    /// # Panics
    /// When a task of this host calls it: that task could hold a lock which the destructor of another one waits for. Kill from
    /// [`outside`](super::outside).
    #[track_caller]
    pub fn kill(&self) {
        if !self.is_alive() {
            return;
        }
        assert!(
            Host::current().as_ref() != Some(self),
            "a host is killed from outside of it"
        );
        let slots = {
            let mut life = self.life();
            life.alive = false;
            life.stopped = false;
            life.kept.clear();
            std::mem::take(&mut life.slots)
        };
        for slot in slots.into_values() {
            // A slot without an owner is that of a task which is over.
            if let Some(slot) = slot.upgrade() {
                slot.empty(Some(self));
            }
        }
    }

    /// Stops the process as SIGSTOP does: its tasks are not polled, and what wakes them is kept. Called from a task of this host, that
    /// task runs on to its next wait. A dead or stopped host stays as it is.
    pub fn pause(&self) {
        let mut life = self.life();
        if life.alive && !life.stopped {
            life.stopped = true;
            life.stops += 1;
        }
    }

    /// Lets a stopped process go on, as SIGCONT does: tasks run in the order in which they were woken meanwhile. Timers that ran out
    /// are over now, not before.
    pub fn resume(&self) {
        let kept = {
            let mut life = self.life();
            life.stopped = false;
            std::mem::take(&mut life.kept)
        };
        for waker in kept {
            waker.wake();
        }
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.0.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a new task; `None` in a dead host.
    pub(super) fn admit(&self, slot: &Arc<Slot>) -> Option<u64> {
        let mut life = self.life();
        if !life.alive {
            return None;
        }
        let id = life.spawned;
        life.spawned += 1;
        life.slots.insert(id, Arc::downgrade(slot));
        Some(id)
    }

    /// Forgets a task that is over.
    pub(super) fn release(&self, id: u64) {
        self.life().slots.remove(&id);
    }

    /// True when the host is stopped: the wake-up of a task is then kept for later, once for each stop.
    pub(super) fn keeps(&self, waker: &Waker, kept_in: &mut Option<u64>) -> bool {
        let mut life = self.life();
        if life.stopped && *kept_in != Some(life.stops) {
            *kept_in = Some(life.stops);
            life.kept.push(waker.clone());
        }
        life.stopped
    }
}

impl PartialEq for Host {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Host {}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let life = self.life();
        f.debug_struct("Host")
            .field("name", &self.0.name)
            .field("alive", &life.alive)
            .field("paused", &life.stopped)
            .field("tasks", &life.slots.len())
            .finish()
    }
}
