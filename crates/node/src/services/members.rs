//! Changes of the membership: read, judged by the survival goal, handed to consensus.

use std::collections::BTreeSet;
use std::time::Duration;

use banyan_consensus::{Member, MemberChange, MemberChangeError, Status as RaftStatus};
use banyan_domain::{FieldFault, NodeId};
use banyan_topology::name::{ENDPOINT_RULE, SLUG_RULE, is_endpoint, is_slug};
use banyan_topology::survival::ChangeOfVoters;
use banyan_wire::errors::Code;
use banyan_wire::v1::change_members_request::Change;
use banyan_wire::v1::{
    ChangeMembersRequest, ChangeMembersResponse, ChangeVoters, ErrorDetail, NewMember,
};

use super::admin::{half, not_leader, voters};
use super::context::ServiceParts;
use super::faults::Faults;

impl ServiceParts {
    /// Judges a change by the survival goal, and makes it unless it is a dry run or would do harm.
    pub(super) async fn change_members(
        &self,
        request: ChangeMembersRequest,
        within: Duration,
    ) -> Result<ChangeMembersResponse, ErrorDetail> {
        let topology = &self.facts.topology;
        let change = parsed(request.change)?;
        let overridden = request.override_goal == topology.cluster();
        if !overridden && !request.override_goal.is_empty() {
            // The name itself is not told: it is typed by somebody who knows which cluster this is.
            let rule = "must be the name of this cluster in full, or empty";
            let fault = FieldFault::new("override_goal", rule);
            return Err(ErrorDetail::invalid_fields(&[fault]));
        }
        let judge = |status: &RaftStatus| self.judge_change(status, &change, overridden);
        let judged = if request.dry_run {
            let status = self.consensus.confirmed_status(within).await;
            judge(&status.map_err(|error| change_detail(&error))?)
        } else {
            let changed = self.consensus.change_members(&change, within, judge).await;
            changed.map_err(|error| change_detail(&error))?
        }?;
        let during = match change {
            MemberChange::Voters { .. } => judged.during.to_string(),
            MemberChange::Add(_) | MemberChange::Remove(_) => String::new(),
        };
        Ok(ChangeMembersResponse {
            changed: !request.dry_run,
            survival_goal: topology.survival_goal().to_string(),
            before: judged.before.to_string(),
            during,
            after: judged.after.to_string(),
        })
    }

    /// What a change does to the survival goal, on a leader's status; refused where it would do harm.
    fn judge_change(
        &self,
        status: &RaftStatus,
        change: &MemberChange,
        overridden: bool,
    ) -> Result<ChangeOfVoters, ErrorDetail> {
        let topology = &self.facts.topology;
        let silent_after = topology.timing().election_max;
        let halves = voters(status, silent_after);
        let judge = |wanted: &[_]| ChangeOfVoters::judge(topology.survival_goal(), &halves, wanted);
        let MemberChange::Voters { promote, demote } = change else {
            return Ok(judge(&halves.last().cloned().unwrap_or_default()));
        };
        are_members(status, promote.union(demote))?;
        may_vote(status, promote)?;
        let wanted = status.voters_after(promote, demote);
        let judged = judge(&half(status, &wanted, silent_after));
        let why = judged.impossible().map(str::to_owned);
        match why.or_else(|| judged.worse().filter(|_| !overridden)) {
            Some(why) => Err(ErrorDetail::new(Code::SurvivalAtRisk, why)),
            None => Ok(judged),
        }
    }
}

fn are_members<'a>(
    status: &RaftStatus,
    mut ids: impl Iterator<Item = &'a NodeId>,
) -> Result<(), ErrorDetail> {
    match ids.find(|id| !status.members.contains_key(id)) {
        Some(unknown) => Err(change_detail(&MemberChangeError::NotAMember(*unknown))),
        None => Ok(()),
    }
}

/// Whoever came as one that never votes has a learner's certificate, and no voter would listen to it.
fn may_vote(status: &RaftStatus, promote: &BTreeSet<NodeId>) -> Result<(), ErrorDetail> {
    let members = promote.iter().filter_map(|id| status.members.get(id));
    for member in members.filter(|member| !member.votes) {
        if !member.member.voter {
            let text = format!(
                "node {} joined as one that never votes, with a learner's certificate: a node with a new id and a voter's certificate can take its place",
                member.member.node
            );
            return Err(ErrorDetail::new(Code::MembershipMismatch, text));
        }
    }
    Ok(())
}

fn parsed(change: Option<Change>) -> Result<MemberChange, ErrorDetail> {
    let mut faults = Faults::default();
    let change = match change {
        Some(Change::Add(member)) => MemberChange::Add(added(member, &mut faults)),
        Some(Change::Voters(ChangeVoters {
            promote_node_ids,
            demote_node_ids,
        })) => {
            if promote_node_ids.is_empty() && demote_node_ids.is_empty() {
                faults.0.push(FieldFault::new("voters", "names no node"));
            }
            let ids = |ids: Vec<u64>| ids.into_iter().map(NodeId).collect();
            MemberChange::Voters {
                promote: ids(promote_node_ids),
                demote: ids(demote_node_ids),
            }
        }
        Some(Change::RemoveNodeId(node)) => MemberChange::Remove(NodeId(node)),
        None => {
            let rule = "names no change, or one that this version does not know";
            return Err(ErrorDetail::invalid_fields(&[FieldFault::new(
                "change", rule,
            )]));
        }
    };
    faults.none(change)
}

fn added(member: NewMember, faults: &mut Faults) -> Member {
    let NewMember {
        node_id,
        node,
        site,
        peer_endpoint,
        client_endpoint,
        will_vote,
    } = member;
    let checks = [
        ("add.node_id", node_id > 0, "must be 1 or more"),
        ("add.node", is_slug(&node), SLUG_RULE),
        ("add.site", is_slug(&site), SLUG_RULE),
        (
            "add.peer_endpoint",
            is_endpoint(&peer_endpoint),
            ENDPOINT_RULE,
        ),
        (
            "add.client_endpoint",
            is_endpoint(&client_endpoint),
            ENDPOINT_RULE,
        ),
    ];
    for (field, holds, rule) in checks {
        if !holds {
            faults.0.push(FieldFault::new(field, rule));
        }
    }
    Member {
        node: NodeId(node_id),
        name: node,
        site,
        peer_endpoint,
        client_endpoint,
        voter: will_vote,
    }
}

fn change_detail(error: &MemberChangeError) -> ErrorDetail {
    let text = error.to_string();
    match error {
        MemberChangeError::NotLeader { leader } => not_leader(leader.as_ref(), text),
        MemberChangeError::NotAMember(_) => ErrorDetail::new(Code::MemberUnknown, text),
        MemberChangeError::Retired(_)
        | MemberChangeError::Differs { .. }
        | MemberChangeError::Taken { .. }
        | MemberChangeError::Both(_)
        | MemberChangeError::NoVoters
        | MemberChangeError::Votes(_)
        | MemberChangeError::Refused(_) => ErrorDetail::new(Code::MembershipMismatch, text),
        MemberChangeError::UnderWay
        | MemberChangeError::Unconfirmed
        | MemberChangeError::Silent(_)
        | MemberChangeError::Behind { .. }
        | MemberChangeError::TimedOut
        | MemberChangeError::LeadershipLost => ErrorDetail::new(Code::MembersNotChanged, text),
        MemberChangeError::Stopped => ErrorDetail::new(Code::ShuttingDown, text),
    }
}
