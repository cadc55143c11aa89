//! One 600-byte value by key, the three systems side by side: what consensus, storage and the edge carry without the registry's work.
//!
//! Ours is a second cluster, of nodes that have a service for it; a registry has none (ADR 0027).

use std::sync::Arc;

use banyan_drill::cluster;

use super::beside::{BATCH_CLIENTS, OUTSTANDING, WRITERS, connect};
use super::{Bench, say};
use crate::figures::Figures;
use crate::load::{self, Window};
use crate::plan::Phase;
use crate::rows::{Row, System};
use crate::systems::banyan::{self, Banyan};
use crate::systems::etcd::{self, Etcd, Values};
use crate::systems::postgres::{self, Postgres};
use crate::systems::raw::{Batches, PutStream, Puts, RawNodes, RawSource, node_program};

/// What gets load. The peers' connections are kept over all alternations.
struct Peers {
    etcd_writes: Arc<etcd::Puts>,
    etcd_write: Arc<etcd::Puts>,
    postgres_writes: Arc<postgres::Puts>,
}

/// The same of ours: as long as one voter leads.
struct Ours {
    leader: String,
    writes: Arc<Puts>,
    write: Arc<Puts>,
    stream: Arc<PutStream>,
    batches: Arc<Batches>,
}

/// Starts the three and measures.
pub(super) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    say("starting etcd, PostgreSQL and a cluster of ours that carries raw values");
    let folder = bench.folder.join("raw");
    let program = node_program()?;
    let timing = etcd::Timing::Default;
    let mut etcd = Etcd::start(&folder.join("etcd"), &bench.authority, timing).await?;
    let postgres = Postgres::start(&folder.join("postgres"), &bench.authority).await?;
    let timing = banyan::Timing::Local;
    let mut banyan = Banyan::start_with(&folder.join("banyan"), timing, 0, |options| {
        cluster::Options {
            banyand: Some(program),
            ..options
        }
    })
    .await?;
    bench.setting(
        "raw",
        "one value of 600 random bytes under a new key of 20 bytes in no order, the same for all; a second cluster of ours, of nodes with an \
         internal service for such values, which production nodes do not have; every value synced on a majority and applied before it is \
         acknowledged; etcd puts it; PostgreSQL inserts or updates one row with a prepared statement; all else as for the registry's rows",
    );
    let source = RawSource::default;
    let (etcd_source, source_of_ours) = (source(), source());
    let puts = |channels| etcd::Puts::new(channels, Values::Raw(etcd_source.clone()));
    let leader = etcd.leader().await?;
    let peers = Peers {
        etcd_writes: puts(etcd.channels(WRITERS)?),
        etcd_write: puts(vec![etcd.channel(leader)?]),
        postgres_writes: postgres.puts(WRITERS, source()).await?,
    };
    connect(&peers.etcd_writes, WRITERS).await?;
    connect(&peers.postgres_writes, WRITERS).await?;
    let nodes = RawNodes::of(&banyan)?;
    let mut ours = Ours::connect(&nodes, &mut banyan, &source_of_ours).await?;
    nodes.check(&banyan, &ours.leader, &source_of_ours).await?;
    for alternation in 1..=bench.plan.alternations {
        for (row, systems) in bench.plan.rows(Phase::Raw) {
            for system in systems {
                // The raw service forwards nothing: its clients must know who leads.
                if *system == System::Banyan && banyan.leader().await? != ours.leader {
                    say("another voter leads: the clients of raw values connect anew");
                    ours = Ours::connect(&nodes, &mut banyan, &source_of_ours).await?;
                }
                let figures = run(&peers, &ours, row, *system, bench.plan.window).await?;
                bench.note(row, *system, alternation, figures).await;
            }
        }
    }
    etcd.caught_up().await?;
    postgres.caught_up().await?;
    banyan.caught_up().await?;
    let leader = banyan.leader().await?;
    nodes.check(&banyan, &leader, &source_of_ours).await
}

impl Ours {
    async fn connect(
        nodes: &RawNodes,
        banyan: &mut Banyan,
        source: &RawSource,
    ) -> anyhow::Result<Ours> {
        let leader = banyan.leader().await?;
        let puts = |count| -> anyhow::Result<_> {
            let clients = nodes.clients(banyan, &leader, count)?;
            let source = source.clone();
            Ok(Arc::new(Puts { clients, source }))
        };
        let stream = PutStream::open(nodes.client(banyan, &leader)?, source.clone()).await?;
        let ours = Ours {
            writes: puts(WRITERS)?,
            write: puts(1)?,
            stream: Arc::new(stream),
            batches: Arc::new(Batches {
                clients: nodes.clients(banyan, &leader, BATCH_CLIENTS)?,
                source: source.clone(),
            }),
            leader,
        };
        connect(&ours.writes, WRITERS).await?;
        Ok(ours)
    }
}

async fn run(
    peers: &Peers,
    ours: &Ours,
    row: Row,
    system: System,
    window: Window,
) -> anyhow::Result<Figures> {
    Ok(match (row, system) {
        (Row::RawWrites256, System::Etcd) => {
            load::closed(&peers.etcd_writes, WRITERS, window).await
        }
        (Row::RawWrites256, System::Postgres) => {
            load::closed(&peers.postgres_writes, WRITERS, window).await
        }
        (Row::RawWrites256, System::Banyan) => load::closed(&ours.writes, WRITERS, window).await,
        (Row::RawStreamWrites, System::Banyan) => {
            load::closed(&ours.stream, OUTSTANDING, window).await
        }
        (Row::RawWrite1, System::Etcd) => load::closed(&peers.etcd_write, 1, window).await,
        (Row::RawWrite1, System::Banyan) => load::closed(&ours.write, 1, window).await,
        (Row::RawBatch, System::Banyan) => load::closed(&ours.batches, BATCH_CLIENTS, window).await,
        _ => anyhow::bail!("{row:?} is not measured of {system:?}"),
    })
}
