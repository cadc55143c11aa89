//! Bootstrap, and the graceful stop.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use banyan_domain::NodeId;
use openraft::{
    ChangeMembers,
    errors::{ChangeMembershipError, ClientWriteError, InitializeError, RaftError},
    storage::RaftStateMachine,
};
use openraft_rt::{AsyncRuntime, Instant as _};

use crate::{consensus::Consensus, member::Member, status::Role, types::TypeConfig};

/// How often a condition that has no event of its own is looked at again.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// Why a cluster was not bootstrapped.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// Another node leads; it must be asked, since only it can add the members that are missing.
    #[error("another node leads the cluster")]
    NotLeader {
        /// The leader, as far as it is known.
        leader: Option<Member>,
    },
    /// No voter is named, or this node is not one of them.
    #[error("node {node} is not among the voters {voters:?} that the cluster starts with")]
    NotAVoter {
        /// This node.
        node: u64,
        /// The voters named.
        voters: BTreeSet<u64>,
    },
    /// No leader emerged, or the change of membership did not commit, in time. Trying again is safe.
    #[error("the cluster did not form in time")]
    TimedOut,
    /// openraft refused.
    #[error("the membership was refused: {0}")]
    Refused(String),
    /// This node has stopped.
    #[error("this node has stopped")]
    Stopped,
}

impl<R, SM> Consensus<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    /// Forms the cluster: makes the voters of `members` its first membership if there is none yet, then adds every member that is
    /// missing as a learner, but for those that were taken out since. Idempotent, and safe on several nodes at once as long as they name the
    /// same members.
    ///
    /// # Errors
    /// See [`BootstrapError`]; `NotLeader` asks to call the same on the leader.
    pub async fn bootstrap(
        &self,
        members: &BTreeMap<NodeId, Member>,
        within: Duration,
    ) -> Result<(), BootstrapError> {
        let deadline = R::Instant::now() + within;
        if !self
            .raft()
            .is_initialized()
            .await
            .map_err(|_| BootstrapError::Stopped)?
        {
            self.initialize(members).await?;
        }
        loop {
            let status = self.status();
            let missing: BTreeMap<u64, Member> = members
                .iter()
                .filter(|(id, _)| {
                    !status.members.contains_key(id) && !self.retired().contains(**id)
                })
                .map(|(id, member)| (id.get(), member.clone()))
                .collect();
            match status.leader {
                Some(leader) if leader == status.node => {
                    if missing.is_empty() {
                        return Ok(());
                    }
                    if self.knows_members() && self.add_learners(missing).await? {
                        return Ok(());
                    }
                }
                Some(_) if missing.is_empty() => return Ok(()),
                Some(_) => {
                    return Err(BootstrapError::NotLeader {
                        leader: status.leader_member().cloned(),
                    });
                }
                None => {}
            }
            if R::Instant::now() >= deadline {
                return Err(BootstrapError::TimedOut);
            }
            R::sleep(POLL).await;
        }
    }

    async fn initialize(&self, members: &BTreeMap<NodeId, Member>) -> Result<(), BootstrapError> {
        let voters: BTreeMap<u64, Member> = members
            .iter()
            .filter(|(_, member)| member.voter)
            .map(|(id, member)| (id.get(), member.clone()))
            .collect();
        let node = *self.raft().node_id();
        if !voters.contains_key(&node) {
            return Err(BootstrapError::NotAVoter {
                node,
                voters: voters.into_keys().collect(),
            });
        }
        match self.raft().initialize(voters).await {
            // Not allowed: a membership came from elsewhere between the look and the call.
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(RaftError::APIError(error @ InitializeError::NotInMembers(_))) => {
                Err(BootstrapError::Refused(error.to_string()))
            }
            Err(RaftError::Fatal(_)) => Err(BootstrapError::Stopped),
        }
    }

    /// True if they were added; false if the leader is not ready for it yet.
    async fn add_learners(&self, missing: BTreeMap<u64, Member>) -> Result<bool, BootstrapError> {
        match self
            .raft()
            .change_membership(ChangeMembers::AddNodes(missing), true)
            .await
        {
            Ok(_) => Ok(true),
            // A new leader changes no membership before it has committed an entry of its own term; and one change at a time.
            Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(
                ChangeMembershipError::UncommittedLeaderLog(_)
                | ChangeMembershipError::InProgress(_),
            ))) => Ok(false),
            Err(RaftError::APIError(
                ClientWriteError::ForwardToLeader(_) | ClientWriteError::LogEntryDiscarded(_),
            )) => Ok(false),
            Err(RaftError::APIError(error)) => Err(BootstrapError::Refused(error.to_string())),
            Err(RaftError::Fatal(_)) => Err(BootstrapError::Stopped),
        }
    }

    /// Stops this node's part in consensus. With `hand_over`, a leader first gives leadership away within that time, so that
    /// clients see a pause of milliseconds and not an election. The stores stay open: close them afterwards.
    pub async fn shutdown(&self, hand_over: Option<Duration>) {
        if let Some(within) = hand_over {
            let status = self.status();
            if status.role == Role::Leader
                && let Some(successor) = status.successor(self.timing().election_max)
            {
                match self.transfer_leader(successor, within).await {
                    Ok(()) => tracing::info!(to = successor.get(), "leadership handed over"),
                    Err(error) => {
                        tracing::warn!(to = successor.get(), %error, "leadership was not handed over")
                    }
                }
            }
        }
        self.mark_stopping();
        if let Err(error) = self.raft().shutdown().await {
            tracing::warn!(%error, "consensus did not stop cleanly");
        }
    }
}
