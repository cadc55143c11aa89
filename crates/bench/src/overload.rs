//! `banyan-bench overload`: what a cluster does that is asked for three times what it can do.
//!
//! First as much as it answers (closed loop): the peak. Then, open loop, eight tenths of the peak and three times the peak. A call is sent once:
//! a refusal is a result and not tried again. Latencies count from when a call was due, so that what the generator was late is in them; the
//! figures tell how late it was. Nodes and generator have cores of their own, unless told otherwise: a generator that asks for three
//! times the capacity of nodes on its own cores takes the capacity away.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use banyan_client::{CallError, Client, Options, SubmitOptions, Transport, new_key};
use banyan_domain::IdempotencyKey;
use banyan_wire::errors::Code;
use banyan_wire::v1;
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::cores;
use crate::figures::Figures;
use crate::folder;
use crate::load::{self, Failure, Target, Window};
use crate::machine::Machine;
use crate::peers::say;
use crate::persons::Persons;
use crate::results::write_json;
use crate::systems::Source;
use crate::systems::banyan::{self, Banyan, Timing, with_config};

/// Calls under way in the closed loop; the peak is the best of them.
const OUTSTANDING: [usize; 3] = [64, 128, 256];
const WARM_UP: Duration = Duration::from_secs(2);
/// A call without an answer is an error after this.
const CALL_WITHIN: Duration = Duration::from_secs(5);
/// Shares of the peak that are asked for in the open loop.
const USUAL: f64 = 0.8;
const OVERLOAD: f64 = 3.0;
/// What was promised: refusals' 99th percentile, that of admitted calls in times of the one at the usual load, goodput as a share of the peak.
const REFUSAL_P99_MAX: Duration = Duration::from_millis(10);
const ADMITTED_P99_TIMES_MAX: f64 = 2.0;
const GOODPUT_SHARE_MIN: f64 = 0.8;
/// Less than this share of what should have been sent was sent: the generator was not fast enough.
const SENT_SHARE_MIN: f64 = 0.97;

/// What load, and for how long.
#[derive(Args)]
pub(crate) struct Overload {
    /// Folder of the results
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// How long at each load, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    seconds: u64,
    /// How registrations are sent
    #[arg(long, value_enum, default_value_t = Calls::Unary)]
    calls: Calls,
    /// Connections that the calls share; a node serves 256 calls of each at a time
    #[arg(long, value_name = "COUNT", default_value_t = 32)]
    connections: usize,
    /// Nodes and generator share all cores; otherwise the generator has the last one and the nodes have the others
    #[arg(long)]
    shared_cores: bool,
    /// Lines added to each node's configuration, for instance `[limits]` and its keys
    #[arg(long, value_name = "TEXT", default_value = "")]
    config: String,
    /// Leave the nodes' data and logs in the folder
    #[arg(long)]
    keep: bool,
}

/// How registrations are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Calls {
    /// A request for each.
    Unary,
    /// All calls of a connection share a stream.
    Streams,
}

/// Registrations, each sent once to the node that leads as far as is known: a call that is told of another leader is an error, and later ones go there.
struct Once {
    clients: Vec<Client>,
    source: Source,
    /// Name or URL.
    leader: Mutex<String>,
}

impl Once {
    fn leader(&self) -> MutexGuard<'_, String> {
        self.leader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Target for Once {
    type Request = (IdempotencyKey, v1::Command);

    fn request(&self, _slot: usize) -> Self::Request {
        (new_key(), self.source.next().command)
    }

    async fn call(&self, slot: usize, (key, command): Self::Request) -> Result<u64, Failure> {
        let client = &self.clients[slot % self.clients.len()];
        let to_leader = SubmitOptions {
            first: Some(self.leader().clone()),
            ..SubmitOptions::default()
        };
        match client.submit_with(key, command, &to_leader).await {
            Ok(answer) => {
                banyan::accepted(answer.outcome)?;
                Ok(1)
            }
            Err(error) => {
                let told = error.detail().map(|detail| &detail.leader_endpoint);
                if let Some(leader) = told.filter(|leader| !leader.is_empty()) {
                    self.leader().clone_from(leader);
                }
                Err(failure(&error))
            }
        }
    }
}

fn failure(error: &CallError) -> Failure {
    match error {
        CallError::Unavailable {
            detail: Some(detail),
            ..
        } if detail.known_code() == Some(Code::Overloaded) => Failure::Refused {
            hint: detail.retry_after().is_some(),
        },
        _ => Failure::Error(error.to_string()),
    }
}

/// What was measured at one load.
#[derive(Debug, Clone, Serialize)]
struct Level {
    load: String,
    /// What was asked for in a second; none in the closed loop.
    asked_per_second: Option<f64>,
    figures: Figures,
}

impl Level {
    fn tell(&self) {
        let figures = &self.figures;
        let asked = self
            .asked_per_second
            .map_or_else(String::new, |asked| format!(", asked {asked:.0}/s"));
        say(&format!(
            "{}{asked}: admitted {:.0}/s, p50 {} p99 {} max {} us; {} errors{}",
            self.load,
            figures.per_second,
            figures.p50_us,
            figures.p99_us,
            figures.max_us,
            figures.errors,
            figures
                .error
                .as_ref()
                .map_or_else(String::new, |error| format!(": {error}")),
        ));
        if let Some(refusals) = &figures.refusals {
            say(&format!(
                "    refused {:.0}/s, p50 {} p99 {} max {} us, {:.1} % with a hint",
                refusals.per_second,
                refusals.p50_us,
                refusals.p99_us,
                refusals.max_us,
                100.0 * refusals.hinted as f64 / refusals.count as f64,
            ));
        }
        if let (Some(sending), Some(asked)) = (&figures.sending, self.asked_per_second) {
            say(&format!(
                "    sent {:.0}/s, late p50 {} p99 {} us",
                sending.per_second, sending.late_p50_us, sending.late_p99_us
            ));
            if sending.per_second < SENT_SHARE_MIN * asked {
                say(
                    "    the generator could not send what was asked for: this is no load of that size",
                );
            }
        }
    }
}

/// One of the promises.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Goal {
    what: String,
    value: f64,
    bound: f64,
    met: bool,
}

/// `overload.json`.
#[derive(Serialize)]
struct Report {
    version: String,
    machine: Machine,
    settings: String,
    levels: Vec<Level>,
    goals: Vec<Goal>,
}

/// Starts the cluster, loads it, prints, writes.
///
/// # Errors
/// That the cluster cannot be started or loses its leader for good, or that the file cannot be written.
pub(crate) async fn run(arguments: &Overload) -> anyhow::Result<()> {
    ensure!(arguments.connections > 0, "no connections, no calls");
    let (out, data) = folder::of_run(&arguments.out, arguments.keep)?;
    let machine = Machine::look(data.path())?;
    let persons = Arc::new(Persons::new()?);
    let folder = data.path().join("banyan");
    let config = with_config(&arguments.config);
    let mut banyan = Banyan::start_with(&folder, Timing::Local, 0, config).await?;
    let cores = if arguments.shared_cores {
        "nodes and generator share all cores".to_owned()
    } else {
        split_cores(&mut banyan).await?
    };
    let mut report = Report {
        version: banyan.version().await?,
        machine,
        settings: format!(
            "three voters in one place, settings as shipped{}; {cores}; {:?} calls on {} connections to the leader, each sent once",
            changed(&arguments.config),
            arguments.calls,
            arguments.connections
        ),
        levels: Vec::new(),
        goals: Vec::new(),
    };
    say(&report.settings);
    let mut levels = Levels {
        clients: clients(&banyan, arguments)?,
        banyan,
        source: Source::new(persons),
        window: Window {
            warm_up: WARM_UP,
            counted: Duration::from_secs(arguments.seconds.max(1)),
        },
        done: Vec::new(),
    };
    let peak = levels.peak().await?;
    let usual = levels.open(USUAL, &peak).await?;
    let over = levels.open(OVERLOAD, &peak).await?;
    report.levels = levels.done;
    report.goals = goals(&peak, &usual, &over);
    for goal in &report.goals {
        let met = if goal.met { "met" } else { "missed" };
        say(&format!(
            "{}: {:.2}, bound {:.2}: {met}",
            goal.what, goal.value, goal.bound
        ));
    }
    let file = out.join("overload.json");
    write_json(&file, &report)?;
    say(&format!("{} written", file.display()));
    Ok(())
}

fn changed(config: &str) -> String {
    if config.is_empty() {
        return String::new();
    }
    format!(" but for {config:?}")
}

/// Gives the last core to this program and the others to the nodes.
async fn split_cores(banyan: &mut Banyan) -> anyhow::Result<String> {
    let count = std::thread::available_parallelism()?.get();
    ensure!(
        count > 1,
        "there is one core only; --shared-cores measures all the same"
    );
    let last = count - 1;
    for state in banyan.cluster.status().await? {
        let pid = state.pid.context("a node has no process")?;
        cores::keep_on(pid, 0..last)?;
    }
    cores::keep_on(i32::try_from(std::process::id())?, last..count)?;
    Ok(format!(
        "nodes on {last} of {count} cores, the generator on the last one"
    ))
}

fn clients(banyan: &Banyan, arguments: &Overload) -> anyhow::Result<Vec<Client>> {
    let options = Options {
        deadline: CALL_WITHIN,
        try_timeout: CALL_WITHIN,
        tries_max: Some(NonZeroU32::MIN),
        transport: match arguments.calls {
            Calls::Unary => Transport::Unary,
            Calls::Streams => Transport::Streams,
        },
        ..Options::default()
    };
    banyan.clients(arguments.connections, &options)
}

struct Levels {
    banyan: Banyan,
    clients: Vec<Client>,
    source: Source,
    window: Window,
    done: Vec<Level>,
}

impl Levels {
    async fn target(&mut self) -> anyhow::Result<Arc<Once>> {
        self.banyan.caught_up().await?;
        let leader = self.banyan.leader().await?;
        say(&format!("{leader} leads"));
        Ok(Arc::new(Once {
            clients: self.clients.clone(),
            source: self.source.clone(),
            leader: Mutex::new(leader),
        }))
    }

    /// The best of the closed loops.
    async fn peak(&mut self) -> anyhow::Result<Figures> {
        let mut best = Figures::default();
        for outstanding in OUTSTANDING {
            let target = self.target().await?;
            let figures = load::closed(&target, outstanding, self.window).await;
            if figures.per_second > best.per_second {
                best = figures.clone();
            }
            let load = format!("closed loop, {outstanding} under way");
            self.note(load, None, figures);
        }
        ensure!(
            best.operations > 0,
            "nothing was admitted: {:?}",
            best.error
        );
        Ok(best)
    }

    async fn open(&mut self, share: f64, peak: &Figures) -> anyhow::Result<Figures> {
        let target = self.target().await?;
        let asked = share * peak.per_second;
        let figures = load::open(&target, self.clients.len(), asked, self.window).await;
        let load = format!("open loop, {share} of the peak");
        self.note(load, Some(asked), figures.clone());
        Ok(figures)
    }

    fn note(&mut self, load: String, asked_per_second: Option<f64>, figures: Figures) {
        let level = Level {
            load,
            asked_per_second,
            figures,
        };
        level.tell();
        self.done.push(level);
    }
}

fn goals(peak: &Figures, usual: &Figures, over: &Figures) -> Vec<Goal> {
    // Where nothing was admitted, no figure says anything good.
    let served = over.calls > 0 && usual.calls > 0;
    let at_most = |what: &str, value: f64, bound: f64| Goal {
        what: what.to_owned(),
        value,
        bound,
        met: served && value <= bound,
    };
    let at_least = |what: &str, value: f64, bound: f64| Goal {
        met: served && value >= bound,
        ..at_most(what, value, bound)
    };
    let refusals = over.refusals.clone().unwrap_or_default();
    let asked = (over.calls + over.errors + refusals.count).max(1) as f64;
    vec![
        at_most(
            "p99 of refusals at three times the peak, ms",
            refusals.p99_us as f64 / 1000.0,
            REFUSAL_P99_MAX.as_secs_f64() * 1000.0,
        ),
        at_least(
            "share of refusals with a hint",
            refusals.hinted as f64 / refusals.count.max(1) as f64,
            1.0,
        ),
        at_most(
            "p99 of admitted calls, in times of the one at 0.8 of the peak",
            over.p99_us as f64 / usual.p99_us.max(1) as f64,
            ADMITTED_P99_TIMES_MAX,
        ),
        at_least(
            "goodput as a share of the peak",
            over.per_second / peak.per_second.max(0.001),
            GOODPUT_SHARE_MIN,
        ),
        at_most(
            "share of calls that ended in neither",
            over.errors as f64 / asked,
            0.0,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use banyan_client::Stats;

    use super::*;
    use crate::figures::Refusals;

    fn unavailable(detail: Option<v1::ErrorDetail>) -> CallError {
        CallError::Unavailable {
            reason: "no".to_owned(),
            detail: detail.map(Box::new),
            stats: Stats::default(),
        }
    }

    #[test]
    fn only_overload_is_a_refusal() {
        let detail = v1::ErrorDetail::new(Code::Overloaded, "full");
        let hinted = detail.clone().with_retry_after(Duration::from_millis(5));
        for (error, expected) in [
            (unavailable(Some(hinted)), Some(true)),
            (unavailable(Some(detail)), Some(false)),
            (
                unavailable(Some(v1::ErrorDetail::new(Code::NoLeader, "none"))),
                None,
            ),
            (unavailable(None), None),
        ] {
            let hint = match failure(&error) {
                Failure::Refused { hint } => Some(hint),
                Failure::Error(_) => None,
            };
            assert_eq!(hint, expected, "{error}");
        }
    }

    #[test]
    fn goals_compare_the_overload_with_the_peak_and_the_usual_load() {
        let figures = |per_second, p99_us| Figures {
            per_second,
            calls: 1000,
            p99_us,
            ..Figures::default()
        };
        let mut over = figures(850.0, 30_000);
        over.refusals = Some(Refusals {
            count: 100,
            hinted: 100,
            p99_us: 9_000,
            ..Refusals::default()
        });
        let goals = goals(&figures(1000.0, 1), &figures(800.0, 20_000), &over);
        assert!(goals.iter().all(|goal| goal.met), "{goals:?}");
        let values: Vec<f64> = goals.iter().map(|goal| goal.value).collect();
        assert_eq!(values, [9.0, 1.0, 1.5, 0.85, 0.0]);
        over.p99_us = 40_001;
        over.errors = 1;
        let goals = super::goals(&figures(1100.0, 1), &figures(800.0, 20_000), &over);
        let met: Vec<bool> = goals.iter().map(|goal| goal.met).collect();
        assert_eq!(met, [true, true, false, false, false]);
        let nothing = super::goals(&over, &figures(800.0, 20_000), &Figures::default());
        assert!(nothing.iter().all(|goal| !goal.met), "{nothing:?}");
    }
}
