//! What an election costs: votes that come late count, and a new leader looks first where the logs of its followers nearly always end.

use std::time::Duration;

use banyan_consensus::{Role, Status, Timing};

use crate::{
    cluster::PATIENCE,
    fixtures,
    script::{self, until},
};

/// Entries of the log that is inherited.
const ENTRIES: u64 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_needs_one_round_trip_to_find_where_followers_are() {
    let directory = tempfile::tempdir().expect("a directory");
    let folder = directory.path().join("data");
    let timing = Timing::millis(50, 150, 300);
    let (leader, stores) = script::start(&folder, &script::peers(), timing).await;
    leader
        .bootstrap(&script::members(), PATIENCE)
        .await
        .expect("it leads");
    for number in 0..ENTRIES {
        leader
            .propose(fixtures::envelopes(number..number + 1), PATIENCE)
            .await
            .expect("both peers answer");
    }
    leader.shutdown(None).await;
    drop(leader);
    let closed = stores.closed();
    drop(stores);
    let given_up = tokio::task::spawn_blocking(move || closed.wait(PATIENCE)).await;
    assert!(given_up.expect("no panic"), "the stores stay open");

    let peers = script::peers();
    let (leader, stores) = script::start(&folder, &peers, timing).await;
    let last = stores.log.bounds().last.expect("a log");
    let leads = |status: &Status| status.role == Role::Leader && status.quorum_acked.is_some();
    leader.wait_for(PATIENCE, leads).await.expect("it leads");
    for (id, peer) in &peers {
        until("an append came", || !peer.begins().is_empty()).await;
        let begins = peer.begins();
        assert_eq!(begins[0], Some(last), "node {id}: {begins:?}");
    }
    leader.shutdown(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_that_a_slow_disk_saved_late_still_counts() {
    let directory = tempfile::tempdir().expect("a directory");
    let timing = Timing::millis(100, 400, 800);
    let peers = script::peers();
    // Longer than a candidate's shortest wait, 200 ms, and shorter than its longest.
    peers
        .values()
        .for_each(|peer| peer.vote_slowly(Duration::from_millis(300)));
    let folder = directory.path().join("data");
    let (leader, _stores) = script::start(&folder, &peers, timing).await;
    leader
        .bootstrap(&script::members(), PATIENCE)
        .await
        .expect("it leads, for nobody votes for another");
    leader
        .propose(fixtures::envelopes(0..1), PATIENCE)
        .await
        .expect("both peers answer");
    leader.shutdown(None).await;
}
