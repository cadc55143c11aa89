//! `banyan-bench leaders`: for how long writes stop when a leader is killed, and when leadership moves as planned.
//!
//! 16 writers with one registration under way each. A stop is the longest time, from the event on, in which no write was acknowledged to any of
//! them. Writers beside a kill give a try up after 200 ms, as in the comparison with etcd; those beside a transfer have the library's own times.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use banyan_client::Options;
use clap::Args;
use serde::Serialize;

use crate::figures::Figures;
use crate::folder;
use crate::load::Window;
use crate::machine::Machine;
use crate::peers::say;
use crate::persons::Persons;
use crate::proxy::Delay;
use crate::results::write_json;
use crate::systems::banyan::{self, Banyan, Registrations, Timing, VOTERS, with_config};
use crate::systems::delayed::Delayed;
use crate::systems::{RETRY_PAUSE, Source};
use crate::watched::interrupted;

const WRITERS: usize = 16;
/// A write that has no outcome after this has failed.
const DEADLINE: Duration = Duration::from_secs(5);
/// A try beside a kill is given up after this.
const TRY_WITHIN: Duration = Duration::from_millis(200);
/// Load before an event.
const BEFORE: Duration = Duration::from_secs(1);
/// Load after it: longer than any stop that is still of use to anybody.
const AFTER: Duration = Duration::from_secs(3);
/// One planned move in so many is the stop of the leader's process.
const STOP_EVERY: u32 = 5;
/// A node that was asked to stop ends within this.
const GRACE: Duration = Duration::from_secs(20);
/// One way between two sites, with `--wide`.
const ONE_WAY: Duration = Duration::from_millis(20);

/// How often, and between which voters.
#[derive(Args)]
pub(crate) struct Leaders {
    /// Folder of the results
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// How many leaders to kill
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    kills: u32,
    /// How many times to move leadership; one in five by SIGTERM to the leader
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    transfers: u32,
    /// Voters 20 ms apart one way, and the times of heartbeats and elections of the wide-area profile
    #[arg(long)]
    wide: bool,
    /// Lines added to each node's configuration, for instance `[log]` and its keys
    #[arg(long, value_name = "TEXT", default_value = "")]
    config: String,
    /// Leave the nodes' data and logs in the folder
    #[arg(long)]
    keep: bool,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// SIGKILL to the leader.
    Kill,
    /// The operator's call.
    Transfer,
    /// SIGTERM to the leader, which is then started again.
    Stop,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Kill, Kind::Transfer, Kind::Stop];

    /// The longest stop that was promised for 95 in 100.
    fn goal(self, wide: bool) -> Duration {
        match self {
            Kind::Kill if wide => Duration::from_millis(1500),
            Kind::Kill => Duration::from_millis(700),
            Kind::Transfer | Kind::Stop => Duration::from_millis(100),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Kill => "kill",
            Kind::Transfer => "transfer",
            Kind::Stop => "stop",
        })
    }
}

/// One event.
#[derive(Debug, Clone, Serialize)]
struct Event {
    /// From 1, of its kind.
    number: u32,
    kind: Kind,
    /// Who led before, and after.
    from: String,
    to: String,
    /// Until the call was answered or the process had ended, in milliseconds.
    took_ms: f64,
    /// Why the move that was asked for was not made.
    fault: Option<String>,
    figures: Figures,
}

impl Event {
    fn stop_ms(&self) -> f64 {
        self.figures.stop_ms.unwrap_or(0.0)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event { figures, .. } = self;
        write!(
            f,
            "{:8} {:>3}  {:>10} -> {:10}  stopped {:>6.0} ms, longest call {:>6.0} ms, took {:>6.0} ms, {:>6} writes, {} failed",
            self.kind,
            self.number,
            self.from,
            self.to,
            self.stop_ms(),
            figures.max_us as f64 / 1000.0,
            self.took_ms,
            figures.calls,
            figures.errors,
        )?;
        for text in figures.error.iter().chain(&self.fault) {
            write!(f, ": {text}")?;
        }
        Ok(())
    }
}

/// What the events of a kind come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Summary {
    kind: Kind,
    events: usize,
    /// Moves that were asked for and not made.
    faults: usize,
    stop_p50_ms: f64,
    stop_p95_ms: f64,
    stop_max_ms: f64,
    goal_p95_ms: f64,
    /// All that were sent while events of this kind happened, and those without an outcome.
    writes: u64,
    failed: u64,
}

impl Summary {
    /// None without events.
    fn of(kind: Kind, events: &[Event], wide: bool) -> Option<Summary> {
        let events: Vec<&Event> = events.iter().filter(|event| event.kind == kind).collect();
        let mut stops: Vec<f64> = events.iter().map(|event| event.stop_ms()).collect();
        stops.sort_by(f64::total_cmp);
        Some(Summary {
            kind,
            events: events.len(),
            faults: events.iter().filter(|event| event.fault.is_some()).count(),
            stop_p50_ms: quantile(&stops, 0.50)?,
            stop_p95_ms: quantile(&stops, 0.95)?,
            stop_max_ms: quantile(&stops, 1.0)?,
            goal_p95_ms: kind.goal(wide).as_secs_f64() * 1000.0,
            writes: events.iter().map(|event| event.figures.calls).sum(),
            failed: events.iter().map(|event| event.figures.errors).sum(),
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let met = self.stop_p95_ms <= self.goal_p95_ms;
        write!(
            f,
            "{:8} {:>3} events  p50 {:>6.0} p95 {:>6.0} max {:>6.0} ms, goal at p95 {:.0} ms: {}; {} of {} writes failed, {} moves not made",
            self.kind,
            self.events,
            self.stop_p50_ms,
            self.stop_p95_ms,
            self.stop_max_ms,
            self.goal_p95_ms,
            if met { "met" } else { "missed" },
            self.failed,
            self.writes,
            self.faults,
        )
    }
}

/// The smallest of the sorted values that a share of `share` of them does not exceed.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// `leaders.json`.
#[derive(Serialize)]
struct Report {
    version: String,
    machine: Machine,
    settings: String,
    summaries: Vec<Summary>,
    events: Vec<Event>,
}

/// Kills, moves, prints, writes.
///
/// # Errors
/// That the cluster cannot be started or does not mend, or that the file cannot be written. An event that goes wrong is in the results.
pub(crate) async fn run(arguments: &Leaders) -> anyhow::Result<()> {
    let (out, data) = folder::of_run(&arguments.out, arguments.keep)?;
    let machine = Machine::look(data.path())?;
    let persons = Arc::new(Persons::new()?);
    let delay = Delay::default();
    let folder = data.path().join("banyan");
    let (timing, mut alone, mut delayed);
    let banyan = if arguments.wide {
        timing = Timing::Wide;
        delay.set(ONE_WAY);
        delayed = Delayed::start(&folder, timing, &arguments.config, &delay).await?;
        &mut delayed.banyan
    } else {
        timing = Timing::Local;
        alone = Banyan::start_with(&folder, timing, 0, with_config(&arguments.config)).await?;
        &mut alone
    };
    let mut report = Report {
        version: banyan.version().await?,
        machine,
        settings: settings(timing, arguments.wide),
        summaries: Vec::new(),
        events: Vec::new(),
    };
    say(&report.settings);
    let file = out.join("leaders.json");
    let mut events = Events {
        banyan,
        source: Source::new(persons),
        done: Vec::new(),
    };
    let measured = events.all(arguments).await;
    report.events = events.done;
    let summary = |kind| Summary::of(kind, &report.events, arguments.wide);
    report.summaries = Kind::ALL.into_iter().filter_map(summary).collect();
    for summary in &report.summaries {
        say(&summary.to_string());
    }
    // What was measured before something went wrong is worth keeping.
    write_json(&file, &report)?;
    say(&format!("{} written", file.display()));
    measured
}

fn settings(timing: Timing, wide: bool) -> String {
    let [heartbeat, min, max] = timing.milliseconds();
    let apart = if wide {
        format!("{} ms apart one way", ONE_WAY.as_millis())
    } else {
        "not apart".to_owned()
    };
    format!(
        "three voters {apart}, heartbeat {heartbeat} ms, election {min} to {max} ms; {WRITERS} writers with one registration under way each and a \
         deadline of {DEADLINE:?}; beside kills a try without an answer within {TRY_WITHIN:?} goes to the next member after {RETRY_PAUSE:?}, \
         beside transfers and stops the library's own times"
    )
}

struct Events<'a> {
    banyan: &'a mut Banyan,
    source: Source,
    done: Vec<Event>,
}

impl Events<'_> {
    async fn all(&mut self, arguments: &Leaders) -> anyhow::Result<()> {
        let usual = Options {
            deadline: DEADLINE,
            ..Options::default()
        };
        let writers = self.writers(&usual)?;
        let mut stops = 0;
        for number in 1..=arguments.transfers {
            if number.is_multiple_of(STOP_EVERY) {
                stops += 1;
                self.stop(stops, &writers).await?;
            } else {
                self.transfer(number - stops, &writers).await?;
            }
        }
        let hasty = Options {
            try_timeout: TRY_WITHIN,
            backoff_first: RETRY_PAUSE,
            backoff_max: RETRY_PAUSE,
            ..usual
        };
        let writers = self.writers(&hasty)?;
        for number in 1..=arguments.kills {
            self.kill(number, &writers).await?;
        }
        Ok(())
    }

    /// Each with a connection of its own.
    fn writers(&self, options: &Options) -> anyhow::Result<Arc<Registrations>> {
        let clients = self.banyan.clients(WRITERS, options)?;
        Ok(banyan::registrations(clients, self.source.clone()))
    }

    async fn kill(&mut self, number: u32, writers: &Arc<Registrations>) -> anyhow::Result<()> {
        let from = self.level().await?;
        let cluster = &mut self.banyan.cluster;
        let event = async || Ok(cluster.kill_node(&from).await?);
        let (figures, took) = under_load(writers, event).await?;
        let to = self.banyan.leader().await.unwrap_or_default();
        self.banyan.cluster.start_node(&from)?;
        self.note(Kind::Kill, number, (from, to), took, None, figures)
    }

    async fn transfer(&mut self, number: u32, writers: &Arc<Registrations>) -> anyhow::Result<()> {
        let from = self.level().await?;
        let wanted = after(&from).context("the leader is no voter")?;
        let id = self.banyan.cluster.node_id(wanted);
        let id = id.context("a voter has an id")?.get();
        let operator = self.banyan.cluster.operator()?;
        let mut fault = None;
        let event = async || {
            let moved = operator.transfer_leader(&from, id).await;
            fault = moved.err().map(|error| error.to_string());
            Ok(())
        };
        let (figures, took) = under_load(writers, event).await?;
        let to = self.banyan.leader().await?;
        if fault.is_none() && to != wanted {
            fault = Some(format!("{wanted} should lead"));
        }
        self.note(Kind::Transfer, number, (from, to), took, fault, figures)
    }

    async fn stop(&mut self, number: u32, writers: &Arc<Registrations>) -> anyhow::Result<()> {
        let from = self.level().await?;
        let cluster = &mut self.banyan.cluster;
        let mut late = Vec::new();
        let event = async || {
            late = cluster
                .stop_nodes(std::slice::from_ref(&from), GRACE)
                .await?
                .late;
            Ok(cluster.start_node(&from)?)
        };
        let (figures, took) = under_load(writers, event).await?;
        let to = self.banyan.leader().await?;
        let fault = (!late.is_empty()).then(|| format!("did not end within {GRACE:?}"));
        self.note(Kind::Stop, number, (from, to), took, fault, figures)
    }

    /// Waits until all voters run and have applied the same. Who leads then.
    async fn level(&mut self) -> anyhow::Result<String> {
        self.banyan.caught_up().await?;
        let running = self.banyan.cluster.running().len();
        ensure!(running == VOTERS.len(), "only {running} nodes run");
        self.banyan.leader().await
    }

    fn note(
        &mut self,
        kind: Kind,
        number: u32,
        (from, to): (String, String),
        took: Duration,
        fault: Option<String>,
        figures: Figures,
    ) -> anyhow::Result<()> {
        let event = Event {
            number,
            kind,
            from,
            to,
            took_ms: took.as_secs_f64() * 1000.0,
            fault,
            figures,
        };
        say(&event.to_string());
        self.done.push(event);
        Ok(())
    }
}

/// The voter after this one, in the order of their ids.
fn after(voter: &str) -> Option<&'static str> {
    let place = VOTERS.iter().position(|known| *known == voter)?;
    VOTERS.get((place + 1) % VOTERS.len()).copied()
}

/// Load, and the event in it. Also how long the event took.
async fn under_load(
    writers: &Arc<Registrations>,
    event: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<(Figures, Duration)> {
    let window = Window {
        warm_up: Duration::ZERO,
        counted: BEFORE + AFTER,
    };
    let timed = async || {
        let begun = Instant::now();
        event().await?;
        Ok(begun.elapsed())
    };
    interrupted(writers, WRITERS, window, BEFORE, timed).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: Kind, stop_ms: f64) -> Event {
        Event {
            number: 1,
            kind,
            from: "central-1".to_owned(),
            to: "recovery-1".to_owned(),
            took_ms: 1.0,
            fault: None,
            figures: Figures {
                calls: 10,
                errors: 1,
                stop_ms: Some(stop_ms),
                ..Figures::default()
            },
        }
    }

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=50).map(f64::from).collect();
        assert_eq!(quantile(&values, 0.50), Some(25.0));
        // 95 in 100 of 50 are 47.5: the 48th.
        assert_eq!(quantile(&values, 0.95), Some(48.0));
        assert_eq!(quantile(&values, 1.0), Some(50.0));
        assert_eq!(quantile(&values[..1], 0.5), Some(1.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn kinds_are_summed_up_apart() {
        let kills = (1..=20).map(|number| event(Kind::Kill, 40.0 * f64::from(number)));
        let events: Vec<Event> = kills.chain([event(Kind::Transfer, 30.0)]).collect();
        let kill = Summary::of(Kind::Kill, &events, false).unwrap();
        assert_eq!((kill.events, kill.writes, kill.failed), (20, 200, 20));
        assert_eq!((kill.stop_p95_ms, kill.stop_max_ms), (760.0, 800.0));
        assert!(kill.to_string().contains("goal at p95 700 ms: missed"));
        let wide = Summary::of(Kind::Kill, &events, true).unwrap();
        assert!(wide.to_string().contains("goal at p95 1500 ms: met"));
        let transfer = Summary::of(Kind::Transfer, &events, false).unwrap();
        assert_eq!((transfer.events, transfer.stop_p50_ms), (1, 30.0));
        assert_eq!(Summary::of(Kind::Stop, &events, false), None);
    }

    #[test]
    fn leadership_goes_round() {
        assert_eq!(after("central-1"), Some("recovery-1"));
        assert_eq!(after("quorum-1"), Some("central-1"));
        assert_eq!(after("nobody"), None);
    }
}
