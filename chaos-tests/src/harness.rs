//! What the process tests share: a seed that can be given again, a folder that is kept on failure, load, the last comparison.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use banyan_client::Client;
use banyan_drill::checker::Violation;
use banyan_drill::cluster::{self, LocalCluster, PortPolicy};
use banyan_drill::demo::days_ago;
use banyan_drill::history::History;
use banyan_drill::observer::Observer;
use banyan_drill::population;
use banyan_drill::site_down::{self, Settled};
use banyan_drill::workload::{self, Mix, Workload};
use banyan_drill::{checker::Verdict, digest::Comparison, import};
use rand::RngCore;
use tokio::task::JoinHandle;

/// How long nodes may take to come back and catch up.
pub const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(90);

/// The seed of a run: `CHAOS_SEED`, else a new one. Printed at once, so that a hanging run can be repeated too.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no command line; a new seed is drawn from the system on purpose"
)]
pub fn seed(test: &str) -> u64 {
    let given = std::env::var("CHAOS_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| rand::rng().next_u64() >> 16);
    say(&format!(
        "{test}: to repeat, CHAOS_SEED={seed} cargo test -p banyan-chaos-tests {test}"
    ));
    seed
}

/// A line of the test's output.
#[expect(
    clippy::print_stderr,
    reason = "tests tell what they do; shown when they fail"
)]
pub fn say(line: &str) {
    eprintln!("{line}");
}

/// Tells a drill's steps as lines of the test's output.
#[derive(Debug, Clone, Copy)]
pub struct Said;

impl Observer for Said {
    fn phase(&mut self, what: &str) {
        say(&format!("== {what}"));
    }

    fn note(&mut self, what: &str) {
        say(&format!("   {what}"));
    }

    fn importing(&mut self, _progress: &import::Progress, _total: u64) {}
}

/// A temporary folder that stays when the test fails: the nodes' logs are in it.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    pub fn new(test: &str) -> Result<Folder> {
        let kept = tempfile::Builder::new()
            .prefix(&format!("banyan-{test}-"))
            .tempdir()?
            .keep();
        say(&format!("{test}: files in {}", kept.display()));
        Ok(Folder { path: kept })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The test passed: the files are of no more use.
    pub fn remove(self) -> Result<()> {
        std::fs::remove_dir_all(&self.path).context("the test's folder cannot be removed")
    }
}

/// The topology that the demonstration runs: seven nodes, five of them voters at three sites.
pub fn local_topology() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster/local.toml")
}

/// Options of a cluster in a folder, on ports that the system chooses.
pub fn cluster_options(folder: &Path) -> cluster::Options {
    cluster::Options {
        ports: PortPolicy::Free,
        ..cluster::Options::new(local_topology(), folder.join("cluster"))
    }
}

/// Starts clients at the centre: births, deaths, corrections; each tries a write for as long as any fault of a test lasts.
pub fn start_load(
    cluster: &LocalCluster,
    history: &History,
    seed: u64,
    clients: usize,
    pause: Duration,
) -> Result<Workload> {
    let voters: Vec<String> = cluster
        .topology()
        .voters()
        .map(|node| node.name().to_owned())
        .collect();
    let learners: Vec<String> = cluster
        .topology()
        .learners()
        .map(|node| node.name().to_owned())
        .collect();
    let load = workload::Options {
        seed,
        clients,
        mix: Mix::MIXED,
        discard: 0.05,
        entry_nodes: Vec::new(),
        other_nodes: voters,
        read_nodes: learners,
        province: None,
        day: days_ago(2)?,
        pause,
        deadline: Duration::from_secs(60),
        writes_each: None,
    };
    let centre = cluster.centre_name();
    let reader = cluster.centre_everywhere()?;
    Ok(Workload::start(history.clone(), load, &reader, |_| {
        cluster.client(&centre)
    })?)
}

/// An import that goes on beside the faults, at an even pace, until it is told to end.
#[derive(Debug)]
pub struct Importing {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<import::Progress, import::ImportError>>,
    file: PathBuf,
    clients: Vec<Client>,
}

/// Rows between two pauses of an import that is to last as long as a test's faults.
const ROWS_AT_A_TIME: usize = 200;
/// That pause: some 1,000 rows a second.
const IMPORT_PAUSE: Duration = Duration::from_millis(150);

const IMPORT: import::Options = import::Options {
    batch_rows: 50,
    in_flight: 2,
    patience: Duration::from_secs(120),
    sample_every: 0,
};

impl Importing {
    /// Starts to import a synthetic population of that size.
    pub fn start(cluster: &LocalCluster, citizens: u64, seed: u64) -> Result<Importing> {
        let file = cluster.layout().directory.join("population.csv");
        population::write(&file, citizens, seed)?;
        let stop = Arc::new(AtomicBool::new(false));
        let clients = vec![cluster.client(&cluster.centre_name())?];
        let rows = population::rows(&file)?;
        let (stopped, sending) = (Arc::clone(&stop), clients.clone());
        #[expect(clippy::disallowed_methods, reason = "awaited in `finish`")]
        let task = tokio::spawn(async move {
            let mut rows = rows;
            let mut sum = import::Progress::default();
            while !stopped.load(Ordering::Relaxed) {
                let some = rows.by_ref().take(ROWS_AT_A_TIME);
                let progress = import::run(&sending, some, &IMPORT, &mut |_, _| Ok(()))
                    .await?
                    .progress;
                if progress.settled == 0 {
                    say("the import has reached the end of its file");
                    break;
                }
                sum.settled += progress.settled;
                sum.imported += progress.imported;
                sum.rejected += progress.rejected;
                tokio::time::sleep(IMPORT_PAUSE).await;
            }
            Ok(sum)
        });
        Ok(Importing {
            stop,
            task,
            file,
            clients,
        })
    }

    /// Ends the import and tells how many persons it brought in.
    ///
    /// All that it sent is sent once more: every row must be known already, under the key that it had.
    pub async fn finish(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let first = self.task.await.context("the import's task")??;
        say(&format!(
            "imported {} rows meanwhile, {} rejected",
            first.imported, first.rejected
        ));
        let settled = usize::try_from(first.settled)?;
        let again = population::rows(&self.file)?.take(settled);
        let second = import::run(&self.clients, again, &IMPORT, &mut |_, _| Ok(()))
            .await?
            .progress;
        anyhow::ensure!(
            second.imported == first.imported && second.replayed == first.imported,
            "of {} imported rows {} were known when they were sent again, {} of those from the first time",
            first.imported,
            second.imported,
            second.replayed
        );
        Ok(first.imported)
    }
}

/// Waits until all nodes are level, and holds everything against the history.
pub async fn compare(
    cluster: &mut LocalCluster,
    history: &History,
    imported: u64,
    deadline: Duration,
) -> Result<(Verdict, Comparison, Settled)> {
    let all = cluster.node_names();
    cluster.wait_caught_up(&all, deadline).await?;
    Ok(site_down::compare(cluster, history, imported, deadline, &mut Said).await?)
}

/// Fails with every broken promise.
pub fn expect_kept(verdict: &Verdict, digest: &Comparison, settled: &Settled) {
    say(&format!(
        "{} writes acknowledged, {} outcomes settled afterwards, {} histories compared",
        settled.acknowledged, settled.resolved, verdict.histories_read
    ));
    assert!(
        verdict.violations.is_empty(),
        "broken promises:\n{}",
        lines(&verdict.violations)
    );
    assert!(
        digest.equal(),
        "states are not known to be equal {}",
        digest.explain()
    );
    assert_eq!(
        settled.rejected, 0,
        "the load sends nothing that may be rejected"
    );
}

fn lines(violations: &[Violation]) -> String {
    const SHOWN: usize = 20;
    let more = violations.len().saturating_sub(SHOWN);
    let shown = &violations[..violations.len() - more];
    format!("{}(and {more} more)", site_down::lines(shown))
}
