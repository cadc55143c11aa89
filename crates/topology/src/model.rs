//! The validated topology: sites, nodes, their roles, their endpoints and the cluster's timing.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::check;
use crate::error::TopologyError;
use crate::raw;
use crate::render;
use crate::survival::{self, Survival, SurvivalGoal, VoterState};

/// The number of a node in its cluster: from 1, never given to another node, also after the node is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) u64);

impl NodeId {
    /// The id of that number, or `None` for zero.
    pub fn new(number: u64) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }

    /// The bare number, for the wire and for openraft.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// What a site is for. Voters sit at central, recovery and quorum sites only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SiteRole {
    /// Where numbers are issued in normal times. At most one.
    Central,
    /// Where issuing goes on when the centre is gone. At most one.
    Recovery,
    /// A third place that completes a majority.
    Quorum,
    /// Serves reads to a province.
    Province,
}

/// Openraft's role of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeRole {
    /// Counts for a majority and may lead.
    Voter,
    /// Receives the log and serves reads; never counts.
    Learner,
}

macro_rules! spelled {
    ($kind:ty { $($variant:ident = $text:literal),+ }) => {
        impl $kind {
            /// The spelling in a topology file.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            pub(crate) const SPELLINGS: &'static [&'static str] = &[$($text),+];

            pub(crate) fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(self.as_str())
            }
        }
    };
}

spelled!(SiteRole { Central = "central", Recovery = "recovery", Quorum = "quorum", Province = "province" });
spelled!(NodeRole { Voter = "voter", Learner = "learner" });
spelled!(SurvivalGoal { None = "none", Node = "node", Site = "site" });

/// A place that fails as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) role: SiteRole,
    pub(crate) province: Option<String>,
    pub(crate) address: Option<String>,
}

impl Site {
    /// Slug, unique in the cluster, such as `nghe-an`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// For people, such as `Nghệ An`.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What the site is for.
    pub fn role(&self) -> SiteRole {
        self.role
    }

    /// Two-digit code of the province that the site serves, if it serves one. No two sites serve the same.
    pub fn province(&self) -> Option<&str> {
        self.province.as_deref()
    }

    /// Host of those nodes of the site that name none of their own.
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }
}

/// The ports of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// Raft and snapshots, mTLS of the peer authority.
    pub peer: u16,
    /// gRPC for clients and operators, mTLS.
    pub client: u16,
    /// Metrics, liveness and readiness over TLS.
    pub http: u16,
    /// Liveness and readiness in plain HTTP, bound to the loopback interface only.
    pub health: u16,
}

/// One `banyand` process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub(crate) id: NodeId,
    pub(crate) name: String,
    pub(crate) site: String,
    pub(crate) role: NodeRole,
    pub(crate) host: String,
    pub(crate) ports: Ports,
}

impl Node {
    /// The node's number.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Slug, unique in the cluster, such as `nghe-an-1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name of the site where the node stands.
    pub fn site(&self) -> &str {
        &self.site
    }

    /// Voter or learner when the cluster is formed.
    pub fn role(&self) -> NodeRole {
        self.role
    }

    /// Whether the node is a voter when the cluster is formed.
    pub fn is_voter(&self) -> bool {
        self.role == NodeRole::Voter
    }

    /// IP address or DNS name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// All four ports.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// `host:port` for peers.
    pub fn peer_endpoint(&self) -> String {
        self.endpoint(self.ports.peer)
    }

    /// `host:port` for clients and operators.
    pub fn client_endpoint(&self) -> String {
        self.endpoint(self.ports.client)
    }

    /// `host:port` for metrics and health over TLS.
    pub fn http_endpoint(&self) -> String {
        self.endpoint(self.ports.http)
    }

    /// `127.0.0.1:port` for plain health checks on the node's own machine.
    pub fn health_endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.ports.health)
    }

    fn endpoint(&self, port: u16) -> String {
        if self.host.contains(':') {
            format!("[{}]:{port}", self.host)
        } else {
            format!("{}:{port}", self.host)
        }
    }
}

/// Election times, the same on every node.
///
/// A follower that hears nothing from its leader stands for election after a random time between `election_min` and `election_max`: the
/// gap in writes after a loss is about that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats of a leader; also the time limit that openraft gives to a replication call.
    pub heartbeat: Duration,
    /// Shortest wait before an election. At least twice the heartbeat.
    pub election_min: Duration,
    /// Longest wait before an election; half of it is the leader's lease. Above `election_min`.
    pub election_max: Duration,
}

/// The sites and nodes that a cluster is formed from. Valid by construction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    pub(crate) cluster: String,
    pub(crate) survival_goal: SurvivalGoal,
    pub(crate) preferred_sites: Vec<String>,
    pub(crate) timing: Timing,
    pub(crate) sites: Vec<Site>,
    pub(crate) nodes: Vec<Node>,
}

/// A valid topology and the keys that nothing knows: `config check` fails on them, a starting node only warns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The topology.
    pub topology: Topology,
    /// Dotted paths of unknown keys, in the order of the file.
    pub unknown_keys: Vec<String>,
}

impl Topology {
    /// Reads a topology file's text.
    ///
    /// # Errors
    /// [`TopologyError::Syntax`] when the text is not TOML, [`TopologyError::Faults`] with every broken rule.
    pub fn parse(text: &str) -> Result<Parsed, TopologyError> {
        let (raw, unknown_keys) = raw::read(text).map_err(TopologyError::Syntax)?;
        match check::check(raw) {
            Ok(topology) => Ok(Parsed {
                topology,
                unknown_keys,
            }),
            Err(faults) => Err(TopologyError::Faults {
                faults,
                unknown_keys,
            }),
        }
    }

    /// The same cluster with other ports, for clusters whose ports the system chose. Nodes not named keep theirs.
    ///
    /// # Errors
    /// [`TopologyError::Faults`] when two ports of one host collide or one is zero.
    pub fn with_ports(&self, ports: &BTreeMap<NodeId, Ports>) -> Result<Self, TopologyError> {
        let mut changed = self.clone();
        for node in &mut changed.nodes {
            if let Some(ports) = ports.get(&node.id) {
                node.ports = *ports;
            }
        }
        Ok(Self::parse(&changed.to_toml())?.topology)
    }

    /// The same cluster at other hosts, for clusters whose addresses are made for a run. Nodes not named keep theirs.
    ///
    /// # Errors
    /// [`TopologyError::Faults`] when a host is none, or two nodes of one host have a port in common.
    pub fn with_hosts(&self, hosts: &BTreeMap<NodeId, String>) -> Result<Self, TopologyError> {
        let mut changed = self.clone();
        for node in &mut changed.nodes {
            if let Some(host) = hosts.get(&node.id) {
                node.host.clone_from(host);
            }
        }
        Ok(Self::parse(&changed.to_toml())?.topology)
    }

    /// The same cluster with another id for a node, for a new machine that takes the name and the place of a lost one. Without a node `old` it
    /// is the same altogether.
    ///
    /// # Errors
    /// [`TopologyError::Faults`] when another node has the id.
    pub fn with_id(&self, old: NodeId, new: NodeId) -> Result<Self, TopologyError> {
        let mut changed = self.clone();
        for node in changed.nodes.iter_mut().filter(|node| node.id == old) {
            node.id = new;
        }
        Ok(Self::parse(&changed.to_toml())?.topology)
    }

    /// The topology as a file that [`Topology::parse`] reads back to the same value; every port is written out.
    pub fn to_toml(&self) -> String {
        render::render(self)
    }

    /// Name of the cluster: part of every certificate and of every data directory.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Which losses must leave writes available.
    pub fn survival_goal(&self) -> SurvivalGoal {
        self.survival_goal
    }

    /// Sites where the leader should be, the best first; sites not named come last, all alike. Each has a voter.
    pub fn preferred_sites(&self) -> &[String] {
        &self.preferred_sites
    }

    /// Election times.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// All sites, in the order of the file.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// All nodes, in the order of the file.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The site of that name.
    pub fn site(&self, name: &str) -> Option<&Site> {
        self.sites.iter().find(|site| site.name == name)
    }

    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The node of that id.
    pub fn node_by_id(&self, id: NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// The nodes of one site, in the order of the file.
    pub fn nodes_at<'a>(&'a self, site: &'a str) -> impl Iterator<Item = &'a Node> {
        self.nodes.iter().filter(move |node| node.site == site)
    }

    /// The voters that the cluster is formed with.
    pub fn voters(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_voter())
    }

    /// The learners that the cluster is formed with.
    pub fn learners(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| !node.is_voter())
    }

    /// The site that serves a province, by the province's two-digit code.
    pub fn site_of_province(&self, province: &str) -> Option<&Site> {
        self.sites
            .iter()
            .find(|site| site.province.as_deref() == Some(province))
    }

    /// The sites of one role, in the order of the file.
    pub fn sites_of_role(&self, role: SiteRole) -> impl Iterator<Item = &Site> {
        self.sites.iter().filter(move |site| site.role == role)
    }

    /// What the cluster survives when every voter of the file is live.
    pub fn planned_survival(&self) -> Survival {
        self.survival_of_live(|_| true)
    }

    /// What the cluster survives now, when the membership is the file's and `live` tells which nodes answer.
    pub fn survival_of_live(&self, live: impl Fn(&Node) -> bool) -> Survival {
        let voters = self
            .voters()
            .map(|node| VoterState {
                node: node.name.clone(),
                site: node.site.clone(),
                live: live(node),
            })
            .collect();
        survival::assess(self.survival_goal, &[voters])
    }
}
