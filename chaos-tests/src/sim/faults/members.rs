//! Changes of the membership: learners come, voters change, lost machines are replaced under new numbers.

use std::{collections::BTreeSet, time::Duration};

use banyan_domain::NodeId;
use openraft::ChangeMembers;
use openraft_rt::AsyncRuntime as _;
use rand::{Rng, seq::IndexedRandom as _, seq::IteratorRandom as _};

use super::{Faults, Kind};
use crate::sim::{
    nation::Nation,
    node::Registry,
    observer::Observer,
    runtime::{Simulated, outside},
};

type Change = ChangeMembers<u64, banyan_consensus::Member>;

async fn change_at(registry: &Registry, observer: &Observer, change: Change) -> bool {
    let changing = registry.raft().change_membership(change, true);
    let changed = matches!(
        Simulated::timeout(Duration::from_secs(5), Box::pin(changing)).await,
        Ok(Ok(_))
    );
    observer.sometimes(if changed {
        "a membership was changed"
    } else {
        "a change of membership failed or timed out"
    });
    changed
}

fn switch_off(nation: &Nation, id: u64) {
    if let Some(node) = nation.node(id) {
        node.power_off();
    }
    nation.lose(id);
}

impl Faults {
    /// Changes the membership at the leader, and waits for it, at most for a few seconds.
    async fn change(&self, change: Change) -> bool {
        let Some((_, registry)) = self.nation.leader() else {
            return false;
        };
        change_at(&registry, self.nation.observer(), change).await
    }

    /// Has the leader change the membership, in its own process: what comes next may strike in the middle of it.
    fn begin(&self, change: Change, gone: Option<u64>) {
        let Some((leader, registry)) = self.nation.leader() else {
            return;
        };
        let nation = self.nation.clone();
        leader.spawn(async move {
            if change_at(&registry, nation.observer(), change).await
                && let Some(gone) = gone
            {
                // The machine is switched off from outside: it may be the one that this runs on.
                drop(outside(async move { switch_off(&nation, gone) }));
            }
        });
    }

    /// Machines that were removed meanwhile need no repair.
    pub(super) fn forget_the_gone(&mut self) {
        let nation = &self.nation;
        self.suspects.retain(|id| !nation.is_gone(*id));
        if self
            .lost
            .as_ref()
            .is_some_and(|lost| nation.is_gone(lost.id()))
        {
            self.lost = None;
        }
    }

    fn voters(&self) -> BTreeSet<u64> {
        let Some((_, registry)) = self.nation.leader() else {
            return BTreeSet::new();
        };
        let status = registry.status();
        let voters = status.members.iter().filter(|(_, member)| member.votes);
        voters.map(|(id, _)| id.get()).collect()
    }

    pub(super) fn change_members(&mut self, kind: Kind) {
        let voters = self.voters();
        let living: Vec<u64> = self.nation.living().iter().map(|node| node.id()).collect();
        let learners: Vec<u64> = living
            .iter()
            .copied()
            .filter(|id| !voters.contains(id))
            .collect();
        match kind {
            Kind::AddLearner if living.len() < 9 && !voters.is_empty() => {
                let id = self.nation.next_id();
                self.note(kind, &[id]);
                let node = self.nation.add_machine(id, "bac-ninh");
                node.start();
                let member = [(id, node.member.clone())];
                self.begin(ChangeMembers::AddNodes(member.into()), None);
            }
            Kind::Promote => {
                if voters.len() > 3 && self.rng.random_bool(0.5) {
                    if let Some(id) = voters.iter().copied().choose(&mut self.rng) {
                        self.note(kind, &[id]);
                        self.begin(ChangeMembers::RemoveVoters([id].into()), None);
                    }
                } else if voters.len() < 7
                    && let Some(id) = learners.choose(&mut self.rng).copied()
                {
                    self.note(kind, &[id]);
                    self.begin(ChangeMembers::AddVoterIds([id].into()), None);
                }
            }
            Kind::Remove if learners.len() > 2 => {
                if let Some(id) = learners.choose(&mut self.rng).copied() {
                    self.note(kind, &[id]);
                    self.begin(ChangeMembers::RemoveNodes([id].into()), Some(id));
                }
            }
            _ => {}
        }
    }

    /// A change whose leader was lost between its two steps stays half done until somebody finishes it. True if it was tried.
    pub(super) async fn finish_joint(&self) -> bool {
        let joint = self
            .nation
            .leader()
            .is_none_or(|(_, registry)| registry.status().joint());
        if joint {
            self.change(ChangeMembers::AddVoterIds(BTreeSet::new()))
                .await;
            Simulated::sleep(Duration::from_millis(200)).await;
        }
        joint
    }

    fn retire(&mut self, id: u64) {
        switch_off(&self.nation, id);
        self.suspects.remove(&id);
    }

    /// Another machine, with a number of its own, takes the place of one whose disk is lost or in doubt.
    pub(super) async fn replace_lost(&mut self) -> bool {
        let suspect = self.suspects.iter().next().copied();
        let Some(old) = self.lost.as_ref().map(|node| node.id()).or(suspect) else {
            return true;
        };
        // An operator needs a moment to notice.
        if self.rng.random_bool(0.7) || self.nation.leader().is_none() {
            return false;
        }
        self.replace(old).await
    }

    pub(super) async fn replace(&mut self, old: u64) -> bool {
        let Some(site) = self.nation.node(old).map(|node| node.member.site.clone()) else {
            return true;
        };
        let voted = self.voters().contains(&old);
        let id = match self.successor {
            Some((replaced, id)) if replaced == old && !self.nation.is_gone(id) => id,
            _ => self.nation.next_id(),
        };
        self.successor = Some((old, id));
        let node = match self.nation.node(id) {
            Some(node) => node,
            None => self.nation.add_machine(id, &site),
        };
        self.start(&node);
        let member = [(id, node.member.clone())];
        if !self.members().contains(&id)
            && !self.change(ChangeMembers::AddNodes(member.into())).await
        {
            return false;
        }
        if voted {
            let mut voters = self.voters();
            voters.remove(&old);
            voters.insert(id);
            let change = ChangeMembers::ReplaceAllVoters(voters);
            if !self.change(change).await {
                return false;
            }
        }
        // Only once that is committed: until then its vote may still be needed.
        if !self.change(ChangeMembers::RemoveNodes([old].into())).await {
            return false;
        }
        self.nation.observer().sometimes("a lost node was replaced");
        self.retire(old);
        self.successor = None;
        if self.lost.as_ref().is_some_and(|lost| lost.id() == old) {
            self.lost = None;
        }
        true
    }

    fn members(&self) -> BTreeSet<u64> {
        let Some((_, registry)) = self.nation.leader() else {
            return self.nation.living().iter().map(|node| node.id()).collect();
        };
        registry
            .status()
            .members
            .keys()
            .map(|id: &NodeId| id.get())
            .collect()
    }
}
