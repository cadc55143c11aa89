//! From the planned topology to the members that consensus knows.

use std::collections::BTreeMap;

use banyan_consensus::Member;
use banyan_domain::NodeId;
use banyan_topology::{Node, Topology};

/// Every node of the topology as a member: what the cluster is formed with.
#[must_use]
pub fn planned_members(topology: &Topology) -> BTreeMap<NodeId, Member> {
    topology
        .nodes()
        .iter()
        .map(|node| (NodeId(node.id().get()), member(node)))
        .collect()
}

pub(super) fn member(node: &Node) -> Member {
    Member {
        node: NodeId(node.id().get()),
        name: node.name().to_owned(),
        site: node.site().to_owned(),
        peer_endpoint: node.peer_endpoint(),
        client_endpoint: node.client_endpoint(),
        voter: node.is_voter(),
    }
}
