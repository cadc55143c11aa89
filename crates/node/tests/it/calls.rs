//! The stream of calls: answers by id, each call with its own rights, end and time.

use std::collections::BTreeMap;

use banyan_wire::errors::Code;
use banyan_wire::v1::call::Method;
use banyan_wire::v1::call_answer::Answer;
use banyan_wire::v1::get_person_request::Number;
use banyan_wire::v1::registry_client::RegistryClient;
use banyan_wire::v1::{Call, CallAnswer, FindPersonsRequest, GetPersonRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code as Grpc, Streaming};

use super::cluster::{PATIENCE, TestCluster};
use super::people::{self, HA_NOI, NGHE_AN};

async fn open(
    mut registry: RegistryClient<Channel>,
) -> (mpsc::Sender<Call>, Streaming<CallAnswer>) {
    let (calls, outgoing) = mpsc::channel(512);
    let answers = registry.calls(ReceiverStream::new(outgoing)).await.unwrap();
    (calls, answers.into_inner())
}

async fn answer(answers: &mut Streaming<CallAnswer>) -> (u64, Answer) {
    let next = tokio::time::timeout(PATIENCE, answers.message()).await;
    let next = next.expect("an answer in time").unwrap().unwrap();
    (next.id, next.answer.unwrap())
}

fn call(id: u64, method: Method) -> Call {
    Call {
        id,
        timeout_ms: 10_000,
        method: Some(method),
    }
}

fn by_pin(pin: &str) -> Method {
    Method::GetPerson(GetPersonRequest {
        number: Some(Number::Pin(pin.to_owned())),
        purpose: "counter".to_owned(),
        ..GetPersonRequest::default()
    })
}

fn code(answer: &Answer) -> Option<Code> {
    match answer {
        Answer::Error(detail) => detail.known_code(),
        _ => None,
    }
}

#[test]
fn writes_and_reads_share_a_stream_and_a_bad_call_stays_alone() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        let (calls, mut answers) = open(cluster.centre(0).await).await;
        for id in 1..=300 {
            let command = people::register(id, HA_NOI);
            let submit = Method::Submit(people::submission(id, command));
            calls.send(call(id, submit)).await.unwrap();
        }
        // In between: a number that is none, and a call without a method.
        calls.send(call(1_001, by_pin("12"))).await.unwrap();
        let empty = Call {
            id: 1_002,
            ..Call::default()
        };
        calls.send(empty).await.unwrap();
        let mut found = BTreeMap::new();
        for _ in 0..302 {
            let (id, answer) = answer(&mut answers).await;
            assert!(
                found.insert(id, answer).is_none(),
                "{id} was answered twice"
            );
        }
        assert_eq!(code(&found[&1_001]), Some(Code::InvalidFields));
        assert_eq!(code(&found[&1_002]), Some(Code::MethodUnknown));
        let accepted = found.values().filter(|answer| match answer {
            Answer::Submit(submit) => submit.outcome.as_ref().is_some_and(|o| o.result.is_some()),
            _ => false,
        });
        assert_eq!(accepted.count(), 300);

        // The client closes its side: what is under way is answered, then the stream ends.
        calls.send(call(2_000, by_pin("12"))).await.unwrap();
        drop(calls);
        assert_eq!(answer(&mut answers).await.0, 2_000);
        assert!(answers.message().await.unwrap().is_none());
    });
}

#[test]
fn each_call_is_judged_by_itself_and_counted_under_its_method() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        // An operator reads no persons: not even the stream is opened.
        let operator = cluster.pki.operator();
        let mut registry = RegistryClient::new(cluster.channel(0, operator).await);
        let (_calls, outgoing) = mpsc::channel(1);
        let refused = registry.calls(ReceiverStream::new(outgoing)).await;
        assert_eq!(refused.unwrap_err().code(), Grpc::PermissionDenied);

        // A registrar opens it, and may still not register in another province.
        let registrar = cluster.pki.registrar("registrar@nghe-an", NGHE_AN);
        let registry = RegistryClient::new(cluster.channel(0, registrar).await);
        let (calls, mut answers) = open(registry).await;
        let elsewhere = people::submission(1, people::birth(1, HA_NOI));
        calls
            .send(call(1, Method::Submit(elsewhere)))
            .await
            .unwrap();
        let at_home = people::submission(2, people::birth(2, NGHE_AN));
        calls.send(call(2, Method::Submit(at_home))).await.unwrap();
        let empty = Method::FindPersons(FindPersonsRequest::default());
        calls.send(call(3, empty)).await.unwrap();
        let mut found = BTreeMap::new();
        for _ in 0..3 {
            let (id, answer) = answer(&mut answers).await;
            found.insert(id, answer);
        }
        assert_eq!(code(&found[&1]), Some(Code::NotAuthorised));
        assert!(matches!(found[&2], Answer::Submit(_)));
        assert_eq!(code(&found[&3]), Some(Code::QueryIncomplete));
    });
}

#[test]
fn a_node_that_stops_answers_what_it_took_and_ends_the_stream() {
    let mut cluster = TestCluster::start(1);
    let (calls, mut answers) = cluster.run(async { open(cluster.centre(0).await).await });
    cluster.run(async {
        let submit = Method::Submit(people::submission(1, people::register(1, HA_NOI)));
        calls.send(call(1, submit)).await.unwrap();
        assert!(matches!(answer(&mut answers).await, (1, Answer::Submit(_))));
    });
    let begun = std::time::Instant::now();
    cluster.stop(0);
    assert!(begun.elapsed() < PATIENCE, "the open stream held the stop");
    // Ended, or cut with the connection, but not left hanging.
    let end = cluster.run(async { tokio::time::timeout(PATIENCE, answers.message()).await });
    assert!(!matches!(end.unwrap(), Ok(Some(_))));
}
