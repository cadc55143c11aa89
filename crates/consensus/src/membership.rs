//! Changes of the membership, as an operator asks for them: a node comes as a learner, learners become voters and voters learners, a node goes for
//! good.
//!
//! A change of voters has two steps, by way of a joint membership that needs a majority of both sets (Ongaro 2014, section 4.3). The steps are
//! taken by a task of the leader's own: a caller that goes away leaves nothing half done. A leader that is lost between them leaves a joint
//! membership to its successor, whose steward takes the second step.

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, time::Duration};

use banyan_domain::{
    NodeId,
    seeded_bugs::{SeededBug, planted},
};
use futures::channel::oneshot;
use openraft::{
    ChangeMembers, Raft,
    async_runtime::watch::WatchReceiver as _,
    errors::{ChangeMembershipError, ClientWriteError, RaftError},
    raft::Precondition,
    storage::RaftStateMachine,
};
use openraft_rt::{AsyncRuntime, Instant as _};

use crate::{
    barrier::{BarrierError, Urgency},
    consensus::Consensus,
    leadership::POLL,
    member::Member,
    state::Retired,
    status::{Role, Status},
    transfer::{LAG_MAX, lag},
    types::{LogId, TypeConfig},
};

/// What is to become of the membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// A new node gets the log, and does not vote.
    Add(Member),
    /// Learners become voters and voters become learners, all in one change.
    Voters {
        /// Members that shall vote.
        promote: BTreeSet<NodeId>,
        /// Members that shall vote no more.
        demote: BTreeSet<NodeId>,
    },
    /// A learner is taken out, for good: its id never comes back.
    Remove(NodeId),
}

/// Why the membership was not changed. Asking for the same again is safe after every one of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberChangeError {
    /// Another node leads; ask it.
    #[error("this node does not lead the cluster")]
    NotLeader {
        /// The leader, as far as it is known.
        leader: Option<Member>,
    },
    /// The leader was elected just now, or another change is under way. Nothing was begun.
    #[error("another change of the membership is under way")]
    UnderWay,
    /// No quorum has confirmed in time that this node leads, and that the membership is the one that it knows. Nothing was begun.
    #[error("no quorum has confirmed in time that this node still leads the cluster")]
    Unconfirmed,
    /// The node was taken out before. It has missed what the others did since, and comes back under a new id only.
    #[error("node {0} was taken out of the cluster: its id is never used again")]
    Retired(NodeId),
    /// A member has this id, and another name, site or address.
    #[error("node {node} is a member already, with another {what}")]
    Differs {
        /// The id.
        node: NodeId,
        /// `name`, `site`, `peer endpoint` or `client endpoint`.
        what: &'static str,
    },
    /// Another member has the name or the address.
    #[error("node {node} has this {what} already")]
    Taken {
        /// Who has it.
        node: NodeId,
        /// `name`, `peer endpoint` or `client endpoint`.
        what: &'static str,
    },
    /// No such node is a member.
    #[error("node {0} is not a member")]
    NotAMember(NodeId),
    /// It would be both.
    #[error("node {0} cannot be made a voter and a learner at once")]
    Both(NodeId),
    /// Nobody would vote.
    #[error("no voter would be left")]
    NoVoters,
    /// Who votes is not taken out: it is made a learner before.
    #[error("node {0} is a voter: make it a learner first")]
    Votes(NodeId),
    /// The node that shall vote does not answer the leader. Nothing was begun.
    #[error("node {0} does not answer the leader")]
    Silent(NodeId),
    /// The log of the node that shall vote is too far behind: until it has caught up it would only weaken the quorum. Nothing was begun.
    #[error("node {node} is {entries} log entries behind, maximum {LAG_MAX}")]
    Behind {
        /// The node.
        node: NodeId,
        /// How far.
        entries: u64,
    },
    /// It was begun and did not end in time. It goes on; the status tells when it is done.
    #[error("the change was begun and is not finished yet; it goes on")]
    TimedOut,
    /// Leadership was lost meanwhile: the change may have been made or not.
    #[error(
        "leadership was lost while the membership was changed: it may have been changed or not"
    )]
    LeadershipLost,
    /// openraft refused.
    #[error("the change was refused: {0}")]
    Refused(String),
    /// This node has stopped.
    #[error("this node has stopped")]
    Stopped,
}

type Change = ChangeMembers<u64, Member>;

impl<R, SM> Consensus<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    /// Changes the membership at the leader and waits until the change is committed. What is so already is no error.
    ///
    /// Who is to vote must answer the leader and have nearly all of its log. Whether the survival goal holds is for the caller: `judge` is asked
    /// on the very membership that is then changed, and again where somebody else's change came between. Two changes that do no harm, each by
    /// itself, may leave no quorum together. What `judge` answered is returned; after its "no" nothing was begun.
    ///
    /// # Errors
    /// See [`MemberChangeError`].
    pub async fn change_members<J, E>(
        &self,
        change: &MemberChange,
        within: Duration,
        judge: impl Fn(&Status) -> Result<J, E>,
    ) -> Result<Result<J, E>, MemberChangeError> {
        let deadline = R::Instant::now() + within;
        let (asked_on, _) = self.seen();
        let judge = |status: &Status| {
            judge(if planted(SeededBug::ChangeJudgedBefore) {
                &asked_on
            } else {
                status
            })
        };
        loop {
            let tried = self.try_change(change, deadline, &judge).await;
            // A leader that was just elected changes nothing before it has applied an entry of its own term.
            let again = matches!(
                tried,
                Err(MemberChangeError::UnderWay | MemberChangeError::Unconfirmed)
            );
            if !again || R::Instant::now() + POLL >= deadline {
                return tried;
            }
            R::sleep(POLL).await;
        }
    }

    async fn try_change<J, E>(
        &self,
        change: &MemberChange,
        deadline: R::Instant,
        judge: &impl Fn(&Status) -> Result<J, E>,
    ) -> Result<Result<J, E>, MemberChangeError> {
        let (status, at) = self.seen();
        if status.role == Role::Leader && !settled(&status, at) {
            return Err(MemberChangeError::UnderWay);
        }
        may_change(&status)?;
        let judged = match judge(&status) {
            Ok(judged) => judged,
            Err(no) => {
                self.still(at, deadline).await?;
                return Ok(Err(no));
            }
        };
        let silent_after = self.timing().election_max;
        let change = match plan(&status, self.retired(), change, silent_after) {
            Ok(Some(change)) => change,
            Ok(None) => {
                self.still(at, deadline).await?;
                return Ok(Ok(judged));
            }
            // Nobody asks again after one of these.
            Err(
                error @ (MemberChangeError::NotAMember(_)
                | MemberChangeError::Votes(_)
                | MemberChangeError::Taken { .. }
                | MemberChangeError::Differs { .. }
                | MemberChangeError::NoVoters),
            ) => {
                self.still(at, deadline).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let (done, outcome) = oneshot::channel();
        let raft = self.raft().clone();
        // Not in the caller's future, which may be dropped between the two steps.
        drop(R::spawn(async move {
            let _ = done.send(carry_out(&raft, change, at).await);
        }));
        match R::timeout_at(deadline, outcome).await {
            Ok(Ok(result)) => result.map(|()| Ok(judged)),
            Ok(Err(_)) => Err(MemberChangeError::Stopped),
            Err(_elapsed) => Err(MemberChangeError::TimedOut),
        }
    }

    /// Whether the membership of log id `at` is still the newest: a quorum confirms that this node leads, after what was asked of it before.
    /// A change that is given up may wait to be carried out, and a leader that is cut off does not know what its successor has changed; an
    /// answer that leaves the membership as it is would speak of one that is past.
    async fn still(
        &self,
        at: Option<LogId>,
        deadline: R::Instant,
    ) -> Result<(), MemberChangeError> {
        let leader = self.barriers().leader();
        let raft = self.raft();
        let now = Box::pin(async move {
            leader.confirm(Urgency::Now).await.map(drop)?;
            // Of the core itself: what it has published may be older.
            let newest = raft.with_raft_state(|state| *state.membership_state.effective().log_id());
            newest.await.map_err(|_| BarrierError::Stopped)
        });
        match R::timeout_at(deadline, now).await {
            Ok(Ok(newest)) if newest == at => Ok(()),
            Ok(Ok(_)) => Err(MemberChangeError::UnderWay),
            Ok(Err(BarrierError::Stopped)) => Err(MemberChangeError::Stopped),
            Ok(Err(_)) | Err(_) => Err(MemberChangeError::Unconfirmed),
        }
    }

    /// The status of a leader that knows for certain who is a member: a quorum has confirmed it after this was asked.
    ///
    /// # Errors
    /// [`MemberChangeError::NotLeader`], [`MemberChangeError::UnderWay`], [`MemberChangeError::Unconfirmed`], [`MemberChangeError::Stopped`].
    pub async fn confirmed_status(&self, within: Duration) -> Result<Status, MemberChangeError> {
        let deadline = R::Instant::now() + within;
        loop {
            let (status, at) = self.seen();
            if status.role != Role::Leader {
                let leader = status.leader_member().cloned();
                return Err(MemberChangeError::NotLeader { leader });
            }
            let confirmed = if settled(&status, at) {
                self.still(at, deadline).await
            } else {
                Err(MemberChangeError::UnderWay)
            };
            match confirmed {
                Ok(()) => return Ok(status),
                Err(MemberChangeError::Stopped) => return Err(MemberChangeError::Stopped),
                Err(error) if R::Instant::now() + POLL >= deadline => return Err(error),
                Err(_) => R::sleep(POLL).await,
            }
        }
    }

    /// The status, and the log id of the membership that it speaks of.
    fn seen(&self) -> (Status, Option<LogId>) {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let at = *metrics.membership_config.log_id();
        (Status::of(&metrics, 0), at)
    }

    /// Whether this leader knows for certain who is a member and who was taken out.
    pub(crate) fn knows_members(&self) -> bool {
        let (status, at) = self.seen();
        settled(&status, at)
    }

    /// Takes the second step of a change whose leader was lost after the first: the sets of voters become one, the second.
    pub(crate) fn finish_change(&self) {
        let (_, at) = self.seen();
        let raft = self.raft().clone();
        drop(R::spawn(async move {
            let nothing = ChangeMembers::AddVoterIds(BTreeSet::new());
            match carry_out(&raft, nothing, at).await {
                Ok(()) => {
                    tracing::info!("a change of voters that a former leader began is finished")
                }
                Err(error) => tracing::warn!(%error, "a change of voters was not finished"),
            }
        }));
    }
}

async fn carry_out<R, SM>(
    raft: &Raft<TypeConfig<R>, SM>,
    change: Change,
    at: Option<LogId>,
) -> Result<(), MemberChangeError>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    // What was looked at is what is changed.
    let unchanged = Precondition::LastMembershipLogId {
        last_membership_log_id: at,
    };
    // Voters that are no voters any more stay as learners.
    let changed = raft.change_membership_if(change, true, [unchanged]).await;
    match changed {
        Ok(_) => Ok(()),
        Err(RaftError::Fatal(_)) => Err(MemberChangeError::Stopped),
        Err(RaftError::APIError(error)) => Err(match error {
            ClientWriteError::ChangeMembershipError(
                ChangeMembershipError::UncommittedLeaderLog(_)
                | ChangeMembershipError::InProgress(_),
            )
            | ClientWriteError::PreconditionFailed(_) => MemberChangeError::UnderWay,
            ClientWriteError::ForwardToLeader(_) | ClientWriteError::LogEntryDiscarded(_) => {
                MemberChangeError::LeadershipLost
            }
            other => MemberChangeError::Refused(other.to_string()),
        }),
    }
}

/// Whether a leader has applied an entry of its own term, and the membership of log id `at`: before, neither the membership nor who was taken
/// out of it is known to be the newest. A removal that is committed and not applied yet would let the same id in again.
fn settled(status: &Status, at: Option<LogId>) -> bool {
    status.applied.is_some_and(|applied| {
        applied.term == status.term && at.is_none_or(|at| at.index <= applied.index)
    })
}

/// Whether this node can change the membership at all, whatever the change.
fn may_change(status: &Status) -> Result<(), MemberChangeError> {
    match status.role {
        Role::Stopped => Err(MemberChangeError::Stopped),
        Role::Leader if status.joint() => Err(MemberChangeError::UnderWay),
        Role::Leader => Ok(()),
        _ => Err(MemberChangeError::NotLeader {
            leader: status.leader_member().cloned(),
        }),
    }
}

/// What openraft is to be told; nothing where all is so already.
fn plan(
    status: &Status,
    retired: &Retired,
    change: &MemberChange,
    silent_after: Duration,
) -> Result<Option<Change>, MemberChangeError> {
    may_change(status)?;
    match change {
        MemberChange::Add(member) => add(status, retired, member),
        MemberChange::Voters { promote, demote } => voters(status, promote, demote, silent_after),
        MemberChange::Remove(node) => match status.members.get(node) {
            Some(member) if member.votes => Err(MemberChangeError::Votes(*node)),
            Some(_) => Ok(Some(ChangeMembers::RemoveNodes([node.get()].into()))),
            None if retired.contains(*node) => Ok(None),
            None => Err(MemberChangeError::NotAMember(*node)),
        },
    }
}

fn add(
    status: &Status,
    retired: &Retired,
    member: &Member,
) -> Result<Option<Change>, MemberChangeError> {
    let node = member.node;
    if retired.contains(node) && !planted(SeededBug::RetiredComesBack) {
        return Err(MemberChangeError::Retired(node));
    }
    for other in status.members.values().map(|status| &status.member) {
        let own = other.node == node;
        let same = [
            ("name", other.name == member.name),
            ("peer endpoint", other.peer_endpoint == member.peer_endpoint),
            (
                "client endpoint",
                other.client_endpoint == member.client_endpoint,
            ),
        ];
        if let Some((what, _)) = same.iter().find(|(_, same)| *same != own) {
            return Err(if own {
                MemberChangeError::Differs { node, what }
            } else {
                MemberChangeError::Taken {
                    node: other.node,
                    what,
                }
            });
        }
        if own && other.site != member.site {
            return Err(MemberChangeError::Differs { node, what: "site" });
        }
        if own {
            return Ok(None);
        }
    }
    let nodes = [(node.get(), member.clone())];
    Ok(Some(ChangeMembers::AddNodes(nodes.into())))
}

fn voters(
    status: &Status,
    promote: &BTreeSet<NodeId>,
    demote: &BTreeSet<NodeId>,
    silent_after: Duration,
) -> Result<Option<Change>, MemberChangeError> {
    if let Some(both) = promote.intersection(demote).next() {
        return Err(MemberChangeError::Both(*both));
    }
    let unknown = |id: &&NodeId| !status.members.contains_key(id);
    if let Some(unknown) = promote.union(demote).find(unknown) {
        return Err(MemberChangeError::NotAMember(*unknown));
    }
    let voters = status.voter_sets.last().cloned().unwrap_or_default();
    let wanted = status.voters_after(promote, demote);
    if wanted.is_empty() {
        return Err(MemberChangeError::NoVoters);
    }
    if wanted == voters {
        return Ok(None);
    }
    for node in wanted.difference(&voters) {
        let member = status.members.get(node);
        let acked = member.and_then(|member| member.acked);
        if acked.is_none_or(|acked| acked >= silent_after) {
            return Err(MemberChangeError::Silent(*node));
        }
        let entries = lag(status, *node);
        if entries > LAG_MAX {
            return Err(MemberChangeError::Behind {
                node: *node,
                entries,
            });
        }
    }
    let wanted = wanted.into_iter().map(NodeId::get).collect();
    Ok(Some(ChangeMembers::ReplaceAllVoters(wanted)))
}
