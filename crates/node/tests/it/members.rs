//! Changes of the membership as an operator asks for them: judged by the survival goal, refused with a reason, made for good.

use banyan_wire::errors;
use banyan_wire::v1::change_members_request::Change;
use banyan_wire::v1::{
    BootstrapRequest, ChangeMembersRequest, ChangeMembersResponse, ChangeVoters, ErrorDetail,
    NewMember, StatusResponse,
};

use super::certificates::CLUSTER;
use super::cluster::TestCluster;

/// Asks node `index`.
fn ask(
    cluster: &TestCluster,
    index: usize,
    request: ChangeMembersRequest,
) -> Result<ChangeMembersResponse, ErrorDetail> {
    cluster.run(async {
        let answer = cluster.admin(index).await.change_members(request).await;
        answer
            .map(tonic::Response::into_inner)
            .map_err(|status| errors::from_status(&status).unwrap())
    })
}

fn request(change: Change) -> ChangeMembersRequest {
    ChangeMembersRequest {
        change: Some(change),
        ..ChangeMembersRequest::default()
    }
}

fn voters(promote: &[u64], demote: &[u64]) -> ChangeMembersRequest {
    request(Change::Voters(ChangeVoters {
        promote_node_ids: promote.to_vec(),
        demote_node_ids: demote.to_vec(),
    }))
}

#[test]
fn a_voter_goes_only_by_the_name_of_the_cluster_and_a_learner_goes_for_good() {
    let cluster = TestCluster::start(4);
    let leader = cluster.leader();
    cluster.wait_until(leader, "all answer", |status| {
        status.members.len() == 4 && status.survival_now == "held"
    });
    let other = (0..3).find(|index| *index != leader).unwrap() as u64 + 1;

    // Three voters at three sites survive any of them; two survive none.
    let demote = voters(&[], &[other]);
    let refused = ask(&cluster, leader, demote.clone()).unwrap_err();
    assert_eq!(refused.name, "SURVIVAL_AT_RISK");
    assert!(refused.message.contains("losing"), "{}", refused.message);
    let misspelt = ChangeMembersRequest {
        override_goal: "another".to_owned(),
        ..demote.clone()
    };
    let refused = ask(&cluster, leader, misspelt).unwrap_err();
    assert_eq!(refused.name, "INVALID_FIELDS");
    assert!(!refused.message.contains(CLUSTER), "{}", refused.message);
    let meant = ChangeMembersRequest {
        override_goal: CLUSTER.to_owned(),
        ..demote
    };
    let judged = ChangeMembersRequest {
        dry_run: true,
        ..meant.clone()
    };
    let answer = ask(&cluster, leader, judged).unwrap();
    assert!(!answer.changed);
    assert_eq!((&*answer.survival_goal, &*answer.before), ("site", "held"));
    assert!(answer.after.starts_with("not held now"), "{}", answer.after);
    let voting = |status: &StatusResponse| {
        let members = status.members.iter();
        members.filter(|one| one.membership == "voter").count()
    };
    assert_eq!(voting(&cluster.status(leader)), 3, "nothing was done");
    assert!(ask(&cluster, leader, meant).unwrap().changed);
    let votes = |wanted: &'static str| {
        move |status: &StatusResponse| {
            let node = status.members.iter().find(|member| member.node_id == other);
            node.is_some_and(|member| member.membership == wanted)
        }
    };
    cluster.wait_until(leader, "it votes no more", votes("learner"));
    // It was a voter, and has a voter's certificate.
    let back = voters(&[other], &[]);
    assert_eq!(ask(&cluster, leader, back).unwrap().after, "held");
    cluster.wait_until(leader, "it votes again", votes("voter"));

    // A province's node never votes.
    let refused = ask(&cluster, leader, voters(&[4], &[])).unwrap_err();
    assert_eq!(refused.name, "MEMBERSHIP_MISMATCH");
    let remove = request(Change::RemoveNodeId(4));
    ask(&cluster, leader, remove.clone()).unwrap();
    ask(&cluster, leader, remove).unwrap();
    cluster.wait_until(leader, "it is no member", |status| {
        status.members.len() == 3
    });
    cluster.run(async {
        let mut admin = cluster.admin(leader).await;
        admin.bootstrap(BootstrapRequest {}).await.unwrap();
    });
    assert_eq!(cluster.status(leader).members.len(), 3, "for good");
    let again = request(Change::Add(NewMember {
        node_id: 4,
        node: "nghe-an-1".to_owned(),
        site: "nghe-an".to_owned(),
        peer_endpoint: format!("127.0.0.1:{}", cluster.peer_ports[3]),
        client_endpoint: format!("127.0.0.1:{}", cluster.client_ports[3]),
        will_vote: false,
    }));
    let refused = ask(&cluster, leader, again).unwrap_err();
    assert_eq!(refused.name, "MEMBERSHIP_MISMATCH");
    assert!(
        refused.message.contains("never used again"),
        "{}",
        refused.message
    );
}

#[test]
fn what_is_wrong_with_a_request_is_told_all_at_once_and_a_follower_names_the_leader() {
    let cluster = TestCluster::start(3);
    let leader = cluster.leader();
    let wrong = request(Change::Add(NewMember {
        node_id: 0,
        node: "Central 9".to_owned(),
        site: String::new(),
        peer_endpoint: "127.0.0.1".to_owned(),
        client_endpoint: "127.0.0.1:0".to_owned(),
        will_vote: true,
    }));
    let refused = ask(&cluster, leader, wrong).unwrap_err();
    assert_eq!(refused.name, "INVALID_FIELDS");
    let fields: Vec<&str> = refused.faults.iter().map(|fault| &*fault.field).collect();
    assert_eq!(
        fields,
        [
            "add.node_id",
            "add.node",
            "add.site",
            "add.peer_endpoint",
            "add.client_endpoint"
        ]
    );
    for nothing in [ChangeMembersRequest::default(), voters(&[], &[])] {
        let refused = ask(&cluster, leader, nothing).unwrap_err();
        assert_eq!(refused.name, "INVALID_FIELDS");
    }
    let refused = ask(&cluster, leader, voters(&[99], &[])).unwrap_err();
    assert_eq!(refused.name, "MEMBER_UNKNOWN");
    let refused = ask(&cluster, leader, request(Change::RemoveNodeId(1))).unwrap_err();
    assert_eq!(refused.name, "MEMBERSHIP_MISMATCH");

    let follower = (leader + 1) % 3;
    let refused = ask(&cluster, follower, request(Change::RemoveNodeId(9))).unwrap_err();
    assert_eq!(refused.name, "NOT_LEADER");
    assert!(!refused.leader_endpoint.is_empty());
}
