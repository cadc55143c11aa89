//! `banyan-bench soak`: three voters of this cluster alone under load for long. Shows whether throughput falls off as the registry grows, and
//! whether the leader changes without a cause.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use crate::figures::Figures;
use crate::load::{self, Target, Window};
use crate::persons::Persons;
use crate::systems::Source;
use crate::systems::banyan::{self, BATCH, Banyan, Batches, Timing};

/// Callers of one client on streams: as many as a node serves of one stream at a time.
const OUTSTANDING: usize = 256;

/// What load, and for how long.
#[derive(Args)]
pub(crate) struct Soak {
    /// Folder of the cluster's data, which is left there
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// How long, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u64,
    /// A line of figures every so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    every: u64,
    /// How registrations are sent
    #[arg(long, value_enum, default_value_t = Calls::Streams)]
    calls: Calls,
    /// Registrations under way at once; batches: batches of 500
    #[arg(long, value_name = "COUNT", default_value_t = 256)]
    outstanding: usize,
    /// Registrations a second in an open loop, instead of as many as are answered
    #[arg(long, value_name = "COUNT")]
    rate: Option<f64>,
    /// Election times as the wide-area profile has them
    #[arg(long)]
    wide: bool,
}

/// How registrations are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Calls {
    /// A request for each, each client on a connection of its own.
    Unary,
    /// As the library does it: 256 callers share a stream.
    Streams,
    /// 500 in one request.
    Batches,
}

/// Starts the cluster, loads it, prints.
///
/// # Errors
/// That the cluster cannot be started, or has no leader in the end.
pub(crate) async fn run(arguments: &Soak) -> anyhow::Result<()> {
    let persons = Arc::new(Persons::new()?);
    let timing = if arguments.wide {
        Timing::Wide
    } else {
        Timing::Local
    };
    let mut banyan = Banyan::start(&arguments.out, timing).await?;
    let (first, term) = leader(&mut banyan).await?;
    print(&format!("{first} leads in term {term}"));
    let source = Source::new(persons);
    let window = Window {
        warm_up: Duration::ZERO,
        counted: Duration::from_secs(arguments.every.max(1)),
    };
    let outstanding = arguments.outstanding;
    let ends = Instant::now() + Duration::from_secs(arguments.seconds);
    match arguments.calls {
        Calls::Unary => {
            let clients = banyan.unary(outstanding)?;
            let target = banyan::registrations(clients, source);
            repeat(arguments, &target, window, ends).await;
        }
        Calls::Streams => {
            let clients = banyan.streams(outstanding.div_ceil(OUTSTANDING))?;
            let target = banyan::registrations(clients, source);
            repeat(arguments, &target, window, ends).await;
        }
        Calls::Batches => {
            let clients = banyan.streams(outstanding)?;
            let target = Arc::new(Batches { clients, source });
            repeat(arguments, &target, window, ends).await;
        }
    }
    let (last, after) = leader(&mut banyan).await?;
    print(&format!(
        "{last} leads in term {after}: {} change(s) of term in {} s",
        after - term,
        arguments.seconds
    ));
    Ok(())
}

async fn repeat<T: Target>(arguments: &Soak, target: &Arc<T>, window: Window, ends: Instant) {
    let mut total = 0;
    while Instant::now() < ends {
        let figures = match arguments.rate {
            Some(rate) => {
                let records = if arguments.calls == Calls::Batches {
                    BATCH as f64
                } else {
                    1.0
                };
                load::open(target, arguments.outstanding, rate / records, window).await
            }
            None => load::closed(target, arguments.outstanding, window).await,
        };
        total += figures.operations;
        print(&line(total, &figures));
    }
}

fn line(total: u64, figures: &Figures) -> String {
    let error = figures
        .error
        .as_ref()
        .map_or_else(String::new, |error| format!(": {error}"));
    format!(
        "{total:>9} registered, {:>7.0}/s  p50 {:>7} p99 {:>7} max {:>8} us, {} errors{error}",
        figures.per_second, figures.p50_us, figures.p99_us, figures.max_us, figures.errors
    )
}

/// Name and term of the leader.
async fn leader(banyan: &mut Banyan) -> anyhow::Result<(String, u64)> {
    let states = banyan.cluster.status().await?;
    let mut leading = states.into_iter().filter_map(|state| {
        let status = state.status.ok()?;
        (status.role == "leader").then_some((state.name, status.term))
    });
    leading.next().context("no voter leads")
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
fn print(text: &str) {
    println!("{text}");
}
