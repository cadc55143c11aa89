//! The whole demonstration: keys, nodes, a population, births, local reads, the loss of the central site, the comparison.

mod births;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use banyan_domain::CalendarDate;
use banyan_topology::{SiteRole, Topology};
use time::OffsetDateTime;

use births::{Born, read_back, register_births};

use crate::cluster::{self, ClusterError, Lifetime, LocalCluster};
use crate::history::Pin;
use crate::identities;
use crate::import::{self, ImportError};
use crate::local_reads;
use crate::observer::Observer;
use crate::population;
use crate::report::{self, Births, Drill, LocalRead, Report};
use crate::site_down::{self, DrillError};
use crate::workload::ClientPanicked;

/// Marks a directory as one that a demonstration made and may remove.
const MARKER: &str = ".banyan-demo";
/// Share of answers that the clients at the centre throw away.
const DISCARD: f64 = 0.05;
const CLIENTS_AT_CENTRE: usize = 16;
const READERS: usize = 16;
/// Numbers that the local reads draw from, at most: more than any cache in front of the store holds.
const READ_SAMPLE: u64 = 20_000;
const STEP_WITHIN: Duration = Duration::from_secs(180);

/// What to demonstrate.
#[derive(Debug, Clone)]
pub struct Options {
    pub topology: PathBuf,
    /// Removed first if a demonstration made it, and nothing of it runs.
    pub directory: PathBuf,
    pub banyand: Option<PathBuf>,
    pub ports: cluster::PortPolicy,
    pub citizens: u64,
    pub births: u64,
    /// Local reads to measure.
    pub reads: u64,
    pub seed: u64,
    /// How long the central site stays away.
    pub down: Duration,
    /// Leave the cluster running.
    pub keep: bool,
    /// Where the report goes.
    pub report: PathBuf,
}

impl Options {
    /// A demonstration of the usual size in a directory.
    pub fn new(topology: impl Into<PathBuf>, directory: impl Into<PathBuf>) -> Options {
        let directory = directory.into();
        Options {
            topology: topology.into(),
            report: directory.join("report.json"),
            directory,
            banyand: None,
            ports: cluster::PortPolicy::Topology,
            citizens: 100_000,
            births: 1_000,
            reads: 20_000,
            seed: 2026,
            down: Duration::from_secs(8),
            keep: false,
        }
    }
}

/// What is left of a demonstration that was carried through.
#[derive(Debug)]
pub struct Finished {
    pub report: Report,
    /// The number of a person born in the demonstration, to look up.
    pub someone: Option<Pin>,
    /// The registrar who can look it up.
    pub registrar: String,
    /// Whether the cluster still runs.
    pub kept: bool,
    pub directory: PathBuf,
}

/// Why a demonstration could not be carried through. A broken promise is no such reason: see [`Report::broken`].
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(
        "{path} was not made by a demonstration: choose another directory, or remove it yourself"
    )]
    Foreign { path: PathBuf },
    #[error("cannot use {path}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the topology has no {what}")]
    Topology { what: &'static str },
    #[error("today's date cannot be told")]
    Today,
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("the import stopped")]
    Import(#[from] ImportError),
    #[error(transparent)]
    Drill(#[from] DrillError),
    #[error(transparent)]
    Load(#[from] ClientPanicked),
}

/// Runs it all, writes the report, and stops the cluster unless it is kept.
///
/// # Errors
/// [`DemoError`] when it could not be carried through.
pub async fn run(options: &Options, observer: &mut dyn Observer) -> Result<Finished, DemoError> {
    let start = Instant::now();
    clear(&options.directory).await?;

    observer.phase("starting the cluster: keys, seven nodes, one leader");
    let mut cluster = LocalCluster::start(cluster::Options {
        banyand: options.banyand.clone(),
        ports: options.ports,
        lifetime: if options.keep {
            Lifetime::Detached
        } else {
            Lifetime::WithStarter
        },
        ..cluster::Options::new(&options.topology, &options.directory)
    })
    .await?;
    let places = Places::of(cluster.topology())?;

    let imported = import_population(&cluster, options, observer).await?;
    let born = register_births(&cluster, &places, options, observer).await?;
    let (read_back, caught_up) = read_back(&mut cluster, &places, &born, observer).await?;
    let local = measure_reads(&cluster, &places, options, &imported, &born, observer).await?;

    observer.phase(&format!("losing the site {} under load", places.central));
    let day = days_ago(2)?;
    let drill = site_down::run(
        &mut cluster,
        &site_down::Options {
            down: options.down,
            persons_before: Some(imported.progress.imported + born.acknowledged()),
            ..site_down::Options::new(&places.central, options.seed ^ 0xD21, day)
        },
        observer,
    )
    .await?;

    let mut broken = broken_births(&born, options, read_back, &local);
    broken.extend(drill.broken());
    let report = Report {
        imported: imported.progress.imported,
        rejected: imported.progress.rejected,
        import_per_second: report::rounded(imported.imported_per_second()),
        births: Births {
            acknowledged: born.acknowledged(),
            distinct_pins: born.distinct_pins(),
            answers_discarded: born.discarded().count() as u64,
            discarded_answers_equal: born.discarded_equal(),
            per_second: report::rounded(born.acknowledged() as f64 / born.elapsed.as_secs_f64()),
            clients: CLIENTS_AT_CENTRE as u64,
            read_back,
            province_caught_up_ms: u64::try_from(caught_up.as_millis()).unwrap_or(u64::MAX),
        },
        local_read: LocalRead::of(&local, &places.provincial_node, READERS),
        drill: Drill::of(&drill),
        state_digest_equal: drill.digest.equal(),
        nodes: drill.digest.nodes.len() as u64,
        seconds: report::rounded(start.elapsed().as_secs_f64()),
        seed: options.seed,
        broken,
    };
    write_report(&options.report, &report)?;
    if !options.keep {
        observer.phase("stopping the cluster");
        for late in cluster.stop(Duration::from_secs(20)).await?.late {
            observer.note(&format!("{late} did not stop in time and was killed"));
        }
    }
    Ok(Finished {
        report,
        someone: born.pins().next().cloned(),
        registrar: places.registrar,
        kept: options.keep,
        directory: options.directory.clone(),
    })
}

/// Which places of the topology play which part.
struct Places {
    central: String,
    centre_nodes: Vec<String>,
    other_voters: Vec<String>,
    provincial_node: String,
    province: String,
    registrar: String,
}

impl Places {
    fn of(topology: &Topology) -> Result<Places, DemoError> {
        let missing = |what| DemoError::Topology { what };
        let central = topology
            .sites_of_role(SiteRole::Central)
            .next()
            .ok_or_else(|| missing("central site"))?;
        let node = topology
            .learners()
            .next()
            .ok_or_else(|| missing("provincial node that only learns"))?;
        let province = topology
            .site(node.site())
            .and_then(|site| site.province())
            .ok_or_else(|| missing("province at its first learner's site"))?;
        let names = |central_ones: bool| -> Vec<String> {
            topology
                .voters()
                .filter(|voter| (voter.site() == central.name()) == central_ones)
                .map(|voter| voter.name().to_owned())
                .collect()
        };
        Ok(Places {
            central: central.name().to_owned(),
            centre_nodes: names(true),
            other_voters: names(false),
            provincial_node: node.name().to_owned(),
            province: province.to_owned(),
            registrar: format!("{}@{}", identities::REGISTRAR, node.site()),
        })
    }
}

async fn import_population(
    cluster: &LocalCluster,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<import::Summary, DemoError> {
    let path = options.directory.join("population.csv");
    observer.phase(&format!("making {} synthetic citizens", options.citizens));
    let used = |source| DemoError::File {
        path: path.clone(),
        source,
    };
    let total = population::write(&path, options.citizens, options.seed).map_err(used)?;

    observer.phase("importing them through the replicated path");
    let rows = population::rows(&path).map_err(used)?;
    // A few connections, so that no single one is the bottleneck.
    let centre = cluster.centre_name();
    let clients = (0..2)
        .map(|_| cluster.client(&centre))
        .collect::<Result<Vec<_>, _>>()?;
    let importing = import::Options {
        sample_every: (options.citizens / READ_SAMPLE).max(1),
        ..import::Options::default()
    };
    let mut first_rejects = Vec::new();
    let summary = import::run(&clients, rows, &importing, &mut |progress, rejects| {
        first_rejects.extend(rejects.iter().take(3).cloned());
        observer.importing(progress, total);
        Ok(())
    })
    .await?;
    observer.note(&format!(
        "{} imported in {:.1} s: {:.0} a second, {} rejected",
        summary.progress.imported,
        summary.elapsed.as_secs_f64(),
        summary.imported_per_second(),
        summary.progress.rejected
    ));
    for reject in first_rejects.iter().take(3) {
        observer.note(&format!(
            "rejected line {}: {} {} {}",
            reject.line, reject.code, reject.field, reject.reason
        ));
    }
    Ok(summary)
}

async fn measure_reads(
    cluster: &LocalCluster,
    places: &Places,
    options: &Options,
    imported: &import::Summary,
    born: &Born,
    observer: &mut dyn Observer,
) -> Result<local_reads::Latencies, DemoError> {
    observer.phase(&format!(
        "{} reads by number at {}, {READERS} clients",
        options.reads, places.provincial_node
    ));
    let pins: Vec<Pin> = imported.sample.iter().chain(born.pins()).cloned().collect();
    let measuring = local_reads::Options {
        node: places.provincial_node.clone(),
        clients: READERS,
        reads: options.reads,
        within: Duration::from_secs(60),
        seed: options.seed,
    };
    let measured = local_reads::measure(&measuring, Arc::new(pins), |_| {
        cluster.client(&places.registrar)
    })
    .await?;
    observer.note(&format!(
        "p50 {} us, p99 {} us, {:.0} a second",
        measured.p50_us, measured.p99_us, measured.reads_per_second
    ));
    Ok(measured)
}

fn broken_births(
    born: &Born,
    options: &Options,
    read_back: u64,
    local: &local_reads::Latencies,
) -> Vec<String> {
    let mut broken = Vec::new();
    let acknowledged = born.acknowledged();
    if acknowledged != options.births {
        let why = born
            .writes
            .iter()
            .find(|write| write.acknowledgement().is_none());
        let why = why.map(|write| format!(", for instance: {:?}", write.outcome));
        broken.push(format!(
            "{acknowledged} of {} births were acknowledged{}",
            options.births,
            why.unwrap_or_default()
        ));
    }
    if born.distinct_pins() != acknowledged {
        broken.push(format!(
            "{acknowledged} births have {} distinct numbers",
            born.distinct_pins()
        ));
    }
    let discarded = born.discarded().count() as u64;
    if born.discarded_equal() != discarded {
        broken.push(format!(
            "{} of {discarded} second answers told the first outcome",
            born.discarded_equal()
        ));
    }
    if read_back != acknowledged {
        broken.push(format!(
            "{read_back} of {acknowledged} births were read in the province"
        ));
    }
    if local.failed > 0 {
        let why = local.failure.clone().unwrap_or_default();
        broken.push(format!(
            "{} of {} local reads failed: {why}",
            local.failed, local.reads
        ));
    }
    broken
}

/// A day that is past in every time zone.
pub fn days_ago(days: i64) -> Result<CalendarDate, DemoError> {
    let date = (OffsetDateTime::now_utc() - time::Duration::days(days)).date();
    let year = u16::try_from(date.year()).map_err(|_| DemoError::Today)?;
    CalendarDate::new(year, date.month().into(), date.day()).map_err(|_| DemoError::Today)
}

/// Removes what an earlier demonstration left, and nothing else.
async fn clear(directory: &Path) -> Result<(), DemoError> {
    let used = |source| DemoError::File {
        path: directory.to_owned(),
        source,
    };
    let marker = directory.join(MARKER);
    if marker.exists() {
        if let Ok(mut old) = LocalCluster::attach(directory) {
            let running = old.running().len();
            if running > 0 {
                return Err(ClusterError::Running {
                    path: directory.to_owned(),
                    running,
                }
                .into());
            }
        }
        fs::remove_dir_all(directory).map_err(used)?;
    } else if directory.exists() && fs::read_dir(directory).map_err(used)?.next().is_some() {
        return Err(DemoError::Foreign {
            path: directory.to_owned(),
        });
    }
    fs::create_dir_all(directory).map_err(used)?;
    fs::write(
        &marker,
        "made by `banyan demo`, which may remove this directory\n",
    )
    .map_err(used)
}

fn write_report(path: &Path, report: &Report) -> Result<(), DemoError> {
    let used = |source| DemoError::File {
        path: path.to_owned(),
        source,
    };
    let text = serde_json::to_string_pretty(report).map_err(|error| used(error.into()))?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(used)?;
    }
    fs::write(path, text + "\n").map_err(used)
}
