//! Calls on a shared stream: many at a time, each with its own end, and a stream that breaks.

use std::time::Duration;

use banyan_client::{CallError, Client, Options, Transport, new_key};
use banyan_wire::errors::Code;
use banyan_wire::v1::{Command, ErrorDetail, GetPersonRequest};
use tokio::task::JoinSet;

use crate::certificates::Authority;
use crate::node::{Node, Reply};
use crate::{client, context, options};

#[tokio::test]
async fn a_call_without_answer_holds_up_no_other() {
    let authority = Authority::new();
    // The first call is never answered, those after it are.
    let node = Node::start(&authority, "central-1", |call, _| match call {
        0 => Reply::Silence,
        _ => Reply::Accept,
    })
    .await;
    let client = client(&authority, &[&node]);
    let silent = client.clone();
    let mut waits = JoinSet::new();
    waits.spawn(async move { silent.get_person(GetPersonRequest::default()).await });
    while node.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..100 {
        let read = client.get_person(GetPersonRequest::default()).await;
        assert_eq!(read.unwrap().stats.tries, 1);
    }
    assert!(
        waits.try_join_next().is_none(),
        "the first call still waits"
    );
}

#[tokio::test]
async fn a_refusal_ends_one_call_and_not_its_stream() {
    let authority = Authority::new();
    let node = Node::start(&authority, "central-1", |call, _| match call {
        0 => Reply::fail(ErrorDetail::new(Code::NotAuthorised, "not here")),
        _ => Reply::Accept,
    })
    .await;
    let client = client(&authority, &[&node]);
    let refused = client.get_person(GetPersonRequest::default()).await;
    assert!(matches!(refused, Err(CallError::Refused { .. })));
    let read = client.get_person(GetPersonRequest::default()).await;
    assert_eq!(read.unwrap().stats.tries, 1);
}

#[tokio::test]
async fn a_stream_that_breaks_is_opened_again_and_a_write_keeps_its_key() {
    let authority = Authority::new();
    // A status that is none of the registry's ends the whole stream.
    let node = Node::start(&authority, "central-1", |call, _| match call {
        0 => Reply::Foreign(tonic::Code::Unavailable),
        _ => Reply::Accept,
    })
    .await;
    let client = client(&authority, &[&node]);
    let submitted = client.submit(new_key(), Command::default()).await.unwrap();
    assert_eq!(submitted.stats.tries, 2);
    let seen = node.seen();
    assert_eq!((seen.len(), &seen[0].keys), (2, &seen[1].keys));
}

#[tokio::test]
async fn unary_calls_do_the_same() {
    let authority = Authority::new();
    let node = Node::start(&authority, "central-1", |_, _| Reply::Accept).await;
    let unary = Options {
        transport: Transport::Unary,
        ..options()
    };
    let client = Client::with_options(context(&authority, &[&node], None), unary).unwrap();
    let submitted = client.submit(new_key(), Command::default()).await.unwrap();
    assert!(submitted.accepted().is_some());
    let read = client.get_person(GetPersonRequest::default()).await;
    assert_eq!(read.unwrap().stats.tries, 1);
}
