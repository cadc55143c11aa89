//! Start and stop: what was acknowledged is there after a restart, leadership is handed away first, a foreign folder is refused.

use std::time::Instant;

use banyan_node::config::NodeConfig;
use banyan_node::node::{Listeners, Node, StartError};
use banyan_storage::FirstStart;
use banyan_wire::v1::get_person_request::Number;
use banyan_wire::v1::outcome::Result as OutcomeResult;
use banyan_wire::v1::{BootstrapRequest, GetDigestRequest, GetPersonRequest, StartDigestRequest};
use banyan_wire::v1::{DigestState, TakeSnapshotRequest, TransferLeaderRequest};

use super::cluster::{PATIENCE, TestCluster};
use super::people::{self, HA_NOI};

async fn born(cluster: &TestCluster, index: usize, number: u64) -> String {
    let mut registry = cluster.centre(index).await;
    let request = people::submission(number, people::birth(number, HA_NOI));
    let outcome = registry
        .submit(request)
        .await
        .expect("an answer")
        .into_inner()
        .outcome;
    match outcome.and_then(|outcome| outcome.result) {
        Some(OutcomeResult::Accepted(accepted)) => accepted.pin,
        other => panic!("not accepted: {other:?}"),
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let mut cluster = TestCluster::start(1);
    let pin = cluster.run(born(&cluster, 0, 1));
    cluster.stop(0);
    cluster.restart(0);
    cluster.wait_until(0, "it leads again", |status| status.role == "leader");
    cluster.run(async {
        let mut registry = cluster.centre(0).await;
        let request = GetPersonRequest {
            number: Some(Number::Pin(pin)),
            ..Default::default()
        };
        let answer = registry.get_person(request).await.unwrap().into_inner();
        assert_eq!(
            answer.person.unwrap().data.unwrap().name,
            Some(people::name(1))
        );
        let again = people::submission(1, people::birth(1, HA_NOI));
        assert!(
            registry
                .submit(again)
                .await
                .unwrap()
                .into_inner()
                .outcome
                .unwrap()
                .replayed
        );
    });
}

#[test]
fn a_stopping_leader_hands_leadership_away_first() {
    let mut cluster = TestCluster::start(3);
    let leader = cluster.leader();
    cluster.run(born(&cluster, leader, 1));
    let begun = Instant::now();
    cluster.stop(leader);
    assert!(begun.elapsed() < PATIENCE);
    let next = (leader + 1) % 3;
    let old = leader as u64 + 1;
    let status = cluster.wait_until(next, "another leads", |status| {
        status.leader_id != 0 && status.leader_id != old
    });
    let leader = usize::try_from(status.leader_id).unwrap() - 1;
    cluster.run(born(&cluster, leader, 2));
}

#[test]
fn bootstrap_is_idempotent_and_status_tells_what_the_node_knows() {
    let cluster = TestCluster::start(3);
    cluster.run(async {
        let mut admin = cluster.admin(1).await;
        let answer = admin
            .bootstrap(BootstrapRequest {})
            .await
            .unwrap()
            .into_inner();
        assert!(answer.already_formed);
        assert_eq!(answer.cluster_nodes, 3);
    });
    let leader = cluster.leader();
    let status = cluster.wait_until(leader, "all voters answer", |status| {
        status.members.iter().all(|member| member.matched_known)
    });
    assert_eq!(status.role, "leader");
    assert_eq!(status.members.len(), 3);
    assert_eq!(status.survival_goal, "site");
    assert_eq!(status.survival_now, "held");
    assert_eq!(
        status.leader_endpoint,
        format!("https://127.0.0.1:{}", cluster.client_ports[leader])
    );
}

#[test]
fn leadership_moves_where_an_operator_sends_it() {
    let cluster = TestCluster::start(3);
    let leader = cluster.leader();
    let to = (leader + 1) % 3;
    cluster.run(async {
        let mut admin = cluster.admin(leader).await;
        let request = TransferLeaderRequest {
            to_node_id: to as u64 + 1,
        };
        let answer = admin.transfer_leader(request).await.unwrap().into_inner();
        assert_eq!(answer.leader_id, to as u64 + 1);
        let unknown = TransferLeaderRequest { to_node_id: 99 };
        assert!(
            cluster
                .admin(to)
                .await
                .transfer_leader(unknown)
                .await
                .is_err()
        );
    });
    cluster.wait_until(to, "it leads", |status| status.role == "leader");
}

#[test]
fn digests_are_equal_on_every_node_and_unknown_where_a_node_took_no_part() {
    let cluster = TestCluster::start(3);
    let leader = cluster.leader();
    let digests = cluster.run(async {
        for number in 1..20 {
            born(&cluster, leader, number).await;
        }
        let mut admin = cluster.admin(leader).await;
        let mark = admin
            .start_digest(StartDigestRequest {})
            .await
            .unwrap()
            .into_inner()
            .position;
        let mut digests = Vec::new();
        for index in 0..3 {
            let mut admin = cluster.admin(index).await;
            let begun = Instant::now();
            loop {
                let request = GetDigestRequest { position: mark };
                let answer = admin.get_digest(request).await.unwrap().into_inner();
                match answer.state() {
                    DigestState::Ready => break digests.push((answer.digest, answer.entries)),
                    DigestState::Pending => {
                        assert!(begun.elapsed() < PATIENCE);
                        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                    }
                    other => panic!("{other:?}: {}", answer.reason),
                }
            }
        }
        let elsewhere = GetDigestRequest { position: 1 };
        let answer = admin.get_digest(elsewhere).await.unwrap().into_inner();
        assert_eq!(answer.state(), DigestState::Unknown);
        assert!(!answer.reason.is_empty());
        let snapshot = admin
            .take_snapshot(TakeSnapshotRequest {})
            .await
            .unwrap()
            .into_inner();
        assert!(snapshot.position >= mark);
        digests
    });
    assert_eq!(digests[0].0.len(), 32);
    assert!(digests[0].1 > 20);
    assert!(
        digests.windows(2).all(|pair| pair[0] == pair[1]),
        "{digests:?}"
    );
}

#[test]
fn a_data_folder_of_another_node_is_refused() {
    let mut cluster = TestCluster::start_unformed(3, "");
    cluster.stop(0);
    cluster.stop(1);
    let file = cluster.folder.path().join("central-1.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("data/central-1", "data/recovery-1")).unwrap();
    let config = NodeConfig::load(&file).unwrap().config;
    let listeners = Listeners::bind(&config).unwrap();
    match Node::start(config, listeners, Vec::new(), FirstStart::Permitted) {
        Err(StartError::DataDirectory(_)) => {}
        Err(other) => panic!("refused for another reason: {other}"),
        Ok(_) => panic!("a foreign folder was opened"),
    }
}
