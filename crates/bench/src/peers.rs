//! `banyan-bench peers`: starts the systems phase by phase, measures them in turn, writes `peers.json`.

mod attached;
mod beside;
mod delay;
mod kills;
mod learners;
mod raw;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::bail;
use clap::Args;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::signal::unix::{SignalKind, signal};

use crate::authority::Authority;
use crate::figures::Figures;
use crate::folder;
use crate::machine::Machine;
use crate::persons::Persons;
use crate::plan::{BUDGET, PAUSE, Phase, Plan, ROWS};
use crate::results::{Results, Run};
use crate::rows::{Row, System};
use crate::systems::Pins;

/// What to measure.
#[derive(Args)]
pub(crate) struct Peers {
    /// Folder of the results; the systems' data lie in it too, and are deleted at the end
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// A smoke run: about a second for each row, once. Its figures are of no use
    #[arg(long)]
    quick: bool,
    /// Measure only this row, by its name in the results; may be repeated. Others are null then
    #[arg(long, value_name = "ROW")]
    only: Vec<String>,
}

/// What the phases share.
pub(crate) struct Bench {
    plan: Plan,
    /// For the systems' data.
    folder: PathBuf,
    authority: Authority,
    persons: Arc<Persons>,
    pins: Pins,
    results: Results,
    /// Why a row has no runs.
    reasons: BTreeMap<Row, String>,
}

/// Measures. Everything that was started ends, also when this is interrupted or takes too long.
///
/// # Errors
/// That a system cannot be started or the results cannot be written.
pub(crate) async fn run(arguments: &Peers) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Dropping the measurement ends the processes: each is held by a value that kills it.
    tokio::select! {
        measured = Box::pin(measure(arguments)) => measured,
        _ = terminate.recv() => bail!("ended by SIGTERM"),
        _ = interrupt.recv() => bail!("interrupted"),
        () = tokio::time::sleep(BUDGET) => bail!("not done within {} s", BUDGET.as_secs()),
    }
}

async fn measure(arguments: &Peers) -> anyhow::Result<()> {
    let started = Instant::now();
    let plan = Plan::new(arguments.quick, &arguments.only)?;
    say(&plan.to_string());
    let (out, data) = folder::of_run(&arguments.out, false)?;
    let persons = Arc::new(Persons::new()?);
    let machine = Machine::look(data.path())?;
    say(&format!(
        "{} cores, kernel {}, fdatasync {} us, load {:.2} before",
        machine.cores, machine.kernel, machine.fdatasync_median_us, machine.load_before
    ));
    let mut bench = Bench {
        authority: Authority::create(&data.path().join("authority"))?,
        folder: data.path().to_owned(),
        pins: Pins::new(&persons),
        persons,
        results: Results {
            quick: arguments.quick,
            machine,
            ..Results::default()
        },
        reasons: reasons(&plan),
        plan,
    };
    let file = out.join("peers.json");
    for phase in Phase::ALL {
        if bench.plan.rows(phase).is_empty() {
            continue;
        }
        let done = match phase {
            Phase::Peers => Box::pin(beside::measure(&mut bench)).await,
            Phase::Attached => Box::pin(attached::measure(&mut bench)).await,
            Phase::Raw => Box::pin(raw::measure(&mut bench)).await,
            Phase::Kills => Box::pin(kills::measure(&mut bench)).await,
            Phase::Delay => Box::pin(delay::measure(&mut bench)).await,
            Phase::Learners => Box::pin(learners::measure(&mut bench)).await,
        };
        if let Err(error) = done {
            // One phase that fails does not cost the figures of the others; its ratios are null with this reason.
            say(&format!("{phase:?} failed: {error:#}"));
            for (row, _) in bench.plan.rows(phase) {
                let reason = || format!("its phase failed: {error:#}");
                bench.reasons.entry(row).or_insert_with(reason);
            }
        }
        bench.write(&file, started)?;
    }
    bench.write(&file, started)?;
    say(&format!("{} written", file.display()));
    for (name, value) in &bench.results.ratios {
        let value = value.map_or_else(|| "null".to_owned(), |value| format!("{value:.2}"));
        say(&format!("{name:40} {value}"));
    }
    Ok(())
}

/// Why rows have no runs, as far as it is known before anything runs.
fn reasons(plan: &Plan) -> BTreeMap<Row, String> {
    ROWS.iter()
        .filter(|(_, row, _)| plan.leaves_out(*row))
        .map(|(_, row, _)| (*row, "left out with --only".to_owned()))
        .collect()
}

impl Bench {
    fn write(&mut self, file: &std::path::Path, started: Instant) -> anyhow::Result<()> {
        self.results.finished = OffsetDateTime::now_utc().format(&Rfc3339)?;
        self.results.seconds = started.elapsed().as_secs_f64();
        self.results.settle(&self.reasons);
        self.results.write(file)
    }

    /// Notes a run, tells it, and pauses.
    async fn note(&mut self, row: Row, system: System, alternation: u32, figures: Figures) {
        let stop = figures
            .stop_ms
            .map_or_else(String::new, |stop| format!(", stopped for {stop:.0} ms"));
        let error = figures
            .error
            .as_ref()
            .map_or_else(String::new, |error| format!(": {error}"));
        say(&format!(
            "{alternation} {:45} {:20} {:>9.0}/s  p50 {:>7} p99 {:>7} max {:>8} us, {} errors{error}{stop}",
            row.title(),
            system.title(),
            figures.per_second,
            figures.p50_us,
            figures.p99_us,
            figures.max_us,
            figures.errors,
        ));
        self.results.runs.push(Run {
            row,
            system,
            alternation,
            figures,
        });
        tokio::time::sleep(PAUSE).await;
    }

    /// Says in the results under which settings something ran.
    fn setting(&mut self, topic: &str, text: impl Into<String>) {
        self.results.settings.insert(topic.to_owned(), text.into());
    }
}

/// One line of progress.
#[expect(clippy::print_stdout, reason = "the progress of the command")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}
