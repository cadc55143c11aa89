//! Scans: everyone of one state in the order of the numbers, whatever is written meanwhile; cursors and who may use them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use banyan_wire::cursor::Cursor;
use banyan_wire::errors::{self, Code};
use banyan_wire::v1::call::Method;
use banyan_wire::v1::call_answer::Answer;
use banyan_wire::v1::command::Kind;
use banyan_wire::v1::registry_client::RegistryClient;
use banyan_wire::v1::{
    BootstrapRequest, Call, Consistency, ErrorDetail, ScanPersonsRequest, ScanPersonsResponse,
};
use bytes::Bytes;
use tonic::Status;
use tonic::transport::Channel;

use super::certificates::{CLUSTER, Leaf, Signer};
use super::cluster::{PATIENCE, TestCluster};
use super::http_edge::get_tls;
use super::many::{accepted_pins, access_records};
use super::people::{self, HA_NOI, NGHE_AN};

fn of(province: &str, page_size: u32) -> ScanPersonsRequest {
    ScanPersonsRequest {
        province: province.to_owned(),
        page_size,
        purpose: "count".to_owned(),
        ..ScanPersonsRequest::default()
    }
}

fn next(cursor: &Bytes) -> ScanPersonsRequest {
    ScanPersonsRequest {
        cursor: cursor.clone(),
        ..ScanPersonsRequest::default()
    }
}

async fn page(
    registry: &mut RegistryClient<Channel>,
    request: ScanPersonsRequest,
) -> ScanPersonsResponse {
    registry.scan_persons(request).await.unwrap().into_inner()
}

async fn refused(
    registry: &mut RegistryClient<Channel>,
    request: ScanPersonsRequest,
) -> ErrorDetail {
    detail(&registry.scan_persons(request).await.unwrap_err())
}

fn detail(status: &Status) -> ErrorDetail {
    errors::from_status(status).unwrap()
}

fn pins(page: &ScanPersonsResponse) -> Vec<String> {
    page.persons.iter().map(|one| one.pin.clone()).collect()
}

/// All pages of a scan, from its first request on.
async fn pages(
    registry: &mut RegistryClient<Channel>,
    first: ScanPersonsRequest,
) -> Vec<ScanPersonsResponse> {
    let mut pages = vec![page(registry, first).await];
    while let Some(cursor) = pages.last().map(|page| page.cursor.clone())
        && !cursor.is_empty()
    {
        pages.push(page(registry, next(&cursor)).await);
    }
    pages
}

async fn everyone(
    registry: &mut RegistryClient<Channel>,
    first: ScanPersonsRequest,
) -> Vec<String> {
    pages(registry, first).await.iter().flat_map(pins).collect()
}

#[test]
fn a_scan_sees_exactly_the_persons_of_its_position_while_births_go_on() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        let mut registry = cluster.centre(0).await;
        let births = |first: u64, count: u64| {
            (first..first + count).map(|number| {
                let province = if number.is_multiple_of(2) {
                    HA_NOI
                } else {
                    NGHE_AN
                };
                people::birth(number, province)
            })
        };
        let before = accepted_pins(&mut registry, 1, births(1, 300)).await;
        let before: BTreeSet<String> = before.into_iter().collect();

        let mut pages = vec![page(&mut registry, of("", 7)).await];
        let mut born = 300;
        loop {
            // Numbers are drawn at random: many of the new ones lie ahead of the scan.
            let more = accepted_pins(&mut registry, born + 1, births(born + 1, 10)).await;
            born += more.len() as u64;
            let cursor = pages.last().unwrap().cursor.clone();
            if cursor.is_empty() {
                break;
            }
            let came = page(&mut registry, next(&cursor)).await;
            // As if the answer had got lost.
            let again = page(&mut registry, next(&cursor)).await;
            assert_eq!(pins(&again), pins(&came));
            assert_eq!(again.cursor, came.cursor);
            pages.push(came);
        }
        let found: Vec<String> = pages.iter().flat_map(pins).collect();
        assert_eq!(found, before.into_iter().collect::<Vec<_>>());
        assert_eq!(pages.len(), 300_usize.div_ceil(7));
        let first = pages[0].as_of.clone().unwrap();
        let mut staleness = first.staleness_ms;
        for one in &pages {
            let as_of = one.as_of.as_ref().unwrap();
            assert_eq!(
                (as_of.position, &as_of.token),
                (first.position, &first.token)
            );
            assert!(as_of.staleness_ms >= staleness, "an old state grew younger");
            staleness = as_of.staleness_ms;
        }

        let all = everyone(&mut registry, of("", 1_000)).await;
        assert_eq!(all.len() as u64, born);
        assert!(all.is_sorted());
        let here = everyone(&mut registry, of(NGHE_AN, 0)).await;
        assert_eq!(here.len() as u64, born / 2);
        assert!(here.iter().all(|pin| pin.starts_with("040")));
        assert!(everyone(&mut registry, of("96", 0)).await.is_empty());
    });
}

#[test]
fn each_page_has_an_access_record_that_names_everyone_on_it() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        let mut registry = cluster.centre(0).await;
        let commands = (1..=25).map(|number| people::birth(number, HA_NOI));
        accepted_pins(&mut registry, 1, commands).await;
        let mut cursor = Bytes::new();
        for (number, count) in [10, 10, 5].into_iter().enumerate() {
            let request = if cursor.is_empty() {
                of(HA_NOI, 10)
            } else {
                next(&cursor)
            };
            let came = page(&mut registry, request).await;
            let shown: Vec<u64> = came.persons.iter().map(|one| one.person_id).collect();
            assert_eq!(shown.len(), count);
            let records = access_records(&cluster);
            assert_eq!(records.len(), number + 1);
            let record = records.last().unwrap();
            assert_eq!(record.person_ids, shown);
            assert_eq!(
                (record.method.as_str(), record.purpose.as_str()),
                ("ScanPersons", "count")
            );
            assert_eq!(record.position, came.as_of.unwrap().position);
            cursor = came.cursor;
        }
        assert!(cursor.is_empty());
    });
}

#[test]
fn registrars_scan_their_own_province_and_see_nobody_from_elsewhere() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        let mut centre = cluster.centre(0).await;
        let here = accepted_pins(&mut centre, 1, [people::register(1, NGHE_AN)]).await;
        accepted_pins(&mut centre, 2, [people::register(2, HA_NOI)]).await;
        // A number of Nghe An whose holder has nothing to do with it any more; the centre may enter that.
        let mut elsewhere = people::register(3, HA_NOI);
        if let Some(Kind::RegisterPerson(form)) = &mut elsewhere.kind {
            form.pin = "040190000001".to_owned();
        }
        let gone = accepted_pins(&mut centre, 3, [elsewhere]).await;
        let mut both = [here.clone(), gone].concat();
        both.sort();
        assert_eq!(everyone(&mut centre, of(NGHE_AN, 0)).await, both);

        let registrar = cluster.pki.registrar("registrar@nghe-an", NGHE_AN);
        let mut registrar = cluster.registry(0, registrar).await;
        let found = pages(&mut registrar, of(NGHE_AN, 1)).await;
        assert_eq!(found.iter().flat_map(pins).collect::<Vec<_>>(), here);
        assert_eq!(found.len(), 2, "a page goes through numbers, not persons");
        assert!(
            found
                .iter()
                .flat_map(|page| &page.persons)
                .all(|one| one.withheld.is_empty())
        );

        let vinh = cluster.pki.registrar("registrar@vinh", "412");
        let vinh = cluster.registry(0, vinh).await;
        let operator = cluster.registry(0, cluster.pki.operator()).await;
        for (who, province) in [
            (&registrar, HA_NOI),
            (&registrar, ""),
            (&vinh, NGHE_AN),
            (&operator, NGHE_AN),
        ] {
            let detail = refused(&mut who.clone(), of(province, 0)).await;
            assert_eq!(detail.known_code(), Some(Code::NotAuthorised), "{province}");
        }
    });
}

/// A cluster with a few births, and the cursor of the centre's scan of them.
fn with_scan(cluster: &TestCluster) -> Bytes {
    cluster.run(async {
        let mut registry = cluster.centre(0).await;
        let commands = (1..=5).map(|number| people::birth(number, NGHE_AN));
        accepted_pins(&mut registry, 1, commands).await;
        page(&mut registry, of(NGHE_AN, 2)).await.cursor
    })
}

#[test]
fn a_cursor_is_good_for_its_principal_at_its_node() {
    let mut cluster = TestCluster::start(1);
    let cursor = with_scan(&cluster);
    cluster.run(async {
        let mut centre = cluster.centre(0).await;
        let registrar = cluster.pki.registrar("registrar@nghe-an", NGHE_AN);
        let mut registrar = cluster.registry(0, registrar).await;
        let detail = refused(&mut registrar, next(&cursor)).await;
        assert_eq!(detail.known_code(), Some(Code::CursorExpired));

        let known = Cursor::decode(&cursor).unwrap();
        let mut guessed = known;
        guessed.scan.0[0] ^= 1;
        for wrong in [
            Cursor {
                node: banyan_domain::NodeId(2),
                ..known
            },
            Cursor { page: 2, ..known },
            guessed,
        ] {
            let detail = refused(&mut centre, next(&wrong.encode())).await;
            assert_eq!(detail.known_code(), Some(Code::CursorExpired), "{wrong:?}");
        }
        // What is not a cursor, and what would be ignored beside one, are told together.
        let request = ScanPersonsRequest {
            cursor: Bytes::from_static(b"?"),
            consistency: Some(Consistency::default()),
            ..of("7", 1_001)
        };
        let detail = refused(&mut centre, request).await;
        assert_eq!(detail.known_code(), Some(Code::InvalidFields));
        let fields: Vec<&str> = detail.faults.iter().map(|one| one.field.as_str()).collect();
        let all = ["cursor", "province", "page_size", "consistency", "purpose"];
        assert_eq!(fields, all);
        let detail = refused(&mut centre, of("97", 1_001)).await;
        let fields: Vec<&str> = detail.faults.iter().map(|one| one.field.as_str()).collect();
        assert_eq!(fields, ["province", "page_size"]);

        // Nothing of this has moved the scan.
        assert_eq!(page(&mut centre, next(&cursor)).await.persons.len(), 2);
    });

    cluster.stop(0);
    cluster.restart(0);
    cluster.wait_until(0, "a leader is known", |status| status.leader_id != 0);
    cluster.run(async {
        let detail = refused(&mut cluster.centre(0).await, next(&cursor)).await;
        assert_eq!(
            detail.known_code(),
            Some(Code::CursorExpired),
            "after a restart"
        );
    });
}

#[test]
fn a_scan_that_nobody_goes_on_with_is_let_go() {
    let cluster = TestCluster::start_unformed(1, "[limits]\nscan_idle_max = \"300ms\"");
    cluster.run(async {
        let mut admin = cluster.admin(0).await;
        admin.bootstrap(BootstrapRequest {}).await.unwrap();
    });
    cluster.wait_until(0, "a leader is known", |status| status.leader_id != 0);
    let cursor = with_scan(&cluster);
    let operator = format!("banyan://{CLUSTER}/operator/operator@central");
    cluster.run(async {
        // Without a request: the node lets go by itself.
        let begun = Instant::now();
        loop {
            let leaf = Leaf::new(&[&operator], Signer::Operator);
            let scrape = get_tls(&cluster, Some(leaf), "/metrics").await;
            if scrape.contains("banyan_scans_held 0") {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "the scan is still held");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut centre = cluster.centre(0).await;
        let detail = refused(&mut centre, next(&cursor)).await;
        assert_eq!(detail.known_code(), Some(Code::CursorExpired));
    });
}

#[test]
fn scans_of_a_principal_are_bounded() {
    let cluster = TestCluster::start(1);
    with_scan(&cluster);
    cluster.run(async {
        let mut centre = cluster.centre(0).await;
        for _ in 0..3 {
            page(&mut centre, of(NGHE_AN, 2)).await;
        }
        let detail = refused(&mut centre, of(NGHE_AN, 2)).await;
        assert_eq!(detail.known_code(), Some(Code::Overloaded));
        assert!(detail.retry_after_ms > 0);
        // Others are not concerned.
        let registrar = cluster.pki.registrar("registrar@nghe-an", NGHE_AN);
        let mut registrar = cluster.registry(0, registrar).await;
        assert_eq!(everyone(&mut registrar, of(NGHE_AN, 2)).await.len(), 5);
    });
}

#[test]
fn the_stream_of_calls_carries_scans_and_many_look_ups() {
    let cluster = TestCluster::start(1);
    let cursor = with_scan(&cluster);
    cluster.run(async {
        let mut registry = cluster.centre(0).await;
        let pins = everyone(&mut registry, of(NGHE_AN, 0)).await;
        let many = banyan_wire::v1::GetPersonsRequest {
            pins: pins.clone(),
            ..Default::default()
        };
        let methods = [Method::ScanPersons(next(&cursor)), Method::GetPersons(many)];
        let calls = (1..).zip(methods).map(|(id, method)| Call {
            id,
            timeout_ms: 10_000,
            method: Some(method),
        });
        let outgoing = tokio_stream::iter(calls.collect::<Vec<_>>());
        let mut answers = registry.calls(outgoing).await.unwrap().into_inner();
        let mut seen = BTreeSet::new();
        while let Some(answer) = answers.message().await.unwrap() {
            match answer.answer.unwrap() {
                Answer::ScanPersons(page) => assert_eq!(self::pins(&page), &pins[2..4]),
                Answer::GetPersons(many) => assert_eq!(many.answers.len(), pins.len()),
                other => panic!("{other:?}"),
            }
            seen.insert(answer.id);
        }
        assert_eq!(seen, BTreeSet::from([1, 2]));
    });
}
