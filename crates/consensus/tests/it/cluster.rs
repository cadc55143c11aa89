//! Clusters in one process: each node with its own runtime, data directory and port, over real TLS on loopback.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use banyan_consensus::{
    Clock, Consensus, LogPolicy, Member, OFFSET_MAX, Preference, ProposeError, RawValues,
    StartOptions, Status, SystemClock, Timing,
};
use banyan_domain::{NodeId, Outcome};
use banyan_storage::{DigestState, FirstStart, Identity, OpenError, StoreOptions, Stores};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    fixtures,
    pki::{Authority, CLUSTER},
};

/// How long anything may take before a test fails. Far above what it takes: two cores may be shared with a build.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One node, running or not.
pub(crate) struct Node {
    pub(crate) member: Member,
    pub(crate) address: SocketAddr,
    directory: PathBuf,
    pub(crate) clock: Arc<dyn Clock>,
    running: Option<Running>,
}

struct Running {
    runtime: Runtime,
    consensus: Consensus,
    stores: Stores,
}

pub(crate) struct Cluster {
    pub(crate) nodes: BTreeMap<u64, Node>,
    pub(crate) authority: Authority,
    log_policy: LogPolicy,
    pub(crate) timing: Timing,
    pub(crate) preference: Preference,
    /// So far may clocks be apart for the nodes that are started from now on.
    pub(crate) clock_offset_max: Duration,
    /// The answer to raw values of the nodes that are started from now on.
    pub(crate) raw_values: RawValues,
    directory: TempDir,
}

/// Where a node of a test listens: an address on loopback that no other process of the tests has, so that nobody takes its port while it is
/// stopped.
fn host(node: u64) -> IpAddr {
    let process = std::process::id();
    let [.., middle, low] = process.to_be_bytes();
    let node = u8::try_from(node).expect("a small id");
    // Above the networks of topologies and other suites.
    IpAddr::V4(Ipv4Addr::new(127, 128 | (middle & 0x7f), low, node))
}

impl Node {
    fn new(id: u64, voter: bool, directory: &Path) -> Self {
        // The port is chosen by the system; it is free again until the node binds it, and the address is the node's alone.
        let listener = std::net::TcpListener::bind((host(id), 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let member = Member {
            node: NodeId(id),
            name: format!("node-{id}"),
            site: format!("site-{}", id.div_ceil(2)),
            peer_endpoint: address.to_string(),
            client_endpoint: format!("client-{id}"),
            voter,
        };
        Self {
            member,
            address,
            directory: directory.join(format!("node-{id}")),
            clock: Arc::new(SystemClock),
            running: None,
        }
    }
}

impl Cluster {
    /// Makes the nodes without starting them: voters first, then learners, with ids from 1.
    pub(crate) fn new(voters: u64, learners: u64, log_policy: LogPolicy) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let nodes =
            (1..=voters + learners).map(|id| (id, Node::new(id, id <= voters, directory.path())));
        Self {
            nodes: nodes.collect(),
            authority: Authority::new(),
            log_policy,
            timing: Timing::millis(100, 400, 800),
            preference: Preference::default(),
            clock_offset_max: OFFSET_MAX,
            raw_values: RawValues::default(),
            directory,
        }
    }

    /// Makes one more node, which is to vote one day, without starting it; its id.
    pub(crate) fn add_node(&mut self) -> u64 {
        let id = self.nodes.keys().next_back().map_or(1, |last| last + 1);
        let node = Node::new(id, true, self.directory.path());
        self.nodes.insert(id, node);
        id
    }

    /// A running cluster with a leader.
    pub(crate) async fn started(voters: u64, learners: u64, log_policy: LogPolicy) -> Self {
        let mut cluster = Self::new(voters, learners, log_policy);
        for id in 1..=voters + learners {
            cluster.start(id).await;
        }
        cluster.bootstrap().await;
        cluster
    }

    pub(crate) fn members(&self) -> BTreeMap<NodeId, Member> {
        self.nodes
            .values()
            .map(|node| (node.member.node, node.member.clone()))
            .collect()
    }

    /// Forms the cluster, asking whoever leads.
    pub(crate) async fn bootstrap(&self) {
        let members = self.members();
        let deadline = Instant::now() + PATIENCE;
        let mut asked = 1;
        loop {
            match self
                .consensus(asked)
                .bootstrap(&members, Duration::from_secs(5))
                .await
            {
                Ok(()) => return,
                Err(banyan_consensus::BootstrapError::NotLeader {
                    leader: Some(leader),
                }) => {
                    asked = leader.node.get();
                }
                Err(error) => assert!(
                    Instant::now() < deadline,
                    "the cluster did not form: {error}"
                ),
            }
        }
    }

    /// Starts, or restarts, a node.
    pub(crate) async fn start(&mut self, id: u64) {
        let members = self.members();
        let node = self.nodes.get_mut(&id).expect("a node");
        assert!(node.running.is_none(), "node {id} runs already");
        let standing = if node.member.voter {
            "voter"
        } else {
            "learner"
        };
        let tls = self.authority.peer(id, standing, node.address.ip());
        let stores = open_stores(node, id).await;
        let options = StartOptions {
            cluster: CLUSTER.to_owned(),
            node: node.member.clone(),
            members,
            stores: stores.clone(),
            tls,
            timing: self.timing,
            log_policy: self.log_policy,
            preference: self.preference.clone(),
            clock: Arc::clone(&node.clock),
            clock_offset_max: self.clock_offset_max,
            raw_values: self.raw_values,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(format!("node-{id}"))
            .enable_all()
            .build()
            .expect("a runtime");
        let address = node.address;
        let consensus = runtime
            .spawn(async move {
                let consensus = Consensus::start(options).await.expect("consensus starts");
                let listener = tokio::net::TcpListener::bind(address)
                    .await
                    .expect("the port");
                let serving = consensus.clone();
                tokio::spawn(async move {
                    serving
                        .serve_peers(listener, None, std::future::pending())
                        .await
                        .expect("peers are served");
                });
                consensus
            })
            .await
            .expect("the node starts");
        node.running = Some(Running {
            runtime,
            consensus,
            stores,
        });
    }

    /// Ends a node as a crash of its process would, short of the page cache: its tasks just stop.
    pub(crate) async fn kill(&mut self, id: u64) {
        let running = self
            .nodes
            .get_mut(&id)
            .expect("a node")
            .running
            .take()
            .expect("a running node");
        let Running {
            runtime,
            consensus,
            stores,
        } = running;
        tokio::task::spawn_blocking(move || {
            let closed = stores.closed();
            runtime.shutdown_timeout(Duration::from_secs(10));
            drop(consensus);
            drop(stores);
            // A consensus of a test may still hold on to them; the next start says so.
            let _ = closed.wait(Duration::from_secs(10));
        })
        .await
        .expect("the node ends");
    }

    /// Ends a node in order, after it has handed leadership away.
    pub(crate) async fn stop(&mut self, id: u64) {
        let consensus = self.consensus(id);
        consensus.shutdown(Some(Duration::from_secs(10))).await;
        drop(consensus);
        self.kill(id).await;
    }

    pub(crate) fn is_running(&self, id: u64) -> bool {
        self.nodes[&id].running.is_some()
    }

    pub(crate) fn consensus(&self, id: u64) -> Consensus {
        self.nodes[&id]
            .running
            .as_ref()
            .expect("a running node")
            .consensus
            .clone()
    }

    pub(crate) fn stores(&self, id: u64) -> Stores {
        self.nodes[&id]
            .running
            .as_ref()
            .expect("a running node")
            .stores
            .clone()
    }

    pub(crate) fn running(&self) -> Vec<u64> {
        self.nodes
            .keys()
            .copied()
            .filter(|id| self.is_running(*id))
            .collect()
    }

    /// Waits until the running nodes agree on a leader among them.
    pub(crate) async fn leader(&self) -> u64 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for id in self.running() {
                let status = self.consensus(id).status();
                if status.leader == Some(NodeId(id)) && status.quorum_acked.is_some() {
                    return id;
                }
            }
            assert!(
                Instant::now() < deadline,
                "no leader among {:?}",
                self.running()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Proposes at whoever leads, with the same keys until there is an outcome.
    pub(crate) async fn propose(&self, numbers: std::ops::Range<u64>) -> Vec<Outcome> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let leader = self.leader().await;
            let envelopes = fixtures::envelopes(numbers.clone());
            match self
                .consensus(leader)
                .propose(envelopes, Duration::from_secs(5))
                .await
            {
                Ok(outcomes) => return outcomes,
                Err(ProposeError::Fault) => {
                    let failure = self.consensus(leader).watch_fatal().await;
                    panic!(
                        "node {leader} has failed: {failure}, {:?}",
                        self.stores(leader).fault().get()
                    );
                }
                Err(error @ ProposeError::TooLarge { .. }) => panic!("refused: {error}"),
                Err(error) => assert!(Instant::now() < deadline, "no outcome: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a node has applied what the leader has applied now.
    pub(crate) async fn caught_up(&self, id: u64) -> Status {
        let leader = self.leader().await;
        let target = self
            .consensus(leader)
            .status()
            .applied
            .expect("something is applied");
        let result = self
            .consensus(id)
            .wait_for(PATIENCE, |status| {
                status
                    .applied
                    .is_some_and(|applied| applied.index >= target.index)
            })
            .await;
        result.unwrap_or_else(|status| panic!("node {id} did not reach {target}: {status:?}"))
    }

    /// Takes a snapshot of all that a node has applied, and waits until its log is purged behind it.
    ///
    /// For a log at rest and a policy that keeps by entries. Left to the policy alone, how far the log is purged hangs on the entry at which
    /// the last snapshot happened to be taken. A request is dropped while another snapshot is being taken, so that it is repeated.
    pub(crate) async fn snapshot_of_everything(&self, id: u64) -> Status {
        let consensus = self.consensus(id);
        // A purge waits until there is a quarter of `snapshot_entries` for it (`purge_batch_size`).
        let kept = self.log_policy.keep_entries + self.log_policy.snapshot_entries.div_ceil(4);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            consensus.take_snapshot().await.expect("asked");
            let done = consensus
                .wait_for(Duration::from_secs(1), |status| {
                    let applied = status.applied.map_or(0, |applied| applied.index);
                    let purged = status.purged.map_or(0, |purged| purged.index);
                    status.snapshot == status.applied && purged + kept >= applied
                })
                .await;
            match done {
                Ok(status) => return status,
                Err(status) => assert!(
                    tokio::time::Instant::now() < deadline,
                    "node {id} takes no snapshot of everything: {status:?}"
                ),
            }
        }
    }

    /// Marks a digest and returns it from each running node; they must all take part.
    pub(crate) async fn digests(&self) -> BTreeMap<u64, ([u8; 32], u64)> {
        let leader = self.leader().await;
        let mark = self
            .consensus(leader)
            .start_digest(Duration::from_secs(10))
            .await
            .expect("a mark");
        let mut digests = BTreeMap::new();
        for id in self.running() {
            let deadline = Instant::now() + PATIENCE;
            loop {
                match self.stores(id).state.digest(mark.index) {
                    DigestState::Ready { digest, entries } => {
                        digests.insert(id, (digest, entries));
                        break;
                    }
                    DigestState::Unknown(reason) => panic!("node {id} has no digest: {reason}"),
                    DigestState::Pending => {
                        assert!(Instant::now() < deadline, "node {id} has no digest in time");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }
        }
        digests
    }

    /// Every running node has the same state at one position.
    pub(crate) async fn assert_equal(&self) {
        let digests = self.digests().await;
        let mut values: Vec<_> = digests.values().collect();
        values.dedup();
        assert_eq!(values.len(), 1, "nodes differ: {digests:?}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let running = self
            .nodes
            .values_mut()
            .filter_map(|node| node.running.take());
        let closing: Vec<_> = running
            .map(|running| {
                let closed = running.stores.closed();
                running.runtime.shutdown_background();
                closed
            })
            .collect();
        // Databases close on whatever thread lets go last. A process that ends before tears RocksDB down under them.
        for closed in closing {
            let _ = closed.wait(Duration::from_secs(10));
        }
    }
}

/// Opens the data directory; after a kill its threads may need a moment to let go of it.
async fn open_stores(node: &Node, id: u64) -> Stores {
    let identity = Identity {
        cluster: CLUSTER.to_owned(),
        node: id,
    };
    let options = StoreOptions {
        block_cache_bytes: 8 << 20,
        ..StoreOptions::default()
    };
    // As a supervisor would: only a node that never ran may form its directory.
    let first_start = if node.directory.exists() {
        FirstStart::Refused
    } else {
        FirstStart::Permitted
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Stores::open(&node.directory, &identity, first_start, &options) {
            Ok(stores) => return stores,
            Err(OpenError::Locked { .. }) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("node {id} cannot open its stores: {error}"),
        }
    }
}
