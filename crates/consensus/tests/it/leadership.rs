//! Leadership: transfer, refusal of bad targets, and the stop that hands it over.

use std::time::Duration;

use banyan_consensus::{LogPolicy, TransferError};
use banyan_domain::NodeId;

use crate::cluster::{Cluster, PATIENCE};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_goes_where_it_is_sent() {
    let cluster = Cluster::started(3, 1, LogPolicy::default()).await;
    cluster.propose(0..10).await;
    let leader = cluster.leader().await;
    let target = (1..=3).find(|id| *id != leader).expect("another voter");
    cluster.caught_up(target).await;
    cluster
        .consensus(leader)
        .transfer_leader(NodeId(target), Duration::from_secs(10))
        .await
        .expect("the transfer succeeds");
    assert_eq!(cluster.leader().await, target);
    cluster.propose(10..20).await;

    let other = cluster
        .consensus(leader)
        .transfer_leader(NodeId(target), Duration::from_secs(1))
        .await;
    assert!(
        matches!(other, Err(TransferError::NotLeader { .. })),
        "{other:?}"
    );
    let learner = cluster
        .consensus(target)
        .transfer_leader(NodeId(4), Duration::from_secs(1))
        .await;
    assert_eq!(learner, Err(TransferError::NotAVoter(NodeId(4))));
    let itself = cluster
        .consensus(target)
        .transfer_leader(NodeId(target), Duration::from_secs(1))
        .await;
    assert_eq!(itself, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_target_is_refused_before_anything_is_started() {
    let mut cluster = Cluster::started(3, 0, LogPolicy::default()).await;
    cluster.propose(0..10).await;
    let leader = cluster.leader().await;
    let target = (1..=3).find(|id| *id != leader).expect("another voter");
    cluster.kill(target).await;
    let silent = |status: &banyan_consensus::Status| {
        let member = &status.members[&NodeId(target)];
        member
            .acked
            .is_none_or(|acked| acked > Duration::from_secs(1))
    };
    cluster
        .consensus(leader)
        .wait_for(PATIENCE, silent)
        .await
        .expect("it falls silent");
    let refused = cluster
        .consensus(leader)
        .transfer_leader(NodeId(target), Duration::from_secs(1))
        .await;
    assert_eq!(refused, Err(TransferError::Silent(NodeId(target))));
    assert_eq!(cluster.leader().await, leader, "nothing was disturbed");
    cluster.propose(10..20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_hands_over_first() {
    let mut cluster = Cluster::started(3, 0, LogPolicy::default()).await;
    cluster.propose(0..10).await;
    for id in 1..=3 {
        cluster.caught_up(id).await;
    }
    let leader = cluster.leader().await;
    let term = cluster.consensus(leader).status().term;
    cluster.stop(leader).await;
    let next = cluster.leader().await;
    assert_ne!(next, leader);
    assert_eq!(
        cluster.consensus(next).status().term,
        term + 1,
        "one election, won at once"
    );
    cluster.propose(10..20).await;
}
