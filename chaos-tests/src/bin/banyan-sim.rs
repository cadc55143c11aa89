//! Simulated nations by the thousand: one seed, many seeds, or the seeded bugs.

use std::{io::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Result;
use banyan_chaos_tests::sim::{
    proof::{self, GateReport},
    run::{self, Options},
    sometimes,
    sweep::{Sweep, Totals, sweep},
};
use clap::{Args, Parser, Subcommand};

/// A fifth more seeds a second than with the allocator of glibc: a run is mostly small allocations on one thread.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Parser)]
#[command(about = "Simulated nations by the thousand: one seed, many, or the seeded bugs.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Seeds {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many.
    #[arg(long, default_value_t = 300)]
    seeds: u64,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Seconds of clients and faults in each.
    #[arg(long, default_value_t = run::LENGTH.as_secs())]
    seconds: u64,
}

impl Seeds {
    fn sweep(&self) -> Sweep {
        Sweep {
            from: self.from,
            count: self.seeds,
            threads: self.threads,
            options: Options {
                length: Duration::from_secs(self.seconds),
                ..Options::default()
            },
            stop_at_first: false,
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Runs one seed and says what it saw.
    One {
        /// The seed.
        seed: u64,
        /// Print every event.
        #[arg(long)]
        lines: bool,
        /// Seconds of clients and faults.
        #[arg(long, default_value_t = run::LENGTH.as_secs())]
        seconds: u64,
    },
    /// Runs many seeds; fails if one breaks a promise, or if a listed state was never reached.
    Gate {
        #[command(flatten)]
        seeds: Seeds,
        /// Where the report goes.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Runs many seeds, and adds them to a ledger.
    Long {
        #[command(flatten)]
        seeds: Seeds,
        /// The ledger.
        #[arg(long, value_name = "FILE")]
        ledger: PathBuf,
        /// Names the code that is run.
        #[arg(long, value_name = "HASH")]
        code: String,
    },
    /// Puts the seeded bugs in, one at a time; fails if one is not caught.
    Bugs {
        #[command(flatten)]
        seeds: Seeds,
        /// Where the table goes.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Only this one.
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
    },
}

fn say(line: &str) {
    // Whoever reads it may have stopped (`| head`): the run goes on, for its ledger.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn main() -> Result<ExitCode> {
    let kept = match Arguments::parse().command {
        Command::One {
            seed,
            lines,
            seconds,
        } => one(seed, lines, Duration::from_secs(seconds)),
        Command::Gate { seeds, out } => {
            let totals = run_all(&seeds.sweep());
            let report = GateReport::of(&totals, sometimes::STATES);
            for what in &report.never {
                say(&format!("NEVER: {what}"));
            }
            if let Some(out) = out {
                proof::write_json(&out, &report)?;
            }
            report.violations == 0 && report.never.is_empty()
        }
        Command::Long {
            seeds,
            ledger,
            code,
        } => {
            let totals = run_all(&seeds.sweep());
            proof::add_to_ledger(&ledger, &code, seeds.from, &totals)?;
            totals.broken.is_empty()
        }
        Command::Bugs { seeds, out, only } => bugs::hunt(&seeds, out, only.as_deref())?,
    };
    Ok(if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn one(seed: u64, lines: bool, length: Duration) -> bool {
    let options = Options {
        length,
        lines,
        ..Options::default()
    };
    let report = run::run(seed, options);
    for line in &report.seen.lines {
        say(line);
    }
    say(&report.to_string());
    for (what, count) in report.seen.faults.iter().chain(&report.seen.sometimes) {
        say(&format!("{count:>8} {what}"));
    }
    report.kept()
}

fn run_all(plan: &Sweep) -> Totals {
    let totals = sweep(plan, |report| {
        if !report.kept() {
            say(&report.to_string());
            say(&format!("  to replay: banyan-sim one {}", report.seed));
        }
    });
    for (what, count) in totals.faults.iter().chain(&totals.sometimes) {
        say(&format!("{count:>8} {what}"));
    }
    let hours = totals.simulated.as_secs_f64() / 3_600.0;
    let wall = totals.wall.as_secs_f64();
    let (acknowledged, unknown, reads, refused) = totals.counts;
    say(&format!(
        "{} seeds, {} broke a promise; {wall:.1} s, {:.2} seeds a second; {hours:.1} simulated hours, {:.0} an hour; {} entries, {acknowledged} writes acknowledged, {unknown} unknown, {reads} reads, {refused} refused",
        totals.seeds,
        totals.broken.len(),
        totals.seeds as f64 / wall,
        hours / wall * 3_600.0,
        totals.entries,
    ));
    totals
}

#[cfg(feature = "seeded-bugs")]
mod bugs {
    use std::path::PathBuf;

    use anyhow::{Result, ensure};
    use banyan_chaos_tests::sim::{
        proof::{self, BugReport},
        sweep::{Sweep, sweep},
    };
    use banyan_domain::seeded_bugs::{SeededBug, plant};
    use strum::{EnumMessage as _, VariantArray as _};

    use super::{Seeds, say};

    pub(super) fn hunt(seeds: &Seeds, out: Option<PathBuf>, only: Option<&str>) -> Result<bool> {
        let wanted: Vec<SeededBug> = SeededBug::VARIANTS
            .iter()
            .copied()
            .filter(|bug| only.is_none_or(|only| <&str>::from(*bug) == only))
            .collect();
        ensure!(!wanted.is_empty(), "no seeded bug has the name {only:?}");
        let plan = Sweep {
            stop_at_first: true,
            ..seeds.sweep()
        };
        let mut sound = true;
        if only.is_none() {
            plant(None);
            let totals = sweep(&plan, |_| {});
            sound = totals.broken.is_empty();
            say(&format!(
                "without a bug: {} seeds, {} broke a promise",
                totals.seeds,
                totals.broken.len()
            ));
        }
        let mut table = Vec::new();
        for bug in wanted {
            plant(Some(bug));
            let totals = sweep(&plan, |_| {});
            let first = totals.broken.first();
            let by = first.and_then(|report| report.seen.violations.first());
            let report = BugReport {
                name: <&str>::from(bug).to_owned(),
                what: bug.get_documentation().unwrap_or_default().to_owned(),
                caught: first.is_some(),
                seeds: first.map_or(totals.seeds, |report| report.seed - plan.from + 1),
                by: by.map_or_else(String::new, |by| by.invariant.name().to_owned()),
            };
            say(&format!(
                "{:24} {} after {:2} seeds  {}",
                report.name,
                if report.caught { "caught" } else { "MISSED" },
                report.seeds,
                by.map_or_else(String::new, |by| format!(
                    "{}: {}",
                    by.invariant.name(),
                    by.what
                ))
            ));
            table.push(report);
        }
        plant(None);
        if let Some(out) = out {
            proof::write_json(&out, &table)?;
        }
        Ok(sound && table.iter().all(|report| report.caught))
    }
}

#[cfg(not(feature = "seeded-bugs"))]
mod bugs {
    use std::path::PathBuf;

    use anyhow::{Result, bail};

    use super::Seeds;

    pub(super) fn hunt(_: &Seeds, _: Option<PathBuf>, _: Option<&str>) -> Result<bool> {
        bail!("this program was built without the feature seeded-bugs: use `make mutations`")
    }
}
