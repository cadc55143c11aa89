//! What is planned, and what is refused before anything is begun.

use std::collections::BTreeMap;

use banyan_domain::Position;

use super::*;
use crate::status::MemberStatus;

const SILENT: Duration = Duration::from_millis(500);

fn member(id: u64) -> Member {
    Member {
        node: NodeId(id),
        name: format!("node-{id}"),
        site: format!("site-{id}"),
        peer_endpoint: format!("peer-{id}"),
        client_endpoint: format!("client-{id}"),
        voter: false,
    }
}

fn ids(ids: &[u64]) -> BTreeSet<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

/// Node 1 leads in term 4; all answer and hold the log.
fn seen(voters: &[u64], learners: &[u64]) -> Status {
    let status = |id: &u64| MemberStatus {
        member: member(*id),
        votes: voters.contains(id),
        matched: Some(5_000),
        acked: Some(Duration::ZERO),
    };
    let members: BTreeMap<_, _> = voters
        .iter()
        .chain(learners)
        .map(|id| (NodeId(*id), status(id)))
        .collect();
    Status {
        node: NodeId(1),
        role: Role::Leader,
        term: 4,
        leader: Some(NodeId(1)),
        last_log_index: Some(5_000),
        committed: None,
        applied: Some(Position {
            term: 4,
            index: 5_000,
        }),
        snapshot: None,
        purged: None,
        initialized: true,
        voter_sets: vec![ids(voters)],
        quorum_acked: None,
        members,
        peer_calls_refused: 0,
    }
}

fn voters(promote: &[u64], demote: &[u64]) -> MemberChange {
    MemberChange::Voters {
        promote: ids(promote),
        demote: ids(demote),
    }
}

fn planned(status: &Status, change: &MemberChange) -> Result<Option<Change>, MemberChangeError> {
    plan(status, &Retired::of([9]), change, SILENT)
}

#[test]
fn a_change_is_what_openraft_is_told_and_nothing_where_it_is_so_already() {
    let status = seen(&[1, 2, 3], &[4]);
    let five = MemberChange::Add(member(5));
    let added = ChangeMembers::AddNodes([(5, member(5))].into());
    let told = |wanted: &[u64]| {
        Ok(Some(ChangeMembers::ReplaceAllVoters(
            wanted.iter().copied().collect(),
        )))
    };
    assert_eq!(planned(&status, &five), Ok(Some(added)));
    assert_eq!(planned(&status, &MemberChange::Add(member(4))), Ok(None));
    assert_eq!(planned(&status, &voters(&[4], &[3])), told(&[1, 2, 4]));
    assert_eq!(planned(&status, &voters(&[], &[1])), told(&[2, 3]));
    assert_eq!(planned(&status, &voters(&[1], &[4])), Ok(None));
    let removed = ChangeMembers::RemoveNodes([4].into());
    let remove = |id| MemberChange::Remove(NodeId(id));
    assert_eq!(planned(&status, &remove(4)), Ok(Some(removed)));
    assert_eq!(planned(&status, &remove(9)), Ok(None));
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_begun() {
    let status = seen(&[1, 2, 3], &[4]);
    let refused = |change: &MemberChange| planned(&status, change).unwrap_err();
    let (add, remove) = (MemberChange::Add, MemberChange::Remove);
    let node = NodeId;
    assert_eq!(
        refused(&add(member(9))),
        MemberChangeError::Retired(node(9))
    );
    assert_eq!(
        refused(&remove(node(8))),
        MemberChangeError::NotAMember(node(8))
    );
    assert_eq!(refused(&remove(node(2))), MemberChangeError::Votes(node(2)));
    assert_eq!(
        refused(&voters(&[8], &[])),
        MemberChangeError::NotAMember(node(8))
    );
    assert_eq!(
        refused(&voters(&[4], &[4])),
        MemberChangeError::Both(node(4))
    );
    assert_eq!(
        refused(&voters(&[], &[1, 2, 3])),
        MemberChangeError::NoVoters
    );
    let elsewhere = Member {
        site: "elsewhere".to_owned(),
        ..member(4)
    };
    let (node, what) = (node(4), "site");
    assert_eq!(
        refused(&add(elsewhere)),
        MemberChangeError::Differs { node, what }
    );
    let namesake = Member {
        node: NodeId(6),
        name: "node-4".to_owned(),
        ..member(6)
    };
    let what = "name";
    assert_eq!(
        refused(&add(namesake)),
        MemberChangeError::Taken { node, what }
    );
}

#[test]
fn only_a_settled_leader_changes_the_membership() {
    let change = voters(&[4], &[]);
    let mut status = seen(&[1, 2, 3], &[4]);
    status.voter_sets.push(ids(&[1, 2]));
    assert_eq!(planned(&status, &change), Err(MemberChangeError::UnderWay));
    status.role = Role::Stopped;
    assert_eq!(planned(&status, &change), Err(MemberChangeError::Stopped));
    status.role = Role::Follower;
    status.leader = Some(NodeId(2));
    let leader = Some(member(2));
    assert_eq!(
        planned(&status, &change),
        Err(MemberChangeError::NotLeader { leader })
    );
}

#[test]
fn who_is_silent_or_far_behind_does_not_become_a_voter() {
    let change = voters(&[4], &[]);
    let with = |matched, acked| {
        let mut status = seen(&[1, 2, 3], &[4]);
        let learner = status.members.get_mut(&NodeId(4)).unwrap();
        (learner.matched, learner.acked) = (matched, acked);
        planned(&status, &change)
    };
    let (node, now) = (NodeId(4), Some(Duration::ZERO));
    assert_eq!(
        with(Some(5_000), None),
        Err(MemberChangeError::Silent(node))
    );
    assert_eq!(
        with(Some(5_000), Some(SILENT)),
        Err(MemberChangeError::Silent(node))
    );
    let behind = |entries| Err(MemberChangeError::Behind { node, entries });
    assert_eq!(with(None, now), behind(5_000));
    assert_eq!(with(Some(5_000 - LAG_MAX - 1), now), behind(LAG_MAX + 1));
    assert!(with(Some(5_000 - LAG_MAX), now).is_ok());
    // Who votes already is not asked again.
    let mut status = seen(&[1, 2, 3], &[4]);
    status.members.get_mut(&NodeId(3)).unwrap().acked = None;
    assert!(planned(&status, &voters(&[], &[2])).is_ok());
}

#[test]
fn a_leader_knows_the_members_once_it_has_applied_the_last_change() {
    let at = |term, index| Some(crate::types::log_id(Position { term, index }));
    let mut status = seen(&[1, 2, 3], &[4]);
    assert!(settled(&status, at(3, 5_000)));
    // Committed or not: who was taken out by it is not among the retired yet.
    assert!(!settled(&status, at(4, 5_001)));
    status.applied = Some(Position {
        term: 3,
        index: 5_000,
    });
    assert!(!settled(&status, at(3, 10)), "just elected");
    status.applied = None;
    assert!(!settled(&status, None));
}
