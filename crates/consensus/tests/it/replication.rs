//! Writes through the log: outcomes, batches, learners, and what a restarted node still knows.

use std::time::Duration;

use banyan_consensus::{LogPolicy, ProposeError, Role};
use banyan_domain::NodeId;

use crate::{cluster::Cluster, fixtures};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_caller_gets_its_own_outcomes_and_every_node_the_same_state() {
    let cluster = Cluster::started(3, 1, LogPolicy::default()).await;
    let leader = cluster.leader().await;
    let consensus = cluster.consensus(leader);
    let callers = (0..40_u64).map(|caller| {
        let consensus = consensus.clone();
        tokio::spawn(async move {
            let numbers = caller * 10..caller * 10 + 1 + caller % 5;
            let expected = numbers.end - numbers.start;
            let outcomes = consensus
                .propose(fixtures::envelopes(numbers), Duration::from_secs(20))
                .await;
            (expected, outcomes)
        })
    });
    let mut positions = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        let (expected, outcomes) = caller.await.expect("a caller");
        let outcomes = outcomes.expect("outcomes");
        assert_eq!(outcomes.len() as u64, expected);
        for outcome in outcomes {
            assert!(!outcome.replayed);
            positions.push(outcome.position);
        }
    }
    // Concurrent callers shared entries.
    positions.sort_unstable();
    positions.dedup();
    assert!(
        positions.len() < 40,
        "40 callers used {} entries",
        positions.len()
    );

    // A retry with the same keys gets the first outcomes.
    let again = cluster.propose(0..1).await;
    assert!(again[0].replayed);

    for id in cluster.running() {
        cluster.caught_up(id).await;
    }
    cluster.assert_equal().await;
    let status = cluster.consensus(leader).status();
    assert_eq!(
        status
            .members
            .values()
            .filter(|member| member.votes)
            .count(),
        3
    );
    assert_eq!(cluster.consensus(4).status().role, Role::Learner);
    assert!(status.members[&NodeId(4)].matched.is_some());
    assert_eq!(status.peer_calls_refused, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_and_learners_name_the_leader() {
    let cluster = Cluster::started(3, 1, LogPolicy::default()).await;
    let leader = cluster.leader().await;
    for id in cluster.running().into_iter().filter(|id| *id != leader) {
        cluster.caught_up(id).await;
        let refused = cluster
            .consensus(id)
            .propose(fixtures::envelopes(1..2), Duration::from_secs(5))
            .await;
        match refused {
            Err(ProposeError::NotLeader {
                leader: Some(named),
            }) => {
                assert_eq!(named.node, NodeId(leader));
                assert_eq!(named.client_endpoint, format!("client-{leader}"));
            }
            other => panic!("node {id} answered {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bootstrap_can_be_repeated() {
    let cluster = Cluster::started(3, 1, LogPolicy::default()).await;
    cluster.propose(0..5).await;
    cluster.bootstrap().await;
    cluster.bootstrap().await;
    assert_eq!(cluster.propose(5..6).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_an_entry_holds_is_refused() {
    let cluster = Cluster::started(1, 0, LogPolicy::default()).await;
    let leader = cluster.leader().await;
    let too_many = fixtures::envelopes(0..1_001);
    let refused = cluster
        .consensus(leader)
        .propose(too_many, Duration::from_secs(5))
        .await;
    assert!(
        matches!(
            refused,
            Err(ProposeError::TooLarge {
                commands: 1_001,
                ..
            })
        ),
        "{refused:?}"
    );
    assert_eq!(cluster.propose(0..1_000).await.len(), 1_000);
}
