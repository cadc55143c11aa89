//! Throughput and latency, the three systems side by side: all run all the time, one at a time gets load.

use std::sync::Arc;

use anyhow::Context as _;

use super::{Bench, say};
use crate::figures::Figures;
use crate::load::{self, Failure, Target, Window};
use crate::plan::Phase;
use crate::rows::{Row, System};
use crate::systems::banyan::{self, BATCH, Banyan, Batches, VOTERS};
use crate::systems::etcd::{self, Etcd, Gets, Puts, Values};
use crate::systems::postgres::{self, Postgres};
use crate::systems::{READ_PERSONS, Source};

/// Clients of the rows with many.
pub(super) const WRITERS: usize = 256;
const READERS: usize = 64;
/// Callers of one client on the streams of the library: as many as a node serves of one stream at a time.
pub(super) const OUTSTANDING: usize = 256;
/// Batches under way at once.
pub(super) const BATCH_CLIENTS: usize = 4;
/// The share of the capacity at which a system is to answer evenly.
const STEADY: f64 = 0.7;

/// What gets load. Connections are made once, and kept over all alternations.
struct Targets {
    etcd_writes: Arc<Puts>,
    etcd_write: Arc<Puts>,
    etcd_local: Arc<Gets>,
    etcd_linearizable: Arc<Gets>,
    postgres_writes: Arc<postgres::Registrations>,
    postgres_write: Arc<postgres::Registrations>,
    postgres_reads: Arc<postgres::Reads>,
    writes: Arc<banyan::Registrations>,
    write: Arc<banyan::Registrations>,
    stream_writes: Arc<banyan::Registrations>,
    batches: Arc<Batches>,
    local: Arc<banyan::Reads>,
    stream_reads: Arc<banyan::Reads>,
    linearizable: Arc<banyan::Reads>,
}

/// Starts the three, fills them, measures.
pub(super) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    say("starting etcd, PostgreSQL and Banyan");
    let mut etcd = Etcd::start(
        &bench.folder.join("etcd"),
        &bench.authority,
        etcd::Timing::Default,
    )
    .await?;
    let postgres = Postgres::start(&bench.folder.join("postgres"), &bench.authority).await?;
    let mut banyan = Banyan::start(&bench.folder.join("banyan"), banyan::Timing::Local).await?;
    let versions = [
        ("etcd", etcd.version().await?),
        ("postgresql", postgres.version().await?),
        ("banyan", banyan.version().await?),
    ];
    let versions = versions.map(|(name, version)| (name.to_owned(), version));
    bench.results.versions.extend(versions);
    settings(bench);
    let targets = targets(bench, &mut etcd, &postgres, &mut banyan).await?;
    say(&format!("registering {READ_PERSONS} persons in each"));
    targets.fill().await?;
    etcd.caught_up().await?;
    postgres.caught_up().await?;
    banyan.caught_up().await?;
    for alternation in 1..=bench.plan.alternations {
        for (row, systems) in bench.plan.rows(Phase::Peers) {
            for system in systems {
                let figures = if row == Row::SteadyWrites {
                    targets.steady(bench).await?
                } else {
                    targets.run(row, *system, bench.plan.window).await?
                };
                bench.note(row, *system, alternation, figures).await;
            }
        }
    }
    Ok(())
}

async fn targets(
    bench: &Bench,
    etcd: &mut Etcd,
    postgres: &Postgres,
    banyan: &mut Banyan,
) -> anyhow::Result<Targets> {
    let source = || Source::new(Arc::clone(&bench.persons));
    let (etcd_source, postgres_source, banyan_source) = (source(), source(), source());
    let leader = etcd.leader().await?;
    let gets = |channels, serializable| {
        Arc::new(Gets {
            channels,
            pins: bench.pins.clone(),
            serializable,
        })
    };
    let banyan_leader = banyan.leader().await?;
    let all: Vec<String> = VOTERS.map(str::to_owned).to_vec();
    let followers: Vec<String> = all
        .iter()
        .filter(|name| **name != banyan_leader)
        .cloned()
        .collect();
    let reads = |clients, nodes: &[String], linearizable| {
        Arc::new(banyan::Reads {
            clients,
            nodes: nodes.to_vec(),
            pins: bench.pins.clone(),
            linearizable,
        })
    };
    let writes = |clients| banyan::registrations(clients, banyan_source.clone());
    let puts = |channels| Puts::new(channels, Values::Records(etcd_source.clone()));
    let registrations = |clients| postgres.registrations(clients, postgres_source.clone());
    Ok(Targets {
        etcd_writes: puts(etcd.channels(WRITERS)?),
        etcd_write: puts(vec![etcd.channel(leader)?]),
        etcd_local: gets(etcd.channels(READERS)?, true),
        etcd_linearizable: gets(etcd.channels(READERS)?, false),
        postgres_writes: registrations(WRITERS).await?,
        postgres_write: registrations(1).await?,
        postgres_reads: postgres.reads(READERS, bench.pins.clone()).await?,
        writes: writes(banyan.unary(WRITERS)?),
        write: writes(banyan.unary(1)?),
        stream_writes: writes(banyan.streams(1)?),
        batches: Arc::new(Batches {
            clients: banyan.unary(BATCH_CLIENTS)?,
            source: banyan_source.clone(),
        }),
        local: reads(banyan.unary(READERS)?, &all, false),
        stream_reads: reads(banyan.streams(1)?, &all, false),
        linearizable: reads(banyan.unary(READERS)?, &followers, true),
    })
}

impl Targets {
    /// Registers the persons that reads are drawn from, and makes all connections.
    async fn fill(&self) -> anyhow::Result<()> {
        let told = |system: &'static str| {
            move |error: Failure| anyhow::anyhow!("cannot register at {system}: {error}")
        };
        let batches = READ_PERSONS / BATCH as u64;
        load::drain(&self.batches, BATCH_CLIENTS, batches)
            .await
            .map_err(told("Banyan"))?;
        load::drain(&self.etcd_writes, WRITERS, READ_PERSONS)
            .await
            .map_err(told("etcd"))?;
        load::drain(&self.postgres_writes, WRITERS, READ_PERSONS)
            .await
            .map_err(told("PostgreSQL"))?;
        connect(&self.etcd_local, READERS).await?;
        connect(&self.etcd_linearizable, READERS).await?;
        connect(&self.postgres_reads, READERS).await?;
        connect(&self.writes, WRITERS).await?;
        connect(&self.local, READERS).await?;
        connect(&self.linearizable, READERS).await
    }

    async fn run(&self, row: Row, system: System, window: Window) -> anyhow::Result<Figures> {
        Ok(match (row, system) {
            (Row::RegistryWrites256, System::Etcd) => {
                load::closed(&self.etcd_writes, WRITERS, window).await
            }
            (Row::RegistryWrites256, System::Postgres) => {
                load::closed(&self.postgres_writes, WRITERS, window).await
            }
            (Row::RegistryWrites256, System::Banyan) => {
                load::closed(&self.writes, WRITERS, window).await
            }
            (Row::RegistryStreamWrites, System::Banyan) => {
                load::closed(&self.stream_writes, OUTSTANDING, window).await
            }
            (Row::RegistryBatch, System::Banyan) => {
                load::closed(&self.batches, BATCH_CLIENTS, window).await
            }
            (Row::RegistryWrite1, System::Etcd) => load::closed(&self.etcd_write, 1, window).await,
            (Row::RegistryWrite1, System::Postgres) => {
                load::closed(&self.postgres_write, 1, window).await
            }
            (Row::RegistryWrite1, System::Banyan) => load::closed(&self.write, 1, window).await,
            (Row::LocalRead64, System::Etcd) => {
                load::closed(&self.etcd_local, READERS, window).await
            }
            (Row::LocalRead64, System::Postgres) => {
                load::closed(&self.postgres_reads, READERS, window).await
            }
            (Row::LocalRead64, System::Banyan) => load::closed(&self.local, READERS, window).await,
            (Row::LocalStreamRead, System::Banyan) => {
                load::closed(&self.stream_reads, OUTSTANDING, window).await
            }
            (Row::Linearizable64, System::Etcd) => {
                load::closed(&self.etcd_linearizable, READERS, window).await
            }
            (Row::Linearizable64, System::Banyan) => {
                load::closed(&self.linearizable, READERS, window).await
            }
            _ => anyhow::bail!("{row:?} is not measured of {system:?}"),
        })
    }

    /// At a share of what the same client carried just before: the registry grows from alternation to alternation, and what was carried then is not its
    /// capacity any more.
    async fn steady(&self, bench: &Bench) -> anyhow::Result<Figures> {
        let of_streams = |run: &&crate::results::Run| run.row == Row::RegistryStreamWrites;
        let before = bench.results.runs.iter().rfind(of_streams);
        let capacity = before.context("the capacity of streams was not measured in this run")?;
        let rate = capacity.figures.per_second * STEADY;
        let target = &self.stream_writes;
        Ok(load::open(target, OUTSTANDING, rate, bench.plan.window).await)
    }
}

/// Two calls for each caller, so that its connection is there.
pub(super) async fn connect<T: Target>(target: &Arc<T>, slots: usize) -> anyhow::Result<()> {
    load::drain(target, slots, 2 * slots as u64)
        .await
        .map_err(|error| anyhow::anyhow!("cannot connect: {error}"))
}

fn settings(bench: &mut Bench) {
    let [heartbeat, min, max] = banyan::Timing::Local.milliseconds();
    bench.setting(
        "banyan",
        format!(
            "three voters at three sites on 127.0.0.1, settings as shipped, heartbeat {heartbeat} ms, election {min} to {max} ms; \
             every write synced on a majority; mutual TLS; every read synced as an access record before it is answered"
        ),
    );
    bench.setting(
        "etcd",
        "three members, defaults (heartbeat 100 ms, election 1000 ms, synced), client and peer TLS with certificates; \
         quota raised to 8 GiB; the record is one value under the person's number; clients spread evenly over the members, \
         a single client at the leader",
    );
    let tuning: Vec<String> = postgres::TUNING
        .iter()
        .map(|(key, value)| format!("{key} = {value}"))
        .collect();
    bench.setting(
        "postgresql",
        format!(
            "primary and two standbys, synchronous_standby_names = 'ANY 1 (s1, s2)', synchronous_commit = on, fsync = on, {}; \
             client and replication TLS with certificates; a registration is one call of a function with a prepared statement; \
             reads are spread over both standbys",
            tuning.join(", ")
        ),
    );
    bench.setting(
        "load",
        "one generator and one histogram for all, on one runtime; a client has one connection of its own and one call under way; \
         streams: one client of Banyan's library with 256 callers; batches: 4 clients with 500 records each; capacity of the open loop: what \
         that client's streams carried in the same alternation; all systems run all the time, one at a time gets load",
    );
}
