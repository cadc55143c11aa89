//! Reads: local, with `as_of`, with withheld fields, refused levels, and an access record for each.

use banyan_wire::errors::{self, Code};
use banyan_wire::internal_v1::StoredAccess;
use banyan_wire::v1::get_person_request::Number;
use banyan_wire::v1::outcome::Result as OutcomeResult;
use banyan_wire::v1::registry_client::RegistryClient;
use banyan_wire::v1::{
    BootstrapRequest, Command, FindPersonsRequest, GetHistoryRequest, GetPersonRequest,
};
use prost::Message as _;
use tonic::transport::Channel;

use super::cluster::TestCluster;
use super::people::{self, HA_NOI, NGHE_AN};

async fn accepted_pin(
    registry: &mut RegistryClient<Channel>,
    key: u64,
    command: Command,
) -> (String, u64) {
    let answer = registry
        .submit(people::submission(key, command))
        .await
        .expect("an outcome");
    let outcome = answer.into_inner().outcome.expect("an outcome");
    match outcome.result {
        Some(OutcomeResult::Accepted(accepted)) => (accepted.pin, outcome.position),
        other => panic!("not accepted: {other:?}"),
    }
}

fn by_pin(pin: &str) -> GetPersonRequest {
    GetPersonRequest {
        number: Some(Number::Pin(pin.to_owned())),
        purpose: "counter".to_owned(),
        ..GetPersonRequest::default()
    }
}

#[test]
fn a_read_by_pin_answers_with_as_of_and_the_whole_record() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        let mut registry = cluster.centre(0).await;
        let (pin, position) = accepted_pin(&mut registry, 1, people::register(1, HA_NOI)).await;
        let answer = registry
            .get_person(by_pin(&pin))
            .await
            .unwrap()
            .into_inner();
        let person = answer.person.unwrap();
        assert_eq!((person.pin.as_str(), person.version), (pin.as_str(), 1));
        assert_eq!(person.data.unwrap().name, Some(people::name(1)));
        assert!(person.withheld.is_empty());
        let as_of = answer.as_of.unwrap();
        assert!(as_of.position >= position && as_of.commit_time_ms > 0);
        assert_eq!(
            (as_of.node_id, as_of.node.as_str(), as_of.site.as_str()),
            (1, "central-1", "central")
        );

        // A number that nobody has: an answer without a person, as of the same state.
        let other = if pin.ends_with('0') {
            format!("{}1", &pin[..11])
        } else {
            format!("{}0", &pin[..11])
        };
        let answer = registry
            .get_person(by_pin(&other))
            .await
            .unwrap()
            .into_inner();
        assert!(answer.person.is_none() && answer.as_of.is_some());
    });
}

#[test]
fn a_registrar_reads_its_own_area_whole_and_others_by_identity_only() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        let mut centre = cluster.centre(0).await;
        let (near, _) = accepted_pin(&mut centre, 1, people::register(1, NGHE_AN)).await;
        let (far, _) = accepted_pin(&mut centre, 2, people::register(2, HA_NOI)).await;
        let registrar = cluster.pki.registrar("registrar@nghe-an", NGHE_AN);
        let mut registrar = cluster.registry(0, registrar).await;
        let whole = registrar
            .get_person(by_pin(&near))
            .await
            .unwrap()
            .into_inner()
            .person
            .unwrap();
        assert!(whole.withheld.is_empty());
        assert!(whole.data.unwrap().permanent_residence.is_some());
        let part = registrar
            .get_person(by_pin(&far))
            .await
            .unwrap()
            .into_inner()
            .person
            .unwrap();
        let data = part.data.unwrap();
        assert_eq!(data.name, Some(people::name(2)));
        assert!(data.birth_date.is_some());
        assert!(data.permanent_residence.is_none() && data.native_place.is_none());
        assert!(
            part.withheld
                .iter()
                .any(|field| field == "permanent_residence"),
            "{:?}",
            part.withheld
        );
        assert!(
            part.provenance
                .is_none_or(|provenance| provenance.document.is_none())
        );

        let request = GetHistoryRequest {
            pin: far.clone(),
            ..Default::default()
        };
        for version in registrar
            .get_history(request)
            .await
            .unwrap()
            .into_inner()
            .versions
        {
            assert!(version.data.unwrap().permanent_residence.is_none());
        }
    });
}

#[test]
fn history_keeps_every_version_oldest_first() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        let mut registry = cluster.centre(0).await;
        let (pin, _) = accepted_pin(&mut registry, 1, people::register(1, HA_NOI)).await;
        let mut data = people::person(1, HA_NOI);
        data.religion = "01".to_owned();
        accepted_pin(&mut registry, 2, people::correct(1, &pin, 1, data)).await;
        let request = GetHistoryRequest {
            pin,
            purpose: "check".to_owned(),
            ..Default::default()
        };
        let history = registry.get_history(request).await.unwrap().into_inner();
        let versions: Vec<(u32, String)> = history
            .versions
            .into_iter()
            .map(|version| (version.version, version.data.unwrap().religion))
            .collect();
        assert_eq!(versions, [(1, "00".to_owned()), (2, "01".to_owned())]);
        assert!(history.as_of.is_some());
    });
}

/// A record with a history of this length, all but the first version by corrections. Its number.
async fn record_with_history(registry: &mut RegistryClient<Channel>, versions: u32) -> String {
    let (pin, _) = accepted_pin(registry, 1, people::register(1, HA_NOI)).await;
    for version in 1..versions {
        let mut data = people::person(1, HA_NOI);
        data.religion = format!("{:02}", version % 90);
        let number = u64::from(version) + 1;
        let command = people::correct(number, &pin, version, data);
        accepted_pin(registry, number, command).await;
    }
    pin
}

fn page_of(pin: &str, limit: u32, after_version: u32) -> GetHistoryRequest {
    GetHistoryRequest {
        pin: pin.to_owned(),
        limit,
        after_version,
        ..Default::default()
    }
}

#[test]
fn a_long_history_comes_in_pages() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        let mut registry = cluster.centre(0).await;
        let pin = record_with_history(&mut registry, 250).await;
        // limit, after: versions in the page, and whether there are more.
        let table = [
            (0, 0, 1..=100, true),
            (100, 100, 101..=200, true),
            (100, 200, 201..=250, false),
            (50, 200, 201..=250, false),
            (49, 200, 201..=249, true),
            (1, 0, 1..=1, true),
            (1, 249, 250..=250, false),
        ];
        for (limit, after, expected, more) in table {
            let page = registry.get_history(page_of(&pin, limit, after)).await;
            let page = page.unwrap().into_inner();
            let versions: Vec<u32> = page.versions.iter().map(|one| one.version).collect();
            assert_eq!(versions, expected.collect::<Vec<_>>());
            assert_eq!(page.more, more, "{limit} after {after}");
        }
        for after in [250, 251, u32::MAX] {
            let page = registry.get_history(page_of(&pin, 0, after)).await;
            let page = page.unwrap().into_inner();
            assert!(page.versions.is_empty() && !page.more && page.as_of.is_some());
        }
        let status = registry
            .get_history(page_of("12", 101, 0))
            .await
            .unwrap_err();
        let detail = errors::from_status(&status).unwrap();
        assert_eq!(detail.known_code(), Some(Code::InvalidFields));
        let fields: Vec<&str> = detail.faults.iter().map(|one| one.field.as_str()).collect();
        assert_eq!(fields, ["pin", "limit"]);
    });
}

#[test]
fn persons_are_found_by_number_name_and_birth_date_together() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        let mut registry = cluster.centre(0).await;
        let (pin, _) = accepted_pin(&mut registry, 1, people::register(1, HA_NOI)).await;
        // A namesake, born on the same day.
        accepted_pin(&mut registry, 2, {
            let mut command = people::register(2, NGHE_AN);
            if let Some(banyan_wire::v1::command::Kind::RegisterPerson(register)) =
                &mut command.kind
                && let Some(data) = &mut register.data
            {
                data.name = Some(people::name(1));
            }
            command
        })
        .await;
        let by_name = FindPersonsRequest {
            name: Some(people::name(1)),
            birth_date: Some(people::date(1990, 5, 17)),
            ..Default::default()
        };
        let found = registry
            .find_persons(by_name.clone())
            .await
            .unwrap()
            .into_inner();
        assert_eq!((found.persons.len(), found.more), (2, false));
        let first = FindPersonsRequest {
            limit: 1,
            ..by_name.clone()
        };
        let found = registry.find_persons(first).await.unwrap().into_inner();
        assert_eq!((found.persons.len(), found.more), (1, true));
        let all = FindPersonsRequest {
            pin: pin.clone(),
            ..by_name
        };
        let found = registry.find_persons(all).await.unwrap().into_inner();
        assert_eq!(found.persons.len(), 1);
        assert_eq!(found.persons[0].pin, pin);
        // The number is right, the name is not: nobody.
        let mismatch = FindPersonsRequest {
            pin,
            name: Some(people::name(3)),
            ..Default::default()
        };
        let found = registry.find_persons(mismatch).await.unwrap().into_inner();
        assert!(found.persons.is_empty());
    });
}

#[test]
fn a_follower_serves_local_reads() {
    let cluster = TestCluster::start(3);
    let leader = cluster.leader();
    let follower = (leader + 1) % 3;
    let (pin, position) = cluster.run(async {
        let mut registry = cluster.centre(leader).await;
        accepted_pin(&mut registry, 1, people::register(1, HA_NOI)).await
    });
    cluster.wait_until(follower, "the write is applied", |status| {
        status.applied_index >= position
    });
    cluster.run(async {
        let mut registry = cluster.centre(follower).await;
        let answer = registry
            .get_person(by_pin(&pin))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(answer.person.unwrap().pin, pin);
        assert_eq!(answer.as_of.unwrap().node_id, follower as u64 + 1);
    });
}

#[test]
fn every_read_leaves_an_access_record_before_its_answer() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        let mut centre = cluster.centre(0).await;
        let (pin, _) = accepted_pin(&mut centre, 1, people::register(1, NGHE_AN)).await;
        let registrar = cluster.pki.registrar("registrar@nghe-an", NGHE_AN);
        let mut registrar = cluster.registry(0, registrar).await;
        let person = registrar
            .get_person(by_pin(&pin))
            .await
            .unwrap()
            .into_inner()
            .person
            .unwrap();
        let nobody = FindPersonsRequest {
            pin: pin.clone(),
            name: Some(people::name(9)),
            ..Default::default()
        };
        registrar.find_persons(nobody).await.unwrap();
        let history = GetHistoryRequest {
            pin,
            ..Default::default()
        };
        centre.get_history(history).await.unwrap();

        let journal = &cluster.nodes[0].as_ref().unwrap().stores().journal;
        let records: Vec<StoredAccess> = journal
            .read_access(1, 10)
            .unwrap()
            .into_iter()
            .map(|record| StoredAccess::decode(record.bytes).unwrap())
            .collect();
        let expected = [
            (
                "GetPerson",
                "registrar@nghe-an",
                NGHE_AN,
                vec![person.person_id],
                "counter",
            ),
            ("FindPersons", "registrar@nghe-an", NGHE_AN, vec![], ""),
            (
                "GetHistory",
                "centre@central",
                "",
                vec![person.person_id],
                "",
            ),
        ];
        assert_eq!(records.len(), expected.len());
        for (record, (method, principal, area, persons, purpose)) in records.iter().zip(expected) {
            assert_eq!(record.method, method);
            assert_eq!(record.principal, principal);
            assert_eq!(record.area, area);
            assert_eq!(record.person_ids, persons);
            assert_eq!(record.purpose, purpose);
            assert!(record.time_ms > 0 && record.position > 0);
        }
    });
}

#[test]
fn a_full_journal_refuses_reads_and_nothing_else() {
    let cluster = TestCluster::start_unformed(1, "[storage]\njournal_max = \"64 MiB\"");
    cluster.run(async {
        let mut admin = cluster.admin(0).await;
        admin.bootstrap(BootstrapRequest {}).await.unwrap();
        let mut registry = cluster.centre(0).await;
        let (pin, _) = accepted_pin(&mut registry, 1, people::register(1, HA_NOI)).await;
        registry.get_person(by_pin(&pin)).await.unwrap();
        let stores = cluster.nodes[0].as_ref().unwrap().stores();
        let used = stores.journal.metrics().bytes as usize;
        let rest = vec![0; (64 << 20) - used - 1];
        stores.journal.append_access(rest).await.unwrap();

        let status = registry.get_person(by_pin(&pin)).await.unwrap_err();
        let detail = errors::from_status(&status).unwrap();
        assert_eq!(detail.known_code(), Some(Code::JournalFull));
        assert_eq!(status.code(), tonic::Code::Unavailable);
        assert!(stores.fault().get().is_none());
        accepted_pin(&mut registry, 2, people::register(2, HA_NOI)).await;
    });
}
