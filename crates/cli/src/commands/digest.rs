//! `banyan digest`: whether all nodes hold the same state at one position.

use std::time::Duration;

use banyan_drill::digest::{self, NodeDigest};
use clap::Args;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::output::{table, text_of};
use crate::session::{Session, Usual};

#[derive(Debug, Args)]
pub(crate) struct Digest {
    /// How long to wait for each node, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    wait: u64,
}

#[derive(Serialize)]
struct Shape {
    equal: bool,
    complete: bool,
    position: u64,
    nodes: Vec<Node>,
}

#[derive(Serialize)]
struct Node {
    node: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(crate) async fn run(global: &Global, arguments: &Digest) -> Result<Exit, Failure> {
    let session = Session::open(global, Usual::Operator)?;
    let compared = digest::compare(
        &session.client,
        &session.nodes,
        Duration::from_secs(arguments.wait),
    )
    .await?;
    let shape = Shape {
        equal: compared.equal(),
        complete: !compared.incomplete(),
        position: compared.position,
        nodes: compared
            .nodes
            .iter()
            .map(|(name, node)| Node::of(name, node))
            .collect(),
    };
    let exit = match (shape.equal, shape.complete) {
        (true, _) => Exit::Done,
        // Where all took part and differ, a promise is broken; where some took part, nothing is proved.
        (false, true) => Exit::Fault,
        (false, false) if ready_ones_differ(&shape.nodes) => Exit::Fault,
        (false, false) => Exit::Partial,
    };
    global.output().answer(&shape, || words(&shape));
    Ok(exit)
}

impl Node {
    fn of(name: &str, node: &NodeDigest) -> Self {
        let node_name = name.to_owned();
        match node {
            NodeDigest::Ready { digest, entries } => Self {
                node: node_name,
                state: "ready",
                digest: Some(digest.iter().map(|byte| format!("{byte:02x}")).collect()),
                entries: Some(*entries),
                reason: None,
            },
            NodeDigest::Unknown { reason } => Self {
                node: node_name,
                state: "unknown",
                digest: None,
                entries: None,
                reason: Some(reason.clone()),
            },
        }
    }
}

fn ready_ones_differ(nodes: &[Node]) -> bool {
    let mut ready = nodes.iter().filter_map(|node| node.digest.as_ref());
    let first = ready.next();
    ready.any(|digest| Some(digest) != first)
}

fn words(shape: &Shape) -> String {
    let mut rows = table(["node", "state", "digest", "keys"]);
    for node in &shape.nodes {
        let digest = node.digest.as_deref().map_or_else(
            || node.reason.clone().unwrap_or_default(),
            |digest| digest.chars().take(16).collect(),
        );
        let entries = node
            .entries
            .map(|entries| entries.to_string())
            .unwrap_or_default();
        rows.add_row([node.node.clone(), node.state.to_owned(), digest, entries]);
    }
    let verdict = match (shape.equal, shape.complete) {
        (true, _) => "All nodes hold the same state.",
        (false, false) if !ready_ones_differ(&shape.nodes) => {
            "Some nodes could not take part, so nothing is proved about them."
        }
        (false, _) => "The nodes DIFFER.",
    };
    format!(
        "At position {}:\n{}\n\n{verdict}",
        shape.position,
        text_of(&rows)
    )
}
