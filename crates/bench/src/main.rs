//! `banyan-bench`: measures a running cluster, or this registry beside what one would pick instead.

mod authority;
mod cores;
mod endurance;
mod figures;
mod folder;
mod leaders;
mod learners;
mod load;
mod machine;
mod overload;
mod peers;
mod persons;
mod plan;
mod plot;
mod process;
mod proxy;
mod ratios;
mod reads;
mod report;
mod results;
mod rows;
mod soak;
mod systems;
mod watched;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Measures a running cluster, or this registry beside etcd and PostgreSQL.")]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Reads by number at one node, from its own state.
    Reads(reads::Reads),
    /// Starts etcd, PostgreSQL and this cluster, and measures them in turn.
    Peers(peers::Peers),
    /// Loads three voters of this cluster alone, for long.
    Soak(soak::Soak),
    /// Loads seven nodes of this cluster with a mix of calls for hours, and looks for drift.
    Endurance(endurance::Endurance),
    /// Kills leaders and moves leadership, and measures for how long writes stop.
    Leaders(leaders::Leaders),
    /// Asks three voters of this cluster for more than they can do.
    Overload(overload::Overload),
    /// Writes the page and the plots out of the results.
    Report(report::Report),
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    // On the main thread, as the processes that are started need it: they end with the thread that started them.
    runtime.block_on(async {
        match Line::parse().command {
            Command::Reads(arguments) => reads::run(&arguments).await,
            Command::Peers(arguments) => peers::run(&arguments).await,
            Command::Soak(arguments) => soak::run(&arguments).await,
            Command::Endurance(arguments) => endurance::run(&arguments).await,
            Command::Leaders(arguments) => leaders::run(&arguments).await,
            Command::Overload(arguments) => overload::run(&arguments).await,
            Command::Report(arguments) => report::run(&arguments),
        }
    })
}
