//! A barrier is confirmed only by what was sent after it was asked for, also where answers come late.
//!
//! The leader is real; its two peers are a script that holds their answers back. That is what a leader sees that was stopped, for longer
//! than an election, with answers waiting in its sockets.

use std::time::Duration;

use banyan_consensus::{Role, Timing};
use banyan_domain::NodeId;

use crate::{
    cluster::PATIENCE,
    fixtures,
    script::{self, until},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_to_an_older_append_confirms_no_barrier() {
    let directory = tempfile::tempdir().expect("a directory");
    let peers = script::peers();
    // Long enough that the script, and no timer, decides what is sent.
    let timing = Timing::millis(2_000, 10_000, 20_000);
    let (leader, _stores) = script::start(&directory.path().join("data"), &peers, timing).await;
    leader
        .bootstrap(&script::members(), PATIENCE)
        .await
        .expect("it leads");
    let settled = |status: &banyan_consensus::Status| {
        let last = status.last_log_index;
        status.role == Role::Leader
            && status.applied.map(|position| position.index) == last
            && (2..=3).all(|id| status.members[&NodeId(id)].matched == last)
    };
    let status = leader.wait_for(PATIENCE, settled).await.expect("settled");
    let before = status.last_log_index.expect("a log");
    // The appends without entries that tell of the last commit have been answered as well.
    leader.barrier(PATIENCE).await.expect("confirmed");
    let (second, third) = (&peers[&2], &peers[&3]);
    second.hold();
    third.hold();

    // An entry goes out to both.
    let (at_second, at_third) = (second.appends_taken(), third.appends_taken());
    let proposing = tokio::spawn({
        let leader = leader.clone();
        async move { leader.propose(fixtures::envelopes(0..1), PATIENCE).await }
    });
    until("the entry is under way", || {
        second.appends_taken() == at_second + 1 && third.appends_taken() == at_third + 1
    })
    .await;

    // A reader asks; the heartbeats sent for it stay unanswered.
    let heartbeats = second.heartbeats_taken();
    let mut asking = tokio::spawn({
        let leader = leader.clone();
        async move { leader.barrier(PATIENCE).await }
    });
    until("a heartbeat went out for it", || {
        second.heartbeats_taken() > heartbeats
    })
    .await;

    // One answer to the entry commits it, and an append without entries tells both peers so.
    third.appends.add_permits(1);
    proposing
        .await
        .expect("no panic")
        .expect("committed by two of three");
    until("the commit is told", || {
        second.appends_taken() == at_second + 2
    })
    .await;

    // The late answer to the entry, which the other peer sent before the reader asked.
    second.appends.add_permits(1);
    leader
        .wait_for(PATIENCE, |status| {
            status.members[&NodeId(2)].matched == Some(before + 1)
        })
        .await
        .expect("the answer has arrived");
    let early = tokio::time::timeout(Duration::from_millis(300), &mut asking).await;
    assert!(
        early.is_err(),
        "nothing that was sent after the reader asked has been answered, yet: {early:?}"
    );

    // The answer to what was sent after it.
    second.appends.add_permits(1);
    let barrier = asking.await.expect("no panic").expect("confirmed");
    assert!(barrier.position.index >= before, "{barrier:?}");
    leader.shutdown(None).await;
}
