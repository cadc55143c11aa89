//! Many seeds, on as many threads as wanted, and what they came to.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::run::{self, Options, Report};

/// Which seeds.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// The first.
    pub from: u64,
    /// How many.
    pub count: u64,
    /// Threads.
    pub threads: usize,
    /// Of each run.
    pub options: Options,
    /// End at the first broken promise.
    pub stop_at_first: bool,
}

/// What the seeds came to.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Seeds that were run.
    pub seeds: u64,
    /// Those that broke a promise, in order.
    pub broken: Vec<Report>,
    /// Virtual time of all.
    pub simulated: Duration,
    /// Real time.
    pub wall: Duration,
    /// Faults, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Interesting states, and how often they were reached.
    pub sometimes: BTreeMap<&'static str, u64>,
    /// Entries applied.
    pub entries: u64,
    /// Acknowledged writes, writes that stayed unknown, reads answered, reads refused.
    pub counts: (u64, u64, u64, u64),
}

impl Totals {
    fn add(&mut self, report: Report) {
        self.seeds += 1;
        self.simulated += report.simulated;
        self.entries += report.seen.entries;
        let (acknowledged, unknown, reads, refused) = report.counts;
        self.counts.0 += acknowledged;
        self.counts.1 += unknown;
        self.counts.2 += reads;
        self.counts.3 += refused;
        for (kind, count) in &report.seen.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        for (what, count) in &report.seen.sometimes {
            *self.sometimes.entry(what).or_default() += count;
        }
        if !report.kept() {
            self.broken.push(report);
        }
    }
}

/// Runs them all. `each` sees every report, in the order in which they are ready.
pub fn sweep(sweep: &Sweep, each: impl Fn(&Report) + Sync) -> Totals {
    let started = Instant::now();
    let next = AtomicU64::new(sweep.from);
    let stop = AtomicBool::new(false);
    let totals = Mutex::new(Totals::default());
    let end = sweep.from.saturating_add(sweep.count);
    std::thread::scope(|scope| {
        for _ in 0..sweep.threads.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let report = run::run(seed, sweep.options);
                    each(&report);
                    if sweep.stop_at_first && !report.kept() {
                        stop.store(true, Ordering::Relaxed);
                    }
                    let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
                    totals.add(report);
                }
            });
        }
    });
    let mut totals = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    totals.broken.sort_by_key(|report| report.seed);
    totals.wall = started.elapsed();
    totals
}
