//! What a node knows of itself and of the cluster, for operators and for decisions about leadership.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use banyan_domain::{NodeId, Position};
use openraft::{RaftMetrics, ServerState};
use openraft_rt::{AsyncRuntime, Instant as _};

use crate::{
    member::Member,
    types::{LogId, TypeConfig, position},
};

/// What a node is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Gets the log, does not vote.
    Learner,
    /// Votes and follows.
    Follower,
    /// Stands for election.
    Candidate,
    /// Leads.
    Leader,
    /// Has stopped.
    Stopped,
}

impl Role {
    /// Lower-case name, stable for reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Learner => "learner",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Leader => "leader",
            Self::Stopped => "stopped",
        }
    }
}

/// One member as this node knows it. What only a leader knows is `None` on others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// The member.
    pub member: Member,
    /// Whether it votes, in either half of a joint membership.
    pub votes: bool,
    /// Index through which its log is known to equal the leader's. Only on the leader.
    pub matched: Option<u64>,
    /// Time since it last answered the leader. Only on the leader; none before the first answer.
    pub acked: Option<Duration>,
}

/// A node's view of itself and the cluster, taken at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// This node.
    pub node: NodeId,
    /// What it is.
    pub role: Role,
    /// Its current term.
    pub term: u64,
    /// The leader that it follows, or itself.
    pub leader: Option<NodeId>,
    /// Index of the last entry of its log.
    pub last_log_index: Option<u64>,
    /// What it knows to be committed.
    pub committed: Option<Position>,
    /// What it has applied.
    pub applied: Option<Position>,
    /// What its newest snapshot covers.
    pub snapshot: Option<Position>,
    /// Through where its log was purged.
    pub purged: Option<Position>,
    /// Whether a membership is known at all: false before bootstrap.
    pub initialized: bool,
    /// The voters: one set, or two while the membership is joint, in transition from the first to the second. What is decided then needs a
    /// majority of each (Ongaro, Consensus: Bridging Theory and Practice, section 4.3).
    pub voter_sets: Vec<BTreeSet<NodeId>>,
    /// Time since a majority last answered. Only on the leader.
    pub quorum_acked: Option<Duration>,
    /// All members, by node id.
    pub members: BTreeMap<NodeId, MemberStatus>,
    /// Calls of peers refused since the start, because of their certificate or their place in the membership.
    pub peer_calls_refused: u64,
}

impl Status {
    pub(crate) fn of<R: AsyncRuntime>(
        metrics: &RaftMetrics<TypeConfig<R>>,
        peer_calls_refused: u64,
    ) -> Self {
        let membership = metrics.membership_config.membership();
        let votes = |id: &u64| {
            membership
                .get_joint_config()
                .iter()
                .any(|voters| voters.contains(id))
        };
        let members = membership
            .nodes()
            .map(|(id, member)| {
                let matched = metrics
                    .replication
                    .as_ref()
                    .and_then(|nodes| nodes.get(id))
                    .copied()
                    .flatten();
                let acked = metrics
                    .heartbeat
                    .as_ref()
                    .and_then(|nodes| nodes.get(id))
                    .and_then(Option::as_ref);
                let status = MemberStatus {
                    member: member.clone(),
                    votes: votes(id),
                    matched: matched.map(|log_id| log_id.index),
                    acked: acked.map(|at| at.elapsed()),
                };
                (NodeId(*id), status)
            })
            .collect();
        let sets = membership.get_joint_config().iter();
        let sets = sets.map(|voters| voters.iter().copied().map(NodeId).collect());
        let place = |log_id: &Option<LogId>| log_id.as_ref().map(position);
        let role = match (&metrics.running_state, metrics.state) {
            (Err(_), _) | (_, ServerState::Shutdown) => Role::Stopped,
            (_, ServerState::Learner) => Role::Learner,
            (_, ServerState::Follower) => Role::Follower,
            (_, ServerState::Candidate) => Role::Candidate,
            (_, ServerState::Leader) => Role::Leader,
        };
        Self {
            node: NodeId(metrics.id),
            role,
            term: metrics.current_term,
            leader: metrics.current_leader.map(NodeId),
            last_log_index: metrics.last_log_index,
            committed: place(&metrics.local_committed),
            applied: place(&metrics.last_applied),
            snapshot: place(&metrics.snapshot),
            purged: place(&metrics.purged),
            initialized: metrics.membership_config.log_id().is_some(),
            voter_sets: sets.collect(),
            quorum_acked: metrics.last_quorum_acked.as_ref().map(|at| at.elapsed()),
            members,
            peer_calls_refused,
        }
    }

    /// Whether the membership is in transition between two sets of voters.
    #[must_use]
    pub fn joint(&self) -> bool {
        self.voter_sets.len() > 1
    }

    /// Who would vote if, of the members, these voted as well and those no more.
    #[must_use]
    pub fn voters_after(
        &self,
        promote: &BTreeSet<NodeId>,
        demote: &BTreeSet<NodeId>,
    ) -> BTreeSet<NodeId> {
        let now = self.voter_sets.last().cloned().unwrap_or_default();
        let kept = now.difference(demote).copied();
        kept.chain(promote.iter().copied()).collect()
    }

    /// The leader as a member, if both are known.
    #[must_use]
    pub fn leader_member(&self) -> Option<&Member> {
        self.leader
            .and_then(|id| self.members.get(&id))
            .map(|status| &status.member)
    }

    /// Whom a leader that stops hands leadership to: a voter that answers and has all of the log, at another site if there is
    /// one (a stop is often the first of a whole site's), else the one that is furthest.
    #[must_use]
    pub fn successor(&self, silent_after: Duration) -> Option<NodeId> {
        let own_site = self
            .members
            .get(&self.node)
            .map(|own| own.member.site.as_str());
        self.members
            .iter()
            .filter(|(id, status)| {
                **id != self.node
                    && status.votes
                    && status.acked.is_some_and(|acked| acked < silent_after)
            })
            .max_by_key(|(id, status)| {
                let elsewhere = Some(status.member.site.as_str()) != own_site;
                let behind = self
                    .last_log_index
                    .unwrap_or(0)
                    .saturating_sub(status.matched.unwrap_or(0));
                (
                    behind == 0,
                    elsewhere,
                    std::cmp::Reverse(behind),
                    std::cmp::Reverse(**id),
                )
            })
            .map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(members: &[(u64, &str, bool, u64, u64)]) -> Status {
        let members = members.iter().map(|(id, site, votes, matched, acked)| {
            let member = Member {
                node: NodeId(*id),
                site: (*site).to_owned(),
                ..Member::default()
            };
            let acked = Some(Duration::from_millis(*acked));
            (
                NodeId(*id),
                MemberStatus {
                    member,
                    votes: *votes,
                    matched: Some(*matched),
                    acked,
                },
            )
        });
        let members: BTreeMap<NodeId, MemberStatus> = members.collect();
        let votes = members.values().filter(|member| member.votes);
        let votes = votes.map(|member| member.member.node).collect();
        Status {
            node: NodeId(1),
            role: Role::Leader,
            term: 1,
            leader: Some(NodeId(1)),
            last_log_index: Some(100),
            committed: None,
            applied: None,
            snapshot: None,
            purged: None,
            initialized: true,
            voter_sets: vec![votes],
            quorum_acked: None,
            members,
            peer_calls_refused: 0,
        }
    }

    #[test]
    fn the_successor_is_up_to_date_alive_and_elsewhere() {
        let silent = Duration::from_millis(500);
        let one = |members: &[_]| status(members).successor(silent).map(NodeId::get);
        let own = (1, "a", true, 100, 0);
        assert_eq!(
            one(&[own, (2, "a", true, 100, 9), (3, "b", true, 100, 9)]),
            Some(3),
            "another site"
        );
        assert_eq!(
            one(&[own, (2, "a", true, 100, 9), (3, "b", true, 98, 9)]),
            Some(2),
            "up to date first"
        );
        assert_eq!(
            one(&[own, (2, "a", true, 97, 9), (3, "b", true, 98, 900)]),
            Some(2),
            "not a silent one"
        );
        assert_eq!(one(&[own, (2, "b", false, 100, 9)]), None, "not a learner");
        assert_eq!(one(&[own]), None, "nobody else");
    }
}
