//! `banyan cluster`: a whole cluster on this machine, and what its nodes say of themselves.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use banyan_drill::access;
use banyan_drill::cluster::{ClusterError, Lifetime, LocalCluster, Options};
use banyan_wire::v1;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::pki::read_topology;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::moment;
use crate::output::{note, table, text_of};
use crate::session::{Session, Usual};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start all nodes of a topology on this machine and leave them running
    Up(Up),
    /// Show what every node says of itself
    Status,
    /// Stop the nodes that `cluster up` started; their data stays
    Down(Down),
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Topology file
    #[arg(long, value_name = "FILE", default_value = "cluster/local.toml")]
    topology: PathBuf,
    /// Directory for keys, data and logs; a cluster that is there already is started again
    #[arg(long, value_name = "DIRECTORY", default_value = "target/demo")]
    dir: PathBuf,
    /// The node's program [default: banyand beside this program]
    #[arg(long, value_name = "FILE")]
    banyand: Option<PathBuf>,
    /// How long to wait until all nodes are ready, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    wait: u64,
    /// Only say what would be started
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Down {
    /// Directory that was given to `cluster up`
    #[arg(long, value_name = "DIRECTORY", default_value = "target/demo")]
    dir: PathBuf,
    /// Seconds that a node has to hand over and stop before it is killed
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=300))]
    grace: u64,
    /// Only say what would be stopped
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(global: &Global, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Up(up) => start(global, up).await,
        Command::Status => status(global).await,
        Command::Down(down) => stop(global, &down).await,
    }
}

#[derive(Serialize)]
struct Started {
    dry_run: bool,
    directory: String,
    contexts: String,
    nodes: Vec<String>,
}

async fn start(global: &Global, up: Up) -> Result<Exit, Failure> {
    let topology = read_topology(&up.topology)?;
    let nodes: Vec<String> = topology
        .nodes()
        .iter()
        .map(|node| node.name().to_owned())
        .collect();
    let shape = Started {
        dry_run: up.dry_run,
        directory: up.dir.display().to_string(),
        contexts: up.dir.join("contexts.toml").display().to_string(),
        nodes,
    };
    if up.dry_run {
        global.output().answer(&shape, || {
            format!(
                "Would start {} in {}.",
                shape.nodes.join(", "),
                shape.directory
            )
        });
        return Ok(Exit::Done);
    }
    if !global.json {
        note(&format!(
            "starting {} nodes in {} ...",
            shape.nodes.len(),
            shape.directory
        ));
    }
    let mut options = Options::new(up.topology, up.dir);
    options.banyand = up.banyand;
    options.lifetime = Lifetime::Detached;
    options.ready_within = Duration::from_secs(up.wait);
    // A detached cluster outlives this value and this program.
    LocalCluster::start(options)
        .await
        .map_err(|error| cluster_failure(&error))?;
    global.output().answer(&shape, || {
        let usual = shape.directory == "target/demo";
        let contexts = if usual {
            String::new()
        } else {
            format!(" --contexts {}", shape.contexts)
        };
        format!(
            "All {} nodes run and know one leader.\n  banyan{contexts} cluster status\n  \
             banyan{contexts} --as centre@central import FILE\n  banyan cluster down --dir {}",
            shape.nodes.len(),
            shape.directory
        )
    });
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Stopped {
    dry_run: bool,
    directory: String,
    stopped: Vec<String>,
    killed: Vec<String>,
}

async fn stop(global: &Global, down: &Down) -> Result<Exit, Failure> {
    // Attaching would make the directory; a mistyped one must not come into being.
    if !down.dir.is_dir() {
        return Err(Failure::new(
            Exit::NotFound,
            format!("{} is not a directory", down.dir.display()),
        ));
    }
    let mut cluster = LocalCluster::attach(&down.dir).map_err(|error| cluster_failure(&error))?;
    let running = cluster.running();
    let killed = if down.dry_run {
        Vec::new()
    } else {
        cluster
            .stop(Duration::from_secs(down.grace))
            .await
            .map_err(|error| cluster_failure(&error))?
            .late
    };
    let shape = Stopped {
        dry_run: down.dry_run,
        directory: down.dir.display().to_string(),
        stopped: running,
        killed,
    };
    global.output().answer(&shape, || {
        let names = if shape.stopped.is_empty() {
            "nothing".to_owned()
        } else {
            shape.stopped.join(", ")
        };
        let verb = if shape.dry_run {
            "Would stop"
        } else {
            "Stopped"
        };
        let late = if shape.killed.is_empty() {
            String::new()
        } else {
            format!(
                " These did not stop in time and were killed: {}.",
                shape.killed.join(", ")
            )
        };
        format!(
            "{verb} {names}. The data stays in {}.{late}",
            shape.directory
        )
    });
    Ok(Exit::Done)
}

/// A cluster's error with its exit code.
pub(crate) fn cluster_failure(error: &ClusterError) -> Failure {
    let exit = match error {
        ClusterError::NoCluster { .. }
        | ClusterError::NoNode { .. }
        | ClusterError::NoSite { .. } => Exit::NotFound,
        ClusterError::Running { .. } | ClusterError::Topology { .. } | ClusterError::Binary(_) => {
            Exit::Usage
        }
        ClusterError::Elapsed(_) | ClusterError::Bootstrap(_) => Exit::Unavailable,
        _ => Exit::Fault,
    };
    Failure::because(exit, error)
}

#[derive(Serialize)]
struct Shape {
    cluster: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<String>,
    survival_goal: String,
    survival_now: String,
    nodes: Vec<Node>,
}

#[derive(Serialize)]
struct Node {
    node: String,
    answers: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// `voter`, `learner`, or `none`: it runs and was taken out, or was not let in yet. Unknown of nodes that are silent and no members.
    #[serde(skip_serializing_if = "Option::is_none")]
    membership: Option<String>,
    #[serde(flatten)]
    status: Option<NodeStatus>,
}

#[derive(Serialize)]
struct NodeStatus {
    node_id: u64,
    site: String,
    role: String,
    term: u64,
    last_log_index: u64,
    committed_index: u64,
    applied_index: u64,
    behind: u64,
    snapshot_index: u64,
    purged_index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit_time: Option<String>,
    persons: u64,
    version: String,
    uptime_ms: u64,
}

/// Of a node that runs and is no member.
const NO_MEMBER: &str = "none";

async fn status(global: &Global) -> Result<Exit, Failure> {
    let session = Session::open(global, Usual::Operator)?;
    let nodes = match &session.node {
        Some(node) => vec![node.clone()],
        None => session.nodes.clone(),
    };
    let answers = access::status_of_all(&session.client, &nodes).await;
    if answers.values().all(Result::is_err) {
        // One call by itself says with its code why nobody answers: refused, not trusted, not there.
        session.client.status(session.any_node()?).await?;
    }
    // Who asks one node only wants to know of that one.
    let shape = shape_of(&answers, session.node.is_none());
    let silent = shape.nodes.iter().filter(|node| !node.answers).count();
    let exit = match (silent, &shape.leader) {
        (_, None) => Exit::Unavailable,
        (0, Some(_)) => Exit::Done,
        (_, Some(_)) => Exit::Partial,
    };
    global.output().answer(&shape, || status_words(&shape));
    Ok(exit)
}

fn shape_of(
    answers: &BTreeMap<String, Result<v1::StatusResponse, String>>,
    all_members: bool,
) -> Shape {
    let answered: Vec<&v1::StatusResponse> = answers
        .values()
        .filter_map(|answer| answer.as_ref().ok())
        .collect();
    let furthest = answered
        .iter()
        .map(|status| status.committed_index.max(status.applied_index))
        .max()
        .unwrap_or(0);
    // The newest opinion on who leads, and the leader's own on survival: only the leader knows who is alive.
    let newest = answered
        .iter()
        .max_by_key(|status| (status.leader_id != 0, status.term));
    let leader = newest.and_then(|status| {
        let member = status
            .members
            .iter()
            .find(|member| member.node_id == status.leader_id)?;
        Some(member.node.clone())
    });
    let speaker = answered
        .iter()
        .find(|status| status.role == "leader")
        .or(newest);
    let members = speaker.map_or(&[][..], |status| &status.members);
    let mut nodes: Vec<Node> = answers
        .iter()
        .map(|(name, answer)| {
            let status = answer.as_ref().ok();
            let member = members.iter().find(|member| match status {
                Some(status) => member.node_id == status.node_id,
                None => member.node == *name,
            });
            let none = status.map(|_| NO_MEMBER.to_owned());
            Node {
                node: name.clone(),
                answers: status.is_some(),
                reason: answer.as_ref().err().cloned(),
                membership: member.map(|member| member.membership.clone()).or(none),
                status: status.map(|status| NodeStatus::of(status, furthest)),
            }
        })
        .collect();
    // An endpoint may have another name in the contexts file than its node.
    let asked = |member: &&v1::MemberStatus| {
        answers.contains_key(&member.node)
            || answered
                .iter()
                .any(|status| status.node_id == member.node_id)
    };
    let not_asked = members
        .iter()
        .filter(|member| all_members && !asked(member));
    nodes.extend(not_asked.map(|member| Node {
        node: member.node.clone(),
        answers: false,
        reason: Some("not asked: the contexts file has no endpoint of it".to_owned()),
        membership: Some(member.membership.clone()),
        status: None,
    }));
    Shape {
        cluster: speaker
            .map(|status| status.cluster.clone())
            .unwrap_or_default(),
        leader,
        survival_goal: speaker
            .map(|status| status.survival_goal.clone())
            .unwrap_or_default(),
        survival_now: speaker
            .map(|status| status.survival_now.clone())
            .unwrap_or_default(),
        nodes,
    }
}

impl NodeStatus {
    fn of(status: &v1::StatusResponse, furthest: u64) -> Self {
        Self {
            node_id: status.node_id,
            site: status.site.clone(),
            role: status.role.clone(),
            term: status.term,
            last_log_index: status.last_log_index,
            committed_index: status.committed_index,
            applied_index: status.applied_index,
            behind: furthest.saturating_sub(status.applied_index),
            snapshot_index: status.snapshot_index,
            purged_index: status.purged_index,
            commit_time: moment::iso(status.commit_time_ms),
            persons: status.persons,
            version: status.version.clone(),
            uptime_ms: status.uptime_ms,
        }
    }
}

fn status_words(shape: &Shape) -> String {
    let mut rows = table([
        "node", "site", "member", "role", "term", "applied", "behind", "persons", "up",
    ]);
    let mut silent = Vec::new();
    for node in &shape.nodes {
        let member = node.membership.clone().unwrap_or_default();
        match &node.status {
            Some(status) => rows.add_row([
                node.node.clone(),
                status.site.clone(),
                member,
                status.role.clone(),
                status.term.to_string(),
                status.applied_index.to_string(),
                status.behind.to_string(),
                status.persons.to_string(),
                format!("{} s", status.uptime_ms / 1000),
            ]),
            None => {
                // Below the table, which a sentence would make wide.
                let reason = node.reason.as_deref().unwrap_or_default();
                silent.push(format!("\n{}: {reason}", node.node));
                rows.add_row([
                    node.node.clone(),
                    String::new(),
                    member,
                    "no answer".to_owned(),
                ])
            }
        };
    }
    if !silent.is_empty() {
        silent.push("\n".to_owned());
    }
    let silent = silent.concat();
    let leader = shape.leader.as_deref().unwrap_or("nobody");
    format!(
        "cluster {}, led by {leader}\n{}\n{silent}\nsurvival goal {}: {}",
        shape.cluster,
        text_of(&rows),
        shape.survival_goal,
        shape.survival_now
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_nobody_asked_and_nodes_that_are_no_members_are_told() {
        let member = |node_id, node: &str| v1::MemberStatus {
            node_id,
            node: node.to_owned(),
            membership: "voter".to_owned(),
            ..v1::MemberStatus::default()
        };
        let says = |node_id, role: &str| v1::StatusResponse {
            node_id,
            role: role.to_owned(),
            members: vec![member(1, "central-1"), member(8, "central-4")],
            leader_id: 1,
            ..v1::StatusResponse::default()
        };
        let answers = BTreeMap::from([
            ("central-1".to_owned(), Ok(says(1, "leader"))),
            ("central-2".to_owned(), Ok(says(2, "learner"))),
            ("central-3".to_owned(), Err("silent".to_owned())),
        ]);
        let told = |all| -> Vec<(String, Option<String>, bool)> {
            let nodes = shape_of(&answers, all).nodes.into_iter();
            nodes
                .map(|node| (node.node, node.membership, node.answers))
                .collect()
        };
        let is = |node: &str, membership: Option<&str>, answers| {
            (node.to_owned(), membership.map(str::to_owned), answers)
        };
        let asked = vec![
            is("central-1", Some("voter"), true),
            is("central-2", Some("none"), true),
            is("central-3", None, false),
        ];
        assert_eq!(told(false), asked);
        let not_asked = is("central-4", Some("voter"), false);
        assert_eq!(told(true), [asked, vec![not_asked]].concat());
    }
}
