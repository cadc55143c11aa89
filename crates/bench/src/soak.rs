//! `banyan-bench soak`: three voters of this cluster alone under load for long. Shows whether throughput falls off as the registry grows, and
//! whether the leader changes without a cause.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use banyan_drill::cluster;
use clap::{Args, ValueEnum};

use crate::figures::Figures;
use crate::load::{self, Target, Window};
use crate::persons::Persons;
use crate::systems::banyan::{self, BATCH, Banyan, Batches, Reads, Timing, VOTERS};
use crate::systems::raw::{self, PutStream, Puts, RawNodes, RawSource};
use crate::systems::{Pins, READ_PERSONS, Source};

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
    /// What is sent, and how
    #[arg(long, value_enum, default_value_t = Calls::Streams)]
    calls: Calls,
    /// Calls under way at once; batches: batches of 500
    #[arg(long, value_name = "COUNT", default_value_t = 256)]
    outstanding: usize,
    /// Calls a second in an open loop, instead of as many as are answered
    #[arg(long, value_name = "COUNT")]
    rate: Option<f64>,
    /// Election times as the wide-area profile has them
    #[arg(long)]
    wide: bool,
}

/// What is sent, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Calls {
    /// Registrations, a request for each, each client on a connection of its own.
    Unary,
    /// Registrations as the library sends them: 256 callers share a stream.
    Streams,
    /// Registrations, 500 in one request.
    Batches,
    /// Local reads by number, each client on a connection of its own.
    Reads,
    /// Local reads by number on one stream.
    StreamReads,
    /// Linearizable reads by number at the nodes that do not lead, each client on a connection of its own.
    LinearizableReads,
    /// Raw values, a request for each, each client on a connection of its own.
    RawUnary,
    /// Raw values on one stream.
    RawStream,
    /// Raw values, 500 in one request.
    RawBatches,
}

impl Calls {
    fn raw(self) -> bool {
        matches!(self, Calls::RawUnary | Calls::RawStream | Calls::RawBatches)
    }
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
    let program = arguments.calls.raw().then(raw::node_program).transpose()?;
    let mut banyan = Banyan::start_with(&arguments.out, timing, 0, |options| cluster::Options {
        banyand: program,
        ..options
    })
    .await?;
    let (first, term) = leader(&mut banyan).await?;
    print(&format!("{first} leads in term {term}"));
    let source = Source::new(Arc::clone(&persons));
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
        Calls::Reads | Calls::StreamReads | Calls::LinearizableReads => {
            let pins = Pins::new(&persons);
            fill(&banyan, source).await?;
            banyan.caught_up().await?;
            let linearizable = arguments.calls == Calls::LinearizableReads;
            let clients = if arguments.calls == Calls::StreamReads {
                banyan.streams(1)?
            } else {
                banyan.unary(outstanding)?
            };
            let nodes = VOTERS
                .iter()
                .filter(|name| !linearizable || **name != first);
            let target = Arc::new(Reads {
                clients,
                nodes: nodes.map(|name| (*name).to_owned()).collect(),
                pins,
                linearizable,
            });
            repeat(arguments, &target, window, ends).await;
        }
        Calls::RawUnary | Calls::RawStream | Calls::RawBatches => {
            repeat_raw(arguments, &mut banyan, window, ends).await?;
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

/// Registers the persons that reads are drawn from.
async fn fill(banyan: &Banyan, source: Source) -> anyhow::Result<()> {
    let clients = banyan.streams(4)?;
    let target = Arc::new(Batches { clients, source });
    load::drain(&target, 4, READ_PERSONS / BATCH as u64)
        .await
        .map_err(anyhow::Error::msg)
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

/// The same with raw values. Their clients know the leader only, so that each window asks anew who leads.
async fn repeat_raw(
    arguments: &Soak,
    banyan: &mut Banyan,
    window: Window,
    ends: Instant,
) -> anyhow::Result<()> {
    let nodes = RawNodes::of(banyan)?;
    let source = RawSource::default();
    let outstanding = arguments.outstanding;
    while Instant::now() < ends {
        banyan.leader().await?;
        let (leader, term) = leader(banyan).await?;
        print(&format!("{leader} leads in term {term}"));
        // One window at a time, for what `repeat` has left is not to outlive its leader.
        let until = Instant::now() + window.total();
        match arguments.calls {
            Calls::RawStream => {
                let client = nodes.client(banyan, &leader)?;
                let target = Arc::new(PutStream::open(client, source.clone()).await?);
                repeat(arguments, &target, window, until).await;
            }
            Calls::RawBatches => {
                let clients = nodes.clients(banyan, &leader, outstanding)?;
                let source = source.clone();
                let target = Arc::new(raw::Batches { clients, source });
                repeat(arguments, &target, window, until).await;
            }
            _ => {
                let clients = nodes.clients(banyan, &leader, outstanding)?;
                let source = source.clone();
                let target = Arc::new(Puts { clients, source });
                repeat(arguments, &target, window, until).await;
            }
        }
    }
    Ok(())
}

fn line(total: u64, figures: &Figures) -> String {
    let error = figures
        .error
        .as_ref()
        .map_or_else(String::new, |error| format!(": {error}"));
    format!(
        "{total:>9} done, {:>7.0}/s  p50 {:>7} p99 {:>7} max {:>8} us, {} errors{error}",
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
