//! Members that come and go: added as learners, made voters, taken out for good.

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use banyan_consensus::{Consensus, LogPolicy, MemberChange, MemberChangeError, Status};
use banyan_domain::NodeId;

use crate::cluster::{Cluster, PATIENCE};

fn voters(promote: &[u64], demote: &[u64]) -> MemberChange {
    let ids = |ids: &[u64]| ids.iter().copied().map(NodeId).collect();
    MemberChange::Voters {
        promote: ids(promote),
        demote: ids(demote),
    }
}

/// Whoever asks has nothing against it.
async fn made(
    registry: &Consensus,
    change: &MemberChange,
    within: Duration,
) -> Result<(), MemberChangeError> {
    let judge = |_: &Status| Ok::<(), Infallible>(());
    match registry.change_members(change, within, judge).await? {
        Ok(()) => Ok(()),
        Err(never) => match never {},
    }
}

/// Asks whoever leads until the change is made.
async fn change(cluster: &Cluster, change: &MemberChange) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let leader = cluster.consensus(cluster.leader().await);
        match made(&leader, change, Duration::from_secs(5)).await {
            Ok(()) => return,
            Err(error) => assert!(
                tokio::time::Instant::now() < deadline,
                "{change:?} was not made: {error}"
            ),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A new voter takes the place of another one, which is stopped and taken out; returned is who that was.
async fn replace_a_follower(cluster: &mut Cluster) -> u64 {
    let old = cluster.running();
    let leader = cluster.leader().await;
    let old = old
        .into_iter()
        .find(|id| *id != leader)
        .expect("a follower");
    let new = cluster.add_node();
    cluster.start(new).await;
    let member = cluster.nodes[&new].member.clone();
    change(cluster, &MemberChange::Add(member)).await;
    cluster.caught_up(new).await;
    change(cluster, &voters(&[new], &[old])).await;
    change(cluster, &MemberChange::Remove(NodeId(old))).await;
    cluster.kill(old).await;
    old
}

fn has_voters(status: &Status, wanted: &[u64]) -> bool {
    let wanted: BTreeSet<NodeId> = wanted.iter().copied().map(NodeId).collect();
    status.voter_sets == [wanted]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_is_replaced_under_load_and_its_id_never_comes_back() {
    let mut cluster = Cluster::started(3, 0, LogPolicy::default()).await;
    cluster.propose(0..10).await;
    let old = replace_a_follower(&mut cluster).await;
    cluster.propose(10..20).await;
    let mut left: Vec<u64> = (1..=4).filter(|id| *id != old).collect();
    for id in left.clone() {
        let settled = |status: &Status| {
            has_voters(status, &left) && !status.members.contains_key(&NodeId(old))
        };
        let seen = cluster.consensus(id).wait_for(PATIENCE, settled).await;
        seen.unwrap_or_else(|status| panic!("node {id}: {status:?}"));
    }

    // Not by command, not by the topology that still names it, and not after everybody has forgotten what is not on a disk.
    let everybody = cluster.members();
    for restarted in [false, true] {
        if restarted {
            for id in left.clone() {
                cluster.kill(id).await;
                cluster.start(id).await;
            }
        }
        cluster.propose(20..30).await;
        let leader = cluster.consensus(cluster.leader().await);
        let again = MemberChange::Add(everybody[&NodeId(old)].clone());
        let refused = made(&leader, &again, Duration::from_secs(5)).await;
        assert_eq!(refused, Err(MemberChangeError::Retired(NodeId(old))));
        leader
            .bootstrap(&everybody, PATIENCE)
            .await
            .expect("formed");
        assert!(!leader.status().members.contains_key(&NodeId(old)));
    }
    // What is done already is done.
    change(&cluster, &MemberChange::Remove(NodeId(old))).await;
    left.sort_unstable();
    change(&cluster, &voters(&left, &[])).await;
    cluster.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_was_taken_out_and_comes_back_is_heard_by_nobody() {
    let mut cluster = Cluster::started(3, 0, LogPolicy::default()).await;
    cluster.propose(0..10).await;
    let old = replace_a_follower(&mut cluster).await;
    cluster.propose(10..20).await;
    let leader = cluster.leader().await;
    let before = cluster.consensus(leader).status();
    // The others were started with a topology that names it as a voter, and it thinks that it is one: it stands for election.
    let refused = |cluster: &Cluster| -> u64 {
        let left = cluster.running().into_iter().filter(|id| *id != old);
        left.map(|id| cluster.consensus(id).status().peer_calls_refused)
            .sum()
    };
    let refused_before = refused(&cluster);
    cluster.start(old).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while refused(&cluster) < refused_before + 4 {
        assert!(tokio::time::Instant::now() < deadline, "it asks nobody");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cluster.propose(20..30).await;
    let after = cluster.consensus(leader).status();
    assert_eq!((after.term, after.leader), (before.term, before.leader));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_leaves_no_change_half_done() {
    let cluster = Cluster::started(3, 1, LogPolicy::default()).await;
    cluster.propose(0..10).await;
    cluster.caught_up(4).await;
    let leader = cluster.leader().await;
    let consensus = cluster.consensus(leader);
    let promoted = voters(&[4], &[]);
    let tried = made(&consensus, &promoted, Duration::ZERO).await;
    assert!(
        matches!(tried, Ok(()) | Err(MemberChangeError::TimedOut)),
        "{tried:?}"
    );
    let settled = |status: &Status| has_voters(status, &[1, 2, 3, 4]);
    let seen = consensus.wait_for(PATIENCE, settled).await;
    seen.expect("the change goes on to its end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_a_quorum_does_not_say_who_is_no_member() {
    let mut cluster = Cluster::started(3, 0, LogPolicy::default()).await;
    cluster.propose(0..10).await;
    let leader = cluster.leader().await;
    let followers: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    for id in &followers {
        cluster.kill(*id).await;
    }
    let registry = cluster.consensus(leader);
    let nobody = MemberChange::Remove(NodeId(9));
    // What is so already, and what cannot be: neither is known to be so still.
    for asked in [&nobody, &voters(&[leader], &[])] {
        let answer = made(&registry, asked, Duration::from_secs(1)).await;
        assert!(
            matches!(
                answer,
                Err(MemberChangeError::Unconfirmed | MemberChangeError::NotLeader { .. })
            ),
            "{asked:?}: {answer:?}"
        );
    }
    for id in followers {
        cluster.start(id).await;
    }
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let leader = cluster.consensus(cluster.leader().await);
        let answer = made(&leader, &nobody, Duration::from_secs(5)).await;
        if answer == Err(MemberChangeError::NotAMember(NodeId(9))) {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_operators_who_know_nothing_of_each_other_do_no_harm_together() {
    let cluster = Cluster::started(5, 0, LogPolicy::default()).await;
    cluster.propose(0..10).await;
    let leader = cluster.leader().await;
    let registry = cluster.consensus(leader);
    let mut others = (1..=5).filter(|id| *id != leader);
    let (one, other) = (others.next().unwrap(), others.next().unwrap());
    // Each leaves four voters, which both find enough; both together would leave three.
    let (one, other) = (voters(&[], &[one]), voters(&[], &[other]));
    let ask = async |change: &MemberChange| {
        let MemberChange::Voters { promote, demote } = change else {
            panic!("{change:?}")
        };
        let judge = |status: &Status| match status.voters_after(promote, demote).len() {
            left if left >= 4 => Ok(left),
            left => Err(left),
        };
        registry.change_members(change, PATIENCE, judge).await
    };
    let answers = tokio::join!(ask(&one), ask(&other));
    let mut answers = [answers.0, answers.1].map(|answer| answer.expect("the leader stays"));
    answers.sort();
    assert_eq!(answers, [Ok(4), Err(3)]);
    assert_eq!(registry.status().voter_sets[0].len(), 4);
    // A "no" has begun nothing.
    let nobody = |_: &Status| Err::<(), _>("no");
    let refused = registry
        .change_members(&voters(&[], &[leader]), PATIENCE, nobody)
        .await;
    assert_eq!(refused, Ok(Err("no")));
    assert_eq!(registry.status().voter_sets[0].len(), 4);
}
