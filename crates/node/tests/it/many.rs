//! Many persons by number: one state, the order asked for, the rights of each single read, one access record.

use banyan_wire::errors::{self, Code};
use banyan_wire::internal_v1::StoredAccess;
use banyan_wire::v1::batch_answer::Answer;
use banyan_wire::v1::outcome::Result as OutcomeResult;
use banyan_wire::v1::registry_client::RegistryClient;
use banyan_wire::v1::{
    Command, GetPersonsRequest, GetPersonsResponse, ScanPersonsRequest, SubmitBatchRequest,
    SubmitRequest,
};
use prost::Message as _;
use tonic::transport::Channel;

use super::cluster::TestCluster;
use super::people::{self, HA_NOI, NGHE_AN};

/// Submits commands in one batch, with keys from this number on. The numbers of the persons, in order.
pub(crate) async fn accepted_pins(
    registry: &mut RegistryClient<Channel>,
    key: u64,
    commands: impl IntoIterator<Item = Command>,
) -> Vec<String> {
    let submissions = commands.into_iter().zip(key..);
    let submissions: Vec<SubmitRequest> = submissions
        .map(|(command, key)| people::submission(key, command))
        .collect();
    let batch = SubmitBatchRequest {
        submissions,
        hint_leader: false,
    };
    let answers = registry.submit_batch(batch).await.unwrap().into_inner();
    let pins = answers.answers.into_iter().map(|one| match one.answer {
        Some(Answer::Outcome(outcome)) => match outcome.result {
            Some(OutcomeResult::Accepted(accepted)) => accepted.pin,
            other => panic!("not accepted: {other:?}"),
        },
        other => panic!("no outcome: {other:?}"),
    });
    pins.collect()
}

fn asking(pins: &[String]) -> GetPersonsRequest {
    GetPersonsRequest {
        pins: pins.to_vec(),
        purpose: "counter".to_owned(),
        ..GetPersonsRequest::default()
    }
}

/// The numbers of the persons found, none where nobody was.
fn found(answer: &GetPersonsResponse) -> Vec<Option<&str>> {
    let persons = answer.answers.iter().map(|one| one.person.as_ref());
    persons
        .map(|person| person.map(|person| person.pin.as_str()))
        .collect()
}

/// Everything in the journal of the first node.
pub(crate) fn access_records(cluster: &TestCluster) -> Vec<StoredAccess> {
    let journal = &cluster.nodes[0].as_ref().unwrap().stores().journal;
    let records = journal.read_access(1, 10_000).unwrap().into_iter();
    records
        .map(|record| StoredAccess::decode(record.bytes).unwrap())
        .collect()
}

#[test]
fn persons_come_in_the_order_asked_for_and_absent_ones_are_said_to_be() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        let mut registry = cluster.centre(0).await;
        let commands = (1..=900).map(|number| people::birth(number, HA_NOI));
        let known = accepted_pins(&mut registry, 1, commands).await;
        // A hundred numbers that nobody has, in between: of a year in which nobody was born.
        let mut asked: Vec<String> = known.iter().rev().cloned().collect();
        for place in 0..100 {
            asked.insert(place * 10, format!("001150{place:06}"));
        }
        let answer = registry.get_persons(asking(&asked)).await.unwrap();
        let answer = answer.into_inner();
        let expected = asked
            .iter()
            .map(|pin| known.contains(pin).then_some(pin.as_str()));
        assert_eq!(found(&answer), expected.collect::<Vec<_>>());
        assert!(!answer.more);
        assert!(answer.as_of.unwrap().position > 0);

        // One access record for all of them, on disk before the answer: who was shown, and how many were asked for.
        let records = access_records(&cluster);
        assert_eq!(records.len(), 1);
        let shown: Vec<u64> = answer
            .answers
            .iter()
            .filter_map(|one| Some(one.person.as_ref()?.person_id))
            .collect();
        assert_eq!(records[0].person_ids, shown);
        assert_eq!((shown.len(), records[0].asked), (900, 1_000));
        assert_eq!(records[0].method, "GetPersons");
        assert_eq!(records[0].purpose, "counter");
        assert_eq!(records[0].principal, "centre@central");

        // Nobody at all: asked is recorded, too.
        let nobody = asking(&asked[..1]);
        registry.get_persons(nobody).await.unwrap();
        let records = access_records(&cluster);
        assert_eq!((records.len(), records[1].asked), (2, 1));
        assert!(records[1].person_ids.is_empty());
    });
}

#[test]
fn each_person_is_shown_as_a_single_read_would_show_it() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        let mut centre = cluster.centre(0).await;
        let commands = [people::register(1, NGHE_AN), people::register(2, HA_NOI)];
        let pins = accepted_pins(&mut centre, 1, commands).await;
        let registrar = cluster.pki.registrar("registrar@nghe-an", NGHE_AN);
        let mut registrar = cluster.registry(0, registrar).await;
        let answer = registrar.get_persons(asking(&pins)).await.unwrap();
        let answers = answer.into_inner().answers.into_iter();
        let persons: Vec<_> = answers.map(|one| one.person.unwrap()).collect();
        assert!(persons[0].withheld.is_empty());
        let near = persons[0].data.as_ref().unwrap();
        assert!(near.permanent_residence.is_some());
        let far = persons[1].data.as_ref().unwrap();
        assert_eq!(far.name, Some(people::name(2)));
        assert!(far.permanent_residence.is_none() && persons[1].provenance.is_none());
        assert!(
            persons[1]
                .withheld
                .contains(&"permanent_residence".to_owned())
        );

        let mut operator = cluster.registry(0, cluster.pki.operator()).await;
        let status = operator.get_persons(asking(&pins)).await.unwrap_err();
        let detail = errors::from_status(&status).unwrap();
        assert_eq!(detail.known_code(), Some(Code::NotAuthorised));
    });
}

#[test]
fn numbers_at_fault_are_told_together_and_the_bound_is_told() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        let mut registry = cluster.centre(0).await;
        let pin = "001187000001".to_owned();
        let refused = async |registry: &mut RegistryClient<Channel>, pins: &[String]| {
            let status = registry.get_persons(asking(pins)).await.unwrap_err();
            errors::from_status(&status).unwrap()
        };
        let wrong = [pin.clone(), "12".to_owned(), pin.clone(), "x".repeat(12)];
        let detail = refused(&mut registry, &wrong).await;
        assert_eq!(detail.known_code(), Some(Code::InvalidFields));
        let fields: Vec<&str> = detail.faults.iter().map(|one| one.field.as_str()).collect();
        assert_eq!(fields, ["pins[1]", "pins[2]", "pins[3]"]);
        assert!(!format!("{detail:?}").contains(&pin));

        // As many faults as there can be still fit into the headers that a status travels in.
        let detail = refused(&mut registry, &vec!["x".repeat(12); 1_000]).await;
        assert_eq!(detail.known_code(), Some(Code::InvalidFields));
        assert!(detail.faults.last().unwrap().message.contains("960"));

        let detail = refused(&mut registry, &[]).await;
        assert_eq!(detail.known_code(), Some(Code::InvalidFields));
        let many: Vec<String> = (0..1_001)
            .map(|serial| format!("001187{serial:06}"))
            .collect();
        let detail = refused(&mut registry, &many).await;
        assert_eq!(detail.known_code(), Some(Code::MessageTooLarge));
        assert!(detail.message.contains("1000"), "{}", detail.message);
        assert!(access_records(&cluster).is_empty());
    });
}

#[test]
fn records_past_the_room_of_one_answer_are_left_for_the_next() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        let mut registry = cluster.centre(0).await;
        // Some 15 KiB each: 300 of them are past the largest message.
        let large = |number| {
            let mut command = people::register(number, HA_NOI);
            if let Some(banyan_wire::v1::command::Kind::RegisterPerson(form)) = &mut command.kind {
                form.data.as_mut().unwrap().household = Some(people::household(50));
            }
            command
        };
        let mut pins = Vec::new();
        for first in [1, 101, 201] {
            let commands = (first..first + 100).map(large);
            pins.extend(accepted_pins(&mut registry, first, commands).await);
        }
        let mut rest = &pins[..];
        let mut asked = Vec::new();
        loop {
            let answer = registry.get_persons(asking(rest)).await.unwrap();
            let answer = answer.into_inner();
            assert!(answer.encoded_len() <= 4 << 20);
            let (answered, later) = rest.split_at(answer.answers.len());
            let expected: Vec<_> = answered.iter().map(|pin| Some(pin.as_str())).collect();
            assert_eq!(found(&answer), expected);
            asked.push(u32::try_from(answered.len()).unwrap());
            rest = later;
            assert_eq!(answer.more, !rest.is_empty());
            if rest.is_empty() {
                break;
            }
        }
        assert_eq!(asked.len(), 2, "{asked:?}");
        // Only what was answered counts as asked for; the rest is asked for again.
        let records = access_records(&cluster);
        let recorded: Vec<u32> = records.iter().map(|record| record.asked).collect();
        assert_eq!(recorded, asked);

        // Neither does a page of a scan grow past the bound.
        let mut request = ScanPersonsRequest {
            page_size: 1_000,
            ..ScanPersonsRequest::default()
        };
        let mut scanned = Vec::new();
        loop {
            let page = registry.scan_persons(request).await.unwrap().into_inner();
            assert!(page.encoded_len() <= 4 << 20);
            scanned.extend(page.persons.into_iter().map(|person| person.pin));
            if page.cursor.is_empty() {
                break;
            }
            request = ScanPersonsRequest {
                cursor: page.cursor,
                ..ScanPersonsRequest::default()
            };
        }
        pins.sort();
        assert_eq!(scanned, pins);
    });
}
