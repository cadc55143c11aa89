//! Networks that are cut in part: a leader without a quorum acknowledges nothing, and a majority that is connected elects.

use std::time::{Duration, Instant};

use banyan_consensus::{BarrierError, LogPolicy, ProposeError, Role};
use banyan_domain::NodeId;

use crate::{
    cluster::{Cluster, PATIENCE},
    fixtures,
};

/// Cuts `one` off from each of `others`; none of them: heals. At both ends, since only the receiving end ends what is under way.
fn sever(cluster: &Cluster, one: u64, others: &[u64]) {
    let links = |id| cluster.consensus(id).links().expect("a real wire");
    let ids = cluster.running().into_iter().filter(|id| *id != one);
    for id in ids {
        let cut = others.contains(&id).then_some(one);
        links(id).cut(cut, cut);
    }
    links(one).cut(others.iter().copied(), others.iter().copied());
}

/// The time that one try gets.
const TRY: Duration = Duration::from_secs(2);

/// The topology of openraft issue 2080: of five voters one is gone, and the leader reaches only one of the others, the bridge, to which it could
/// renew its lease for ever. The other two need the bridge's vote.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_majority_elects_although_the_old_leader_holds_the_bridge() {
    let mut cluster = Cluster::started(5, 0, LogPolicy::default()).await;
    cluster.propose(0..10).await;
    let old = cluster.leader().await;
    for id in 1..=5 {
        cluster.caught_up(id).await;
    }
    let others: Vec<u64> = (1..=5).filter(|id| *id != old).collect();
    let [bridge, left, right, gone] = others[..] else {
        panic!("five voters");
    };
    cluster.kill(gone).await;
    sever(&cluster, old, &[left, right]);

    let elected = |status: &banyan_consensus::Status| {
        status.leader.is_some_and(|leader| leader != NodeId(old))
    };
    for id in [bridge, left, right] {
        let waiting = cluster.consensus(id).wait_for(PATIENCE, elected).await;
        waiting.unwrap_or_else(|status| panic!("node {id} has no new leader: {status:?}"));
    }
    // The old leader hears of the new term from the bridge.
    let stepped_down = |status: &banyan_consensus::Status| status.role != Role::Leader;
    let waiting = cluster
        .consensus(old)
        .wait_for(PATIENCE, stepped_down)
        .await;
    waiting.unwrap_or_else(|status| panic!("node {old} leads on: {status:?}"));
    cluster.propose(10..20).await;

    sever(&cluster, old, &[]);
    cluster.start(gone).await;
    for id in 1..=5 {
        cluster.caught_up(id).await;
    }
    cluster.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_cut_off_from_its_quorum_refuses_writes_and_barriers() {
    let cluster = Cluster::started(3, 1, LogPolicy::default()).await;
    cluster.propose(0..10).await;
    let old = cluster.leader().await;
    for id in 1..=4 {
        cluster.caught_up(id).await;
    }
    let others: Vec<u64> = (1..=3).filter(|id| *id != old).collect();
    let term = cluster.consensus(old).status().term;
    // It still reaches the learner, which does not vote.
    sever(&cluster, old, &others);

    // Until it refuses, what it takes stays in doubt; nothing is acknowledged.
    let deadline = Instant::now() + PATIENCE;
    let mut number = 100;
    loop {
        let envelopes = fixtures::envelopes(number..number + 1);
        number += 1;
        match cluster.consensus(old).propose(envelopes, TRY).await {
            Err(ProposeError::NoQuorum { .. } | ProposeError::NotLeader { .. }) => break,
            Err(ProposeError::OutcomeUnknown | ProposeError::Overloaded { .. }) => {
                assert!(
                    Instant::now() < deadline,
                    "node {old} goes on to take writes"
                );
            }
            other => panic!("node {old} has no quorum and answers {other:?}"),
        }
    }
    let barrier = cluster.consensus(old).barrier(TRY).await;
    assert!(
        matches!(barrier, Err(BarrierError::Unconfirmed(_))),
        "node {old} has no quorum and answers {barrier:?}"
    );
    // The learner hears from both sides. What it gets is of the side that has a quorum.
    match cluster.consensus(4).barrier(TRY).await {
        Ok(barrier) => assert!(barrier.position.term > term, "{barrier:?} of term {term}"),
        Err(BarrierError::Unconfirmed(_)) => {}
        other => panic!("the learner answers {other:?}"),
    }
    // The others elect, and their writes are those that stay.
    let elected = |status: &banyan_consensus::Status| {
        status.leader.is_some_and(|leader| leader != NodeId(old))
    };
    let waiting = cluster
        .consensus(others[0])
        .wait_for(PATIENCE, elected)
        .await;
    waiting.unwrap_or_else(|status| panic!("nobody else was elected: {status:?}"));
    cluster.propose(10..20).await;

    sever(&cluster, old, &[]);
    for id in 1..=4 {
        cluster.caught_up(id).await;
    }
    cluster.assert_equal().await;
}
