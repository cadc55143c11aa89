//! Calls that a node cannot serve itself: forwarded to the leader, held while there is none, and believed by the leader as little as can be.

use std::time::Duration;

use banyan_wire::errors::{self, Code};
use banyan_wire::internal_v1::ForwardedCall;
use banyan_wire::internal_v1::forwarding_client::ForwardingClient;
use banyan_wire::v1::call::Method;
use banyan_wire::v1::call_answer::Answer;
use banyan_wire::v1::consistency::Level;
use banyan_wire::v1::get_person_request::Number;
use banyan_wire::v1::outcome::Result as Verdict;
use banyan_wire::v1::{
    Accepted, Call, Consistency, ErrorDetail, GetPersonRequest, GetPersonResponse, Linearizable,
    Local, Outcome, SubmitBatchRequest, SubmitRequest, TransferLeaderRequest,
};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use super::certificates::{CLUSTER, Leaf, Signer};
use super::cluster::{PATIENCE, TestCluster};
use super::people::{self, HA_NOI, NGHE_AN};

/// The learner of a cluster of four, at a provincial site of province 40.
const LEARNER: usize = 3;

fn accepted(outcome: Option<Outcome>) -> (Accepted, bool) {
    let outcome = outcome.unwrap();
    match outcome.result {
        Some(Verdict::Accepted(accepted)) => (accepted, outcome.replayed),
        other => panic!("not accepted: {other:?}"),
    }
}

fn detail(status: &Status) -> ErrorDetail {
    errors::from_status(status).expect("a detail")
}

async fn submit_as(
    cluster: &TestCluster,
    node: usize,
    identity: Identity,
    request: SubmitRequest,
) -> Result<Option<Outcome>, Status> {
    let mut registry = cluster.registry(node, identity).await;
    let mut request = Request::new(request);
    request.set_timeout(PATIENCE);
    let answer = registry.submit(request).await?;
    Ok(answer.into_inner().outcome)
}

#[test]
fn a_registrar_writes_at_the_node_of_the_province() {
    let cluster = TestCluster::start(4);
    let leader = cluster.leader();
    cluster.run(async {
        let registrar = || cluster.pki.registrar("registrar@nghe-an", NGHE_AN);
        let request = people::submission(1, people::birth(1, NGHE_AN));
        let outcome = submit_as(&cluster, LEARNER, registrar(), request.clone())
            .await
            .unwrap();
        let (first, replayed) = accepted(outcome);
        assert!(!replayed);
        // The same key at the leader itself: the leader saw the same principal.
        let outcome = submit_as(&cluster, leader, registrar(), request).await;
        let (again, replayed) = accepted(outcome.unwrap());
        assert!(replayed);
        assert_eq!(again.pin, first.pin);

        let mut registry = cluster.registry(LEARNER, registrar()).await;
        let submissions = (2..5)
            .map(|number| people::submission(number, people::birth(number, NGHE_AN)))
            .collect();
        let batch = registry
            .submit_batch(SubmitBatchRequest {
                submissions,
                hint_leader: false,
            })
            .await
            .unwrap();
        assert_eq!(batch.into_inner().answers.len(), 3);
    });
}

#[test]
fn a_province_speaks_neither_for_the_centre_nor_for_another_province() {
    let cluster = TestCluster::start(4);
    let leader = cluster.leader();
    let before = cluster.status(leader).persons;
    cluster.run(async {
        for identity in [
            cluster.pki.centre(),
            cluster.pki.registrar("registrar@ha-noi", HA_NOI),
        ] {
            let request = people::submission(1, people::birth(1, HA_NOI));
            let refused = submit_as(&cluster, LEARNER, identity, request).await;
            let detail = detail(&refused.unwrap_err());
            assert_eq!(detail.known_code(), Some(Code::ForwarderNotTrusted));
            let there = format!("https://127.0.0.1:{}", cluster.client_ports[leader]);
            assert_eq!(
                detail.leader_endpoint, there,
                "the caller may go there itself"
            );
            assert!(!detail.outcome_unknown);
        }
    });
    assert_eq!(cluster.status(leader).persons, before);
}

/// What the leader says to a call that a provincial node claims to forward for the holder of a certificate.
async fn claimed(cluster: &TestCluster, leader: usize, certificate: Vec<u8>) -> Option<Code> {
    let folder = cluster.folder.path().join("tls").join("nghe-an-1");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read("peer-ca.pem")))
        .identity(Identity::from_pem(read("peer.pem"), read("peer.key")))
        .domain_name("127.0.0.1");
    let endpoint = format!("https://127.0.0.1:{}", cluster.peer_ports[leader]);
    let channel = Endpoint::from_shared(endpoint)
        .unwrap()
        .tls_config(tls)
        .unwrap()
        .connect()
        .await
        .unwrap();
    let call = Call {
        id: 0,
        timeout_ms: 5_000,
        method: Some(Method::Submit(people::submission(
            1,
            people::birth(1, NGHE_AN),
        ))),
    };
    let answer = ForwardingClient::new(channel)
        .forward(ForwardedCall {
            certificate: certificate.into(),
            call: Some(call),
        })
        .await
        .unwrap();
    match answer.into_inner().answer.unwrap().answer.unwrap() {
        Answer::Error(detail) => detail.known_code(),
        Answer::Submit(_) => None,
        other => panic!("another answer: {other:?}"),
    }
}

#[test]
fn the_leader_checks_the_callers_certificate_itself() {
    let cluster = TestCluster::start(4);
    let leader = cluster.leader();
    let registrar = format!("banyan://{CLUSTER}/client/registrar@nghe-an/registrar/{NGHE_AN}");
    let operator = format!("banyan://{CLUSTER}/operator/operator@central");
    let elsewhere = "banyan://elsewhere/client/registrar@nghe-an/registrar/40".to_owned();
    let leaf = |uri: &str, signer| Leaf::new(&[uri], signer);
    let cases = [
        (leaf(&registrar, Signer::Client), None),
        (
            leaf(&registrar, Signer::Client).expired(),
            Some(Code::IdentityMissing),
        ),
        (
            leaf(&registrar, Signer::Stranger),
            Some(Code::AuthorityMismatch),
        ),
        (
            leaf(&registrar, Signer::Operator),
            Some(Code::AuthorityMismatch),
        ),
        (
            leaf(&operator, Signer::Operator),
            Some(Code::ForwarderNotTrusted),
        ),
        (
            leaf(&elsewhere, Signer::Client),
            Some(Code::IdentityOtherCluster),
        ),
    ];
    cluster.run(async {
        for (number, (leaf, expected)) in cases.into_iter().enumerate() {
            let (pem, _) = cluster.pki.leaf(&leaf);
            let der = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1;
            let code = claimed(&cluster, leader, der.contents).await;
            assert_eq!(code, expected, "case {number}");
        }
        let none = claimed(&cluster, leader, Vec::new()).await;
        assert_eq!(none, Some(Code::IdentityMissing));
        let junk = claimed(&cluster, leader, vec![7; 300]).await;
        assert_eq!(junk, Some(Code::IdentityMissing));
    });
}

#[test]
fn a_caller_inside_its_deadline_sees_no_transfer_and_no_election() {
    let mut cluster = TestCluster::start(4);
    let registrar = |cluster: &TestCluster| cluster.pki.registrar("registrar@nghe-an", NGHE_AN);
    // Transfers, one after the other, while births are registered at the province.
    let old = cluster.leader();
    let target = (old + 1) % 3;
    cluster.run(async {
        let moving = async {
            let mut admin = cluster.admin(old).await;
            let request = TransferLeaderRequest {
                to_node_id: target as u64 + 1,
            };
            admin.transfer_leader(request).await.unwrap();
        };
        let writing = async {
            for number in 0..40 {
                let request = people::submission(number, people::birth(number, NGHE_AN));
                let outcome = submit_as(&cluster, LEARNER, registrar(&cluster), request).await;
                accepted(outcome.expect("no error reaches the caller"));
            }
        };
        futures::join!(moving, writing);
    });
    // An election.
    let leader = cluster.leader();
    cluster.stop(leader);
    cluster.run(async {
        for number in 100..110 {
            let request = people::submission(number, people::birth(number, NGHE_AN));
            let outcome = submit_as(&cluster, LEARNER, registrar(&cluster), request).await;
            accepted(outcome.expect("no error reaches the caller"));
        }
    });
}

#[test]
fn without_any_leader_the_answer_comes_in_time_and_says_so() {
    let cluster = TestCluster::start(4);
    let others: Vec<u64> = (1..=4).collect();
    for node in &cluster.nodes {
        let links = node.as_ref().unwrap().links().unwrap();
        links.cut(others.clone(), others.clone());
    }
    cluster.run(async {
        let identity = cluster.pki.registrar("registrar@nghe-an", NGHE_AN);
        let mut registry = cluster.registry(LEARNER, identity).await;
        let deadline = Duration::from_millis(1_500);
        let mut request = Request::new(people::submission(1, people::birth(1, NGHE_AN)));
        request.set_timeout(deadline);
        let begun = tokio::time::Instant::now();
        let refused = registry.submit(request).await.unwrap_err();
        assert!(begun.elapsed() < deadline + Duration::from_millis(500));
        let detail = detail(&refused);
        assert_eq!(detail.known_code(), Some(Code::NoLeader));
        assert!(!detail.outcome_unknown, "it was never sent");
    });
}

#[test]
fn a_read_that_is_not_fresh_enough_here_is_forwarded_where_the_caller_asked_for_it() {
    let cluster = TestCluster::start(4);
    let leader = cluster.leader();
    let registrar = || cluster.pki.registrar("registrar@nghe-an", NGHE_AN);
    let read = async |pin: &str, level: Level, forward: bool| {
        let mut registry = cluster.registry(LEARNER, registrar()).await;
        let mut request = Request::new(GetPersonRequest {
            number: Some(Number::Pin(pin.to_owned())),
            consistency: Some(Consistency {
                level: Some(level),
                forward,
            }),
            purpose: "test".to_owned(),
        });
        request.set_timeout(Duration::from_secs(2));
        let answer: Result<GetPersonResponse, Status> = registry
            .get_person(request)
            .await
            .map(tonic::Response::into_inner);
        answer
    };
    cluster.run(async {
        // The learner hears no appends, and can still ask.
        let links = cluster.nodes[LEARNER].as_ref().unwrap().links().unwrap();
        links.cut([], 1..=3);
        let request = people::submission(1, people::birth(1, NGHE_AN));
        let outcome = submit_as(&cluster, LEARNER, registrar(), request).await;
        let (person, _) = accepted(outcome.unwrap());
        let linearizable = || Level::Linearizable(Linearizable {});
        let refused = read(&person.pin, linearizable(), false).await.unwrap_err();
        assert_eq!(detail(&refused).known_code(), Some(Code::TooStale));
        let answer = read(&person.pin, linearizable(), true).await.unwrap();
        assert!(answer.person.is_some());
        assert_eq!(answer.as_of.unwrap().node_id, leader as u64 + 1);
        let bound = Level::Local(Local {
            max_staleness_ms: 200,
        });
        tokio::time::sleep(Duration::from_millis(400)).await;
        let answer = read(&person.pin, bound, true).await.unwrap();
        assert_eq!(answer.as_of.unwrap().node_id, leader as u64 + 1);
        links.cut([], []);
    });
}
