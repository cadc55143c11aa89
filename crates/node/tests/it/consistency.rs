//! How fresh reads are: every level at every kind of node, healthy, lagging, cut off and leaderless, with the exact answer.

use std::fmt;
use std::time::Duration;

use banyan_wire::errors::{self, Code};
use banyan_wire::token::Token;
use banyan_wire::v1::consistency::Level;
use banyan_wire::v1::get_person_request::Number;
use banyan_wire::v1::outcome::Result as Verdict;
use banyan_wire::v1::{
    Consistency, GetPersonRequest, GetPersonResponse, GetPersonsRequest, Linearizable, Local,
    ScanPersonsRequest, Session,
};
use bytes::Bytes;
use tonic::{Request, Status};

use super::cluster::{PATIENCE, TestCluster};
use super::people::{self, HA_NOI};
use Expected::{Found, Refused};

/// The bound that a healthy node meets, at barriers each 100 ms, and a node in trouble misses.
const BOUND: Duration = Duration::from_millis(500);
const DEADLINE: Duration = Duration::from_millis(1_500);
const LEARNER: usize = 3;

/// A write that was acknowledged: whom it made, and the token of the outcome.
#[derive(Clone)]
struct Written {
    pin: String,
    token: Bytes,
}

fn write(cluster: &TestCluster, node: usize, number: u64) -> Written {
    cluster.run(async {
        let mut registry = cluster.centre(node).await;
        let submission = people::submission(number, people::register(number, HA_NOI));
        let answer = registry.submit(submission).await.unwrap().into_inner();
        let outcome = answer.outcome.unwrap();
        match outcome.result {
            Some(Verdict::Accepted(accepted)) => Written {
                pin: accepted.pin,
                token: outcome.token,
            },
            other => panic!("not accepted: {other:?}"),
        }
    })
}

fn read(
    cluster: &TestCluster,
    node: usize,
    pin: &str,
    level: Level,
) -> Result<GetPersonResponse, Status> {
    cluster.run(async {
        let mut registry = cluster.centre(node).await;
        let mut request = Request::new(GetPersonRequest {
            number: Some(Number::Pin(pin.to_owned())),
            consistency: Some(Consistency {
                level: Some(level),
                forward: false,
            }),
            purpose: "test".to_owned(),
        });
        request.set_timeout(DEADLINE);
        let begun = tokio::time::Instant::now();
        let answer = registry.get_person(request).await;
        assert!(
            begun.elapsed() < DEADLINE + Duration::from_millis(500),
            "a hang"
        );
        answer.map(tonic::Response::into_inner)
    })
}

/// How the same read ends by the methods that read many, asked side by side.
fn read_many(
    cluster: &TestCluster,
    node: usize,
    pin: &str,
    level: Level,
) -> [(&'static str, Expected); 2] {
    let consistency = Some(Consistency {
        level: Some(level),
        forward: false,
    });
    let mut many = Request::new(GetPersonsRequest {
        pins: vec![pin.to_owned()],
        consistency: consistency.clone(),
        ..GetPersonsRequest::default()
    });
    many.set_timeout(DEADLINE);
    let mut scan = Request::new(ScanPersonsRequest {
        page_size: 1_000,
        consistency,
        ..ScanPersonsRequest::default()
    });
    scan.set_timeout(DEADLINE);
    cluster.run(async {
        let (mut first, mut second) = (cluster.centre(node).await, cluster.centre(node).await);
        let begun = tokio::time::Instant::now();
        let (many, scan) = tokio::join!(first.get_persons(many), second.scan_persons(scan));
        assert!(
            begun.elapsed() < DEADLINE + Duration::from_millis(500),
            "a hang"
        );
        let many = many.map(|answer| answer.into_inner().answers[0].person.is_some());
        let scan = scan.map(|answer| {
            let mut persons = answer.into_inner().persons.into_iter();
            persons.any(|person| person.pin == pin)
        });
        [("GetPersons", many), ("ScanPersons", scan)].map(|(method, found)| match found {
            Ok(found) => {
                assert!(found, "{method}: an answer without the person");
                (method, Found)
            }
            Err(status) => (method, refusal(&status)),
        })
    })
}

fn refusal(status: &Status) -> Expected {
    let detail = errors::from_status(status).expect("a detail");
    Refused(detail.known_code().expect("a code"))
}

fn local(bound: Option<Duration>) -> Level {
    let max_staleness_ms = bound.map_or(0, |bound| bound.as_millis() as u64);
    Level::Local(Local { max_staleness_ms })
}

fn session(token: &Bytes) -> Level {
    let token = token.clone();
    Level::Session(Session { token })
}

/// The token's history, another position.
fn moved(token: &Bytes, change: impl FnOnce(&mut Token)) -> Bytes {
    let mut token = Token::decode(token).unwrap();
    change(&mut token);
    token.encode()
}

/// What a read is to end with: the person, or a refusal with this code.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Found,
    Refused(Code),
}

impl fmt::Debug for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found => f.write_str("found"),
            Self::Refused(code) => f.write_str(code.row().name),
        }
    }
}

fn ended(answer: &Result<GetPersonResponse, Status>) -> Expected {
    match answer {
        Ok(response) => {
            assert!(response.person.is_some(), "an answer without the person");
            Found
        }
        Err(status) => refusal(status),
    }
}

/// One row of the table, the columns in the order of [`columns`].
type Row = [Expected; 7];

/// The reads of a row: of a person that this node has seen, but for the new token.
fn columns(seen: &Written, new: &Written) -> [(&'static str, String, Level); 7] {
    let ahead = moved(&new.token, |token| token.position.index += 1_000_000);
    let other = moved(&new.token, |token| token.cluster = "elsewhere".to_owned());
    let pin = || seen.pin.clone();
    [
        ("local", pin(), local(None)),
        ("local within the bound", pin(), local(Some(BOUND))),
        ("session, a token seen here", pin(), session(&seen.token)),
        (
            "session, a token not seen here",
            new.pin.clone(),
            session(&new.token),
        ),
        ("session, a token ahead of all", pin(), session(&ahead)),
        (
            "session, a token of another cluster",
            pin(),
            session(&other),
        ),
        ("linearizable", pin(), Level::Linearizable(Linearizable {})),
    ]
}

fn check_row(
    cluster: &TestCluster,
    node: usize,
    what: &str,
    seen: &Written,
    new: &Written,
    row: Row,
) {
    for ((column, pin, level), expected) in columns(seen, new).into_iter().zip(row) {
        let answer = read(cluster, node, &pin, level.clone());
        assert_eq!(ended(&answer), expected, "{what}, {column}: {answer:?}");
        for (method, ended) in read_many(cluster, node, &pin, level) {
            assert_eq!(ended, expected, "{what}, {column}, {method}");
        }
        if let Err(status) = &answer
            && expected == Refused(Code::TooStale)
        {
            let detail = errors::from_status(status).unwrap();
            assert!(detail.retry_after_ms > 0, "{what}, {column}: no hint");
        }
    }
}

/// Waits until the node has shown itself, by its own account, older than the bound.
fn wait_until_stale(cluster: &TestCluster, node: usize, seen: &Written) {
    let begun = std::time::Instant::now();
    loop {
        let answer = read(cluster, node, &seen.pin, local(None)).unwrap();
        let staleness = answer.as_of.unwrap().staleness_ms;
        if staleness.is_none_or(|staleness| staleness > BOUND.as_millis() as u64 + 100) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "still fresh: {staleness:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn wait_until_seen(cluster: &TestCluster, node: usize, written: &Written) {
    let answer = read(cluster, node, &written.pin, session(&written.token));
    assert_eq!(ended(&answer), Found);
}

/// Cuts links of one node; nodes are named by their places.
fn cut(cluster: &TestCluster, node: usize, to: &[usize], from: &[usize]) {
    let ids = |places: &[usize]| {
        places
            .iter()
            .map(|place| *place as u64 + 1)
            .collect::<Vec<_>>()
    };
    let links = cluster.nodes[node].as_ref().unwrap().links().unwrap();
    links.cut(ids(to), ids(from));
}

fn others(node: usize) -> Vec<usize> {
    (0..=LEARNER).filter(|other| *other != node).collect()
}

const HEALTHY: Row = [
    Found,
    Found,
    Found,
    Found,
    Refused(Code::TokenAhead),
    Refused(Code::TokenOtherHistory),
    Found,
];
/// The node learns where the leader stands, and does not get there.
const LAGGING: Row = [
    Found,
    Refused(Code::TooStale),
    Found,
    Refused(Code::TooStale),
    Refused(Code::TokenAhead),
    Refused(Code::TokenOtherHistory),
    Refused(Code::TooStale),
];
/// No leader that a quorum confirms can be asked.
const ALONE: Row = [
    Found,
    Refused(Code::TooStale),
    Found,
    Refused(Code::NoLeader),
    Refused(Code::NoLeader),
    Refused(Code::TokenOtherHistory),
    Refused(Code::NoLeader),
];

#[test]
fn a_healthy_node_of_any_kind_serves_every_level() {
    let cluster = TestCluster::start(4);
    let leader = cluster.leader();
    for node in 0..=LEARNER {
        let number = node as u64 * 10;
        let seen = write(&cluster, leader, number + 1);
        wait_until_seen(&cluster, node, &seen);
        let new = write(&cluster, leader, number + 2);
        check_row(
            &cluster,
            node,
            &format!("healthy node {node}"),
            &seen,
            &new,
            HEALTHY,
        );
        let answer = read(&cluster, node, &seen.pin, local(Some(BOUND))).unwrap();
        let as_of = answer.as_of.unwrap();
        assert!(as_of.staleness_ms.unwrap() <= BOUND.as_millis() as u64);
        // The token of a read is good for the next one, at another node.
        wait_until_seen(
            &cluster,
            (node + 1) % 4,
            &Written {
                token: as_of.token,
                ..seen.clone()
            },
        );
    }
}

#[test]
fn a_node_that_lags_or_is_cut_off_refuses_what_it_cannot_promise() {
    let cluster = TestCluster::start(4);
    let leader = cluster.leader();
    let follower = (leader + 1) % 3;
    for (node, kind, number) in [(follower, "follower", 10), (LEARNER, "learner", 20)] {
        let seen = write(&cluster, leader, number + 1);
        wait_until_seen(&cluster, node, &seen);

        // It hears no appends, and can still ask.
        cut(&cluster, node, &[], &others(node));
        let new = write(&cluster, leader, number + 2);
        wait_until_stale(&cluster, node, &seen);
        check_row(
            &cluster,
            node,
            &format!("lagging {kind}"),
            &seen,
            &new,
            LAGGING,
        );

        cut(&cluster, node, &others(node), &others(node));
        check_row(
            &cluster,
            node,
            &format!("{kind} cut off"),
            &seen,
            &new,
            ALONE,
        );

        cut(&cluster, node, &[], &[]);
        wait_until_seen(&cluster, node, &new);
        check_row(
            &cluster,
            node,
            &format!("{kind} healed"),
            &seen,
            &new,
            HEALTHY,
        );
    }
}

#[test]
fn a_leader_that_is_cut_off_promises_nothing_new_and_its_tokens_hold_after_the_change() {
    let cluster = TestCluster::start(4);
    let old = cluster.leader();
    let seen = write(&cluster, old, 1);
    let rest = others(old);
    for node in &rest {
        cut(&cluster, *node, &[old], &[old]);
    }
    cut(&cluster, old, &rest, &rest);
    let witness = rest[0];
    let status = cluster.wait_until(witness, "a new leader", |status| {
        status.leader_id != 0 && status.leader_id != old as u64 + 1
    });
    let new_leader = status.leader_id as usize - 1;
    // A token of the old leader works at a node under the new one.
    wait_until_seen(&cluster, LEARNER, &seen);
    let new = write(&cluster, new_leader, 2);
    wait_until_stale(&cluster, old, &seen);
    check_row(&cluster, old, "leader cut off", &seen, &new, ALONE);

    for node in 0..=LEARNER {
        cut(&cluster, node, &[], &[]);
    }
    wait_until_seen(&cluster, old, &new);
    check_row(&cluster, old, "old leader healed", &seen, &new, HEALTHY);
}

#[test]
fn without_any_leader_every_node_says_so() {
    let cluster = TestCluster::start(4);
    let leader = cluster.leader();
    let follower = (leader + 1) % 3;
    let seen = write(&cluster, leader, 1);
    for node in [follower, LEARNER] {
        wait_until_seen(&cluster, node, &seen);
    }
    for node in [follower, LEARNER] {
        cut(&cluster, node, &others(node), &others(node));
    }
    let new = write(&cluster, leader, 2);
    for node in 0..=LEARNER {
        cut(&cluster, node, &others(node), &others(node));
    }
    for (node, kind) in [(follower, "follower"), (LEARNER, "learner")] {
        wait_until_stale(&cluster, node, &seen);
        check_row(
            &cluster,
            node,
            &format!("leaderless {kind}"),
            &seen,
            &new,
            ALONE,
        );
    }
}

#[test]
fn a_level_that_the_node_does_not_know_is_refused_and_never_ignored() {
    let cluster = TestCluster::start(1);
    let seen = write(&cluster, 0, 1);
    let status = cluster.run(async {
        let mut registry = cluster.centre(0).await;
        let request = GetPersonRequest {
            number: Some(Number::Pin(seen.pin)),
            consistency: Some(Consistency::default()),
            ..GetPersonRequest::default()
        };
        registry.get_person(request).await.unwrap_err()
    });
    assert_eq!(ended(&Err(status)), Refused(Code::ConsistencyNotServed));
}

#[test]
fn a_token_that_is_none_is_refused_as_such() {
    let cluster = TestCluster::start(1);
    let seen = write(&cluster, 0, 1);
    for token in [Bytes::new(), Bytes::from_static(b"\xff\xff\xff")] {
        let answer = read(&cluster, 0, &seen.pin, session(&token));
        assert_eq!(ended(&answer), Refused(Code::TokenMalformed));
    }
    let recovered = moved(&seen.token, |token| token.incarnation += 1);
    let answer = read(&cluster, 0, &seen.pin, session(&recovered));
    assert_eq!(ended(&answer), Refused(Code::TokenOtherHistory));
}
