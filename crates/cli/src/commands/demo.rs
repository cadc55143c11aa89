//! `banyan demo`: the whole system at work on this machine, and whether its promises held.

use std::path::PathBuf;
use std::time::Duration;

use banyan_client::CallError;
use banyan_drill::demo::{self, DemoError, Finished};
use banyan_drill::import::ImportError;
use clap::Args;
use serde::Serialize;

use super::cluster::cluster_failure;
use super::drill::drill_failure;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::progress::Narrator;

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Citizens to load
    #[arg(long, value_name = "COUNT", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    citizens: u64,
    /// Births to register at the centre
    #[arg(long, value_name = "COUNT", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(16..=100_000))]
    births: u64,
    /// Local reads to measure
    #[arg(long, value_name = "COUNT", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    reads: u64,
    /// Seconds for which the central site stays away
    #[arg(long, value_name = "SECONDS", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    down: u64,
    /// Seed of all chance
    #[arg(long, value_name = "NUMBER", default_value_t = 2026)]
    seed: u64,
    /// Topology file
    #[arg(long, value_name = "FILE", default_value = "cluster/local.toml")]
    topology: PathBuf,
    /// Directory for keys, data and logs; what an earlier demonstration left there is removed
    #[arg(long, value_name = "DIRECTORY", default_value = "target/demo")]
    dir: PathBuf,
    /// The report for programs [default: report.json in the directory]
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The node's program [default: banyand beside this program]
    #[arg(long, value_name = "FILE")]
    banyand: Option<PathBuf>,
    /// Leave the cluster running
    #[arg(long)]
    keep: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Plan {
    dry_run: bool,
    directory: String,
    citizens: u64,
    births: u64,
}

pub(crate) async fn run(global: &Global, arguments: Demo) -> Result<Exit, Failure> {
    let mut options = demo::Options::new(arguments.topology, arguments.dir);
    options.citizens = arguments.citizens;
    options.births = arguments.births;
    options.reads = arguments.reads;
    options.down = Duration::from_secs(arguments.down);
    options.seed = arguments.seed;
    options.banyand = arguments.banyand;
    options.keep = arguments.keep;
    if let Some(report) = arguments.report {
        options.report = report;
    }
    if arguments.dry_run {
        let plan = Plan {
            dry_run: true,
            directory: options.directory.display().to_string(),
            citizens: options.citizens,
            births: options.births,
        };
        global.output().answer(&plan, || {
            format!(
                "Would start a cluster in {}, load {} citizens, register {} births, kill the central site and compare.",
                plan.directory, plan.citizens, plan.births
            )
        });
        return Ok(Exit::Done);
    }
    let mut narrator = Narrator::new(global.json);
    let finished = demo::run(&options, &mut narrator)
        .await
        .map_err(demo_failure)?;
    global
        .output()
        .answer(&finished.report, || words(&finished));
    Ok(if finished.report.broken.is_empty() {
        Exit::Done
    } else {
        Exit::Fault
    })
}

fn demo_failure(error: DemoError) -> Failure {
    match error {
        DemoError::Foreign { .. } | DemoError::Topology { .. } => {
            Failure::because(Exit::Usage, &error)
        }
        DemoError::Cluster(error) => cluster_failure(&error),
        DemoError::Drill(error) => drill_failure(error),
        DemoError::Import(ImportError::Submit { from, to, source }) => {
            let mut failure = Failure::from(CallError::clone(&source));
            failure.message = format!("import of lines {from} to {to}: {}", failure.message);
            failure
        }
        _ => Failure::because(Exit::Fault, &error),
    }
}

fn words(finished: &Finished) -> String {
    let mut text = format!("\n{}", finished.report.table());
    for promise in &finished.report.broken {
        text.push_str(&format!("\nBROKEN: {promise}"));
    }
    if finished.kept {
        text.push_str("\n\nThe cluster still runs. Try:");
        for command in commands(finished) {
            text.push_str(&format!("\n  {command}"));
        }
    }
    text
}

/// Three commands that work as typed from the place where the demonstration was started.
fn commands(finished: &Finished) -> [String; 3] {
    let program = std::env::current_exe().map_or_else(|_| "banyan".to_owned(), |path| shown(&path));
    let directory = finished.directory.display();
    let contexts = if finished.directory.ends_with("target/demo") {
        String::new()
    } else {
        format!(" --contexts {directory}/contexts.toml")
    };
    let registrar = &finished.registrar;
    let read = match &finished.someone {
        Some(pin) => format!(
            "echo {} | {program}{contexts} --as {registrar} person get -",
            pin.0
        ),
        None => format!(
            "{program}{contexts} --as {registrar} person find --name 'Nguyễn Văn An' --birth-date 1990-01-01"
        ),
    };
    [
        format!("{program}{contexts} cluster status"),
        read,
        format!("{program} cluster down --dir {directory}"),
    ]
}

/// A path as it is typed from here: relative where it lies below the current directory.
fn shown(path: &std::path::Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here)
        .unwrap_or(path)
        .display()
        .to_string()
}
