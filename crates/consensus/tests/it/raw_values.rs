//! Raw values: carried by clusters of the bench, and by nobody else.

use std::time::Duration;

use banyan_consensus::{ENTRY_COMMANDS_MAX, LogPolicy, ProposeError, RawValues};
use banyan_wire::internal_v1::RawValue;

use crate::cluster::{Cluster, PATIENCE};

const WITHIN: Duration = Duration::from_secs(20);

fn values(numbers: std::ops::Range<usize>) -> Vec<RawValue> {
    let value = |number| RawValue {
        key: format!("key-{number}").into(),
        value: vec![b'v'; 600].into(),
    };
    numbers.map(value).collect()
}

async fn started(voters: u64, learners: u64) -> Cluster {
    let mut cluster = Cluster::new(voters, learners, LogPolicy::default());
    cluster.raw_values = RawValues::Carried;
    for id in 1..=voters {
        cluster.start(id).await;
    }
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_values_are_on_every_node_and_survive_a_restart_of_all() {
    let mut cluster = started(3, 1).await;
    cluster.start(4).await;
    cluster.bootstrap().await;
    let leader = cluster.leader().await;
    let consensus = cluster.consensus(leader);
    // Many callers at once, and commands between them: each gets its answer.
    let puts = (0..40).map(|caller| {
        let consensus = consensus.clone();
        async move {
            let values = values(caller * 2..caller * 2 + 2);
            consensus.put_values(&values, WITHIN).await
        }
    });
    let (positions, outcomes) =
        tokio::join!(futures::future::join_all(puts), cluster.propose(0..20));
    assert_eq!(outcomes.len(), 20);
    for position in positions {
        let position = position.expect("stored");
        assert!(consensus.status().applied >= Some(position));
    }
    drop(consensus);
    for id in 1..=4 {
        cluster.caught_up(id).await;
        let view = cluster.stores(id).state.view().expect("a view");
        for value in values(0..80) {
            assert_eq!(view.raw_value(&value.key).expect("read"), Some(value.value));
        }
    }
    for id in 1..=4 {
        cluster.kill(id).await;
    }
    for id in 1..=4 {
        cluster.start(id).await;
    }
    for id in 1..=4 {
        cluster
            .consensus(id)
            .recovered(PATIENCE)
            .await
            .expect("recovered");
        let view = cluster.stores(id).state.view().expect("a view");
        assert!(view.raw_value(b"key-79").expect("read").is_some());
    }
    cluster.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_with_more_than_an_entry_holds_is_refused_before_anything_is_proposed() {
    let cluster = started(1, 0).await;
    cluster.bootstrap().await;
    let consensus = cluster.consensus(cluster.leader().await);
    let refused = consensus
        .put_values(&values(0..ENTRY_COMMANDS_MAX + 1), WITHIN)
        .await;
    assert!(matches!(refused, Err(ProposeError::TooLarge { .. })));
    let view = cluster.stores(1).state.view().expect("a view");
    assert_eq!(view.raw_value(b"key-0").expect("read"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_proposes_no_values_and_goes_on() {
    let cluster = Cluster::started(1, 0, LogPolicy::default()).await;
    let leader = cluster.leader().await;
    let refused = cluster
        .consensus(leader)
        .put_values(&values(0..1), WITHIN)
        .await;
    assert!(matches!(refused, Err(ProposeError::RawValuesRefused)));
    assert_eq!(cluster.propose(0..3).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_a_registry_stops_at_an_entry_with_values() {
    let mut cluster = started(3, 1).await;
    // The learner is a registry's node; it would diverge if it went on.
    cluster.raw_values = RawValues::Refused;
    cluster.start(4).await;
    cluster.bootstrap().await;
    let leader = cluster.leader().await;
    cluster.caught_up(4).await;
    let before = cluster.stores(4).state.applied();
    cluster
        .consensus(leader)
        .put_values(&values(0..3), WITHIN)
        .await
        .expect("stored by the voters");
    let failure = tokio::time::timeout(PATIENCE, cluster.consensus(4).watch_fatal())
        .await
        .expect("it stops");
    let told = failure.to_string();
    assert!(told.contains("does not know"), "{told}");
    let view = cluster.stores(4).state.view().expect("a view");
    assert_eq!(view.raw_value(b"key-0").expect("read"), None);
    assert!(cluster.stores(4).state.applied() >= before);
}
