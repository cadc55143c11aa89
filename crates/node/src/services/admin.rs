//! Cluster administration, for operators. No method here shows or touches a person's data.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use banyan_consensus::{BootstrapError, Member, Status as RaftStatus, TransferError};
use banyan_domain::{NodeId, Position, View as _};
use banyan_storage::DigestState as Digest;
use banyan_topology::survival::{self, VoterState};
use banyan_wire::errors::{self, Code};
use banyan_wire::v1::ErrorDetail;
use banyan_wire::v1::cluster_admin_server::ClusterAdmin;
use banyan_wire::v1::{
    BootstrapRequest, BootstrapResponse, ChangeMembersRequest, ChangeMembersResponse, DigestState,
    GetDigestRequest, GetDigestResponse, MemberStatus, StartDigestRequest, StartDigestResponse,
    StatusRequest, StatusResponse, TakeSnapshotRequest, TakeSnapshotResponse,
    TransferLeaderRequest, TransferLeaderResponse,
};
use tonic::{Request, Response, Status};

use super::context::{CallContext, ServiceParts};
use super::outcomes;
use crate::node::planned_members;

/// `ClusterAdmin`.
#[derive(Clone)]
pub struct AdminService(Arc<ServiceParts>);

impl AdminService {
    /// The service over the node's parts.
    #[must_use]
    pub fn new(parts: Arc<ServiceParts>) -> Self {
        Self(parts)
    }

    fn remaining<T>(&self, request: &Request<T>) -> Result<Duration, Status> {
        CallContext::of(request.extensions())
            .map(|context| context.remaining())
            .map_err(|detail| errors::to_status(&detail))
    }
}

#[tonic::async_trait]
impl ClusterAdmin for AdminService {
    async fn bootstrap(
        &self,
        request: Request<BootstrapRequest>,
    ) -> Result<Response<BootstrapResponse>, Status> {
        let within = self.remaining(&request)?;
        let already_formed = self.0.consensus.status().initialized;
        let members = planned_members(&self.0.facts.topology);
        let answer = self
            .0
            .consensus
            .bootstrap(&members, within)
            .await
            .map(|()| BootstrapResponse {
                already_formed,
                cluster_nodes: members.len() as u64,
            })
            .map_err(|error| bootstrap_detail(&error));
        respond("Bootstrap", answer)
    }

    async fn status(
        &self,
        _request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        respond("Status", self.0.cluster_status())
    }

    async fn transfer_leader(
        &self,
        request: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderResponse>, Status> {
        let within = self.remaining(&request)?;
        let answer = self
            .0
            .transfer(request.into_inner().to_node_id, within)
            .await;
        respond("TransferLeader", answer)
    }

    async fn start_digest(
        &self,
        request: Request<StartDigestRequest>,
    ) -> Result<Response<StartDigestResponse>, Status> {
        let within = self.remaining(&request)?;
        let answer = self
            .0
            .consensus
            .start_digest(within)
            .await
            .map(|position| StartDigestResponse {
                position: position.index,
            })
            .map_err(|error| outcomes::propose_detail(&error));
        respond("StartDigest", answer)
    }

    async fn get_digest(
        &self,
        request: Request<GetDigestRequest>,
    ) -> Result<Response<GetDigestResponse>, Status> {
        let position = request.into_inner().position;
        let answer = match self.0.stores.state.digest(position) {
            Digest::Unknown(reason) => GetDigestResponse {
                state: DigestState::Unknown as i32,
                reason,
                ..GetDigestResponse::default()
            },
            Digest::Pending => GetDigestResponse {
                state: DigestState::Pending as i32,
                ..GetDigestResponse::default()
            },
            Digest::Ready { digest, entries } => GetDigestResponse {
                state: DigestState::Ready as i32,
                digest: digest.to_vec().into(),
                entries,
                reason: String::new(),
            },
        };
        respond("GetDigest", Ok(answer))
    }

    async fn take_snapshot(
        &self,
        request: Request<TakeSnapshotRequest>,
    ) -> Result<Response<TakeSnapshotResponse>, Status> {
        let within = self.remaining(&request)?;
        let answer = self.0.take_snapshot(within).await;
        respond("TakeSnapshot", answer)
    }

    async fn change_members(
        &self,
        request: Request<ChangeMembersRequest>,
    ) -> Result<Response<ChangeMembersResponse>, Status> {
        let within = self.remaining(&request)?;
        let answer = self.0.change_members(request.into_inner(), within).await;
        respond("ChangeMembers", answer)
    }
}

fn respond<T>(method: &'static str, answer: Result<T, ErrorDetail>) -> Result<Response<T>, Status> {
    answer.map(Response::new).map_err(|detail| {
        tracing::info!(
            method,
            code = detail.code,
            message = detail.message,
            "not done"
        );
        errors::to_status(&detail)
    })
}

impl ServiceParts {
    fn cluster_status(&self) -> Result<StatusResponse, ErrorDetail> {
        let status = self.consensus.status();
        let index = |position: Option<Position>| position.map_or(0, |position| position.index);
        let view = self
            .stores
            .state
            .view()
            .map_err(|fault| outcomes::storage_detail(&fault))?;
        let persons = view
            .counters()
            .map_err(|fault| outcomes::view_detail(&fault))?
            .persons;
        let as_of = self.as_of(&view)?;
        let uptime = self
            .clock
            .monotonic()
            .saturating_duration_since(self.started);
        Ok(StatusResponse {
            cluster: self.facts.topology.cluster().to_owned(),
            node_id: self.facts.id.get(),
            node: self.facts.name.clone(),
            site: self.facts.site.clone(),
            role: status.role.name().to_owned(),
            term: status.term,
            leader_id: status.leader.map_or(0, NodeId::get),
            leader_endpoint: status
                .leader_member()
                .map(outcomes::client_url)
                .unwrap_or_default(),
            last_log_index: status.last_log_index.unwrap_or(0),
            committed_index: index(status.committed),
            applied_index: index(status.applied),
            snapshot_index: index(status.snapshot),
            purged_index: index(status.purged),
            commit_time_ms: as_of.commit_time_ms,
            members: status.members.values().map(member_status).collect(),
            version: crate::VERSION.to_owned(),
            persons,
            survival_goal: self.facts.topology.survival_goal().to_string(),
            survival_now: self.survival_now(&status),
            uptime_ms: millis(uptime),
        })
    }

    /// Asks for a snapshot of what is applied now and waits for it.
    async fn take_snapshot(&self, within: Duration) -> Result<TakeSnapshotResponse, ErrorDetail> {
        let wanted = self.consensus.status().applied;
        self.consensus
            .take_snapshot()
            .await
            .map_err(|failure| ErrorDetail::new(Code::NodeFault, failure.to_string()))?;
        self.consensus
            .wait_for(within, |status| status.snapshot >= wanted)
            .await
            .map(|status| TakeSnapshotResponse {
                position: status.snapshot.map_or(0, |position| position.index),
            })
            .map_err(|_| {
                let text = "the snapshot was not finished in the time allowed; it goes on";
                ErrorDetail::new(Code::DeadlineExceeded, text)
            })
    }

    /// Whether the survival goal holds with the voters that answer. Only the leader hears all of them.
    fn survival_now(&self, status: &RaftStatus) -> String {
        if status.leader != Some(status.node) {
            return "unknown: only the leader hears all voters".to_owned();
        }
        let silent_after = self.facts.topology.timing().election_max;
        let halves = voters(status, silent_after);
        survival::assess(self.facts.topology.survival_goal(), &halves).to_string()
    }

    async fn transfer(
        &self,
        to_node_id: u64,
        within: Duration,
    ) -> Result<TransferLeaderResponse, ErrorDetail> {
        let status = self.consensus.status();
        let to = if to_node_id == 0 {
            let silent_after = self.facts.topology.timing().election_max;
            status.successor(silent_after).ok_or_else(|| {
                ErrorDetail::new(
                    Code::TransferFailed,
                    "no other voter answers and is caught up",
                )
            })?
        } else {
            NodeId(to_node_id)
        };
        match status.members.get(&to) {
            None => {
                let text = format!("the cluster has no member with id {to}");
                return Err(ErrorDetail::new(Code::MemberUnknown, text));
            }
            Some(member) if !member.votes => {
                let text = format!("member {to} does not vote and cannot lead");
                return Err(ErrorDetail::new(Code::MemberNotVoter, text));
            }
            Some(_) => {}
        }
        self.consensus
            .transfer_leader(to, within)
            .await
            .map(|()| TransferLeaderResponse {
                leader_id: to.get(),
            })
            .map_err(|error| transfer_detail(&error))
    }
}

fn member_status(status: &banyan_consensus::MemberStatus) -> MemberStatus {
    let member = &status.member;
    MemberStatus {
        node_id: member.node.get(),
        node: member.name.clone(),
        site: member.site.clone(),
        membership: if status.votes { "voter" } else { "learner" }.to_owned(),
        client_endpoint: outcomes::client_url(member),
        peer_endpoint: member.peer_endpoint.clone(),
        matched_index: status.matched.unwrap_or(0),
        matched_known: status.matched.is_some(),
        acknowledged_ms_ago: status.acked.map_or(0, millis),
        acknowledged_known: status.acked.is_some(),
    }
}

/// The voters of each half of the membership: in a joint one the goal must hold in both. For a leader, who hears all of them.
pub(super) fn voters(status: &RaftStatus, silent_after: Duration) -> Vec<Vec<VoterState>> {
    let halves = status.voter_sets.iter();
    halves.map(|ids| half(status, ids, silent_after)).collect()
}

/// These members as voters, as their leader hears them.
pub(super) fn half(
    status: &RaftStatus,
    ids: &BTreeSet<NodeId>,
    silent_after: Duration,
) -> Vec<VoterState> {
    let voter = |id: &NodeId| {
        let member = status.members.get(id)?;
        Some(VoterState {
            node: member.member.name.clone(),
            site: member.member.site.clone(),
            live: *id == status.node || member.acked.is_some_and(|acked| acked < silent_after),
        })
    };
    ids.iter().filter_map(voter).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn bootstrap_detail(error: &BootstrapError) -> ErrorDetail {
    let text = error.to_string();
    match error {
        BootstrapError::NotLeader { leader } => not_leader(leader.as_ref(), text),
        BootstrapError::NotAVoter { .. } => ErrorDetail::new(Code::MemberNotVoter, text),
        BootstrapError::TimedOut => ErrorDetail::new(Code::DeadlineExceeded, text),
        BootstrapError::Refused(_) => ErrorDetail::new(Code::NotFormed, text),
        BootstrapError::Stopped => ErrorDetail::new(Code::ShuttingDown, text),
    }
}

fn transfer_detail(error: &TransferError) -> ErrorDetail {
    let text = error.to_string();
    match error {
        TransferError::NotLeader { leader } => not_leader(leader.as_ref(), text),
        TransferError::NotAVoter(_) => ErrorDetail::new(Code::MemberNotVoter, text),
        TransferError::Silent(_)
        | TransferError::Behind { .. }
        | TransferError::Joint
        | TransferError::UnderWay
        | TransferError::Undone(_)
        | TransferError::Elsewhere { .. } => ErrorDetail::new(Code::TransferFailed, text),
        TransferError::Stopped => ErrorDetail::new(Code::ShuttingDown, text),
    }
}

pub(super) fn not_leader(leader: Option<&Member>, text: String) -> ErrorDetail {
    match leader {
        Some(leader) => {
            ErrorDetail::new(Code::NotLeader, text).with_leader(outcomes::client_url(leader))
        }
        None => outcomes::no_leader(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use banyan_consensus::{MemberStatus, Role};
    use banyan_topology::SurvivalGoal;

    use super::*;

    /// Node 1 leads; the others of the sets answer if they are named.
    fn seen(voter_sets: &[&[u64]], answering: &[u64]) -> RaftStatus {
        let members: BTreeMap<NodeId, MemberStatus> = voter_sets
            .iter()
            .copied()
            .flatten()
            .map(|id| {
                let member = Member {
                    node: NodeId(*id),
                    name: format!("node-{id}"),
                    site: format!("site-{id}"),
                    ..Member::default()
                };
                let status = MemberStatus {
                    member,
                    votes: true,
                    matched: None,
                    acked: answering.contains(id).then_some(Duration::ZERO),
                };
                (NodeId(*id), status)
            })
            .collect();
        let sets = voter_sets.iter();
        RaftStatus {
            node: NodeId(1),
            role: Role::Leader,
            term: 1,
            leader: Some(NodeId(1)),
            last_log_index: None,
            committed: None,
            applied: None,
            snapshot: None,
            purged: None,
            initialized: true,
            voter_sets: sets
                .map(|set| set.iter().copied().map(NodeId).collect())
                .collect(),
            quorum_acked: None,
            members,
            peer_calls_refused: 0,
        }
    }

    #[test]
    fn each_half_of_a_joint_membership_needs_its_own_majority() {
        let judged = |goal, sets: &[&[u64]], answering: &[u64]| {
            let status = seen(sets, answering);
            survival::assess(goal, &voters(&status, Duration::from_secs(1))).to_string()
        };
        let sets: [&[u64]; 2] = [&[1, 2, 3], &[3, 4, 5]];
        let none = SurvivalGoal::None;
        // Three of five voters, and one of the three that the second half has.
        assert_eq!(
            judged(none, &sets, &[2, 4]),
            "not held now: the live voters are no majority"
        );
        assert_eq!(judged(none, &sets, &[2, 4, 5]), "held");
        assert_eq!(
            judged(SurvivalGoal::Node, &sets, &[2, 3, 4]),
            "not held now: losing node-3 leaves 1 live voter(s), 2 are needed (and 1 more such loss(es))"
        );
        assert_eq!(judged(SurvivalGoal::Node, &sets, &[2, 3, 4, 5]), "held");
    }
}
