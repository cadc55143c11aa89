//! Deaths, restarts, and how a node that was away comes back.

use std::time::Duration;

use banyan_consensus::LogPolicy;
use banyan_domain::{NodeId, Outcome};

use crate::cluster::{Cluster, PATIENCE};

/// Snapshots and purges after few entries.
const SMALL: LogPolicy = LogPolicy {
    snapshot_bytes: 4 << 10,
    snapshot_entries: 20,
    keep_bytes: 0,
    keep_entries: 5,
    lag_entries: 1_000,
    check_every: Duration::from_millis(100),
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_go_on_after_the_leader_dies_and_it_catches_up_from_the_log() {
    let mut cluster = Cluster::started(3, 1, LogPolicy::default()).await;
    cluster.propose(0..20).await;
    let dead = cluster.leader().await;
    cluster.kill(dead).await;

    let outcomes = cluster.propose(20..40).await;
    assert_eq!(outcomes.len(), 20);
    assert_ne!(cluster.leader().await, dead);
    // Acknowledged before the death: still there, under the same keys.
    assert!(
        cluster
            .propose(0..20)
            .await
            .iter()
            .all(|outcome| outcome.replayed)
    );

    cluster.start(dead).await;
    cluster.caught_up(dead).await;
    assert!(
        cluster.consensus(dead).status().snapshot.is_none(),
        "the log sufficed"
    );
    cluster.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_stops_as_a_whole_comes_back_with_everything() {
    let mut cluster = Cluster::started(3, 0, LogPolicy::default()).await;
    cluster.propose(0..50).await;
    for id in 1..=3 {
        cluster.kill(id).await;
    }
    for id in 1..=3 {
        cluster.start(id).await;
    }
    assert!(
        cluster
            .propose(0..50)
            .await
            .iter()
            .all(|outcome| outcome.replayed)
    );
    for id in 1..=3 {
        cluster
            .consensus(id)
            .recovered(PATIENCE)
            .await
            .expect("recovered");
    }
    cluster.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_missed_purged_entries_gets_a_snapshot() {
    let mut cluster = Cluster::started(3, 1, SMALL).await;
    let first = cluster.propose(0..5).await;
    let leader = cluster.leader().await;
    let follower = cluster
        .running()
        .into_iter()
        .find(|id| *id != leader && *id != 4)
        .expect("a follower");
    cluster.caught_up(follower).await;
    cluster.kill(follower).await;
    cluster.kill(4).await;

    for round in 1..60 {
        cluster.propose(round * 10..round * 10 + 10).await;
    }
    let leader = cluster.leader().await;
    let purged = cluster.snapshot_of_everything(leader).await;
    assert!(
        purged.snapshot >= purged.purged,
        "only what a snapshot covers is purged: {purged:?}"
    );

    for id in [follower, 4] {
        cluster.start(id).await;
        let status = cluster.caught_up(id).await;
        assert!(
            status.snapshot.is_some(),
            "node {id} was brought up by a snapshot: {status:?}"
        );
    }
    cluster.propose(1_000..1_010).await;
    cluster.assert_equal().await;

    // What was installed is what a restart finds.
    cluster.kill(follower).await;
    cluster.start(follower).await;
    cluster.caught_up(follower).await;
    cluster.assert_equal().await;

    // It answers with the first outcomes, which it knows from the snapshot alone.
    let leader = cluster.leader().await;
    cluster
        .consensus(leader)
        .transfer_leader(NodeId(follower), PATIENCE)
        .await
        .expect("the transfer succeeds");
    let again = cluster.propose(0..5).await;
    assert!(again.iter().all(|outcome| outcome.replayed));
    let again: Vec<_> = again
        .into_iter()
        .map(|outcome| Outcome {
            replayed: false,
            ..outcome
        })
        .collect();
    assert_eq!(again, first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_on_demand_is_taken() {
    let cluster = Cluster::started(1, 0, LogPolicy::default()).await;
    cluster.propose(0..10).await;
    let consensus = cluster.consensus(1);
    assert!(consensus.status().snapshot.is_none());
    consensus.take_snapshot().await.expect("asked");
    let status = consensus
        .wait_for(PATIENCE, |status| status.snapshot.is_some())
        .await
        .expect("a snapshot");
    assert!(status.snapshot <= status.applied);
}
