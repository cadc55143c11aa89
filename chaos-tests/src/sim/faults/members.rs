//! Changes of the membership: learners come, voters change, lost machines are replaced under new numbers.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use banyan_consensus::{MemberChange, MemberChangeError, Status};
use banyan_domain::NodeId;
use futures::channel::oneshot;
use openraft_rt::AsyncRuntime as _;
use rand::{Rng, seq::IndexedRandom as _, seq::IteratorRandom as _};

use super::{Faults, Kind};
use crate::sim::{
    nation::Nation,
    node::Registry,
    observer::{Observer, VOTERS_MIN},
    runtime::{Simulated, outside},
};

/// A change has come to an end after this time, or goes on by itself.
const CHANGED_WITHIN: Duration = Duration::from_secs(5);

fn promote(id: u64) -> MemberChange {
    MemberChange::Voters {
        promote: [NodeId(id)].into(),
        demote: BTreeSet::new(),
    }
}

fn demote(id: u64) -> MemberChange {
    MemberChange::Voters {
        promote: BTreeSet::new(),
        demote: [NodeId(id)].into(),
    }
}

/// An operator's "no".
struct TooFew;

/// What an operator holds to: three voters at least, of whom one may be lost, and a majority that answers.
fn judged(status: &Status, change: &MemberChange, silent_after: Duration) -> Result<(), TooFew> {
    let MemberChange::Voters { promote, demote } = change else {
        return Ok(());
    };
    let wanted = status.voters_after(promote, demote);
    let answers = |id: &&NodeId| {
        let acked = status.members.get(id).and_then(|member| member.acked);
        **id == status.node || acked.is_some_and(|acked| acked < silent_after)
    };
    let answering = wanted.iter().filter(answers).count();
    if wanted.len() >= VOTERS_MIN && 2 * answering > wanted.len() {
        Ok(())
    } else {
        Err(TooFew)
    }
}

async fn change_at(
    registry: &Registry,
    observer: &Observer,
    change: MemberChange,
    silent_after: Duration,
) -> bool {
    let judge = |status: &Status| judged(status, &change, silent_after);
    let changed = registry
        .change_members(&change, CHANGED_WITHIN, judge)
        .await;
    observer.sometimes(match &changed {
        Ok(Ok(())) => "a membership was changed",
        Ok(Err(TooFew)) => "a change would have left too few voters",
        Err(MemberChangeError::Retired(_)) => "a node that was taken out was not let in again",
        Err(MemberChangeError::Behind { .. } | MemberChangeError::Silent(_)) => {
            "a node that lagged was not made a voter"
        }
        Err(_) => "a change of membership failed or timed out",
    });
    // A machine that was to be added and never was need not be removed.
    let never_came = matches!(change, MemberChange::Remove(_))
        && matches!(changed, Err(MemberChangeError::NotAMember(_)));
    matches!(changed, Ok(Ok(()))) || never_came
}

fn switch_off(nation: &Nation, id: u64) {
    if let Some(node) = nation.node(id) {
        node.power_off();
    }
    nation.lose(id);
}

impl Faults {
    /// Changes the membership at the leader, in its own process, and waits for it, at most for a few seconds.
    async fn change(&mut self, change: MemberChange) -> bool {
        let Some((leader, registry)) = self.nation.leader() else {
            return false;
        };
        let observer = self.nation.observer().clone();
        let silent_after = self.nation.plan().settings.timing.election_max;
        let under_way = self.under_way(&change);
        let (done, changed) = oneshot::channel();
        leader.spawn(async move {
            let changed = change_at(&registry, &observer, change, silent_after).await;
            drop(under_way);
            // Whoever asked may have given up.
            let _ = done.send(changed);
        });
        // The process may stop for longer than it takes.
        let changed = Simulated::timeout(2 * CHANGED_WITHIN, changed).await;
        changed.is_ok_and(|changed| changed.unwrap_or(false))
    }

    /// Has the leader change the membership, in its own process: what comes next may strike in the middle of it.
    fn begin(&mut self, change: MemberChange, gone: Option<u64>) {
        let Some((leader, registry)) = self.nation.leader() else {
            return;
        };
        let nation = self.nation.clone();
        let silent_after = nation.plan().settings.timing.election_max;
        let under_way = self.under_way(&change);
        leader.spawn(async move {
            let changed = change_at(&registry, nation.observer(), change, silent_after).await;
            drop(under_way);
            if changed && let Some(gone) = gone {
                // The machine is switched off from outside: it may be the one that this runs on.
                drop(outside(async move { switch_off(&nation, gone) }));
            }
        });
    }

    /// What a request holds as long as it runs.
    fn under_way(&mut self, change: &MemberChange) -> Arc<()> {
        let under_way = Arc::new(());
        if let MemberChange::Add(member) = change {
            let waits = (member.node.get(), Arc::downgrade(&under_way));
            self.adding.push(waits);
        }
        under_way
    }

    /// Whether somebody still waits for this machine to be let in. Until then "it is no member" is no reason to switch it off for good.
    fn is_being_added(&mut self, id: u64) -> bool {
        self.adding.retain(|(_, waits)| waits.strong_count() > 0);
        self.adding.iter().any(|(added, _)| *added == id)
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
                // Somebody finds the old machine and switches it on.
                let mut gone = self.nation.lost_nodes();
                // One that never was a member could join, and would be missing in the end.
                gone.retain(|node| self.nation.observer().was_taken_out(node.id()));
                let gone = gone.choose(&mut self.rng).cloned();
                if let Some(old) = gone.filter(|_| self.rng.random_bool(0.3)) {
                    self.note(kind, &[old.id()]);
                    self.begin(MemberChange::Add(old.member.clone()), None);
                    return;
                }
                let id = self.nation.next_id();
                self.note(kind, &[id]);
                let node = self.nation.add_machine(id, "bac-ninh");
                node.start();
                self.begin(MemberChange::Add(node.member.clone()), None);
            }
            Kind::Promote => {
                if voters.len() > 3 && self.rng.random_bool(0.5) {
                    // Of all voters the leader is the one that may do it wrong.
                    let leader = self.nation.leader().map(|(leader, _)| leader.id());
                    let leader =
                        leader.filter(|id| voters.contains(id) && self.rng.random_bool(0.6));
                    let mut ids: Vec<u64> = leader.into_iter().collect();
                    // Two operators who know nothing of each other look at the same status.
                    let operators = if self.rng.random_bool(0.3) { 2 } else { 1 };
                    let others = voters.iter().copied().filter(|id| Some(*id) != leader);
                    ids.extend(others.choose_multiple(&mut self.rng, operators - ids.len()));
                    self.note(kind, &ids);
                    for id in ids {
                        self.begin(demote(id), None);
                    }
                } else if voters.len() < 7
                    && let Some(id) = learners.choose(&mut self.rng).copied()
                {
                    self.note(kind, &[id]);
                    self.begin(promote(id), None);
                }
            }
            Kind::Remove if learners.len() > 2 => {
                if let Some(id) = learners.choose(&mut self.rng).copied()
                    && !self.is_being_added(id)
                {
                    self.note(kind, &[id]);
                    self.begin(MemberChange::Remove(NodeId(id)), Some(id));
                }
            }
            _ => {}
        }
    }

    /// For the end of a run: nothing comes after it that could hide what it leaves behind.
    pub(super) fn vote_the_leader_out(&mut self) {
        let leader = self.nation.leader().map(|(leader, _)| leader.id());
        if let Some(id) = leader.filter(|id| self.voters().contains(id)) {
            self.note(Kind::Promote, &[id]);
            self.begin(demote(id), None);
        }
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
        if self.is_being_added(old) {
            return false;
        }
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
        if !self.change(MemberChange::Add(node.member.clone())).await {
            return false;
        }
        if voted {
            let (new, old) = ([NodeId(id)].into(), [NodeId(old)].into());
            let change = MemberChange::Voters {
                promote: new,
                demote: old,
            };
            if !self.change(change).await {
                return false;
            }
        }
        // Only once that is committed: until then its vote may still be needed.
        if !self.change(MemberChange::Remove(NodeId(old))).await {
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
}
