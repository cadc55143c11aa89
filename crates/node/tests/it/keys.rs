//! Exactly once: the first outcome and its token through any node, after restarts and changes of leader, and keys of other times.

use std::time::{Duration, Instant};

use banyan_consensus::{Clock, SystemClock};
use banyan_domain::Timestamp;
use banyan_domain::limits::{KEY_AHEAD_MAX_MS, KEY_WINDOW_MS};
use banyan_wire::errors::{self, Code};
use banyan_wire::v1::outcome::Result as Verdict;
use banyan_wire::v1::{Outcome, SubmitRequest};

use super::cluster::{PATIENCE, TestCluster};
use super::people::{self, HA_NOI, NGHE_AN};

/// Submits through the first of these nodes that leads, as the library would; waits for a leader.
fn submit(cluster: &TestCluster, nodes: &[usize], request: &SubmitRequest) -> Outcome {
    let begun = Instant::now();
    loop {
        for node in nodes {
            let answer = cluster.run(async {
                let mut registry = cluster.centre(*node).await;
                registry.submit(request.clone()).await
            });
            match answer {
                Ok(response) => return response.into_inner().outcome.unwrap(),
                Err(status) => {
                    let code = errors::from_status(&status).and_then(|detail| detail.known_code());
                    let kind = code.map(Code::kind);
                    assert_eq!(kind, Some(errors::Kind::Unavailable), "{status:?}");
                }
            }
        }
        assert!(begun.elapsed() < PATIENCE, "nobody leads");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The outcome as the first try had it: all but the mark of the replay.
fn first(outcome: Outcome) -> Outcome {
    assert!(outcome.replayed);
    Outcome {
        replayed: false,
        ..outcome
    }
}

#[test]
fn first_outcome_and_token_survive_a_change_of_leader_and_restarts() {
    let mut cluster = TestCluster::start(3);
    // One that is accepted with a finding, one that is refused, and a second version.
    let mut odd = people::birth(1, HA_NOI);
    if let Some(banyan_wire::v1::command::Kind::RegisterBirth(birth)) = &mut odd.kind {
        birth.native_place.as_mut().unwrap().province = String::from("03");
    }
    let born = people::submission(1, odd);
    let refused = people::submission(2, people::birth(1, HA_NOI));
    let mut requests = vec![born, refused];
    let mut expected: Vec<Outcome> = requests
        .iter()
        .map(|request| submit(&cluster, &[0, 1, 2], request))
        .collect();
    let Some(Verdict::Accepted(accepted)) = &expected[0].result else {
        panic!("{expected:?}");
    };
    assert!(!accepted.findings.is_empty());
    assert!(matches!(&expected[1].result, Some(Verdict::Rejected(_))));
    requests.push(people::submission(3, people::death(1, &accepted.pin)));
    expected.push(submit(&cluster, &[0, 1, 2], &requests[2]));
    assert!(
        expected
            .iter()
            .all(|outcome| !outcome.replayed && !outcome.token.is_empty() && outcome.term > 0)
    );

    let leader = cluster.leader();
    cluster.stop(leader);
    let others: Vec<usize> = (0..3).filter(|node| *node != leader).collect();
    let again = |cluster: &TestCluster, nodes: &[usize]| -> Vec<Outcome> {
        requests
            .iter()
            .map(|request| first(submit(cluster, nodes, request)))
            .collect()
    };
    assert_eq!(again(&cluster, &others), expected, "by another leader");

    for node in others {
        cluster.stop(node);
    }
    for node in 0..3 {
        cluster.restart(node);
    }
    assert_eq!(again(&cluster, &[0, 1, 2]), expected, "after a restart");
}

#[test]
fn keys_of_another_time_are_refused_and_nothing_is_kept_under_them() {
    let cluster = TestCluster::start(1);
    let now = SystemClock.now().get();
    let made = |made: i64| SubmitRequest {
        idempotency_key: people::key_made(Timestamp(made), 5).into(),
        ..people::submission(5, people::birth(1, HA_NOI))
    };
    let minute = 60_000;
    let cases = [
        (now - KEY_WINDOW_MS - minute, Code::KeyExpired),
        (now + KEY_AHEAD_MAX_MS + minute, Code::KeyAhead),
    ];
    for (time, code) in cases {
        for _ in 0..2 {
            let outcome = submit(&cluster, &[0], &made(time));
            let Some(Verdict::Rejected(rejected)) = &outcome.result else {
                panic!("{outcome:?}");
            };
            assert_eq!(rejected.name, code.name());
            assert!(!outcome.replayed);
        }
    }
    // The same birth under a good key, nearly as old.
    let good = submit(&cluster, &[0], &made(now - KEY_WINDOW_MS + 10 * minute));
    assert!(matches!(good.result, Some(Verdict::Accepted(_))));
}

#[test]
fn a_retry_by_an_actor_that_has_lost_its_area_does_not_see_the_outcome() {
    let cluster = TestCluster::start(1);
    let request = people::submission(1, people::birth(1, NGHE_AN));
    let ask = |area: &str| {
        let identity = cluster.pki.registrar("registrar@nghe-an", area);
        cluster.run(async {
            let mut registry = cluster.registry(0, identity).await;
            registry.submit(request.clone()).await
        })
    };
    let first_answer = ask(NGHE_AN).unwrap().into_inner().outcome.unwrap();
    let Some(Verdict::Accepted(_)) = &first_answer.result else {
        panic!("{first_answer:?}");
    };
    // The edge knows already that a registration elsewhere is not hers.
    let status = ask(HA_NOI).unwrap_err();
    let code = errors::from_status(&status).and_then(|detail| detail.known_code());
    assert_eq!(code, Some(Code::NotAuthorised));
    let again = ask(NGHE_AN).unwrap().into_inner().outcome.unwrap();
    assert_eq!(first(again), first_answer);
}
