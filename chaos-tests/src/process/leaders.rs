//! Who leads, by the account of the nodes, and moving it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use banyan_drill::cluster::LocalCluster;
use banyan_drill::{access, wait_for};

/// A leader appears within this time, or leadership is moved, where nothing is wrong.
const WITHIN: Duration = Duration::from_secs(30);

/// The leader that most of the nodes which answer name; `None`: none.
///
/// # Errors
/// There is no way into the cluster.
pub(super) async fn leader(cluster: &LocalCluster) -> Result<Option<String>> {
    let operator = cluster.operator()?;
    let mut votes: BTreeMap<u64, usize> = BTreeMap::new();
    for status in access::status_of_all(&operator, &cluster.node_names())
        .await
        .into_values()
    {
        if let Ok(status) = status
            && status.leader_id > 0
        {
            *votes.entry(status.leader_id).or_default() += 1;
        }
    }
    let most = votes.into_iter().max_by_key(|(_, count)| *count);
    Ok(most.and_then(|(id, _)| name_of(cluster, id)))
}

/// Hands leadership to a voter, and waits until it is named by the node that it went to.
///
/// # Errors
/// It did not go there in time.
pub(super) async fn move_to(cluster: &LocalCluster, node: &str) -> Result<()> {
    let operator = cluster.operator()?;
    let id = cluster
        .node_id(node)
        .context("the node is in the topology")?
        .get();
    wait_for::condition("moving leadership", WITHIN, async || {
        let leads = leader(cluster).await.map_err(|error| error.to_string())?;
        let leads = leads.ok_or("there is no leader")?;
        if leads == node {
            return Ok(());
        }
        // A target that is not level yet is refused; it will be.
        let asked = operator.transfer_leader(&leads, id).await;
        match asked
            .map_err(|error| access::reason(&error))?
            .answer
            .leader_id
        {
            now if now == id => Ok(()),
            now => Err(format!("node {now} leads")),
        }
    })
    .await?;
    Ok(())
}

fn name_of(cluster: &LocalCluster, id: u64) -> Option<String> {
    let nodes = cluster.topology().nodes();
    let found = nodes.iter().find(|node| node.id().get() == id);
    found.map(|node| node.name().to_owned())
}
