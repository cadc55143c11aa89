//! Leadership that moves on purpose: for an upgrade, to a preferred site, away from a disk that stalls.
//!
//! A transfer disturbs nobody. The target is looked at first. Then callers wait in the proposer's queue, so that nothing is proposed and refused
//! meanwhile; once the target's log holds everything, it is told to stand for election at once. A target that has not taken over after
//! twice the longest election wait is given up: this node leads on, and the callers' commands go their way (Ongaro's thesis, section 3.10).

use std::time::Duration;

use banyan_domain::NodeId;
use openraft::{
    async_runtime::watch::WatchReceiver as _, errors::Fatal, storage::RaftStateMachine,
};
use openraft_rt::{AsyncRuntime, Instant as _};

use crate::{
    consensus::Consensus,
    member::Member,
    proposer::ENTRIES_IN_FLIGHT_MAX,
    settings::Timing,
    status::{Role, Status},
    types::TypeConfig,
};

/// A target that lacks more entries than twice what can be under way is behind for another reason than the network's.
pub(crate) const LAG_MAX: u64 = 2 * ENTRIES_IN_FLIGHT_MAX as u64;

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
    /// The target does not answer heartbeats as they are sent. Nothing was begun.
    #[error("node {0} does not answer heartbeats")]
    Silent(NodeId),
    /// The target's log is too far behind. Nothing was begun.
    #[error("node {node} is {entries} log entries behind, maximum {LAG_MAX}")]
    Behind {
        /// The target.
        node: NodeId,
        /// How far.
        entries: u64,
    },
    /// The set of voters is being changed. Nothing was begun.
    #[error("the membership is being changed")]
    Joint,
    /// A transfer is under way already.
    #[error("another transfer of leadership is under way")]
    UnderWay,
    /// The target did not take over in time, so the transfer was undone: this node leads on.
    #[error("node {0} did not take over in time; the transfer was undone")]
    Undone(NodeId),
    /// Another node than the target was elected.
    #[error("node {elected} was elected instead of node {wanted}")]
    Elsewhere {
        /// The target.
        wanted: NodeId,
        /// Who leads.
        elected: NodeId,
    },
    /// This node has stopped.
    #[error("this node has stopped")]
    Stopped,
}

impl<R, SM> Consensus<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    /// Hands leadership to another voter and waits until it leads, at most `within` and at most twice the longest election wait. Proposals that
    /// arrive meanwhile wait, and are then refused with a hint to the new leader, or go on here if the transfer is undone.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn transfer_leader(&self, to: NodeId, within: Duration) -> Result<(), TransferError> {
        let deadline = R::Instant::now() + within.min(self.timing().election_max * 2);
        self.fit(to).await?;
        if to == self.status().node {
            return Ok(());
        }
        let _held = self.proposer().hold().ok_or(TransferError::UnderWay)?;
        // What is under way already reaches the target first: it would ignore the call to an election otherwise.
        let caught_up = |status: &Status| status.role != Role::Leader || lag(status, to) == 0;
        let within = self.timing().election_min;
        let status = match self.wait_for(within, caught_up).await {
            Ok(status) => status,
            Err(status) => {
                let entries = lag(&status, to);
                return Err(TransferError::Behind { node: to, entries });
            }
        };
        check_target(&status, to, self.timing())?;
        self.hand_over(to, deadline).await
    }

    /// Waits a moment for a target that answers and is hardly behind: one heartbeat or entry may be under way.
    async fn fit(&self, to: NodeId) -> Result<(), TransferError> {
        let timing = self.timing();
        let decided = |status: &Status| {
            !matches!(
                check_target(status, to, timing),
                Err(TransferError::Silent(_) | TransferError::Behind { .. })
            )
        };
        match self.wait_for(timing.election_min, decided).await {
            Ok(status) => check_target(&status, to, timing),
            Err(status) => check_target(&status, to, timing),
        }
    }

    async fn hand_over(&self, to: NodeId, deadline: R::Instant) -> Result<(), TransferError> {
        let stopped = |_: Fatal<_>| TransferError::Stopped;
        let trigger = || self.raft().trigger();
        let own = *self.raft().node_id();
        trigger().transfer_leader(to.get()).await.map_err(stopped)?;
        match self.taken_over(to, deadline).await {
            Some(result) => result,
            None => {
                // A transfer to oneself gives up the one under way (patch 2 of the vendored openraft).
                trigger().transfer_leader(own).await.map_err(stopped)?;
                // Whoever was elected at the last moment has the higher term, whatever was undone here.
                let settled = R::Instant::now() + self.timing().heartbeat;
                let undone = Err(TransferError::Undone(to));
                self.taken_over(to, settled).await.unwrap_or(undone)
            }
        }
    }

    /// How the transfer ended; none if it has not when the time is over.
    async fn taken_over(
        &self,
        to: NodeId,
        deadline: R::Instant,
    ) -> Option<Result<(), TransferError>> {
        let own = *self.raft().node_id();
        let mut metrics = self.raft().metrics();
        loop {
            {
                let metrics = metrics.borrow_watched();
                if metrics.running_state.is_err() {
                    return Some(Err(TransferError::Stopped));
                }
                match metrics.current_leader {
                    Some(leader) if leader == to.get() => return Some(Ok(())),
                    Some(leader) if leader != own => {
                        return Some(Err(TransferError::Elsewhere {
                            wanted: to,
                            elected: NodeId(leader),
                        }));
                    }
                    _ => {}
                }
            }
            match R::timeout_at(deadline, Box::pin(metrics.changed())).await {
                Ok(Ok(())) => {}
                Ok(Err(_closed)) => return Some(Err(TransferError::Stopped)),
                Err(_elapsed) => return None,
            }
        }
    }
}

/// Entries of this leader's log that a node is not known to hold.
pub(crate) fn lag(status: &Status, to: NodeId) -> u64 {
    let matched = status.members.get(&to).and_then(|target| target.matched);
    status
        .last_log_index
        .unwrap_or(0)
        .saturating_sub(matched.unwrap_or(0))
}

pub(crate) fn check_target(
    status: &Status,
    to: NodeId,
    timing: Timing,
) -> Result<(), TransferError> {
    if status.role == Role::Stopped {
        return Err(TransferError::Stopped);
    }
    if status.role != Role::Leader {
        return Err(TransferError::NotLeader {
            leader: status.leader_member().cloned(),
        });
    }
    if status.joint() {
        return Err(TransferError::Joint);
    }
    let Some(target) = status.members.get(&to).filter(|target| target.votes) else {
        return Err(TransferError::NotAVoter(to));
    };
    if to == status.node {
        return Ok(());
    }
    // Answers are counted from when the request left, and the next one may be under way.
    if target
        .acked
        .is_none_or(|acked| acked > timing.heartbeat * 2)
    {
        return Err(TransferError::Silent(to));
    }
    let entries = lag(status, to);
    if entries > LAG_MAX {
        return Err(TransferError::Behind { node: to, entries });
    }
    Ok(())
}
