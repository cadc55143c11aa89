//! One seed from beginning to end.

use std::{fmt, time::Duration};

use openraft_rt::AsyncRuntime as _;

use super::{
    afterwards,
    clients::{self, Book},
    faults::Faults,
    invariants::Invariant,
    nation::Nation,
    observer::{Observer, Seen, Violation},
    plan::Plan,
    runtime::{self, Simulated, now},
};

/// For how long a run has clients and faults, if nothing else is asked for.
pub const LENGTH: Duration = Duration::from_secs(60);
/// How long the nation may take to converge when all faults are over.
const HEAL_WITHIN: Duration = Duration::from_secs(60);

/// What a run was.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// What was seen.
    pub seen: Seen,
    /// Virtual time that passed.
    pub simulated: Duration,
    /// Acknowledged writes, writes that stayed unknown, reads answered, reads refused.
    pub counts: (u64, u64, u64, u64),
    /// Messages sent, lost and cut off.
    pub messages: (u64, u64, u64),
    /// Futures polled.
    pub polls: u64,
    /// Every decision of the scheduler, if it was asked for.
    pub trace: Vec<String>,
}

impl Report {
    /// Whether every promise was kept.
    pub fn kept(&self) -> bool {
        self.seen.violations_seen == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (acknowledged, unknown, reads, refused) = self.counts;
        write!(
            f,
            "seed {}: {:.1} s simulated, {} entries, {acknowledged} writes acknowledged, {unknown} unknown, {reads} reads, {refused} refused, {} terms, {} faults, hash {:016x}",
            self.seed,
            self.simulated.as_secs_f64(),
            self.seen.entries,
            self.seen.terms,
            self.seen.faults.values().sum::<u64>(),
            self.seen.hash
        )?;
        for Violation {
            invariant,
            at,
            what,
        } in &self.seen.violations
        {
            write!(
                f,
                "\n  VIOLATED at {:.3} s: {} ({}): {what}",
                at.as_secs_f64(),
                invariant.name(),
                invariant.source()
            )?;
        }
        Ok(())
    }
}

/// How a seed is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Clients and faults for so long.
    pub length: Duration,
    /// Keep a readable line for every event.
    pub lines: bool,
    /// Keep every decision of the scheduler.
    pub trace: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            length: LENGTH,
            lines: false,
            trace: false,
        }
    }
}

/// Runs a seed.
pub fn run(seed: u64, options: Options) -> Report {
    let observer = Observer::new(options.lines);
    let plan = Plan::of(seed, options.length);
    let book = Book::default();
    let nation = Nation::new(seed, plan, observer.clone());
    let script = script(seed, nation.clone(), book.clone());
    // A run that cannot go on panics: that, too, is something to report.
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        if options.trace {
            runtime::run_recorded(seed, script)
        } else {
            runtime::run(seed, script)
        }
    }));
    let counters = nation.net().counters();
    let (simulated, polls, trace, panic) = match result {
        Ok(run) => (
            run.elapsed,
            run.polls,
            run.trace,
            run.panic.map(|panic| panic.to_string()),
        ),
        Err(payload) => {
            let text = payload.downcast_ref::<String>().cloned().or_else(|| {
                payload
                    .downcast_ref::<&str>()
                    .map(|text| (*text).to_owned())
            });
            (
                Duration::ZERO,
                0,
                Vec::new(),
                Some(text.unwrap_or_default()),
            )
        }
    };
    let mut seen = observer.seen();
    if let Some(panic) = panic {
        seen.violations_seen += 1;
        seen.violations.push(Violation {
            invariant: Invariant::NoPanic,
            at: simulated,
            what: panic,
        });
    }
    Report {
        seed,
        seen,
        simulated,
        counts: book.counts(),
        messages: (counters.sent, counters.lost, counters.cut),
        polls,
        trace,
    }
}

async fn script(seed: u64, nation: Nation, book: Book) {
    let observer = nation.observer().clone();
    if !nation.form().await {
        observer.violated(
            Invariant::Convergence,
            "the cluster did not form".to_owned(),
        );
        return;
    }
    nation.watch();
    let until = now() + nation.plan().length;
    let clients = clients::start(&nation, seed, until, &book);
    let mut faults = Faults::new(nation.clone(), seed);
    faults.run(until).await;
    if observer.broken() {
        return;
    }
    let healed = faults.heal(HEAL_WITHIN).await;
    for client in clients {
        // Each ends by itself: its tries are bounded.
        let _ = client.await;
    }
    if !healed {
        observer.violated(
            Invariant::Convergence,
            "a lost node could not be replaced".to_owned(),
        );
    }
    // The nation goes on; then all must come to what it did.
    if let Err(what) = clients::serves(&nation, seed ^ 0x5eed, &book, HEAL_WITHIN).await {
        observer.violated(Invariant::Convergence, what);
    }
    if afterwards::converged(&nation, HEAL_WITHIN).await {
        Simulated::sleep(Duration::from_millis(50)).await;
        afterwards::check(&nation, &book.acknowledged());
    }
}
