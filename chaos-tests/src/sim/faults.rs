//! What goes wrong in a run, drawn from its seed.

use std::{
    collections::BTreeSet,
    sync::{Arc, Weak},
    time::Duration,
};

use banyan_consensus::TransferError;
use banyan_domain::seeded_bugs::{SeededBug, planted};
use openraft_rt::AsyncRuntime as _;
use rand::{Rng, SeedableRng, seq::IndexedRandom as _, seq::IteratorRandom as _};
use rand_chacha::ChaCha8Rng;

mod kinds;
mod members;

pub use kinds::Kind;

use super::{
    nation::{Nation, SITES},
    network::Link,
    node::{Node, Settings},
    runtime::{Simulated, now, outside},
};

const TRANSFER_WITHIN: Duration = Duration::from_secs(2);

/// Makes faults until a moment, then heals.
pub struct Faults {
    nation: Nation,
    rng: ChaCha8Rng,
    /// A node whose disk is lost, until another has taken its place.
    lost: Option<Arc<Node>>,
    /// The node that is to be replaced, and the one that takes its place.
    successor: Option<(u64, u64)>,
    /// Machines that are to be let in, each as long as its request runs.
    adding: Vec<(u64, Weak<()>)>,
    /// Nodes whose disks may hold flipped bits.
    suspects: BTreeSet<u64>,
    /// No fault is made after this moment.
    until: Duration,
}

impl Faults {
    /// Of this seed.
    pub fn new(nation: Nation, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(0xfa_017);
        Self {
            nation,
            rng,
            lost: None,
            successor: None,
            adding: Vec::new(),
            suspects: BTreeSet::new(),
            until: Duration::ZERO,
        }
    }

    /// Nodes whose disks may hold flipped bits.
    pub fn suspects(&self) -> &BTreeSet<u64> {
        &self.suspects
    }

    /// Faults, one after another, until the moment given.
    pub async fn run(&mut self, until: Duration) {
        self.until = until;
        let kinds: Vec<Kind> = self.nation.plan().kinds.iter().copied().collect();
        let (least, most) = self.nation.plan().calm;
        while now() < until {
            let calm = Duration::from_millis(self.rng.random_range(least..=most));
            Simulated::sleep(calm).await;
            self.forget_the_gone();
            self.bring_some_back();
            if self.rng.random_bool(0.25) {
                self.heal_network();
            }
            self.replace_lost().await;
            if let Some(kind) = kinds.choose(&mut self.rng) {
                self.make(*kind).await;
            }
            if self.nation.observer().broken() {
                return;
            }
        }
        if kinds.contains(&Kind::Promote) && self.rng.random_bool(0.5) {
            self.vote_the_leader_out();
        }
    }

    fn note(&self, kind: Kind, numbers: &[u64]) {
        self.nation.observer().fault(kind.name(), numbers);
    }

    fn up(&self) -> Vec<Arc<Node>> {
        let mut living = self.nation.living();
        living.retain(|node| node.is_up());
        living
    }

    fn any_up(&mut self) -> Option<Arc<Node>> {
        self.up().choose(&mut self.rng).cloned()
    }

    async fn make(&mut self, kind: Kind) {
        match kind {
            Kind::PowerCut
            | Kind::PowerCutOfMany
            | Kind::PowerCutAtSync
            | Kind::Kill
            | Kind::SiteLoss
            | Kind::Pause => self.stop_processes(kind),
            Kind::ClockStep => self.step_clock(),
            Kind::OneWayCut
            | Kind::SitePartition
            | Kind::BridgePartition
            | Kind::LeaderIsolated
            | Kind::LossyLinks
            | Kind::SlowLinks => self.disturb_network(kind),
            Kind::DiskStall | Kind::DiskFull | Kind::BitFlip | Kind::DiskLost => {
                self.disturb_disk(kind);
            }
            Kind::LeaderTransfer => self.transfer(),
            Kind::AddLearner | Kind::Promote | Kind::Remove => self.change_members(kind),
            Kind::SnapshotCutShort => self.cut_snapshot_short(),
            Kind::RollingRestart => self.restart_all().await,
            Kind::MixedVersions => self.mix_versions(),
        }
    }

    fn stop_processes(&mut self, kind: Kind) {
        match kind {
            Kind::SiteLoss => {
                let Some((site, _)) = SITES.choose(&mut self.rng) else {
                    return;
                };
                let nodes = self.nation.at_site(site);
                let ids: Vec<u64> = nodes.iter().map(|node| node.id()).collect();
                self.note(kind, &ids);
                for node in nodes {
                    node.power_off();
                }
            }
            Kind::PowerCutOfMany => {
                let up = self.up();
                let count = self.rng.random_range(2..=up.len().max(2));
                let nodes = up.into_iter().choose_multiple(&mut self.rng, count);
                let ids: Vec<u64> = nodes.iter().map(|node| node.id()).collect();
                self.note(kind, &ids);
                for node in nodes {
                    node.power_off();
                    if self.rng.random_bool(0.7) {
                        self.start(&node);
                    }
                }
            }
            _ => {
                // A leader that was stopped and goes on with old questions in its sockets is the case that hurts.
                let leader = self.nation.leader().map(|(leader, _)| leader);
                let leader = leader.filter(|_| kind == Kind::Pause && self.rng.random_bool(0.5));
                let Some(node) = leader.or_else(|| self.any_up()) else {
                    return;
                };
                self.note(kind, &[node.id()]);
                match kind {
                    Kind::PowerCut => {
                        node.power_off();
                    }
                    Kind::PowerCutAtSync => node.machine.arm(Some(self.rng.random_range(1..20))),
                    Kind::Kill => node.kill(),
                    _ => {
                        node.pause();
                        let time = Duration::from_millis(self.rng.random_range(20..4_000));
                        drop(outside(async move {
                            Simulated::sleep(time).await;
                            node.resume();
                        }));
                    }
                }
            }
        }
    }

    fn start(&self, node: &Arc<Node>) {
        if !node.is_up() {
            node.machine.set_full(false);
            if !self.suspects.contains(&node.id()) {
                node.excuse(false);
            }
            node.start();
        }
    }

    fn bring_some_back(&mut self) {
        for node in self.nation.living() {
            if !node.is_up() && self.rng.random_bool(0.5) {
                self.start(&node);
            }
        }
    }

    fn step_clock(&mut self) {
        let living = self.nation.living();
        let Some(node) = living.choose(&mut self.rng) else {
            return;
        };
        let error: i64 = match self.rng.random_range(0..4) {
            0 => 0,
            1 => self.rng.random_range(-1_500..1_500),
            2 => self.rng.random_range(6_000..3_600_000),
            _ => -self.rng.random_range(6_000..3_600_000),
        };
        self.note(Kind::ClockStep, &[node.id(), error.unsigned_abs()]);
        node.clock.set_error(error);
    }

    fn disturb_network(&mut self, kind: Kind) {
        let nation = self.nation.clone();
        let ids: Vec<u64> = nation.living().iter().map(|node| node.id()).collect();
        match kind {
            Kind::OneWayCut => {
                let pair = ids.iter().copied().choose_multiple(&mut self.rng, 2);
                if let [from, to] = pair[..] {
                    self.note(kind, &[from, to]);
                    nation.cut(&[from], &[to], false);
                }
            }
            Kind::SitePartition => {
                if let Some((site, _)) = SITES.choose(&mut self.rng) {
                    let inside: Vec<u64> =
                        nation.at_site(site).iter().map(|node| node.id()).collect();
                    let (inside, outside): (Vec<u64>, Vec<u64>) =
                        ids.iter().partition(|id| inside.contains(id));
                    self.note(kind, &inside);
                    nation.cut(&inside, &outside, true);
                }
            }
            Kind::BridgePartition => {
                let mut rest = ids.clone();
                if rest.len() > 3 {
                    let bridge = rest.swap_remove(self.rng.random_range(0..rest.len()));
                    let half = rest.len() / 2;
                    let left = rest.iter().copied().choose_multiple(&mut self.rng, half);
                    let right: Vec<u64> = rest
                        .iter()
                        .copied()
                        .filter(|id| !left.contains(id))
                        .collect();
                    self.note(kind, &[bridge]);
                    nation.cut(&left, &right, true);
                }
            }
            Kind::LeaderIsolated => {
                if let Some((leader, _)) = nation.leader() {
                    self.note(kind, &[leader.id()]);
                    nation.cut(&[leader.id()], &ids, true);
                    // It may come back with entries in its log that nobody else has.
                    if self.rng.random_bool(0.5) {
                        let wait = Duration::from_millis(self.rng.random_range(50..800));
                        let away = Duration::from_millis(self.rng.random_range(1..400));
                        drop(outside(async move {
                            Simulated::sleep(wait).await;
                            leader.kill();
                            Simulated::sleep(away).await;
                            leader.start();
                        }));
                    }
                }
            }
            Kind::LossyLinks => {
                let loss = self.rng.random_range(0.01..0.25);
                self.note(kind, &[]);
                nation.net().set_default_link(Link {
                    loss,
                    ..nation.plan().link
                });
            }
            _ => {
                if let Some(id) = ids.choose(&mut self.rng).copied() {
                    self.note(kind, &[id]);
                    let most = Duration::from_millis(self.rng.random_range(20..400));
                    let link = Link {
                        delay_min: most / 4,
                        delay_max: most,
                        tail_max: most * 2,
                        bytes_per_second: 1_000_000,
                        ..nation.plan().link
                    };
                    for other in ids.iter().filter(|other| **other != id) {
                        nation.net().set_link(id, *other, link);
                        nation.net().set_link(*other, id, link);
                    }
                }
            }
        }
    }

    fn heal_network(&self) {
        let net = self.nation.net();
        net.heal_all();
        net.reset_links();
        net.set_default_link(self.nation.plan().link);
    }

    fn disturb_disk(&mut self, kind: Kind) {
        let Some(node) = self.any_up() else {
            return;
        };
        match kind {
            Kind::DiskStall => {
                let time = Duration::from_millis(self.rng.random_range(50..4_000));
                self.note(kind, &[node.id()]);
                node.machine.stall(time);
            }
            Kind::DiskFull => {
                self.note(kind, &[node.id()]);
                node.excuse(true);
                node.machine.set_full(true);
            }
            // One lost disk at a time: more than what the voters' majority forgives is no fault but an end.
            _ if self.lost.is_some() || !self.suspects.is_empty() => {}
            Kind::BitFlip => {
                node.excuse(true);
                node.power_off();
                let (log, place) = (self.rng.random_bool(0.3), self.rng.random_range(0..100_000));
                if node.machine.flip(log, place) {
                    self.note(kind, &[node.id(), u64::from(log)]);
                    self.suspects.insert(node.id());
                }
            }
            _ => {
                self.note(kind, &[node.id()]);
                node.excuse(true);
                node.power_off();
                node.machine.wipe();
                if planted(SeededBug::WipedVoterReturns) {
                    node.excuse(false);
                    node.start();
                } else {
                    self.lost = Some(node);
                }
            }
        }
    }

    fn transfer(&mut self) {
        let Some((leader, registry)) = self.nation.leader() else {
            return;
        };
        let status = registry.status();
        let others = status
            .members
            .iter()
            .filter(|(id, member)| member.votes && id.get() != leader.id())
            .map(|(id, _)| *id);
        let Some(to) = others.choose(&mut self.rng) else {
            return;
        };
        self.note(Kind::LeaderTransfer, &[leader.id(), to.get()]);
        let observer = self.nation.observer().clone();
        // In the leader's process, and nobody waits for it here: what comes next may strike in the middle of it.
        leader.spawn(async move {
            match registry.transfer_leader(to, TRANSFER_WITHIN).await {
                Ok(()) => observer.sometimes("leadership was transferred"),
                Err(TransferError::Undone(_)) => observer.sometimes("a transfer was undone"),
                Err(_) => observer.sometimes("a transfer was refused"),
            }
        });
    }

    fn cut_snapshot_short(&mut self) {
        // Whoever lags most is the one to get a snapshot.
        let lagging = self
            .up()
            .into_iter()
            .min_by_key(|node| node.machine.state().index());
        let Some(node) = lagging else {
            return;
        };
        self.note(Kind::SnapshotCutShort, &[node.id()]);
        let delay = Duration::from_millis(self.rng.random_range(1..60));
        node.power_off();
        let away = Duration::from_millis(self.rng.random_range(500..3_000));
        let until = self.until;
        drop(outside(async move {
            Simulated::sleep(away).await;
            node.start();
            Simulated::sleep(delay).await;
            if now() < until {
                node.power_off();
            }
        }));
    }

    async fn restart_all(&mut self) {
        self.note(Kind::RollingRestart, &[]);
        for node in self.up() {
            node.stop_gracefully(Duration::from_secs(1)).await;
            Simulated::sleep(Duration::from_millis(self.rng.random_range(1..100))).await;
            self.start(&node);
            Simulated::sleep(Duration::from_millis(self.rng.random_range(50..400))).await;
        }
    }

    /// There is one release so far: what could differ in another is how it groups entries, and when it takes snapshots.
    fn mix_versions(&mut self) {
        let Some(node) = self.any_up() else {
            return;
        };
        self.note(Kind::MixedVersions, &[node.id()]);
        let mut settings: Settings = self.nation.settings();
        settings.group.commands = self.rng.random_range(1..100);
        settings.group.bytes = self.rng.random_range(1 << 9..1 << 20);
        settings.log_policy.snapshot_entries = self.rng.random_range(10..200);
        node.kill();
        node.set_settings(settings);
        self.start(&node);
    }

    /// Ends all faults: whoever is left runs, on a good network with true clocks. False if a lost node could not be replaced.
    pub async fn heal(&mut self, within: Duration) -> bool {
        let until = now() + within;
        loop {
            self.forget_the_gone();
            self.heal_network();
            for node in self.nation.living() {
                node.clock.set_error(0);
                node.machine.stall(Duration::ZERO);
                node.machine.arm(None);
                node.machine.set_full(false);
                node.resume();
                self.start(&node);
            }
            let old = self.lost.as_ref().map(|node| node.id()).or(self
                .suspects
                .iter()
                .next()
                .copied());
            match old {
                None => return true,
                Some(old) => {
                    if self.nation.leader().is_some() {
                        self.replace(old).await;
                    }
                }
            }
            if now() > until {
                return false;
            }
            Simulated::sleep(Duration::from_millis(200)).await;
        }
    }
}
