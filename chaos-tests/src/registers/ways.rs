//! The ways that writes go: at which node they begin, and whether nodes send them on.

use std::time::Duration;

use anyhow::Result;
use banyan_client::{Client, Options};
use banyan_drill::access;
use banyan_drill::cluster::LocalCluster;
use banyan_topology::Node;

/// A patient write goes to another node after this time, with its key. What it left at a paused one is read there later.
const WRITE_TRY: Duration = Duration::from_secs(1);

/// A client, and the node that it goes to first.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) client: Client,
    pub(super) node: String,
}

/// The options of writers: those that are told where the leader is, and those whose writes the nodes send on.
fn both_options() -> [Options; 2] {
    [false, true].map(|forward| Options {
        try_timeout: WRITE_TRY,
        forward,
        ..access::call_options()
    })
}

/// A way through each of the nodes, for each kind of writer.
pub(super) fn ways(cluster: &LocalCluster, principal: &str, nodes: &[&Node]) -> Result<Vec<Way>> {
    let mut ways = Vec::new();
    for options in both_options() {
        let client = cluster.client_with(principal, nodes, options)?;
        ways.extend(nodes.iter().map(|node| Way {
            client: client.clone(),
            node: node.name().to_owned(),
        }));
    }
    Ok(ways)
}

/// The ways that go through a learner first.
pub(super) fn ways_through(
    cluster: &LocalCluster,
    principal: &str,
    learner: &Node,
    voters: &[&Node],
) -> Result<Vec<Way>> {
    let nodes: Vec<&Node> = std::iter::once(learner)
        .chain(voters.iter().copied())
        .collect();
    let mut all = ways(cluster, principal, &nodes)?;
    all.retain(|way| way.node == learner.name());
    Ok(all)
}
