//! `banyan-bench endurance`: seven nodes under one mixed load for hours. Shows whether memory, disk or latency drift while snapshots are taken,
//! the log is purged and tables are compacted.
//!
//! Births, corrections, local and linearizable reads come at even rates, each kind in an open loop of its own, so that a node that gets slower
//! gets no less to do. The load leaves room: what is looked for is drift and not the limit.

mod drift;
mod mixed;
mod samples;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use banyan_drill::cluster::{self, LocalCluster, PortPolicy};
use banyan_drill::digest;
use clap::Args;
use serde::Serialize;

use self::drift::Drift;
use self::mixed::Mixed;
use self::samples::{Cpu, CpuShares, NodeSample, Nodes};
use crate::figures::Figures;
use crate::folder;
use crate::load::{self, Window};
use crate::machine::Machine;
use crate::systems::banyan::READY_WITHIN;

/// Seven nodes at the sites of the demonstration.
const TOPOLOGY: &str = include_str!("../../../cluster/local.toml");
/// Settings as shipped, but for these: at some hundred writes a second a log of a million entries would not be purged in hours.
const SNAPSHOTS: &str = "[snapshots]\nafter_entries = 20_000\nkeep_entries = 50_000\n";
/// Four digests of as many nodes as there are take a while on a machine that is busy.
const DIGEST_WITHIN: Duration = Duration::from_secs(300);

/// How long, and how much.
#[derive(Args)]
pub(crate) struct Endurance {
    /// Folder of the cluster's data, deleted at the end, and of the report
    #[arg(long, value_name = "FOLDER", default_value = "target/endurance")]
    out: PathBuf,
    /// Where the report goes
    #[arg(
        long,
        value_name = "FILE",
        default_value = "target/proof/endurance.json"
    )]
    report: PathBuf,
    /// Minutes under load
    #[arg(long, value_name = "MINUTES", default_value_t = 120)]
    minutes: u64,
    /// Seconds of a window: one line, one row of the report
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    window: u64,
    /// Births a second; as many corrections, twice as many local reads, half as many linearizable ones
    #[arg(long, value_name = "COUNT", default_value_t = 60.0)]
    rate: f64,
    /// The data stay
    #[arg(long)]
    keep: bool,
}

/// One window.
#[derive(Debug, Serialize)]
struct Row {
    /// From the start to the end of the window.
    minute: f64,
    births: Figures,
    corrections: Figures,
    local_reads: Figures,
    linearizable_reads: Figures,
    /// Of the machine, all cores together.
    cpu: CpuShares,
    nodes: Vec<NodeSample>,
}

#[derive(Serialize)]
struct Report {
    minutes: f64,
    machine: Machine,
    /// Calls that got no answer, or a wrong one; none may.
    errors: u64,
    /// Changes of term; none may come about.
    terms: u64,
    /// Snapshots that the node with the fewest took.
    snapshots: u64,
    /// Purges of the node with the fewest.
    purges: u64,
    /// Windows in which compaction replaced tables, on the node with the fewest.
    compactions: u64,
    drift: Vec<Drift>,
    digests_equal: bool,
    windows: Vec<Row>,
}

/// Starts the cluster, loads it, judges.
///
/// # Errors
/// That the cluster cannot be started, or that something drifts, fails, or never came about.
pub(crate) async fn run(arguments: &Endurance) -> anyhow::Result<()> {
    let (out, data) = folder::of_run(&arguments.out, arguments.keep)?;
    let machine = Machine::look(&out)?;
    let mut cluster = start(data.path()).await?;
    let mixed = Mixed::prepare(&cluster).await?;
    let names = cluster.node_names();
    cluster.wait_caught_up(&names, READY_WITHIN).await?;

    let mut nodes = Nodes::new(&mut cluster)?;
    let first_term = nodes.term().await?;
    let begun = Instant::now();
    let ends = begun + Duration::from_secs(60 * arguments.minutes);
    let mut windows = Vec::new();
    let mut cpu = Cpu::look()?;
    while Instant::now() < ends {
        let (births, corrections, local_reads, linearizable_reads) =
            one_window(&mixed, arguments).await;
        let row = Row {
            minute: begun.elapsed().as_secs_f64() / 60.0,
            births,
            corrections,
            local_reads,
            linearizable_reads,
            cpu: cpu.since_last_look()?,
            nodes: nodes.look().await?,
        };
        print(&line(&row));
        windows.push(row);
    }
    let terms = nodes.term().await? - first_term;
    cluster.wait_caught_up(&names, READY_WITHIN).await?;
    let operator = cluster.operator()?;
    let digests = digest::compare(&operator, &names, DIGEST_WITHIN).await?;
    let report = report(machine, begun, terms, digests.equal(), windows);
    write(&arguments.report, &report)?;
    if !digests.equal() {
        print(&digests.explain());
    }
    judge(&report)
}

async fn start(folder: &Path) -> anyhow::Result<LocalCluster> {
    let file = folder.join("topology.toml");
    std::fs::write(&file, TOPOLOGY)?;
    let options = cluster::Options {
        ports: PortPolicy::Free,
        ready_within: READY_WITHIN,
        extra_config: SNAPSHOTS.to_owned(),
        ..cluster::Options::new(file, folder.join("cluster"))
    };
    Ok(LocalCluster::start(options).await?)
}

async fn one_window(mixed: &Mixed, arguments: &Endurance) -> (Figures, Figures, Figures, Figures) {
    let window = Window {
        warm_up: Duration::ZERO,
        counted: Duration::from_secs(arguments.window.max(1)),
    };
    let rate = arguments.rate;
    let slots = mixed::CLIENTS;
    tokio::join!(
        load::open(&mixed.births, slots, rate, window),
        load::open(&mixed.corrections, slots, rate, window),
        load::open(&mixed.local_reads, slots, 2.0 * rate, window),
        load::open(&mixed.linearizable_reads, slots, rate / 2.0, window),
    )
}

fn report(
    machine: Machine,
    begun: Instant,
    terms: u64,
    digests_equal: bool,
    windows: Vec<Row>,
) -> Report {
    let fewest = |count: fn(&NodeSample) -> u64| {
        let counts = windows.last().map(|row| row.nodes.iter().map(count));
        counts.and_then(Iterator::min).unwrap_or(0)
    };
    Report {
        minutes: begun.elapsed().as_secs_f64() / 60.0,
        machine,
        errors: windows
            .iter()
            .flat_map(Row::figures)
            .map(|(_, figures)| figures.errors)
            .sum(),
        terms,
        snapshots: fewest(|node| node.snapshots),
        purges: fewest(|node| node.purges),
        compactions: fewest(|node| node.compactions),
        drift: drift::of(&windows),
        digests_equal,
        windows,
    }
}

impl Row {
    fn figures(&self) -> [(&'static str, &Figures); 4] {
        [
            ("births", &self.births),
            ("corrections", &self.corrections),
            ("local reads", &self.local_reads),
            ("linearizable reads", &self.linearizable_reads),
        ]
    }
}

/// All that is wrong, at once.
fn judge(report: &Report) -> anyhow::Result<()> {
    for drift in &report.drift {
        print(&drift.to_string());
    }
    print(&format!(
        "{:.0} min: {} errors, {} changes of term; on the node with the fewest {} snapshots, {} purges, {} windows with compactions; states equal: {}",
        report.minutes,
        report.errors,
        report.terms,
        report.snapshots,
        report.purges,
        report.compactions,
        report.digests_equal
    ));
    let mut faults: Vec<String> = report
        .drift
        .iter()
        .filter(|drift| !drift.kept)
        .map(|drift| format!("{} drifts", drift.what))
        .collect();
    let mut need = |holds: bool, what: &str| {
        if !holds {
            faults.push(what.to_owned());
        }
    };
    need(report.errors == 0, "calls failed");
    need(report.terms == 0, "the leader changed without a cause");
    need(report.snapshots >= 2, "fewer than two snapshots on a node");
    need(report.purges >= 2, "fewer than two purges on a node");
    need(
        report.compactions >= 2,
        "compactions in fewer than two windows on a node",
    );
    need(report.digests_equal, "states differ");
    ensure!(faults.is_empty(), "{}", faults.join("; "));
    Ok(())
}

fn write(path: &Path, report: &Report) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let text = serde_json::to_string_pretty(report)?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn line(row: &Row) -> String {
    let mut text = format!("{:>6.1} min ", row.minute);
    for (name, figures) in row.figures() {
        text += &format!(" {name} p99 {} us", figures.p99_us);
        if let Some(error) = &figures.error {
            text += &format!(" ({} errors: {error})", figures.errors);
        }
    }
    let mebibytes = |count: fn(&NodeSample) -> u64| {
        let all = row.nodes.iter().map(count);
        all.max().unwrap_or(0) >> 20
    };
    text += &format!(
        "  largest: memory {} MiB, log {} MiB, state {} MiB, journal {} MiB",
        mebibytes(|node| node.resident_bytes),
        mebibytes(|node| node.log_bytes),
        mebibytes(|node| node.state_bytes),
        mebibytes(|node| node.journal_bytes),
    );
    let tables = row.nodes.iter().map(|node| node.tables).max();
    text += &format!(
        ", tables {}; cores {:.0} % busy, {:.1} % stolen",
        tables.unwrap_or(0),
        100.0 * row.cpu.busy,
        100.0 * row.cpu.stolen,
    );
    text
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
fn print(text: &str) {
    println!("{text}");
}
