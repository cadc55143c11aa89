//! Bootstrap, transfer of leadership and the graceful stop.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use banyan_domain::NodeId;
use openraft::{
    ChangeMembers,
    async_runtime::watch::WatchReceiver as _,
    errors::{ChangeMembershipError, ClientWriteError, Fatal, InitializeError, RaftError},
    storage::RaftStateMachine,
};
use openraft_rt::{AsyncRuntime, Instant as _};

use crate::{
    consensus::Consensus,
    member::Member,
    status::{Role, Status},
    types::TypeConfig,
};

/// A target that is more entries behind than this is not given leadership: writes would wait for it to catch up.
const TRANSFER_LAG_MAX: u64 = 1_000;
/// How often a condition that has no event of its own is looked at again.
const POLL: Duration = Duration::from_millis(20);

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

/// Why leadership was not transferred.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// Another node leads; ask it.
    #[error("this node does not lead the cluster")]
    NotLeader {
        /// The leader, as far as it is known.
        leader: Option<Member>,
    },
    /// The target does not vote.
    #[error("node {0} is not a voter")]
    NotAVoter(NodeId),
    /// The target has not answered for an election time.
    #[error("node {0} does not answer")]
    Silent(NodeId),
    /// The target's log is too far behind.
    #[error("node {node} is {entries} log entries behind, maximum {TRANSFER_LAG_MAX}")]
    Behind {
        /// The target.
        node: NodeId,
        /// How far.
        entries: u64,
    },
    /// Nobody, or someone else, led when the time was over. The source does not lead on by itself: it waits for an
    /// election.
    #[error("node {0} did not take over in time")]
    TimedOut(NodeId),
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
    /// missing as a learner. Idempotent, and safe on several nodes at once as long as they name the same members.
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
                .filter(|(id, _)| !status.members.contains_key(id))
                .map(|(id, member)| (id.get(), member.clone()))
                .collect();
            match status.leader {
                Some(leader) if leader == status.node => {
                    if missing.is_empty() {
                        return Ok(());
                    }
                    if self.add_learners(missing).await? {
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

    /// Hands leadership to another voter and waits until it leads. New proposals are refused meanwhile with a hint to the
    /// target.
    ///
    /// openraft sets no time limit on the source: it forwards writes and stops its heartbeats until someone is elected. The
    /// checks here keep that from being started in vain.
    ///
    /// # Errors
    /// See [`TransferError`]; after `TimedOut` an election is under way.
    pub async fn transfer_leader(&self, to: NodeId, within: Duration) -> Result<(), TransferError> {
        let deadline = R::Instant::now() + within;
        let status = self.status();
        check_target(&status, to, self.timing().election_max)?;
        if to == status.node {
            return Ok(());
        }
        self.raft()
            .trigger()
            .transfer_leader(to.get())
            .await
            .map_err(|_: Fatal<_>| TransferError::Stopped)?;
        let mut metrics = self.raft().metrics();
        loop {
            {
                let metrics = metrics.borrow_watched();
                if metrics.running_state.is_err() {
                    return Err(TransferError::Stopped);
                }
                match metrics.current_leader {
                    Some(leader) if leader == to.get() => return Ok(()),
                    // A third node won: the transfer is over.
                    Some(leader) if leader != status.node.get() => {
                        return Err(TransferError::TimedOut(to));
                    }
                    _ => {}
                }
            }
            let changed = R::timeout_at(deadline, metrics.changed()).await;
            if !matches!(changed, Ok(Ok(()))) {
                return Err(TransferError::TimedOut(to));
            }
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

fn check_target(status: &Status, to: NodeId, silent_after: Duration) -> Result<(), TransferError> {
    if status.role == Role::Stopped {
        return Err(TransferError::Stopped);
    }
    if status.role != Role::Leader {
        return Err(TransferError::NotLeader {
            leader: status.leader_member().cloned(),
        });
    }
    let Some(target) = status.members.get(&to).filter(|target| target.votes) else {
        return Err(TransferError::NotAVoter(to));
    };
    if to == status.node {
        return Ok(());
    }
    if target.acked.is_none_or(|acked| acked >= silent_after) {
        return Err(TransferError::Silent(to));
    }
    let entries = status
        .last_log_index
        .unwrap_or(0)
        .saturating_sub(target.matched.unwrap_or(0));
    if entries > TRANSFER_LAG_MAX {
        return Err(TransferError::Behind { node: to, entries });
    }
    Ok(())
}
