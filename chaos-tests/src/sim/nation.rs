//! The simulated nation: machines at sites, the network between them, and the look at all of them every few milliseconds.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use banyan_consensus::{Member, Role};
use banyan_domain::NodeId;
use openraft_rt::AsyncRuntime as _;

use super::{
    clock::MachineClock,
    disk::{Machine, Speed},
    invariants::Invariant,
    network::Network,
    node::{Node, Nodes, Registry, Settings},
    observer::Observer,
    peers::{Answer, Net, Request},
    plan::Plan,
    runtime::{Simulated, now, outside},
};

/// Sites and their nodes: five voters at three sites, two learners in provinces, as in the demonstration.
pub const SITES: &[(&str, &[u64])] = &[
    ("central", &[1, 2]),
    ("recovery", &[3, 4]),
    ("da-nang", &[5]),
    ("nghe-an", &[6]),
    ("bac-ninh", &[7]),
];
/// Nodes that vote at the beginning.
pub const VOTERS: &[u64] = &[1, 2, 3, 4, 5];
/// How often all nodes are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A wall clock further off than this is wrong.
const CLOCK_TRUE_MS: i64 = 2_000;

/// The nation of one run. Clones are the same.
#[derive(Clone)]
pub struct Nation(Arc<Inner>);

struct Inner {
    seed: u64,
    plan: Plan,
    net: Net,
    observer: Observer,
    nodes: Mutex<Nodes>,
    /// Nodes that were taken out for good, their disks lost or their place given to another.
    gone: Mutex<BTreeSet<u64>>,
}

impl std::fmt::Debug for Nation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nation")
            .field("seed", &self.0.seed)
            .finish_non_exhaustive()
    }
}

impl Nation {
    /// All machines are there, and off.
    pub fn new(seed: u64, plan: Plan, observer: Observer) -> Self {
        let net: Net = Network::new(seed, plan.link);
        net.measure_answers(|answer: &Answer| match answer {
            Answer::Client(_) => 512,
            _ => 64,
        });
        let nation = Self(Arc::new(Inner {
            seed,
            plan,
            net,
            observer,
            nodes: Mutex::default(),
            gone: Mutex::default(),
        }));
        for (site, ids) in SITES {
            for id in *ids {
                nation.add_machine(*id, site);
            }
        }
        nation
    }

    /// A new machine at a site, off and empty.
    pub fn add_machine(&self, id: u64, site: &str) -> Arc<Node> {
        let Inner {
            seed,
            plan,
            net,
            observer,
            ..
        } = &*self.0;
        let member = Member {
            node: NodeId(id),
            name: format!("{site}-{id}"),
            site: site.to_owned(),
            peer_endpoint: format!("node-{id}:7400"),
            client_endpoint: format!("node-{id}:7500"),
            voter: VOTERS.contains(&id),
        };
        let machine = Machine::new(id, *seed, plan.speed);
        let clock = MachineClock::new(Duration::from_secs(1_000 * id));
        let node = Node::new(
            member,
            machine,
            clock,
            plan.settings,
            net.clone(),
            observer.clone(),
        );
        self.nodes().insert(id, Arc::clone(&node));
        node
    }

    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.0.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gone(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.0.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this run is about.
    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    /// Its network.
    pub fn net(&self) -> &Net {
        &self.0.net
    }

    /// Who sees everything.
    pub fn observer(&self) -> &Observer {
        &self.0.observer
    }

    /// All nodes that are not gone for good, by number.
    pub fn living(&self) -> Vec<Arc<Node>> {
        let gone = self.gone();
        let nodes = self.nodes();
        let living = nodes.values().filter(|node| !gone.contains(&node.id()));
        living.cloned().collect()
    }

    /// A node by its number.
    pub fn node(&self, id: u64) -> Option<Arc<Node>> {
        self.nodes().get(&id).cloned()
    }

    /// The site of a node.
    pub fn at_site(&self, site: &str) -> Vec<Arc<Node>> {
        let mut living = self.living();
        living.retain(|node| node.member.site == site);
        living
    }

    /// The number of a new machine.
    pub fn next_id(&self) -> u64 {
        self.nodes().keys().next_back().map_or(1, |last| last + 1)
    }

    /// A node that never comes back.
    pub fn lose(&self, id: u64) {
        self.gone().insert(id);
    }

    /// The nodes that never come back, by number.
    pub fn lost_nodes(&self) -> Vec<Arc<Node>> {
        let gone = self.gone();
        let nodes = self.nodes();
        let lost = nodes.values().filter(|node| gone.contains(&node.id()));
        lost.cloned().collect()
    }

    /// Whether a node never comes back.
    pub fn is_gone(&self, id: u64) -> bool {
        self.gone().contains(&id)
    }

    /// The leader with the highest term, and its consensus.
    pub fn leader(&self) -> Option<(Arc<Node>, Registry)> {
        let leading = self.living().into_iter().filter_map(|node| {
            let registry = node.registry()?;
            registry.leads().then_some((node, registry))
        });
        leading.max_by_key(|(node, registry)| (registry.status().term, node.id()))
    }

    /// Switches all machines on and forms the cluster.
    pub async fn form(&self) -> bool {
        for node in self.living() {
            node.start();
        }
        let members: BTreeMap<NodeId, Member> = self
            .living()
            .iter()
            .map(|node| (NodeId(node.id()), node.member.clone()))
            .collect();
        let deadline = now() + Duration::from_secs(20);
        while now() < deadline {
            let first = self.leader().map(|(node, _)| node.id()).unwrap_or(1);
            if let Some(registry) = self.node(first).and_then(|node| node.registry())
                && registry
                    .bootstrap(&members, Duration::from_secs(5))
                    .await
                    .is_ok()
            {
                return true;
            }
            Simulated::sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// Looks at all nodes again and again, until the run is over.
    pub fn watch(&self) {
        let nation = self.clone();
        drop(outside(async move {
            loop {
                nation.look();
                Simulated::sleep(LOOK_EVERY).await;
            }
        }));
    }

    fn look(&self) {
        let living = self.living();
        let mut leaders = 0;
        self.0.observer.clocks(self.most_clocks_true());
        for node in &living {
            let Some(registry) = node.registry().filter(Registry::leads) else {
                continue;
            };
            leaders += 1;
            let status = registry.status();
            if status.role != Role::Leader {
                continue;
            }
            self.0.observer.leads(node.id(), status.term);
            if status.joint() {
                self.0.observer.sometimes("a membership was joint");
            }
            for (id, member) in &status.members {
                // What a snapshot covers is committed: a node that knows that may say so before its own disk has it.
                let covered = status.snapshot.map_or(0, |snapshot| snapshot.index);
                if let (Some(matched), Some(follower)) = (member.matched, self.node(id.get()))
                    && matched > covered
                {
                    self.check_durable(node, status.term, &follower, matched);
                }
            }
        }
        match leaders {
            0 => self.0.observer.sometimes("nobody led"),
            1 => {}
            _ => self
                .0
                .observer
                .sometimes("two nodes took themselves for the leader"),
        }
    }

    /// Whether most of those who vote have true clocks.
    fn most_clocks_true(&self) -> bool {
        let voters: Vec<u64> = match self.leader() {
            Some((_, registry)) => {
                let status = registry.status();
                let voters = status.members.iter().filter(|(_, member)| member.votes);
                voters.map(|(id, _)| id.get()).collect()
            }
            None => VOTERS.to_vec(),
        };
        let wrong = |id: &&u64| {
            self.node(**id)
                .is_none_or(|node| node.clock.error().abs() > CLOCK_TRUE_MS)
        };
        2 * voters.iter().filter(wrong).count() < voters.len()
    }

    /// What the leader counts as held by a node must be durable there.
    fn check_durable(&self, leader: &Node, term: u64, follower: &Node, matched: u64) {
        let wanted = leader
            .machine
            .log(|log| log.entry(matched).map(|entry| entry.term));
        let installed = follower.machine.installed();
        let (vote, held) = follower.machine.durable_log(|log| {
            let held = log.purged().is_some_and(|purged| purged >= matched)
                || log
                    .entry(matched)
                    .is_some_and(|entry| wanted.is_none_or(|term| entry.term == term))
                || installed >= matched;
            (super::node::ballot(log.vote()), held)
        });
        // One that has gone over to a later leader may have been told to drop what this one counts.
        if held || vote.0 > term || follower.machine.is_lost() {
            return;
        }
        let what = format!(
            "leader {} of term {term} counts index {matched} on node {}, where it is not durable",
            leader.id(),
            follower.id()
        );
        self.0
            .observer
            .violated(Invariant::AcknowledgedIsDurable, what);
    }

    /// Cuts what goes between two groups of nodes, one way or both.
    pub fn cut(&self, from: &[u64], to: &[u64], both: bool) {
        for a in from {
            for b in to.iter().filter(|b| *b != a) {
                self.0.net.cut(*a, *b);
                if both {
                    self.0.net.cut(*b, *a);
                }
            }
        }
    }

    /// A speed of disks that this run has.
    pub fn speed(&self) -> Speed {
        self.0.plan.speed
    }

    /// The settings of this run.
    pub fn settings(&self) -> Settings {
        self.0.plan.settings
    }
}

/// What a nation is asked over its network.
pub type Asked = Request;
