//! The drill: a whole site is lost under load, writes go on without it, it comes back, nothing acknowledged is missing.

use std::time::Duration;

use banyan_client::{CallError, Client};
use banyan_domain::CalendarDate;
use banyan_topology::Node;

use crate::access;
use crate::checker::{self, Promises, Verdict, Violation};
use crate::cluster::{ClusterError, LocalCluster};
use crate::digest::{self, Comparison};
use crate::history::{self, History, Read, Write};
use crate::observer::Observer;
use crate::wait_for::{self, Elapsed};
use crate::workload::{self, ClientPanicked, Mix, Workload};

/// How the drill runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// The site to lose.
    pub site: String,
    /// Of the load, together with the end of the cluster's log: run again on the same cluster, a drill sends other writes.
    pub seed: u64,
    pub clients: usize,
    /// A client's pause after each operation.
    pub pause: Duration,
    /// Load before the loss.
    pub before: Duration,
    /// How long the site stays away.
    pub down: Duration,
    /// Load after it has caught up.
    pub after: Duration,
    /// Move leadership to the site first, so that its loss is the worst one.
    pub lead_there: bool,
    /// How long the returned nodes may take.
    pub caught_up_within: Duration,
    /// A day in the past that births are dated on.
    pub day: CalendarDate,
    /// Persons in the registry before the drill; `None`: the nodes are asked.
    pub persons_before: Option<u64>,
}

impl Options {
    /// The central site away for eight seconds under eight clients.
    pub fn new(site: impl Into<String>, seed: u64, day: CalendarDate) -> Options {
        Options {
            site: site.into(),
            seed,
            clients: 8,
            pause: Duration::from_millis(2),
            before: Duration::from_secs(3),
            down: Duration::from_secs(8),
            after: Duration::from_secs(2),
            lead_there: true,
            caught_up_within: Duration::from_secs(120),
            day,
            persons_before: None,
        }
    }
}

/// What the drill measured and found.
#[derive(Debug)]
pub struct Outcome {
    pub site: String,
    /// The nodes that were killed.
    pub nodes: Vec<String>,
    /// Whether the leader was among them.
    pub leader_lost: bool,
    /// From the SIGKILL to the first acknowledgement of a write that was first sent after it.
    pub rto: Option<Duration>,
    /// The longest time that any one client went without an acknowledged write.
    pub longest_client_gap: Duration,
    /// Writes that had to be sent more than once to get an answer.
    pub retried: u64,
    /// Writes whose outcome stayed open until the clients asked again afterwards.
    pub unknown_resolved: u64,
    pub acknowledged_writes: u64,
    /// Of those, acknowledged while the site was away.
    pub acknowledged_while_down: u64,
    pub rejected_writes: u64,
    pub answers_discarded: u64,
    /// From the start of the returned nodes to all of them having applied what was committed then.
    pub caught_up: Duration,
    /// Reads at the provinces while the site was away, and those of them without an answer.
    pub reads_while_down: u64,
    pub reads_failed_while_down: u64,
    pub persons_expected: u64,
    pub verdict: Verdict,
    pub digest: Comparison,
    pub history: History,
}

impl Outcome {
    /// All broken promises, for people; empty if the drill was passed.
    pub fn broken(&self) -> Vec<String> {
        let mut broken: Vec<String> = self
            .verdict
            .violations
            .iter()
            .map(ToString::to_string)
            .collect();
        if !self.digest.equal() {
            broken.push(format!(
                "the nodes' states are not known to be equal {}",
                self.digest.explain()
            ));
        }
        if self.rto.is_none() {
            broken.push("no write that was sent after the loss was acknowledged".to_owned());
        }
        if self.rejected_writes > 0 {
            broken.push(format!(
                "{} writes were rejected, although the load sends nothing that may be",
                self.rejected_writes
            ));
        }
        if self.acknowledged_while_down == 0 {
            broken.push(format!(
                "no write was acknowledged while {} was away",
                self.site
            ));
        }
        broken
    }
}

/// Why the drill could not be carried through; a broken promise is no such reason.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("{what}")]
    Call {
        what: &'static str,
        #[source]
        source: CallError,
    },
    #[error(transparent)]
    Elapsed(#[from] Elapsed),
    #[error(transparent)]
    Load(#[from] ClientPanicked),
}

/// Runs the drill on a running cluster.
///
/// # Errors
/// [`DrillError`] when something stood in the way of the drill itself. What the registry did wrong is in [`Outcome`].
pub async fn run(
    cluster: &mut LocalCluster,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<Outcome, DrillError> {
    let nodes = cluster.nodes_at(&options.site)?;
    let all = cluster.node_names();
    let persons_before = match options.persons_before {
        Some(count) => count,
        None => persons_now(cluster, &all, options.caught_up_within).await?,
    };
    if options.lead_there {
        lead_from(cluster, &nodes, observer).await?;
    }

    let history = History::new();
    let seed = seed_here(cluster, options.seed, &nodes).await?;
    let workload = start_workload(cluster, options, seed, &history, &nodes)?;
    tokio::time::sleep(options.before).await;

    observer.note(&format!("SIGKILL to {}", nodes.join(", ")));
    let leader_lost = match nodes.first() {
        Some(first) => ids(cluster, &nodes).contains(&leader(&cluster.operator()?, first).await?),
        None => false,
    };
    let killed_from = history.now();
    cluster.send_kill(&nodes)?;
    let killed_until = history.now();
    cluster.kill(&nodes).await?;
    tokio::time::sleep(options.down).await;
    let back_from = history.now();

    for node in &nodes {
        cluster.start_node(node)?;
    }
    observer.note(&format!("{} started again", nodes.join(", ")));
    cluster
        .wait_caught_up(&all, options.caught_up_within)
        .await?;
    let caught_up = history.now() - back_from;
    observer.note(&format!(
        "caught up after {} ms, under load",
        caught_up.as_millis()
    ));
    tokio::time::sleep(options.after).await;
    let until = history.now();
    workload.stop().await?;

    let (verdict, digest, settled) = compare(
        cluster,
        &history,
        persons_before,
        options.caught_up_within,
        observer,
    )
    .await?;
    let writes = history.writes();
    let while_down = |at: Duration| (killed_until..back_from).contains(&at);
    let reads: Vec<Read> = history
        .reads()
        .into_iter()
        .filter(|read| while_down(read.started))
        .collect();
    Ok(Outcome {
        site: options.site.clone(),
        leader_lost,
        rto: history::recovery_time(&writes, killed_from, killed_until),
        longest_client_gap: history::longest_gap(&writes, options.clients, Duration::ZERO, until),
        retried: count(&writes, Write::was_retried),
        unknown_resolved: settled.resolved,
        acknowledged_writes: settled.acknowledged,
        acknowledged_while_down: count(&writes, |write| {
            write.acknowledgement().is_some()
                && while_down(write.ended)
                && while_down(write.started)
        }),
        rejected_writes: settled.rejected,
        answers_discarded: count(&writes, |write| write.discarded.is_some()),
        caught_up,
        reads_while_down: reads.len() as u64,
        reads_failed_while_down: reads.iter().filter(|read| read.found.is_none()).count() as u64,
        persons_expected: settled.persons_expected,
        verdict,
        digest,
        nodes,
        history,
    })
}

fn count(writes: &[Write], of: impl Fn(&Write) -> bool) -> u64 {
    writes.iter().filter(|write| of(write)).count() as u64
}

/// The seed of a load on this cluster as it stands now: a drill that is run again on the same cluster must not send the
/// keys and documents of the first one, which would have no effect any more.
async fn seed_here(cluster: &LocalCluster, seed: u64, nodes: &[String]) -> Result<u64, DrillError> {
    let Some(first) = nodes.first() else {
        return Ok(seed);
    };
    let status = cluster.operator()?.status(first).await;
    let status = status.map_err(|source| DrillError::Call {
        what: "cannot ask for the log's end",
        source,
    })?;
    // An odd factor spreads neighbouring positions over all seeds (Knuth, multiplicative hashing).
    let spread = status
        .answer
        .last_log_index
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    Ok((seed ^ spread) >> 16)
}

fn start_workload(
    cluster: &LocalCluster,
    options: &Options,
    seed: u64,
    history: &History,
    lost: &[String],
) -> Result<Workload, ClusterError> {
    let topology = cluster.topology();
    let names = |nodes: Vec<&Node>| -> Vec<String> {
        nodes
            .iter()
            .map(|node| node.name().to_owned())
            .filter(|name| !lost.contains(name))
            .collect()
    };
    let centre = cluster.centre_name();
    let load = workload::Options {
        seed,
        clients: options.clients,
        mix: Mix::MIXED,
        discard: 0.05,
        // The clients find their own way: to the node that led last, then down their context's list.
        entry_nodes: Vec::new(),
        other_nodes: names(topology.voters().collect()),
        read_nodes: names(topology.learners().collect()),
        province: None,
        day: options.day,
        pause: options.pause,
        deadline: Duration::from_secs(30),
        writes_each: None,
    };
    let reader = cluster.centre_everywhere()?;
    Workload::start(history.clone(), load, &reader, |_| cluster.client(&centre))
}

/// Who leads, as one of the nodes knows it: its id.
async fn leader(operator: &Client, asked: &str) -> Result<u64, DrillError> {
    let status = operator
        .status(asked)
        .await
        .map_err(|source| DrillError::Call {
            what: "cannot ask who leads",
            source,
        })?;
    Ok(status.answer.leader_id)
}

fn ids(cluster: &LocalCluster, nodes: &[String]) -> Vec<u64> {
    nodes
        .iter()
        .filter_map(|name| cluster.node_id(name))
        .map(|id| id.get())
        .collect()
}

/// Moves leadership to one of the nodes, unless one of them leads or none of them votes.
async fn lead_from(
    cluster: &LocalCluster,
    nodes: &[String],
    observer: &mut dyn Observer,
) -> Result<(), DrillError> {
    let votes = |name: &&String| cluster.topology().node(name).is_some_and(Node::is_voter);
    let voters: Vec<String> = nodes.iter().filter(votes).cloned().collect();
    let operator = cluster.operator()?;
    let wanted = ids(cluster, &voters);
    let Some((first, to)) = voters.first().zip(wanted.first().copied()) else {
        return Ok(());
    };
    if wanted.contains(&leader(&operator, first).await?) {
        return Ok(());
    }
    wait_for::condition(
        "moving leadership to the site",
        Duration::from_secs(30),
        async || {
            operator
                .transfer_leader(first, to)
                .await
                .map_err(|error| access::reason(&error))?;
            let leader = leader(&operator, first)
                .await
                .map_err(|error| access::reason(&error))?;
            if wanted.contains(&leader) {
                Ok(())
            } else {
                Err(format!("node {leader} leads"))
            }
        },
    )
    .await?;
    observer.note(&format!("leadership moved to {first}"));
    Ok(())
}

/// The number of persons that all nodes hold, once they agree.
async fn persons_now(
    cluster: &mut LocalCluster,
    nodes: &[String],
    deadline: Duration,
) -> Result<u64, DrillError> {
    cluster.wait_caught_up(nodes, deadline).await?;
    let operator = cluster.operator()?;
    let agreed = wait_for::condition("one count of persons on all nodes", deadline, async || {
        let told = persons_told(&operator, nodes).await;
        let counts: Vec<u64> = told
            .values()
            .filter_map(|count| count.clone().ok())
            .collect();
        match counts.first() {
            Some(first) if counts.len() == nodes.len() && counts.iter().all(|c| c == first) => {
                Ok(*first)
            }
            _ => Err(format!("{counts:?}")),
        }
    })
    .await?;
    Ok(agreed)
}

async fn persons_told(
    operator: &Client,
    nodes: &[String],
) -> std::collections::BTreeMap<String, Result<u64, String>> {
    access::status_of_all(operator, nodes)
        .await
        .into_iter()
        .map(|(name, status)| (name, status.map(|status| status.persons)))
        .collect()
}

/// What became of the writes once every outcome was settled.
#[derive(Debug, Clone, Copy)]
pub struct Settled {
    pub acknowledged: u64,
    pub rejected: u64,
    /// Outcomes that were open and are known now.
    pub resolved: u64,
    pub persons_expected: u64,
}

/// Settles open outcomes, waits until all nodes are level, reads everything back everywhere, counts, compares digests.
///
/// No load may run. `persons_before`: persons in the registry before the history began.
///
/// # Errors
/// [`DrillError`] when the comparison itself could not be made.
pub async fn compare(
    cluster: &mut LocalCluster,
    history: &History,
    persons_before: u64,
    deadline: Duration,
    observer: &mut dyn Observer,
) -> Result<(Verdict, Comparison, Settled), DrillError> {
    let all = cluster.node_names();
    let writes = history.writes();
    let writer = cluster.client(&cluster.centre_name())?;
    let resolved = workload::resolve(&writer, &writes, deadline).await;
    let promises = Promises::of(&writes, &resolved);
    let settled = Settled {
        acknowledged: promises.writes,
        rejected: promises.rejected,
        resolved: resolved.len() as u64,
        persons_expected: persons_before + promises.births,
    };
    cluster.wait_caught_up(&all, deadline).await?;
    let reached = cluster
        .wait_applied(&all, promises.position, deadline)
        .await;

    observer.note(&format!(
        "reading {} persons back from {} nodes, all versions",
        promises.persons.len(),
        all.len()
    ));
    let reader = cluster.centre_everywhere()?;
    let mut verdict = checker::read_back(&reader, &all, &promises).await;
    match reached {
        Ok(()) => {}
        // A log that does not reach what was acknowledged is a broken promise, and no trouble of the drill's.
        Err(ClusterError::Elapsed(elapsed)) => verdict.violations.push(Violation::Lost {
            node: "every node".to_owned(),
            position: promises.position,
            why: elapsed.to_string(),
        }),
        Err(error) => return Err(error.into()),
    }
    let operator = cluster.operator()?;
    let told = persons_told(&operator, &all).await;
    verdict
        .violations
        .extend(checker::check_counts(&told, settled.persons_expected));

    let digest = digest::compare(&operator, &all, deadline)
        .await
        .map_err(|source| DrillError::Call {
            what: "no digest mark could be proposed",
            source,
        })?;
    observer.note(&format!("state {}", digest.explain()));
    Ok((verdict, digest, settled))
}

/// The violations as lines, for errors.
pub fn lines(violations: &[Violation]) -> String {
    violations
        .iter()
        .map(|violation| format!("- {violation}\n"))
        .collect()
}
