//! One run from its start to its report.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use banyan_drill::history::History;
use banyan_drill::site_down::{self, Settled};
use banyan_drill::workload::Workload;
use banyan_drill::{checker::Verdict, digest::Comparison};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use strum::VariantArray as _;

use super::arguments::Arguments;
use super::faults::{LEVEL_WITHIN, Storm};
use super::leftovers;
use super::oracles::{self, Kept};
use super::outcome::{self, Report};
use super::plan::{Deck, Kind};
use super::start::{self, Arena, Prepared};
use super::windows::{Judged, Window};
use crate::harness::{self, Said};

const BROKEN: u8 = 1;
const FAILED: u8 = 2;
/// A client's pause after each operation of the load: two cores carry seven nodes and all clients.
const PAUSE: Duration = Duration::from_millis(25);
/// A window of registers is ended at the first quiet moment after this time.
const WINDOW: Duration = Duration::from_secs(60);
/// Acknowledgements without which the cluster does not count as working again.
const WORKS: usize = 20;
const WORKS_WITHIN: Duration = Duration::from_secs(60);
/// Nodes have what was acknowledged after this time, when a promise was found broken before.
const COMPARED_WITHIN: Duration = Duration::from_secs(15);

/// Runs, prints what it found, and says so in its exit code. To be called on a thread of a program that has no other yet.
pub fn main(arguments: &Arguments) -> ExitCode {
    match whole(arguments) {
        Ok(report) => {
            harness::say(&format!("\n{}", report.table()));
            if report.passed() {
                ExitCode::SUCCESS
            } else {
                for finding in &report.findings {
                    harness::say(&format!("BROKEN PROMISE: {finding}"));
                }
                ExitCode::from(BROKEN)
            }
        }
        Err(error) => {
            harness::say(&format!("the run failed: {error:#}"));
            ExitCode::from(FAILED)
        }
    }
}

fn whole(arguments: &Arguments) -> Result<Report> {
    let seed = seed(arguments);
    let chosen = chosen(&arguments.faults)?;
    harness::say(&format!(
        "seed {seed}: the same faults again with --seed {seed} --minutes {}",
        arguments.minutes
    ));
    // Before the runtime and its threads: they have to be in the clients' namespace.
    let prepared = start::prepare(arguments.network)?;
    let folder = start::folder_of(prepared.run, &arguments.dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot make a runtime")?;
    let ended = runtime.block_on(async {
        leftovers::remove(&arguments.dir).await;
        tokio::select! {
            ended = Box::pin(run(arguments, seed, chosen, prepared, &folder)) => ended,
            signal = interrupted() => Err(signal),
        }
    });
    // What blocks at most is the checker, which looks for a bounded time; whatever was begun is dropped already.
    runtime.shutdown_timeout(Duration::from_secs(1));
    keep_or_remove(&folder, &ended);
    ended
}

fn seed(arguments: &Arguments) -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "without a seed a new one is drawn from the system on purpose"
    )]
    let new = || rand::rng().next_u64() >> 16;
    arguments.seed.unwrap_or_else(new)
}

fn chosen(names: &[String]) -> Result<Option<Vec<Kind>>> {
    if names.is_empty() {
        return Ok(None);
    }
    let find = |name: &String| {
        Kind::VARIANTS
            .iter()
            .copied()
            .find(|kind| kind.name() == name)
    };
    names
        .iter()
        .map(|name| {
            find(name).with_context(|| {
                let known: Vec<&str> = Kind::VARIANTS.iter().map(|kind| kind.name()).collect();
                format!("no fault is called {name}; known: {}", known.join(", "))
            })
        })
        .collect::<Result<Vec<Kind>>>()
        .map(Some)
}

/// Returns when the run is to end early.
async fn interrupted() -> anyhow::Error {
    use tokio::signal::unix::{SignalKind, signal};

    let both = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    let (Ok(mut interrupt), Ok(mut terminate)) = both else {
        return anyhow::anyhow!("signals cannot be watched");
    };
    tokio::select! {
        _ = interrupt.recv() => anyhow::anyhow!("interrupted"),
        _ = terminate.recv() => anyhow::anyhow!("told to end"),
    }
}

fn keep_or_remove(folder: &Path, ended: &Result<Report>) {
    if ended.as_ref().is_ok_and(Report::passed) {
        if let Err(error) = std::fs::remove_dir_all(folder) {
            harness::say(&format!("{} stays: {error}", folder.display()));
        }
        return;
    }
    if let Some(runs) = folder.parent() {
        leftovers::make_room(runs);
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let kept = folder.with_file_name(format!("{}{name}", leftovers::KEPT));
    let place = match std::fs::rename(folder, &kept) {
        Ok(()) => kept,
        Err(_) => folder.to_owned(),
    };
    harness::say(&format!("logs and histories are in {}", place.display()));
}

async fn run(
    arguments: &Arguments,
    seed: u64,
    chosen: Option<Vec<Kind>>,
    prepared: Prepared,
    folder: &Path,
) -> Result<Report> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let arena = Arena::start(prepared, folder, &mut rng).await?;
    if arguments.lying_disks {
        ensure!(
            arena.disks.missing().is_none(),
            "there are no disks that could lie"
        );
        arena.disks.lie();
    }
    let history = History::new();
    let wall_ms = wall_ms();
    let load = harness::start_load(&arena.cluster, &history, seed, arguments.clients, PAUSE)?;
    let mut run = Running {
        storm: Storm::new(arena, history.clone()),
        kept: Kept::default(),
        judged: Judged::default(),
        rounds: 0,
        level: true,
        folder: folder.to_owned(),
        seed,
    };
    let possible = run.storm.possible();
    let drawn: Vec<Kind> = match chosen {
        Some(chosen) => chosen
            .into_iter()
            .filter(|kind| possible.contains(kind))
            .collect(),
        None => possible,
    };
    ensure!(!drawn.is_empty(), "none of the faults is possible here");
    let until = Duration::from_secs_f64(arguments.minutes * 60.0);
    run.faults(drawn.clone(), until, &mut rng).await?;
    let minutes = history.now().as_secs_f64() / 60.0;
    run.finish(load, drawn, minutes, wall_ms, &arguments.report)
        .await
}

struct Running {
    storm: Storm,
    kept: Kept,
    judged: Judged,
    rounds: u64,
    /// Whether all nodes were level when they were last expected to be.
    level: bool,
    folder: PathBuf,
    seed: u64,
}

impl Running {
    /// Windows with rounds of faults, until the time is over or a promise is broken: what comes after that would only bury its traces.
    async fn faults(
        &mut self,
        drawn: Vec<Kind>,
        until: Duration,
        rng: &mut ChaCha8Rng,
    ) -> Result<()> {
        let mut deck = Deck::new(drawn);
        let mut number = 0;
        while self.storm.history.now() < until && self.storm.findings.none() {
            number += 1;
            let now = self.storm.history.now();
            let window =
                Window::start(&mut self.storm.arena.cluster, self.seed, number, now).await?;
            while window.age() < WINDOW
                && self.storm.history.now() < until
                && self.storm.findings.none()
            {
                let round = deck.draw(rng);
                self.storm.round(&round, rng).await?;
                self.rounds += 1;
            }
            self.storm.heal().await?;
            self.level = self.storm.wait_level().await?;
            if self.level {
                self.works().await?;
            }
            let Running {
                storm,
                kept,
                judged,
                folder,
                ..
            } = self;
            window
                .end(folder, kept, judged, &mut storm.findings)
                .await?;
        }
        Ok(())
    }

    /// Writes are acknowledged again.
    async fn works(&mut self) -> Result<()> {
        let aim = self.storm.history.acknowledged() + WORKS;
        let history = self.storm.history.clone();
        let works =
            banyan_drill::wait_for::condition("acknowledging writes", WORKS_WITHIN, async || {
                let now = history.acknowledged();
                if now >= aim {
                    Ok(())
                } else {
                    Err(format!("{now} of {aim}"))
                }
            })
            .await;
        if let Err(elapsed) = works {
            self.storm.findings.add("no_writes", &elapsed.to_string());
        }
        Ok(())
    }

    /// Ends the load, holds everything against everything, stops the nodes.
    async fn finish(
        mut self,
        load: Workload,
        possible: Vec<Kind>,
        minutes: f64,
        wall_ms: i64,
        file: &Path,
    ) -> Result<Report> {
        harness::say("healed; comparing");
        if self.level {
            load.stop().await;
        } else {
            // Its clients would try for long what cannot be settled any more.
            drop(load);
        }
        let storm = &mut self.storm;
        // Nodes that are not level have broken their promise already. To settle every open write with them would take for ever.
        let compared = if self.level {
            compare(storm, self.judged.persons).await
        } else {
            None
        };
        let writes = storm.history.writes();
        oracles::check(&writes, &self.kept, wall_ms, &mut storm.findings);
        add_comparison(compared.as_ref(), storm);
        if self.judged.undecided > 0 {
            let what = format!(
                "{} registers could not be judged in time",
                self.judged.undecided
            );
            storm.findings.add("undecided", &what);
        }
        let all = storm.arena.cluster.node_names();
        storm.stop(&all).await?;
        self.panics()?;
        let report = self.report(compared, possible, minutes);
        report.write(file)?;
        Ok(report)
    }

    /// A panic of any thread is a broken promise, whatever became of it.
    fn panics(&mut self) -> Result<()> {
        let cluster = &self.storm.arena.cluster;
        for node in cluster.node_names() {
            let log = cluster.layout().node_log(&node);
            let bytes =
                std::fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
            for line in String::from_utf8_lossy(&bytes).lines() {
                if line.contains("panicked at") {
                    self.storm.findings.add("panic", &format!("{node}: {line}"));
                }
            }
        }
        Ok(())
    }

    fn report(
        self,
        compared: Option<(Verdict, Comparison, Settled)>,
        possible: Vec<Kind>,
        minutes: f64,
    ) -> Report {
        let Running {
            storm,
            kept,
            judged,
            rounds,
            seed,
            ..
        } = self;
        let verdict = compared.as_ref().map(|(verdict, _, _)| verdict);
        let settled = compared.as_ref().map(|(_, _, settled)| *settled);
        let findings = &storm.findings;
        let without = [
            storm
                .arena
                .why_proxies
                .clone()
                .map(|why| format!("network namespaces: {why}")),
            storm
                .arena
                .disks
                .missing()
                .map(|why| format!("disks of its own: {why}")),
            storm
                .arena
                .clocks
                .missing()
                .map(|why| format!("clocks of nodes: {why}")),
        ];
        Report {
            minutes,
            seed,
            network: storm.arena.network.kind(),
            without: without.into_iter().flatten().collect(),
            not_injected: outcome::not_injected(),
            faults: outcome::by_name(&storm.counts, &possible),
            rounds,
            acknowledged: settled.map_or(storm.history.acknowledged() as u64, |settled| {
                settled.acknowledged
            }),
            settled_later: settled.map_or(0, |settled| settled.resolved),
            rejected: settled.map_or(0, |settled| settled.rejected),
            lost: verdict.map(Verdict::lost),
            duplicated: verdict.map(Verdict::duplicated),
            histories_read: verdict.map_or(0, |verdict| verdict.histories_read),
            digests_equal: compared
                .as_ref()
                .is_some_and(|(_, digest, _)| digest.equal()),
            checker: outcome::checker(&judged, findings),
            windows: judged.windows,
            register_operations: judged.operations,
            ordered_reads: kept.reads() as u64,
            broken: findings
                .counts()
                .iter()
                .map(|(kind, count)| ((*kind).to_owned(), *count))
                .collect(),
            findings: findings.lines().to_vec(),
        }
    }
}

/// Holds the nodes against the history of the load. `persons`: those that were not registered by it.
async fn compare(storm: &mut Storm, persons: u64) -> Option<(Verdict, Comparison, Settled)> {
    // Where something is wrong already, what was lost will not come in any time.
    let within = if storm.findings.none() {
        LEVEL_WITHIN
    } else {
        COMPARED_WITHIN
    };
    let cluster = &mut storm.arena.cluster;
    match site_down::compare(cluster, &storm.history, persons, within, &mut Said).await {
        Ok(compared) => Some(compared),
        // A cluster that cannot be compared after it was healed has not kept its promises.
        Err(error) => {
            let why = format!("{:#}", anyhow::Error::from(error));
            storm.findings.add("not_compared", &why);
            None
        }
    }
}

fn add_comparison(compared: Option<&(Verdict, Comparison, Settled)>, storm: &mut Storm) {
    let Some((verdict, digest, settled)) = compared else {
        return;
    };
    for violation in &verdict.violations {
        storm.findings.add("read_back", &violation.to_string());
    }
    if !digest.equal() {
        storm.findings.add(
            "digests",
            &format!("states are not known to be equal {}", digest.explain()),
        );
    }
    if settled.rejected > 0 {
        let what = format!(
            "{} writes were rejected, and the load sends none that may be",
            settled.rejected
        );
        storm.findings.add("rejected", &what);
    }
}

/// Milliseconds since 1970 by this machine's clock, which no fault moves.
#[expect(
    clippy::disallowed_methods,
    reason = "the stamps of the nodes are held against it"
)]
fn wall_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}
