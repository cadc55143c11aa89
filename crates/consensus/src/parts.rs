//! What consensus is started with.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use banyan_domain::NodeId;
use banyan_storage::Stores;

use crate::{
    barrier::{BarrierWire, FreshAsOf},
    clock::Clock,
    log::LogSize,
    member::Member,
    network::PeerTls,
    pings::PingWire,
    settings::{LogPolicy, Timing},
    state::Retired,
    steward::{BusyFor, Preference},
};

/// Whether a node takes raw values into its log and its state. All nodes of a cluster must be started alike: one that refuses them stops at an
/// entry that holds some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RawValues {
    /// A registry: commands only. What every production node is.
    #[default]
    Refused,
    /// A cluster that is measured beside systems which store values by key (ADR 0027).
    Carried,
}

/// What a node's part in consensus is started with, in production.
pub struct StartOptions {
    /// The cluster's name, as in certificates and in the data directory.
    pub cluster: String,
    /// This node.
    pub node: Member,
    /// The members that the topology names, this node included. Used for admission until the membership is known.
    pub members: BTreeMap<NodeId, Member>,
    /// The opened data directory.
    pub stores: Stores,
    /// Certificate, key and authority for peers.
    pub tls: PeerTls,
    /// Heartbeat and election times.
    pub timing: Timing,
    /// When snapshots are taken and logs purged.
    pub log_policy: LogPolicy,
    /// Where the leader should be.
    pub preference: Preference,
    /// Where a leader takes its time from.
    pub clock: Arc<dyn Clock>,
    /// So far may the clocks of two voters be apart: [`OFFSET_MAX`](crate::OFFSET_MAX) in a registry.
    pub clock_offset_max: Duration,
    /// Refused, but in clusters of the bench.
    pub raw_values: RawValues,
}

impl fmt::Debug for StartOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartOptions")
            .field("cluster", &self.cluster)
            .field("node", &self.node)
            .field("timing", &self.timing)
            .finish_non_exhaustive()
    }
}

/// The parts that [`Consensus::start_with`](crate::Consensus::start_with) puts together. The simulator brings its own disk and wire.
pub struct Parts<LS, SM, NF> {
    /// The cluster's name.
    pub cluster: String,
    /// This node.
    pub node: NodeId,
    /// Log, vote and markers.
    pub log: LS,
    /// How large the log is: counted by whoever appends to it.
    pub log_size: LogSize,
    /// The state machine.
    pub state: SM,
    /// The wire.
    pub network: NF,
    /// Heartbeat and election times.
    pub timing: Timing,
    /// When snapshots are taken and logs purged.
    pub log_policy: LogPolicy,
    /// Where the leader should be.
    pub preference: Preference,
    /// How long the log's disk has been busy with one write.
    pub busy_for: BusyFor,
    /// Where a leader takes its time from, and the node its boot time.
    pub clock: Arc<dyn Clock>,
    /// So far may the clocks of two voters be apart: [`OFFSET_MAX`](crate::OFFSET_MAX) in a registry.
    pub clock_offset_max: Duration,
    /// How this node asks another one for a read barrier.
    pub barriers: Arc<dyn BarrierWire>,
    /// How this node asks another voter for its clock.
    pub pings: Arc<dyn PingWire>,
    /// The state machine forgets it when a snapshot is installed.
    pub fresh: FreshAsOf,
    /// The state machine fills it with the nodes that were taken out of the membership.
    pub retired: Retired,
}

impl<LS, SM, NF> fmt::Debug for Parts<LS, SM, NF> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("cluster", &self.cluster)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}
