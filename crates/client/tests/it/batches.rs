//! Batches: one answer for each command, and only those without an answer are sent again.

use std::time::Duration;

use banyan_client::{CallError, Submission, SubmitOptions, new_key};
use banyan_wire::errors::Code;
use banyan_wire::v1::{Command, ErrorDetail, Finding};

use crate::certificates::Authority;
use crate::client;
use crate::node::{Node, Reply};

fn submissions(count: usize) -> Vec<Submission> {
    (0..count)
        .map(|_| Submission {
            key: new_key(),
            command: Command::default(),
        })
        .collect()
}

#[tokio::test]
async fn only_commands_without_an_answer_are_sent_again() {
    let authority = Authority::new();
    let node = Node::start(&authority, "central-1", |call, place| match (call, place) {
        (0, 1) => {
            let detail = ErrorDetail::new(Code::Overloaded, "the queue is full");
            Reply::fail(detail.with_retry_after(Duration::from_millis(1)))
        }
        (0, 2) => Reply::fail(ErrorDetail::new(
            Code::InvalidFields,
            "data.sex: must be given",
        )),
        (0, 3) => Reply::Nothing,
        _ => Reply::Accept,
    })
    .await;
    let sent = submissions(5);
    let keys: Vec<Vec<u8>> = sent.iter().map(|one| one.key.as_bytes().to_vec()).collect();
    let done = client(&authority, &[&node])
        .submit_batch(sent)
        .await
        .unwrap();
    let codes: Vec<Option<Code>> = done
        .answers
        .iter()
        .map(|answer| answer.as_ref().err().and_then(CallError::code))
        .collect();
    assert_eq!(codes, [None, None, Some(Code::InvalidFields), None, None]);
    assert_eq!(done.stats.tries, 2);
    let seen = node.seen();
    assert_eq!(seen[0].keys, keys);
    assert_eq!(seen[1].keys, [keys[1].clone(), keys[3].clone()]);
}

#[tokio::test]
async fn a_batch_goes_to_the_leader_as_a_whole() {
    let authority = Authority::new();
    let leader = Node::start(&authority, "recovery-1", |_, _| Reply::Accept).await;
    let url = leader.url.clone();
    let follower = Node::start(&authority, "central-1", move |_, _| {
        Reply::fail(ErrorDetail::new(Code::NotLeader, "another leads").with_leader(&url))
    })
    .await;
    let done = client(&authority, &[&follower, &leader])
        .submit_batch(submissions(3))
        .await
        .unwrap();
    assert!(done.answers.iter().all(Result::is_ok));
    assert_eq!((done.stats.tries, done.stats.redirects), (2, 1));
    assert_eq!(leader.seen()[0].keys.len(), 3);
}

#[tokio::test]
async fn each_command_ends_as_unknown_only_if_it_may_have_been_proposed() {
    let authority = Authority::new();
    let node = Node::start(&authority, "central-1", |_, place| match place {
        0 => Reply::fail(ErrorDetail::new(Code::NoLeader, "an election is under way")),
        _ => Reply::fail(ErrorDetail::new(
            Code::OutcomeUnknown,
            "no answer from the log",
        )),
    })
    .await;
    let sent = submissions(2);
    let second = sent[1].key;
    let options = SubmitOptions {
        deadline: Some(Duration::from_millis(200)),
        ..Default::default()
    };
    let done = client(&authority, &[&node])
        .submit_batch_with(sent, &options)
        .await
        .unwrap();
    assert!(
        matches!(done.answers[0], Err(CallError::Unavailable { .. })),
        "{done:?}"
    );
    let Err(CallError::OutcomeUnknown { key, .. }) = &done.answers[1] else {
        panic!("{done:?}")
    };
    assert_eq!(*key, second);
}

#[tokio::test]
async fn a_key_refused_for_its_age_leaves_open_what_an_earlier_try_did() {
    let authority = Authority::new();
    for code in [Code::KeyExpired, Code::KeyAhead] {
        let unknown = ErrorDetail::new(Code::OutcomeUnknown, "no answer from the log");
        let node = Node::start(&authority, "central-1", move |call, place| {
            match (call, place) {
                (0, 0) => Reply::fail(unknown.clone()),
                (0, _) => Reply::fail(ErrorDetail::new(Code::NoLeader, "an election is under way")),
                _ => Reply::Reject(code),
            }
        })
        .await;
        let client = client(&authority, &[&node]);
        let done = client.submit_batch(submissions(2)).await.unwrap();
        let [first, second] = &done.answers[..] else {
            panic!("{done:?}")
        };
        assert!(first.as_ref().is_err_and(CallError::outcome_is_unknown));
        // The other was never proposed before: its refusal is its outcome.
        let outcome = second.as_ref().unwrap();
        assert!(matches!(&outcome.result,
            Some(banyan_wire::v1::outcome::Result::Rejected(rejected)) if rejected.name == code.name()));
    }
}

#[tokio::test]
async fn a_batch_without_any_answer_is_unknown_for_each_command() {
    let authority = Authority::new();
    let node = Node::start(&authority, "central-1", |_, _| Reply::Silence).await;
    let options = SubmitOptions {
        deadline: Some(Duration::from_millis(200)),
        ..Default::default()
    };
    let client = client(&authority, &[&node]);
    let done = client
        .submit_batch_with(submissions(2), &options)
        .await
        .unwrap();
    let unknown =
        |answer: &Result<_, CallError>| answer.as_ref().is_err_and(CallError::outcome_is_unknown);
    assert!(done.answers.iter().all(unknown), "{done:?}");
}

#[tokio::test]
async fn a_batch_holds_one_to_a_thousand_commands() {
    let authority = Authority::new();
    let node = Node::start(&authority, "central-1", |_, _| Reply::Accept).await;
    let client = client(&authority, &[&node]);
    for count in [0, 1001] {
        let error = client.submit_batch(submissions(count)).await.unwrap_err();
        assert_eq!(error.code(), Some(Code::BatchSize), "{count}");
    }
    assert_eq!(node.seen().len(), 0);
    assert_eq!(
        client
            .submit_batch(submissions(1000))
            .await
            .unwrap()
            .answers
            .len(),
        1000
    );
}

/// An acceptance whose findings take this many bytes.
fn findings(bytes: usize) -> Vec<Finding> {
    vec![Finding {
        code: "x".repeat(bytes),
        field: String::new(),
    }]
}

#[tokio::test]
async fn a_batch_whose_answer_is_too_large_is_settled_in_smaller_ones() {
    let authority = Authority::new();
    // 5 of these answers fit into the 16 MiB that a client takes, 10 do not.
    let node = Node::start(&authority, "central-1", |_, _| {
        Reply::AcceptWith(findings(3 << 20))
    })
    .await;
    let sent = submissions(10);
    let keys: Vec<Vec<u8>> = sent.iter().map(|one| one.key.as_bytes().to_vec()).collect();
    let done = client(&authority, &[&node])
        .submit_batch(sent)
        .await
        .unwrap();
    assert!(done.answers.iter().all(Result::is_ok), "{done:?}");
    // Accepted by the try whose answer was lost.
    assert!(
        done.answers
            .iter()
            .flatten()
            .all(|outcome| outcome.replayed)
    );
    let seen: Vec<Vec<Vec<u8>>> = node.seen().into_iter().map(|one| one.keys).collect();
    assert_eq!(seen, [keys.clone(), keys[..5].to_vec(), keys[5..].to_vec()]);
    assert_eq!(done.stats.tries, 3);
}

#[tokio::test]
async fn commands_whose_answers_never_fit_end_as_unknown() {
    let authority = Authority::new();
    let node = Node::start(&authority, "central-1", |_, _| {
        Reply::AcceptWith(findings(17 << 20))
    })
    .await;
    let done = client(&authority, &[&node])
        .submit_batch(submissions(2))
        .await
        .unwrap();
    let unknown =
        |answer: &Result<_, CallError>| answer.as_ref().is_err_and(CallError::outcome_is_unknown);
    assert!(done.answers.iter().all(unknown));
}

/// Callers keep many of them side by side.
#[tokio::test]
async fn the_future_of_a_batch_is_small() {
    let authority = Authority::new();
    let node = Node::start(&authority, "central-1", |_, _| Reply::Accept).await;
    let client = client(&authority, &[&node]);
    let future = client.submit_batch(submissions(1));
    let size = size_of_val(&future);
    assert!(size <= 1024, "{size} bytes");
    drop(future);
}
