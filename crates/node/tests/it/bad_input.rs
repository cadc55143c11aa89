//! Bad input: each gets a clear error with the place and the reason, and the rest goes on.

use banyan_wire::errors::{self, Code};
use banyan_wire::v1::batch_answer::Answer;
use banyan_wire::v1::command::Kind;
use banyan_wire::v1::outcome::Result as OutcomeResult;
use banyan_wire::v1::{
    Command, ErrorDetail, FindPersonsRequest, GetPersonRequest, SubmitBatchRequest, SubmitRequest,
    get_person_request,
};
use tonic::Status;

use super::cluster::TestCluster;
use super::people::{self, HA_NOI, MARKER};

fn detail(status: &Status) -> ErrorDetail {
    errors::from_status(status).unwrap_or_else(|| panic!("a status without a detail: {status:?}"))
}

#[test]
fn all_field_faults_come_in_one_answer_with_their_places() {
    let cluster = TestCluster::start(1);
    let mut command = people::register(1, HA_NOI);
    let Some(Kind::RegisterPerson(register)) = &mut command.kind else {
        unreachable!()
    };
    let data = register.data.as_mut().unwrap();
    data.birth_date = Some(people::date(1990, 2, 30));
    data.sex = 9;
    data.nationalities = vec!["Vietnam".to_owned()];
    data.name.as_mut().unwrap().given = "x".repeat(500);
    register.pin = "12".to_owned();
    cluster.run(async {
        let mut registry = cluster.centre(0).await;
        let status = registry
            .submit(people::submission(1, command))
            .await
            .unwrap_err();
        let detail = detail(&status);
        assert_eq!(detail.known_code(), Some(Code::InvalidFields));
        let fields: Vec<&str> = detail
            .faults
            .iter()
            .map(|fault| fault.field.as_str())
            .collect();
        for expected in ["birth_date", "sex", "nationalities", "name", "pin"] {
            assert!(
                fields.iter().any(|field| field.contains(expected)),
                "{expected}: {fields:?}"
            );
        }
        assert!(
            !format!("{detail:?}").contains("1990"),
            "an error quotes personal data"
        );
    });
}

#[test]
fn a_write_needs_a_key_of_16_bytes_and_a_command() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        let mut registry = cluster.centre(0).await;
        for key in [vec![], vec![1; 15], vec![1; 17]] {
            let request = SubmitRequest {
                idempotency_key: key.into(),
                ..people::submission(1, people::birth(1, HA_NOI))
            };
            let status = registry.submit(request).await.unwrap_err();
            assert_eq!(
                detail(&status).known_code(),
                Some(Code::IdempotencyKeyInvalid)
            );
        }
        // A random UUID says no time.
        let mut random = people::key(1);
        random[6] = 0x4a;
        let request = SubmitRequest {
            idempotency_key: random.into(),
            ..people::submission(1, people::birth(1, HA_NOI))
        };
        let refused = detail(&registry.submit(request).await.unwrap_err());
        assert_eq!(refused.known_code(), Some(Code::IdempotencyKeyInvalid));
        assert_eq!(refused.faults[0].field, "idempotency_key");
        assert!(
            refused.faults[0]
                .message
                .contains("this one is of version 4"),
            "{refused:?}"
        );
        for command in [
            None,
            Some(Command {
                kind: None,
                ..people::birth(1, HA_NOI)
            }),
        ] {
            let request = SubmitRequest {
                command,
                ..people::submission(1, people::birth(1, HA_NOI))
            };
            let status = registry.submit(request).await.unwrap_err();
            assert_eq!(detail(&status).known_code(), Some(Code::CommandMissing));
        }
    });
}

#[test]
fn an_oversized_message_is_refused_with_the_bound_and_the_connection_goes_on() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        let mut registry = cluster.centre(0).await;
        let request = GetPersonRequest {
            purpose: MARKER.repeat(1 << 20),
            ..Default::default()
        };
        let status = registry.get_person(request).await.unwrap_err();
        let detail = detail(&status);
        assert_eq!(detail.known_code(), Some(Code::MessageTooLarge));
        assert!(detail.message.contains("4194304"), "{}", detail.message);
        registry
            .submit(people::submission(1, people::birth(1, HA_NOI)))
            .await
            .unwrap();
    });
}

#[test]
fn bytes_that_are_no_message_are_a_request_fault() {
    let cluster = TestCluster::start_unformed(1, "");
    cluster.run(async {
        let channel = cluster.channel(0, cluster.pki.centre()).await;
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.unwrap();
        // A string on the wire where the service expects a message in field 2.
        let codec = tonic_prost::ProstCodec::<String, ()>::default();
        let path = http::uri::PathAndQuery::from_static("/banyan.v1.Registry/Submit");
        let request = tonic::Request::new("\u{1}\u{2}\u{3}".repeat(40));
        let status = client.unary(request, path, codec).await.unwrap_err();
        let code = detail(&status).known_code();
        // Field 1 of `SubmitRequest` takes any bytes, so this one is refused for its key.
        assert!(
            matches!(
                code,
                Some(Code::InvalidFields | Code::IdempotencyKeyInvalid)
            ),
            "{status:?}"
        );
    });
}

#[test]
fn one_bad_command_of_a_batch_does_not_disturb_its_neighbours() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        let mut registry = cluster.centre(0).await;
        let mut bad = people::birth(2, HA_NOI);
        let Some(Kind::RegisterBirth(birth)) = &mut bad.kind else {
            unreachable!()
        };
        birth.birth_date = Some(people::date(2026, 13, 1));
        let submissions = vec![
            people::submission(1, people::birth(1, HA_NOI)),
            people::submission(2, bad),
            people::submission(3, people::birth(3, HA_NOI)),
            // The key of the first one again.
            people::submission(1, people::birth(4, HA_NOI)),
        ];
        let answers = registry
            .submit_batch(SubmitBatchRequest {
                submissions,
                ..SubmitBatchRequest::default()
            })
            .await
            .unwrap()
            .into_inner()
            .answers;
        assert_eq!(answers.len(), 4);
        for index in [0, 2] {
            let Some(Answer::Outcome(outcome)) = &answers[index].answer else {
                panic!("{:?}", answers[index]);
            };
            assert!(
                matches!(outcome.result, Some(OutcomeResult::Accepted(_))),
                "{outcome:?}"
            );
        }
        for (index, expected) in [(1, Code::InvalidFields), (3, Code::KeyTwiceInBatch)] {
            let Some(Answer::Error(error)) = &answers[index].answer else {
                panic!("{:?}", answers[index]);
            };
            assert_eq!(error.known_code(), Some(expected));
        }
    });
}

#[test]
fn a_batch_is_bounded() {
    let cluster = TestCluster::start_unformed(1, "");
    cluster.run(async {
        let mut registry = cluster.centre(0).await;
        for count in [0, 1001] {
            let submissions = vec![SubmitRequest::default(); count];
            let status = registry
                .submit_batch(SubmitBatchRequest {
                    submissions,
                    ..SubmitBatchRequest::default()
                })
                .await
                .unwrap_err();
            assert_eq!(
                detail(&status).known_code(),
                Some(Code::BatchSize),
                "{count}"
            );
        }
    });
}

#[test]
fn reads_without_anything_to_search_by_are_refused() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        let mut registry = cluster.centre(0).await;
        let status = registry
            .get_person(GetPersonRequest::default())
            .await
            .unwrap_err();
        assert_eq!(detail(&status).known_code(), Some(Code::QueryIncomplete));
        let request = GetPersonRequest {
            number: Some(get_person_request::Number::Pin("0123".to_owned())),
            ..Default::default()
        };
        let status = registry.get_person(request).await.unwrap_err();
        assert_eq!(detail(&status).known_code(), Some(Code::InvalidFields));
        let name_only = FindPersonsRequest {
            name: Some(people::name(1)),
            ..Default::default()
        };
        let status = registry.find_persons(name_only).await.unwrap_err();
        assert_eq!(detail(&status).known_code(), Some(Code::QueryIncomplete));
        let too_many = FindPersonsRequest {
            name: Some(people::name(1)),
            birth_date: Some(people::date(1990, 5, 17)),
            limit: 101,
            ..Default::default()
        };
        let status = registry.find_persons(too_many).await.unwrap_err();
        assert_eq!(detail(&status).known_code(), Some(Code::InvalidFields));
    });
}
