//! Writes: leader hints, retries under one key, and what is said when the time is up.

use std::time::{Duration, Instant};

use banyan_client::{CallError, Client, Options, SubmitOptions, new_key};
use banyan_wire::errors::Code;
use banyan_wire::v1::{Command, ErrorDetail};

use crate::certificates::Authority;
use crate::node::{Node, Reply, nowhere};
use crate::{client, context_of, options};

fn not_leader(leader: &str) -> Reply {
    Reply::fail(ErrorDetail::new(Code::NotLeader, "another node leads").with_leader(leader))
}

fn within(deadline: Duration) -> SubmitOptions {
    SubmitOptions {
        deadline: Some(deadline),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_write_is_sent_once_with_its_key_and_its_time() {
    let authority = Authority::new();
    let node = Node::start(&authority, "central-1", |_, _| Reply::Accept).await;
    let key = new_key();
    let submitted = client(&authority, &[&node])
        .submit(key, Command::default())
        .await
        .unwrap();
    assert!(submitted.accepted().is_some() && submitted.rejected().is_none());
    assert_eq!((submitted.stats.tries, submitted.stats.redirects), (1, 0));
    assert_eq!(submitted.stats.endpoint, "central-1");
    let seen = node.seen();
    assert_eq!(seen[0].keys, [key.as_bytes()]);
    // 5 s, in whatever unit the library chose.
    let timeout = seen[0].timeout.as_deref().unwrap();
    assert!(
        timeout.starts_with('5') || timeout.starts_with("49"),
        "{timeout}"
    );
}

#[tokio::test]
async fn a_leader_hint_is_followed_and_remembered() {
    let authority = Authority::new();
    let leader = Node::start(&authority, "recovery-1", |_, _| Reply::Accept).await;
    let url = leader.url.clone();
    let follower = Node::start(&authority, "central-1", move |_, _| not_leader(&url)).await;
    let client = client(&authority, &[&follower, &leader]);
    let first = client.submit(new_key(), Command::default()).await.unwrap();
    assert_eq!((first.stats.tries, first.stats.redirects), (2, 1));
    assert_eq!(first.stats.endpoint, "recovery-1");
    let second = client.submit(new_key(), Command::default()).await.unwrap();
    assert_eq!((second.stats.tries, follower.seen().len()), (1, 1));
}

#[tokio::test]
async fn a_hint_may_name_a_node_that_the_context_does_not() {
    let authority = Authority::new();
    let leader = Node::start(&authority, "recovery-1", |_, _| Reply::Accept).await;
    let url = leader.url.clone();
    let follower = Node::start(&authority, "central-1", move |_, _| not_leader(&url)).await;
    let client = client(&authority, &[&follower]);
    let submitted = client.submit(new_key(), Command::default()).await.unwrap();
    assert_eq!(submitted.stats.endpoint, leader.url);
}

#[tokio::test]
async fn a_write_can_begin_at_an_endpoint_of_choice() {
    let authority = Authority::new();
    let one = Node::start(&authority, "central-1", |_, _| Reply::Accept).await;
    let two = Node::start(&authority, "central-2", |_, _| Reply::Accept).await;
    let client = client(&authority, &[&one, &two]);
    client.submit(new_key(), Command::default()).await.unwrap();
    let options = SubmitOptions {
        first: Some(String::from("central-2")),
        ..Default::default()
    };
    let submitted = client
        .submit_with(new_key(), Command::default(), &options)
        .await
        .unwrap();
    assert_eq!(submitted.stats.endpoint, "central-2");
    let options = SubmitOptions {
        first: Some(String::from("hue-1")),
        ..Default::default()
    };
    let error = client
        .submit_with(new_key(), Command::default(), &options)
        .await
        .unwrap_err();
    assert!(
        matches!(error, CallError::UnknownEndpoint { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn an_unknown_outcome_is_settled_with_the_same_key() {
    let authority = Authority::new();
    let node = Node::start(&authority, "central-1", |call, _| match call {
        0 => Reply::fail(ErrorDetail::new(
            Code::OutcomeUnknown,
            "no answer from the log",
        )),
        1 => Reply::Foreign(tonic::Code::Unknown),
        2 => Reply::Nothing,
        3 => Reply::fail(ErrorDetail::new(Code::NodeFault, "the node stops")),
        _ => Reply::Accept,
    })
    .await;
    let key = new_key();
    let submitted = client(&authority, &[&node])
        .submit(key, Command::default())
        .await
        .unwrap();
    assert!(submitted.outcome.replayed);
    assert_eq!((submitted.stats.tries, submitted.stats.retries()), (5, 4));
    assert!(node.seen().iter().all(|seen| seen.keys == [key.as_bytes()]));
}

#[tokio::test]
async fn a_key_refused_for_its_age_settles_a_first_try_and_no_later_one() {
    let authority = Authority::new();
    for tries_before in [0, 1] {
        let node = Node::start(&authority, "central-1", move |call, _| {
            if call < tries_before {
                let text = "no answer from the log";
                return Reply::fail(ErrorDetail::new(Code::OutcomeUnknown, text));
            }
            Reply::Reject(Code::KeyExpired)
        })
        .await;
        let client = client(&authority, &[&node]);
        match client.submit(new_key(), Command::default()).await {
            Ok(submitted) => {
                assert_eq!(tries_before, 0);
                assert!(submitted.accepted().is_none());
            }
            Err(error) => {
                assert_eq!(tries_before, 1);
                assert!(error.outcome_is_unknown(), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn silence_ends_as_unknown_and_not_before_the_deadline() {
    let authority = Authority::new();
    let node = Node::start(&authority, "central-1", |_, _| Reply::Silence).await;
    let options = Options {
        try_timeout: Duration::from_millis(100),
        ..options()
    };
    let context = crate::context(&authority, &[&node], None);
    let client = Client::with_options(context, options).unwrap();
    let (key, deadline, begun) = (new_key(), Duration::from_millis(600), Instant::now());
    let error = client
        .submit_with(key, Command::default(), &within(deadline))
        .await
        .unwrap_err();
    assert!(begun.elapsed() >= deadline, "{:?}", begun.elapsed());
    let CallError::OutcomeUnknown {
        key: back, stats, ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(back, key);
    assert!(stats.tries >= 2, "{stats:?}");
}

#[tokio::test]
async fn silence_to_a_dry_run_leaves_nothing_open() {
    let authority = Authority::new();
    let node = Node::start(&authority, "central-1", |_, _| Reply::Silence).await;
    let client = client(&authority, &[&node]);
    let options = SubmitOptions {
        dry_run: true,
        ..within(Duration::from_millis(200))
    };
    let error = client
        .submit_with(new_key(), Command::default(), &options)
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn without_a_leader_the_call_ends_as_unavailable_at_its_deadline() {
    let authority = Authority::new();
    let no_leader = |_, _| {
        let detail = ErrorDetail::new(Code::NoLeader, "an election is under way");
        Reply::fail(detail.with_retry_after(Duration::from_millis(30)))
    };
    let one = Node::start(&authority, "central-1", no_leader).await;
    let two = Node::start(&authority, "central-2", no_leader).await;
    let client = client(&authority, &[&one, &two]);
    let (deadline, begun) = (Duration::from_millis(400), Instant::now());
    let error = client
        .submit_with(new_key(), Command::default(), &within(deadline))
        .await
        .unwrap_err();
    assert!(begun.elapsed() >= deadline, "{:?}", begun.elapsed());
    assert!(matches!(error, CallError::Unavailable { .. }), "{error}");
    assert_eq!(error.code(), Some(Code::NoLeader));
    let asked = one.seen().len() + two.seen().len();
    assert!(
        (2..=16).contains(&asked),
        "the hint to wait 30 ms was not kept: {asked} tries"
    );
}

#[tokio::test]
async fn nodes_that_point_at_each_other_are_not_asked_in_a_storm() {
    let authority = Authority::new();
    let elsewhere = nowhere();
    let node = Node::start(&authority, "central-1", move |_, _| not_leader(&elsewhere)).await;
    let options = Options {
        backoff_first: Duration::from_millis(20),
        ..options()
    };
    let context = crate::context(&authority, &[&node], None);
    let client = Client::with_options(context, options).unwrap();
    let limit = within(Duration::from_millis(500));
    let error = client
        .submit_with(new_key(), Command::default(), &limit)
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Unavailable { .. }), "{error}");
    assert!(node.seen().len() <= 60, "{} tries", node.seen().len());
}

#[tokio::test]
async fn a_refusal_is_final() {
    let authority = Authority::new();
    let refuse = |_, _| Reply::fail(ErrorDetail::new(Code::NotAuthorised, "outside the area"));
    let one = Node::start(&authority, "central-1", refuse).await;
    let two = Node::start(&authority, "central-2", |_, _| Reply::Accept).await;
    let error = client(&authority, &[&one, &two])
        .submit(new_key(), Command::default())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(Code::NotAuthorised));
    assert_eq!(error.stats().unwrap().tries, 1);
    assert_eq!(two.seen().len(), 0);
}

#[tokio::test]
async fn a_refusal_after_an_unknown_outcome_settles_nothing() {
    let authority = Authority::new();
    let node = Node::start(&authority, "central-1", |call, _| match call {
        0 => Reply::fail(ErrorDetail::new(
            Code::OutcomeUnknown,
            "no answer from the log",
        )),
        _ => Reply::fail(ErrorDetail::new(Code::NotAuthorised, "outside the area")),
    })
    .await;
    let error = client(&authority, &[&node])
        .submit(new_key(), Command::default())
        .await
        .unwrap_err();
    assert!(error.outcome_is_unknown(), "{error}");
}

#[tokio::test]
async fn a_node_that_is_down_costs_one_try_and_leaves_nothing_open() {
    let authority = Authority::new();
    let node = Node::start(&authority, "central-2", |_, _| Reply::Accept).await;
    let down = (String::from("central-1"), nowhere());
    let up = (node.name.clone(), node.url.clone());
    let context = context_of(&authority, vec![down.clone(), up], None);
    let client = Client::with_options(context, options()).unwrap();
    let submitted = client.submit(new_key(), Command::default()).await.unwrap();
    assert_eq!((submitted.stats.tries, submitted.stats.redirects), (2, 0));

    let client = Client::with_options(context_of(&authority, vec![down], None), options()).unwrap();
    let limit = within(Duration::from_millis(200));
    let error = client
        .submit_with(new_key(), Command::default(), &limit)
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn a_request_without_our_details_is_refused_by_its_code() {
    let authority = Authority::new();
    let unserved = |_, _| Reply::Foreign(tonic::Code::Unimplemented);
    let node = Node::start(&authority, "central-1", unserved).await;
    let error = client(&authority, &[&node])
        .submit(new_key(), Command::default())
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Refused { .. }), "{error}");
    assert_eq!(error.code(), Some(Code::MethodUnknown));
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_no_refusal() {
    let authority = Authority::new();
    // What tonic says of a message past its bound, on either side, without our details.
    let too_large = |_, _| Reply::Foreign(tonic::Code::OutOfRange);
    let node = Node::start(&authority, "central-1", too_large).await;
    let client = client(&authority, &[&node]);
    let key = new_key();
    let error = client.submit(key, Command::default()).await.unwrap_err();
    let CallError::OutcomeUnknown { key: told, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(told, key);
    // A request that a node refuses for its size carries our details, and had no effect.
    let refusing = |_, _| Reply::fail(ErrorDetail::new(Code::MessageTooLarge, "too large"));
    let node = Node::start(&authority, "central-2", refusing).await;
    let error = crate::client(&authority, &[&node])
        .submit(new_key(), Command::default())
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Refused { .. }), "{error}");
}
