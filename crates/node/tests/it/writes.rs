//! Writes: acceptance, rejection, idempotent retry, dry run, leader hints.

use std::time::{Duration, Instant};

use banyan_wire::errors::{self, Code};
use banyan_wire::v1::outcome::Result as OutcomeResult;
use banyan_wire::v1::{Accepted, Outcome, Rejected, SubmitRequest};

use super::cluster::TestCluster;
use super::people::{self, HA_NOI, NGHE_AN};

fn accepted(outcome: &Outcome) -> &Accepted {
    match &outcome.result {
        Some(OutcomeResult::Accepted(accepted)) => accepted,
        other => panic!("not accepted: {other:?}"),
    }
}

fn rejected(outcome: &Outcome) -> &Rejected {
    match &outcome.result {
        Some(OutcomeResult::Rejected(rejected)) => rejected,
        other => panic!("not rejected: {other:?}"),
    }
}

#[test]
fn retry_with_same_key_returns_first_outcome() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        let mut registry = cluster.centre(0).await;
        let request = people::submission(7, people::birth(1, HA_NOI));
        let first = registry
            .submit(request.clone())
            .await
            .unwrap()
            .into_inner()
            .outcome
            .unwrap();
        assert!(!first.replayed);
        assert!(first.position > 0 && first.time_ms > 0);
        let again = registry
            .submit(request)
            .await
            .unwrap()
            .into_inner()
            .outcome
            .unwrap();
        assert!(again.replayed);
        assert_eq!(accepted(&again).pin, accepted(&first).pin);
        assert_eq!(
            (again.position, again.time_ms),
            (first.position, first.time_ms)
        );

        let other = people::submission(7, people::birth(2, HA_NOI));
        let reused = registry
            .submit(other)
            .await
            .unwrap()
            .into_inner()
            .outcome
            .unwrap();
        assert_eq!(rejected(&reused).name, Code::IdempotencyKeyReused.name());

        // Keys belong to their principal: another one's equal key is another key.
        let neighbour = cluster.pki.registrar("registrar@nghe-an", NGHE_AN);
        let mut neighbour = cluster.registry(0, neighbour).await;
        let request = people::submission(7, people::birth(3, NGHE_AN));
        let outcome = neighbour
            .submit(request)
            .await
            .unwrap()
            .into_inner()
            .outcome
            .unwrap();
        assert!(!outcome.replayed);
        assert_ne!(accepted(&outcome).pin, accepted(&first).pin);
    });
}

#[test]
fn a_refusal_is_an_outcome_with_a_code_and_is_the_same_on_retry() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        let mut registry = cluster.centre(0).await;
        let born = people::submission(1, people::birth(1, HA_NOI));
        let born = registry
            .submit(born)
            .await
            .unwrap()
            .into_inner()
            .outcome
            .unwrap();
        let twice = people::submission(2, people::birth(1, HA_NOI));
        let outcome = registry
            .submit(twice.clone())
            .await
            .unwrap()
            .into_inner()
            .outcome
            .unwrap();
        assert_eq!(rejected(&outcome).name, Code::FormAlreadyRegistered.name());
        let again = registry
            .submit(twice)
            .await
            .unwrap()
            .into_inner()
            .outcome
            .unwrap();
        assert!(again.replayed);
        assert_eq!(rejected(&again), rejected(&outcome));

        let pin = &accepted(&born).pin;
        let mut data = people::person(1, HA_NOI);
        data.birth_date = Some(people::date(2026, 1, 5));
        data.sex = banyan_wire::v1::Sex::Male as i32;
        let stale = people::correct(1, pin, 9, data.clone());
        let outcome = registry
            .submit(people::submission(3, stale))
            .await
            .unwrap()
            .into_inner()
            .outcome
            .unwrap();
        assert_eq!(rejected(&outcome).name, Code::VersionConflict.name());
        let good = people::correct(2, pin, 1, data);
        let outcome = registry
            .submit(people::submission(4, good))
            .await
            .unwrap()
            .into_inner()
            .outcome
            .unwrap();
        assert_eq!(accepted(&outcome).version, 2);
        let death = people::submission(5, people::death(1, pin));
        let outcome = registry
            .submit(death)
            .await
            .unwrap()
            .into_inner()
            .outcome
            .unwrap();
        assert_eq!(accepted(&outcome).version, 3);
    });
}

#[test]
fn a_dry_run_says_what_would_happen_and_changes_nothing() {
    let cluster = TestCluster::start(1);
    let before = cluster.status(0).last_log_index;
    cluster.run(async {
        let mut registry = cluster.centre(0).await;
        let dry = SubmitRequest {
            dry_run: true,
            ..people::submission(1, people::birth(1, HA_NOI))
        };
        let outcome = registry
            .submit(dry)
            .await
            .unwrap()
            .into_inner()
            .outcome
            .unwrap();
        assert_eq!(outcome.position, 0);
        assert_eq!(
            accepted(&outcome).pin,
            "",
            "a dry run shows no number: none is allotted"
        );
    });
    assert_eq!(cluster.status(0).last_log_index, before);
    cluster.run(async {
        // The key was not spent.
        let mut registry = cluster.centre(0).await;
        let real = people::submission(1, people::birth(1, HA_NOI));
        let outcome = registry
            .submit(real)
            .await
            .unwrap()
            .into_inner()
            .outcome
            .unwrap();
        assert!(!outcome.replayed);
        let dry = SubmitRequest {
            dry_run: true,
            ..people::submission(2, people::birth(1, HA_NOI))
        };
        let outcome = registry
            .submit(dry)
            .await
            .unwrap()
            .into_inner()
            .outcome
            .unwrap();
        assert_eq!(rejected(&outcome).name, Code::FormAlreadyRegistered.name());
    });
}

#[test]
fn a_node_that_does_not_lead_names_the_one_that_does_to_those_who_ask_for_it() {
    let cluster = TestCluster::start(3);
    let leader = cluster.leader();
    let follower = (leader + 1) % 3;
    cluster.run(async {
        let mut registry = cluster.centre(follower).await;
        let request = people::submission(1, people::birth(1, HA_NOI));
        let hint = SubmitRequest {
            hint_leader: true,
            ..request.clone()
        };
        let status = registry.submit(hint).await.unwrap_err();
        let detail = errors::from_status(&status).unwrap();
        assert_eq!(detail.known_code(), Some(Code::NotLeader), "{detail:?}");
        let expected = format!("https://127.0.0.1:{}", cluster.client_ports[leader]);
        assert_eq!(detail.leader_endpoint, expected);
        assert!(!detail.outcome_unknown);
        let mut registry = cluster.centre(leader).await;
        let outcome = registry
            .submit(request)
            .await
            .unwrap()
            .into_inner()
            .outcome
            .unwrap();
        accepted(&outcome);
    });
}

#[test]
fn an_unformed_cluster_takes_no_writes_and_says_so() {
    let cluster = TestCluster::start_unformed(1, "");
    cluster.run(async {
        let mut registry = cluster.centre(0).await;
        let status = registry
            .submit(people::submission(1, people::birth(1, HA_NOI)))
            .await
            .unwrap_err();
        let code = errors::from_status(&status).and_then(|detail| detail.known_code());
        assert!(
            matches!(code, Some(Code::NotFormed | Code::NoLeader)),
            "{status:?}"
        );
    });
}

#[test]
fn a_deadline_is_honoured_when_the_quorum_is_gone() {
    let mut cluster = TestCluster::start(3);
    let leader = cluster.leader();
    cluster.stop((leader + 1) % 3);
    cluster.stop((leader + 2) % 3);
    cluster.run(async {
        let mut registry = cluster.centre(leader).await;
        for number in 1..4 {
            let mut request =
                tonic::Request::new(people::submission(number, people::birth(number, HA_NOI)));
            request.set_timeout(Duration::from_millis(300));
            let begun = Instant::now();
            let status = registry.submit(request).await.unwrap_err();
            assert!(
                begun.elapsed() < Duration::from_millis(1500),
                "{:?}",
                begun.elapsed()
            );
            let detail = errors::from_status(&status).unwrap();
            let code = detail.known_code().unwrap();
            assert_eq!(code.kind(), errors::Kind::Unavailable, "{detail:?}");
            assert_eq!(
                detail.outcome_unknown,
                code == Code::OutcomeUnknown,
                "{detail:?}"
            );
        }
    });
}
