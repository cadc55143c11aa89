//! One run from its start to its report.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use banyan_drill::history::History;
use banyan_drill::wait_for;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use strum::VariantArray as _;

use super::arguments::Arguments;
use super::faults::{LEVEL_WITHIN, Storm};
use super::leftovers;
use super::oracles::Kept;
use super::outcome::{self, Report};
use super::plan::{Deck, Kind};
use super::start::{self, Arena, Prepared};
use super::windows::{Judged, Window};
use crate::harness;
use crate::registers::record::KINDS;

/// A client's pause after each operation of the load: two cores carry seven nodes and all clients.
const PAUSE: Duration = Duration::from_millis(25);
/// A window of registers is ended at the first quiet moment after this time.
const WINDOW: Duration = Duration::from_secs(60);
/// Acknowledgements without which the cluster does not count as working again.
const WORKS: usize = 20;
/// Answers of each kind without which registers do not count as served again.
const SERVED: u64 = 10;
const WORKS_WITHIN: Duration = Duration::from_secs(60);
/// Runs, prints what it found, and says so in its exit code. To be called on a thread of a program that has no other yet.
pub fn main(arguments: &Arguments) -> ExitCode {
    match whole(arguments) {
        Ok(report) => {
            harness::say(&format!("\n{}", report.table()));
            for finding in &report.findings {
                harness::say(&format!("BROKEN PROMISE: {finding}"));
            }
            if let Some(why) = &report.failed {
                harness::say(&format!("the run failed: {why}"));
            }
            ExitCode::from(report.exit_code())
        }
        Err(error) => {
            harness::say(&format!("the run failed: {error:#}"));
            ExitCode::from(outcome::FAILED)
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
        failed: None,
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
    run.faults(drawn.clone(), until, &mut rng).await;
    let minutes = history.now().as_secs_f64() / 60.0;
    Ok(run.finish(load, drawn, minutes, wall_ms, arguments).await)
}

/// The first kind of operation of which fewer than [`SERVED`] were answered in between; `None`: there is none.
fn too_few(
    before: &BTreeMap<&'static str, u64>,
    now: &BTreeMap<&'static str, u64>,
) -> Option<String> {
    let more = |kind: &str| {
        let count = |counts: &BTreeMap<&'static str, u64>| counts.get(kind).copied().unwrap_or(0);
        count(now).saturating_sub(count(before))
    };
    let kind = KINDS.into_iter().find(|kind| more(kind) < SERVED)?;
    Some(format!(
        "of {kind}s {} of {SERVED} were answered",
        more(kind)
    ))
}

/// A run whose nodes run.
pub(super) struct Running {
    pub(super) storm: Storm,
    pub(super) kept: Kept,
    pub(super) judged: Judged,
    pub(super) rounds: u64,
    /// Whether all nodes were level when they were last expected to be.
    pub(super) level: bool,
    folder: PathBuf,
    pub(super) seed: u64,
    /// What first stood in the way of the run itself. What was seen until then is judged all the same.
    pub(super) failed: Option<anyhow::Error>,
}

impl Running {
    /// Windows with rounds of faults, until the time is over, a promise is broken or the run fails: what comes after that would only bury its
    /// traces.
    async fn faults(&mut self, drawn: Vec<Kind>, until: Duration, rng: &mut ChaCha8Rng) {
        let mut deck = Deck::new(drawn);
        let mut number = 0;
        while self.failed.is_none() && self.goes_on(until) {
            number += 1;
            let now = self.storm.history.now();
            let started =
                Window::start(&mut self.storm.arena.cluster, self.seed, number, now).await;
            let Some(window) = self.keep(started) else {
                // Some of its persons may be registered: the nodes' counts cannot be held against the history any more.
                self.level = false;
                return;
            };
            let done = self.rounds(&window, &mut deck, until, rng).await;
            if self.keep(done).is_none() {
                self.level = self.recovers().await;
            }
            let Running {
                storm,
                kept,
                judged,
                folder,
                level,
                ..
            } = self;
            let ended = window
                .end(folder, *level, kept, judged, &mut storm.findings)
                .await;
            self.keep(ended);
        }
    }

    fn goes_on(&self, until: Duration) -> bool {
        self.storm.history.now() < until && self.storm.findings.none()
    }

    /// The rounds of a window, until everything is healed and works again.
    async fn rounds(
        &mut self,
        window: &Window,
        deck: &mut Deck,
        until: Duration,
        rng: &mut ChaCha8Rng,
    ) -> Result<()> {
        while window.age() < WINDOW && self.goes_on(until) {
            let (round, mut own) = deck.draw(rng);
            self.storm.round(&round, &mut own).await?;
            self.rounds += 1;
        }
        self.storm.heal().await?;
        self.level = self.storm.wait_level().await?;
        if self.level {
            self.works(window).await;
        }
        Ok(())
    }

    /// Keeps what stands in the way of the run, for its report.
    pub(super) fn keep<T>(&mut self, done: Result<T>) -> Option<T> {
        match done {
            Ok(value) => Some(value),
            Err(error) => {
                harness::say(&format!("the run fails: {error:#}"));
                self.failed.get_or_insert(error);
                None
            }
        }
    }

    /// After a failure of the run: whether all was healed, and the nodes are level. If not, that may be the failure's doing and is no finding.
    async fn recovers(&mut self) -> bool {
        if let Err(error) = self.storm.heal().await {
            harness::say(&format!("not healed: {error:#}"));
            return false;
        }
        let cluster = &mut self.storm.arena.cluster;
        let all = cluster.node_names();
        cluster.wait_caught_up(&all, LEVEL_WITHIN).await.is_ok()
    }

    /// Writes of the load are acknowledged again, and clients of registers get answers of every kind.
    async fn works(&mut self, window: &Window) {
        let aim = self.storm.history.acknowledged() + WORKS;
        let history = self.storm.history.clone();
        let works = wait_for::condition("acknowledging writes", WORKS_WITHIN, async || {
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
        let before = window.answered();
        let served = wait_for::condition("answers of every kind", WORKS_WITHIN, async || {
            let missing = too_few(&before, &window.answered());
            missing.map_or(Ok(()), Err)
        })
        .await;
        if let Err(elapsed) = served {
            self.storm.findings.add("not_served", &elapsed.to_string());
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_operation_has_to_be_answered_again() {
        let counts = |each: u64| BTreeMap::from(KINDS.map(|kind| (kind, each)));
        let before = counts(100);
        assert_eq!(too_few(&before, &counts(100 + SERVED)), None);
        for kind in KINDS {
            let mut now = counts(100 + SERVED);
            now.insert(kind, 100 + SERVED - 1);
            let missing = too_few(&before, &now).unwrap();
            assert!(missing.contains(kind), "{missing}");
        }
    }
}
