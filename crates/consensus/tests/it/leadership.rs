//! Leadership: transfer, refusal of bad targets, and the stop that hands it over.

use std::time::Duration;

use banyan_consensus::{LogPolicy, Preference, ProposeError, Role, TransferError};
use banyan_domain::NodeId;

use crate::{
    cluster::{Cluster, PATIENCE},
    fixtures,
};

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
async fn a_leader_that_is_voted_out_hands_over_and_writes_go_on() {
    let cluster = Cluster::started(4, 0, LogPolicy::default()).await;
    cluster.propose(0..10).await;
    let retired = cluster.leader().await;
    let out = openraft::ChangeMembers::RemoveVoters([retired].into());
    cluster
        .consensus(retired)
        .raft()
        .change_membership(out, true)
        .await
        .expect("it votes no more");
    let elsewhere =
        |status: &banyan_consensus::Status| status.leader.is_some_and(|id| id != NodeId(retired));
    let consensus = cluster.consensus(retired);
    let seen = consensus.wait_for(PATIENCE, elsewhere).await;
    let status = seen.expect("another leads");
    assert!(!status.members[&NodeId(retired)].votes);
    assert_eq!(status.role, Role::Learner);
    cluster.propose(10..20).await;
    cluster.assert_equal().await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_to_a_target_that_does_not_take_over_is_undone() {
    let cluster = Cluster::started(3, 0, LogPolicy::default()).await;
    cluster.propose(0..10).await;
    let leader = cluster.leader().await;
    for id in 1..=3 {
        cluster.caught_up(id).await;
    }
    let mut others = (1..=3).filter(|id| *id != leader);
    let target = others.next().expect("a voter");
    let third = others.next().expect("another voter");
    let everybody = || 1..=3_u64;
    let links = |id| cluster.consensus(id).links().expect("a real wire");
    let term = cluster.consensus(leader).status().term;

    // The third voter may not stand for election, and the target stops hearing once it has been found fit.
    links(third).cut(everybody(), []);
    let transferring = tokio::spawn({
        let consensus = cluster.consensus(leader);
        let cut = links(target);
        async move {
            let fit = |status: &banyan_consensus::Status| {
                let target = &status.members[&NodeId(target)];
                target
                    .acked
                    .is_some_and(|acked| acked < Duration::from_millis(90))
            };
            consensus.wait_for(PATIENCE, fit).await.expect("it answers");
            cut.cut(everybody(), everybody());
            let within = Duration::from_secs(30);
            consensus.transfer_leader(NodeId(target), within).await
        }
    });
    let result = transferring.await.expect("no panic");
    assert_eq!(result, Err(TransferError::Undone(NodeId(target))));
    // It hears from the others again, so that the third voter finds it leading.
    cluster.propose(10..20).await;
    links(third).cut([], []);
    cluster.propose(20..30).await;
    let status = cluster.consensus(leader).status();
    assert_eq!(
        (status.role, status.term),
        (Role::Leader, term),
        "it leads on"
    );
    links(target).cut([], []);
    cluster.caught_up(target).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_proposal_is_left_in_doubt_by_a_transfer() {
    let cluster = Cluster::started(3, 0, LogPolicy::default()).await;
    cluster.propose(0..10).await;
    let mut next = 10;
    for _ in 0..3 {
        let leader = cluster.leader().await;
        let target = (1..=3).find(|id| *id != leader).expect("another voter");
        let mut proposing = tokio::task::JoinSet::new();
        for caller in 0..8 {
            let consensus = cluster.consensus(leader);
            let first = next + caller * 100;
            proposing.spawn(async move {
                // Until this node says that it does not lead any more.
                for number in first..first + 100 {
                    let envelopes = fixtures::envelopes(number..number + 1);
                    match consensus.propose(envelopes, PATIENCE).await {
                        Ok(_) => {}
                        Err(ProposeError::NotLeader { .. } | ProposeError::NoQuorum { .. }) => {
                            return;
                        }
                        Err(error) => panic!("in doubt or refused: {error}"),
                    }
                }
            });
        }
        cluster
            .consensus(leader)
            .transfer_leader(NodeId(target), Duration::from_secs(10))
            .await
            .expect("it goes where it is sent");
        while let Some(caller) = proposing.join_next().await {
            caller.expect("no proposal is in doubt");
        }
        next += 800;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_goes_home_to_the_preferred_site() {
    let mut cluster = Cluster::new(3, 0, LogPolicy::default());
    // Node 3 stands alone in the second site.
    cluster.preference = Preference {
        sites: vec!["site-2".to_owned()],
        healthy_for: Duration::from_secs(1),
        pause: Duration::from_secs(1),
    };
    for id in 1..=3 {
        cluster.start(id).await;
    }
    cluster.bootstrap().await;
    cluster.propose(0..10).await;
    cluster
        .consensus(3)
        .wait_for(PATIENCE, |status| status.role == Role::Leader)
        .await
        .expect("leadership comes home");

    // Sent away, it comes back, unless it is told to stay.
    for id in 1..=3 {
        cluster.consensus(id).stay(Duration::from_secs(3600));
        cluster.caught_up(id).await;
    }
    cluster
        .consensus(3)
        .transfer_leader(NodeId(1), Duration::from_secs(10))
        .await
        .expect("it goes where it is sent");
    cluster.propose(10..20).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(cluster.leader().await, 1, "it stays while it is told to");
    cluster.consensus(1).stay(Duration::ZERO);
    cluster
        .consensus(3)
        .wait_for(PATIENCE, |status| status.role == Role::Leader)
        .await
        .expect("leadership comes home again");
    cluster.propose(20..30).await;
}
