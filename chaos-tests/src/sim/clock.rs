//! Clocks of simulated machines: true time with an error that faults set, and boot time, which nothing moves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use banyan_consensus::Clock;
use banyan_domain::Timestamp;

use super::runtime::now;

/// When every run begins: 1 March 2021, shortly after the registry opened.
const BEGINNING: Timestamp = Timestamp(1_614_556_800_000);

/// What a correct wall clock shows.
pub fn true_time(now: Duration) -> Timestamp {
    let passed = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    Timestamp(BEGINNING.get().saturating_add(passed))
}

/// The clock of one machine. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct MachineClock {
    /// Milliseconds by which the wall clock is ahead.
    error: Arc<AtomicI64>,
    /// Boot time at the start of the run: machines were started at different times.
    booted: Duration,
}

impl MachineClock {
    /// True, on a machine that has been up for so long.
    pub fn new(booted: Duration) -> Self {
        Self {
            error: Arc::default(),
            booted,
        }
    }

    /// Sets the wall clock wrong by so many milliseconds.
    pub fn set_error(&self, ahead_ms: i64) {
        self.error.store(ahead_ms, Ordering::Relaxed);
    }

    /// By how many milliseconds it is ahead.
    pub fn error(&self) -> i64 {
        self.error.load(Ordering::Relaxed)
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        Timestamp(true_time(now()).get().saturating_add(self.error()))
    }

    fn boot_time(&self) -> Duration {
        self.booted + now()
    }
}
