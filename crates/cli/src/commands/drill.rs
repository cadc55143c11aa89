//! `banyan drill`: rehearsed losses on a local cluster, with a measured report.

use std::path::PathBuf;
use std::time::Duration;

use banyan_drill::cluster::LocalCluster;
use banyan_drill::demo::days_ago;
use banyan_drill::report;
use banyan_drill::site_down::{self, DrillError};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::cluster::cluster_failure;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::output::{bare_table, text_of};
use crate::progress::Narrator;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a drill
    Run {
        #[command(subcommand)]
        drill: Drill,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Drill {
    /// Kill a whole site under load, write on without it, bring it back, compare
    SiteDown(SiteDown),
}

#[derive(Debug, Args)]
pub(crate) struct SiteDown {
    /// Site to lose
    #[arg(long, value_name = "NAME", default_value = "central")]
    site: String,
    /// Directory that was given to `cluster up`
    #[arg(long, value_name = "DIRECTORY", default_value = "target/demo")]
    dir: PathBuf,
    /// Clients that write and read meanwhile
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    clients: u16,
    /// Seconds for which the site stays away
    #[arg(long, value_name = "SECONDS", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    down: u64,
    /// Seed of the workload
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Plan {
    dry_run: bool,
    site: String,
    nodes: Vec<String>,
    down_seconds: u64,
    clients: u16,
}

#[derive(Serialize)]
struct Shape {
    passed: bool,
    drill: report::Drill,
    state_digest_equal: bool,
    broken: Vec<String>,
}

pub(crate) async fn run(global: &Global, command: Command) -> Result<Exit, Failure> {
    let Command::Run {
        drill: Drill::SiteDown(arguments),
    } = command;
    if !arguments.dir.is_dir() {
        return Err(Failure::new(
            Exit::NotFound,
            format!("{} is not a directory", arguments.dir.display()),
        )
        .with_next("banyan cluster up"));
    }
    let mut cluster =
        LocalCluster::attach(&arguments.dir).map_err(|error| cluster_failure(&error))?;
    let nodes = cluster
        .nodes_at(&arguments.site)
        .map_err(|error| cluster_failure(&error))?;
    if arguments.dry_run {
        let plan = Plan {
            dry_run: true,
            site: arguments.site,
            nodes,
            down_seconds: arguments.down,
            clients: arguments.clients,
        };
        global.output().answer(&plan, || {
            format!(
                "Would kill {} for {} s while {} clients write births, deaths and corrections of made-up persons.",
                plan.nodes.join(", "),
                plan.down_seconds,
                plan.clients
            )
        });
        return Ok(Exit::Done);
    }
    let day = days_ago(1).map_err(|error| Failure::because(Exit::Fault, &error))?;
    let mut options = site_down::Options::new(arguments.site, arguments.seed, day);
    options.clients = usize::from(arguments.clients);
    options.down = Duration::from_secs(arguments.down);
    let outcome = site_down::run(&mut cluster, &options, &mut Narrator::new(global.json))
        .await
        .map_err(drill_failure)?;
    let broken = outcome.broken();
    let shape = Shape {
        passed: broken.is_empty(),
        drill: report::Drill::of(&outcome),
        state_digest_equal: outcome.digest.equal(),
        broken,
    };
    global.output().answer(&shape, || words(&shape));
    Ok(if shape.passed {
        Exit::Done
    } else {
        Exit::Fault
    })
}

/// A drill's error with its exit code.
pub(crate) fn drill_failure(error: DrillError) -> Failure {
    match error {
        DrillError::Cluster(error) => cluster_failure(&error),
        DrillError::Call { what, source } => {
            let mut failure = Failure::from(source);
            failure.message = format!("{what}: {}", failure.message);
            failure
        }
        error @ DrillError::Elapsed(_) => Failure::because(Exit::Unavailable, &error),
        error @ DrillError::Load(_) => Failure::because(Exit::Fault, &error),
    }
}

fn words(shape: &Shape) -> String {
    let mut rows = bare_table();
    for (label, value) in shape.drill.lines() {
        rows.add_row([label, value]);
    }
    rows.add_row([
        "states equal on all nodes",
        if shape.state_digest_equal {
            "yes"
        } else {
            "NOT known to be"
        },
    ]);
    let mut text = text_of(&rows);
    if shape.passed {
        text.push_str("\n\nNothing acknowledged was lost and nothing was done twice.");
    }
    for promise in &shape.broken {
        text.push_str(&format!("\nBROKEN: {promise}"));
    }
    text
}
