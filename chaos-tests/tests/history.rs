//! Reads and writes through kills, transfers and pauses: linearizable where that was asked, monotonic per session, within their bounds.

use std::mem::discriminant;
use std::path::Path;
use std::time::{Duration, Instant};

use banyan_chaos_tests::harness::{self, Folder};
use banyan_chaos_tests::registers::check::{self, Finding};
use banyan_chaos_tests::registers::clients::Clients;
use banyan_chaos_tests::registers::faults::{self, Done, Fault};
use banyan_chaos_tests::registers::record::{
    Act, Answer, Level, Operation, Read, Recorder, Seen, Write,
};
use banyan_drill::cluster::LocalCluster;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_through_kills_transfers_and_pauses_keeps_every_promise() {
    let seed = harness::seed("history_through_kills_transfers_and_pauses_keeps_every_promise");
    let folder = Folder::new("history").unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut cluster = LocalCluster::start(harness::cluster_options(folder.path()))
        .await
        .unwrap();
    let recorder = Recorder::default();
    let mut clients = Clients::start(&mut cluster, &recorder, seed).await.unwrap();
    let done = faults::run(&mut cluster, &recorder, &mut rng)
        .await
        .unwrap();
    clients.stop().await.unwrap();
    clients.read_everywhere().await.unwrap();
    let learners: Vec<String> = cluster
        .topology()
        .learners()
        .map(|node| node.name().to_owned())
        .collect();
    cluster.stop(Duration::from_secs(20)).await.unwrap();

    let seen = recorder.seen();
    let started = Instant::now();
    let findings = check::check(&seen.operations);
    harness::say(&format!(
        "{} operations in {} ms, checked in {} ms",
        seen.operations.len(),
        recorder.now().as_millis(),
        started.elapsed().as_millis()
    ));
    keep(folder.path(), &seen, &findings);
    assert!(seen.wrong.is_empty(), "wrong answers: {:#?}", seen.wrong);
    assert!(
        findings.is_empty(),
        "broken promises, seed {seed}:\n{}",
        lines(&findings)
    );
    expect_events(&seen, &done, &learners);
    folder.remove().unwrap();
}

/// A history in which nothing happened proves nothing: how much there must be at least, and of what.
fn expect_events(seen: &Seen, done: &[Done], learners: &[String]) {
    let at_learner = |operation: &Operation| learners.contains(&operation.node);
    let wrote = |operation: &Operation, fits: &dyn Fn(&Write) -> bool| matches!(&operation.act, Act::Write(write) if fits(write));
    let accepted = |write: &Write| matches!(write.answer, Answer::Accepted { .. });
    let has_read = |operation: &Operation, fits: &dyn Fn(&Read) -> bool| matches!(&operation.act, Act::Read(read) if fits(read));
    let linearizable = |read: &Read| read.level == Level::Linearizable;
    let bounded = |read: &Read| matches!(read.level, Level::Local { bound: Some(_) });
    let count = |fits: &dyn Fn(&Operation) -> bool| {
        let matching = seen.operations.iter().filter(|operation| fits(operation));
        matching.count()
    };
    let outlived = |one: &Operation, kind: Fault| {
        let held = |done: &Done| {
            done.fault == kind
                && done.node == one.node
                && one.called < done.until
                && one.returned.is_some_and(|returned| returned > done.until)
        };
        has_read(one, &|_| true) && done.iter().any(held)
    };
    let counts = [
        ("accepted writes", count(&|one| wrote(one, &accepted)), 500),
        (
            "writes that a learner sent on",
            count(&|one| {
                at_learner(one) && wrote(one, &|write| accepted(write) && !write.redirected)
            }),
            30,
        ),
        (
            "writes that were led to the leader",
            count(&|one| wrote(one, &|write| accepted(write) && write.redirected)),
            100,
        ),
        (
            "conflicts",
            count(&|one| wrote(one, &|write| write.answer == Answer::Conflict)),
            50,
        ),
        (
            "writes without an answer",
            count(&|one| wrote(one, &|write| write.answer == Answer::Unknown)),
            1,
        ),
        (
            "linearizable reads",
            count(&|one| has_read(one, &linearizable)),
            300,
        ),
        (
            "linearizable reads at learners",
            count(&|one| at_learner(one) && has_read(one, &linearizable)),
            80,
        ),
        (
            "reads that waited for a paused leader and were answered",
            count(&|one| outlived(one, Fault::PauseLeader)),
            1,
        ),
        (
            "session reads",
            count(&|one| has_read(one, &|read| read.level == Level::Session)),
            300,
        ),
        (
            "local reads with a bound",
            count(&|one| has_read(one, &bounded)),
            150,
        ),
        (
            "local reads with a bound at learners",
            count(&|one| at_learner(one) && has_read(one, &bounded)),
            40,
        ),
    ];
    for (what, found, least) in counts {
        harness::say(&format!("   {found} {what} (at least {least})"));
    }
    for (what, times) in &seen.unserved {
        harness::say(&format!("   {times} times not served, {what}"));
    }
    for (what, found, least) in counts {
        assert!(found >= least, "{found} {what}: fewer than {least}");
    }
    for fault in [
        Fault::KillLeader,
        Fault::MoveLeadership,
        Fault::PauseLeader,
        Fault::PauseLearner,
    ] {
        assert!(
            done.iter().any(|done| done.fault == fault),
            "{fault:?} did not happen"
        );
    }
}

/// Leaves the history beside the nodes' logs, and the checker's drawing of every register that is not linearizable.
fn keep(folder: &Path, seen: &Seen, findings: &[Finding]) {
    let mut text = String::new();
    for operation in &seen.operations {
        text += &format!("{operation:?}\n");
    }
    std::fs::write(folder.join("history.txt"), text).expect("the test's folder can be written");
    for finding in findings {
        if let Finding::NotLinearizable { person, info } = finding {
            let drawing = folder.join(format!("person-{person}.html"));
            porcupine_rs::visualize_path(info, &drawing).expect("the test's folder can be written");
        }
    }
}

fn lines(findings: &[Finding]) -> String {
    // The kinds are in a row: some of each are worth more than many of the first.
    const SHOWN_OF_A_KIND: usize = 8;
    let mut text = String::new();
    for kind in findings.chunk_by(|one, next| discriminant(one) == discriminant(next)) {
        for finding in kind.iter().take(SHOWN_OF_A_KIND) {
            text += &format!("{finding}\n");
        }
        let more = kind.len().saturating_sub(SHOWN_OF_A_KIND);
        text += &format!("(and {more} more of this kind)\n");
    }
    text
}
