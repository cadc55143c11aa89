//! One node of the cluster, as the membership in the log names it.

use banyan_domain::NodeId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A member of the cluster. Stored as JSON in membership entries and snapshots, so fields are only ever added, with a default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Never given to another node, not even when this one is gone for ever.
    pub node: NodeId,
    /// The node's name in the topology, for instance `central-1`.
    pub name: String,
    /// The site that it stands in, for instance `central`.
    pub site: String,
    /// `host:port` for peers.
    pub peer_endpoint: String,
    /// `host:port` for clients: what a leader hint names.
    pub client_endpoint: String,
    /// Whether the topology names it as a voter. The membership decides who votes; this is what is intended.
    pub voter: bool,
}

impl Default for Member {
    /// A nameless member: only openraft's store suite needs one.
    fn default() -> Self {
        Self {
            node: NodeId(0),
            name: String::new(),
            site: String::new(),
            peer_endpoint: String::new(),
            client_endpoint: String::new(),
            voter: false,
        }
    }
}

/// The stored form, apart from [`Member`] so that domain types need no serde.
#[derive(Serialize, Deserialize)]
struct Stored {
    node: u64,
    #[serde(default)]
    name: String,
    #[serde(default)]
    site: String,
    #[serde(default)]
    peer_endpoint: String,
    #[serde(default)]
    client_endpoint: String,
    #[serde(default)]
    voter: bool,
}

impl Serialize for Member {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Stored {
            node: self.node.get(),
            name: self.name.clone(),
            site: self.site.clone(),
            peer_endpoint: self.peer_endpoint.clone(),
            client_endpoint: self.client_endpoint.clone(),
            voter: self.voter,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        Ok(Self {
            node: NodeId(stored.node),
            name: stored.name,
            site: stored.site,
            peer_endpoint: stored.peer_endpoint,
            client_endpoint: stored.client_endpoint,
            voter: stored.voter,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_written_by_an_older_release_still_reads() {
        let member: Member =
            serde_json::from_str(r#"{"node":7,"name":"bac-ninh-1","unknown":1}"#).unwrap();
        assert_eq!(member.node, NodeId(7));
        assert_eq!(member.name, "bac-ninh-1");
        assert!(!member.voter);
    }
}
