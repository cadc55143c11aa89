//! Reads go home first and elsewhere if home is away; questions about one node go to that node only.

use std::time::{Duration, Instant};

use banyan_client::{CallError, Client, Options};
use banyan_wire::errors::Code;
use banyan_wire::v1::{
    ErrorDetail, FindPersonsRequest, GetHistoryRequest, GetPersonRequest, GetPersonsRequest,
    ScanPersonsRequest,
};

use crate::certificates::Authority;
use crate::node::{Node, Reply, nowhere};
use crate::{client, context, context_of, options};

#[tokio::test]
async fn reads_go_home_first() {
    let authority = Authority::new();
    let centre = Node::start(&authority, "central-1", |_, _| Reply::Accept).await;
    let home = Node::start(&authority, "nghe-an-1", |_, _| Reply::Accept).await;
    let context = context(&authority, &[&centre, &home], Some("nghe-an"));
    let client = Client::with_options(context, options()).unwrap();
    let read = client
        .get_person(GetPersonRequest::default())
        .await
        .unwrap();
    assert_eq!(read.stats.endpoint, "nghe-an-1");
    client
        .find_persons(FindPersonsRequest::default())
        .await
        .unwrap();
    client.history(GetHistoryRequest::default()).await.unwrap();
    assert_eq!((home.seen().len(), centre.seen().len()), (3, 0));
}

#[tokio::test]
async fn a_read_goes_elsewhere_when_home_cannot_serve_it() {
    let authority = Authority::new();
    let centre = Node::start(&authority, "central-1", |_, _| Reply::Accept).await;
    let stale = |_, _| Reply::fail(ErrorDetail::new(Code::TooStale, "41 s behind"));
    let home = Node::start(&authority, "nghe-an-1", stale).await;
    let context = context(&authority, &[&centre, &home], Some("nghe-an-1"));
    let client = Client::with_options(context, options()).unwrap();
    let read = client
        .get_person(GetPersonRequest::default())
        .await
        .unwrap();
    assert_eq!(
        (read.stats.endpoint.as_str(), read.stats.tries),
        ("central-1", 2)
    );
}

#[tokio::test]
async fn a_history_is_read_page_by_page_and_no_page_is_older_than_the_one_before() {
    let authority = Authority::new();
    for (count, calls) in [(0, 1), (7, 1), (10, 1), (11, 2), (40, 4), (55, 6)] {
        let node = Node::start(&authority, "central-1", move |_, _| Reply::Versions(count)).await;
        let client = client(&authority, &[&node]);
        let read = client.history(GetHistoryRequest::default()).await.unwrap();
        let versions: Vec<u32> = read.answer.versions.iter().map(|one| one.version).collect();
        assert_eq!(versions, (1..=count).collect::<Vec<_>>());
        assert!(!read.answer.more);
        assert_eq!(read.answer.as_of.unwrap().position, calls as u64);
        assert_eq!((node.seen().len(), read.stats.tries), (calls, calls as u32));
    }
}

#[tokio::test]
async fn persons_past_the_room_of_one_answer_are_asked_for_again_and_not_older() {
    let authority = Authority::new();
    let pins: Vec<String> = (0..25).map(|number| format!("{number:012}")).collect();
    for (room, calls) in [(25, 1), (24, 2), (10, 3)] {
        let node = Node::start(&authority, "central-1", move |_, _| Reply::Persons(room)).await;
        let request = GetPersonsRequest {
            pins: pins.clone(),
            ..Default::default()
        };
        let read = client(&authority, &[&node])
            .get_persons(request)
            .await
            .unwrap();
        let answers = read.answer.answers.into_iter();
        let found: Vec<String> = answers.map(|one| one.person.unwrap().pin).collect();
        assert_eq!(found, pins);
        assert!(!read.answer.more);
        assert_eq!(
            read.answer.as_of.unwrap().position,
            1,
            "of the first answer"
        );
        assert_eq!(node.seen().len(), calls);
    }
}

#[tokio::test]
async fn a_node_that_answers_to_no_number_is_not_asked_for_ever() {
    let authority = Authority::new();
    let node = Node::start(&authority, "central-1", |_, _| Reply::Persons(0)).await;
    let request = GetPersonsRequest {
        pins: vec!["040187000001".to_owned()],
        ..Default::default()
    };
    let read = client(&authority, &[&node])
        .get_persons(request)
        .await
        .unwrap();
    assert!(read.answer.answers.is_empty() && read.answer.more);
    assert_eq!(node.seen().len(), 1);
}

fn nghe_an() -> ScanPersonsRequest {
    ScanPersonsRequest {
        province: "40".to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_scan_stays_at_the_node_of_its_first_page_and_asks_again_for_a_page_that_got_lost() {
    let authority = Authority::new();
    let stale = |_, _| Reply::fail(ErrorDetail::new(Code::TooStale, "41 s behind"));
    let other = Node::start(&authority, "central-1", stale).await;
    let home = Node::start(&authority, "nghe-an-1", |call, _| match call {
        1 => Reply::fail(ErrorDetail::new(Code::Overloaded, "the queue is full")),
        2 => Reply::fail(ErrorDetail::new(Code::ShuttingDown, "the node is stopping")),
        _ => Reply::Pages(4),
    })
    .await;
    let mut scan = client(&authority, &[&other, &home]).scan_persons(nghe_an());
    let mut found = Vec::new();
    while let Some(page) = scan.next().await.unwrap() {
        assert_eq!(page.stats.endpoint, "nghe-an-1");
        found.extend(page.answer.persons.iter().map(|one| one.person_id));
    }
    assert_eq!(found, [0, 1, 2, 3]);
    assert!(scan.next().await.unwrap().is_none(), "it has ended");
    assert_eq!((other.seen().len(), home.seen().len()), (1, 6));
}

#[tokio::test]
async fn a_scan_that_its_node_no_longer_holds_is_refused_at_once() {
    let authority = Authority::new();
    let node = Node::start(&authority, "central-1", |call, _| match call {
        0 => Reply::Pages(2),
        _ => Reply::fail(ErrorDetail::new(Code::CursorExpired, "no such scan")),
    })
    .await;
    let mut scan = client(&authority, &[&node]).scan_persons_from("central-1", nghe_an());
    scan.next().await.unwrap();
    let error = scan.next().await.unwrap_err();
    let CallError::Refused { detail, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(detail.known_code(), Some(Code::CursorExpired));
    assert_eq!(node.seen().len(), 2);
}

#[tokio::test]
async fn a_history_goes_on_at_another_node_when_one_stops_in_between() {
    let authority = Authority::new();
    let stopping = Node::start(&authority, "central-1", |call, _| match call {
        0 => Reply::Versions(25),
        _ => Reply::fail(ErrorDetail::new(Code::ShuttingDown, "the node is stopping")),
    })
    .await;
    // It is asked from its second call on, as if it had served the first.
    let other = Node::start(&authority, "recovery-1", |call, _| match call {
        0 => Reply::fail(ErrorDetail::new(Code::Overloaded, "the queue is full")),
        _ => Reply::Versions(25),
    })
    .await;
    let client = client(&authority, &[&stopping, &other]);
    let read = client.history(GetHistoryRequest::default()).await.unwrap();
    assert_eq!(read.answer.versions.len(), 25);
    assert_eq!(read.stats.endpoint, "recovery-1");
}

#[tokio::test]
async fn a_pinned_read_stays_where_it_was_sent() {
    let authority = Authority::new();
    let other = Node::start(&authority, "central-1", |_, _| Reply::Accept).await;
    let busy = Node::start(&authority, "nghe-an-1", |call, _| match call {
        0 => Reply::fail(ErrorDetail::new(Code::Overloaded, "the queue is full")),
        _ => Reply::Accept,
    })
    .await;
    let client = client(&authority, &[&other, &busy]);
    let read = client
        .get_person_from("nghe-an-1", GetPersonRequest::default())
        .await
        .unwrap();
    assert_eq!(
        (read.stats.endpoint.as_str(), read.stats.tries),
        ("nghe-an-1", 2)
    );
    assert_eq!(other.seen().len(), 0);
    let error = client
        .get_person_from("hue-1", GetPersonRequest::default())
        .await
        .unwrap_err();
    assert!(
        matches!(error, CallError::UnknownEndpoint { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_question_about_a_node_is_never_sent_to_another() {
    let authority = Authority::new();
    let other = Node::start(&authority, "central-1", |_, _| Reply::Accept).await;
    let url = other.url.clone();
    let asked = Node::start(&authority, "central-2", move |_, _| {
        Reply::fail(ErrorDetail::new(Code::NotLeader, "another leads").with_leader(&url))
    })
    .await;
    let client = client(&authority, &[&other, &asked]);
    let error = client.status("central-2").await.unwrap_err();
    assert_eq!(error.code(), Some(Code::NotLeader));
    client.get_digest("central-2", 7).await.unwrap_err();
    assert_eq!((other.seen().len(), asked.seen().len()), (0, 2));
    client.start_digest("central-2").await.unwrap();
    client.transfer_leader("central-2", 0).await.unwrap();
    assert_eq!(other.seen().len(), 2);
}

#[tokio::test]
async fn a_question_to_a_node_that_is_down_ends_at_once() {
    let authority = Authority::new();
    let down = vec![(String::from("central-1"), nowhere())];
    let client =
        Client::with_options(context_of(&authority, down, None), Options::default()).unwrap();
    let begun = Instant::now();
    let error = client.status("central-1").await.unwrap_err();
    assert!(matches!(error, CallError::Unavailable { .. }), "{error}");
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}
