//! The systems that are measured: how each is started, and the calls that the load generator makes to it.

pub(crate) mod banyan;
pub(crate) mod delayed;
pub(crate) mod etcd;
pub(crate) mod etcd_messages;
pub(crate) mod postgres;
pub(crate) mod raw;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::persons::{Persons, Registration};

/// Pause of a client between two tries of a write while a leader is gone.
pub(crate) const RETRY_PAUSE: std::time::Duration = std::time::Duration::from_millis(5);

/// Persons that every system holds before anything is measured, and that reads are drawn from: those of the numbers below this.
pub(crate) const READ_PERSONS: u64 = 20_000;

/// Persons to register at one system: each is handed out once.
#[derive(Clone)]
pub(crate) struct Source {
    persons: Arc<Persons>,
    next: Arc<AtomicU64>,
}

impl Source {
    pub(crate) fn new(persons: Arc<Persons>) -> Source {
        Source {
            persons,
            next: Arc::default(),
        }
    }

    pub(crate) fn next(&self) -> Registration {
        self.persons
            .registration(self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// The numbers that reads are drawn from, evenly and from a seed.
#[derive(Clone)]
pub(crate) struct Pins {
    pins: Arc<Vec<String>>,
    // One generator for all callers would be waited for.
    random: Arc<Vec<Mutex<ChaCha8Rng>>>,
}

impl Pins {
    pub(crate) fn new(persons: &Persons) -> Pins {
        let pins = (0..READ_PERSONS).map(|number| persons.registration(number).pin);
        Pins::of(pins.collect())
    }

    pub(crate) fn of(pins: Vec<String>) -> Pins {
        let random = (0..64).map(|stream| {
            let mut random = ChaCha8Rng::seed_from_u64(1);
            random.set_stream(stream);
            Mutex::new(random)
        });
        Pins {
            pins: Arc::new(pins),
            random: Arc::new(random.collect()),
        }
    }

    pub(crate) fn draw(&self, slot: usize) -> String {
        let random = &self.random[slot % self.random.len()];
        let mut random = random.lock().unwrap_or_else(PoisonError::into_inner);
        self.pins[random.random_range(0..self.pins.len())].clone()
    }
}
