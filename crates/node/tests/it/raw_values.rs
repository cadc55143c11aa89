//! Raw values: served by nodes of the bench, to the centre alone, and unknown to every other node.

use std::collections::BTreeSet;

use banyan_wire::errors::{self, Code};
use banyan_wire::internal_v1::numbered_put_answer::Answer;
use banyan_wire::internal_v1::raw_values_client::RawValuesClient;
use banyan_wire::internal_v1::{
    GetValueRequest, NumberedPut, PutValueRequest, PutValuesRequest, RawValue,
};
use tonic::Status;
use tonic::transport::{Channel, Identity};

use super::cluster::TestCluster;
use super::people::{self, HA_NOI, NGHE_AN};

fn value(key: impl Into<String>, byte: u8) -> RawValue {
    RawValue {
        key: key.into().into(),
        value: vec![byte; 600].into(),
    }
}

fn one(value: RawValue) -> PutValueRequest {
    PutValueRequest { value: Some(value) }
}

async fn client(
    cluster: &TestCluster,
    index: usize,
    identity: Identity,
) -> RawValuesClient<Channel> {
    RawValuesClient::new(cluster.channel(index, identity).await)
}

async fn stored(client: &mut RawValuesClient<Channel>, key: &str) -> Option<Vec<u8>> {
    let request = GetValueRequest {
        key: key.to_owned().into(),
    };
    let answer = client.get(request).await.unwrap().into_inner();
    answer.value.map(Into::into)
}

fn code(status: &Status) -> Option<Code> {
    errors::from_status(status).and_then(|detail| detail.known_code())
}

#[test]
fn a_registry_has_no_such_service() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        let mut client = client(&cluster, 0, cluster.pki.centre()).await;
        let numbered = tokio_stream::iter([NumberedPut {
            id: 1,
            value: Some(value("k", 1)),
        }]);
        let batch = PutValuesRequest {
            values: vec![value("k", 1)],
        };
        let get = GetValueRequest {
            key: "k".to_owned().into(),
        };
        let refusals = [
            client.put(one(value("k", 1))).await.err(),
            client.put_stream(numbered).await.err(),
            client.put_batch(batch).await.err(),
            client.get(get).await.err(),
        ];
        for refusal in refusals {
            let status = refusal.expect("refused");
            assert_eq!(status.code(), tonic::Code::Unimplemented, "{status:?}");
            assert_eq!(code(&status), Some(Code::MethodUnknown));
        }
    });
    let view = cluster.nodes[0].as_ref().unwrap().stores().state.view();
    assert_eq!(view.unwrap().raw_value(b"k").unwrap(), None);
}

#[test]
fn values_are_put_in_every_way_and_are_there_after_a_restart() {
    let mut cluster = TestCluster::start_with_raw_values(1);
    cluster.run(async {
        let mut client = client(&cluster, 0, cluster.pki.centre()).await;
        let put = |answer: banyan_wire::internal_v1::PutValueAnswer| {
            assert!(answer.position > 0 && answer.term > 0, "{answer:?}");
            answer.position
        };
        let first = put(client.put(one(value("a", 1))).await.unwrap().into_inner());
        let batch = PutValuesRequest {
            values: (0..1_000)
                .map(|number| value(format!("b{number}"), 2))
                .collect(),
        };
        let second = put(client.put_batch(batch).await.unwrap().into_inner());
        assert!(second > first);

        // More than a stream serves at one time, one of them at fault: it alone fails.
        let puts = (0..600_u64).map(|id| NumberedPut {
            id,
            value: (id != 300).then(|| value(format!("s{id}"), 3)),
        });
        let stream = client.put_stream(tokio_stream::iter(puts)).await;
        let mut answers = stream.unwrap().into_inner();
        let mut answered = BTreeSet::new();
        while let Some(answer) = answers.message().await.unwrap() {
            match answer.answer.unwrap() {
                Answer::Put(_) => assert_ne!(answer.id, 300),
                Answer::Error(detail) => {
                    assert_eq!(
                        (answer.id, detail.known_code()),
                        (300, Some(Code::BatchSize))
                    );
                }
            }
            assert!(answered.insert(answer.id), "answered twice");
        }
        assert_eq!(answered.len(), 600);

        // A registration goes through the same node beside them.
        let mut registry = cluster.centre(0).await;
        let birth = people::submission(1, people::birth(1, HA_NOI));
        assert!(
            registry
                .submit(birth)
                .await
                .unwrap()
                .into_inner()
                .outcome
                .is_some()
        );
        client.put(one(value("a", 9))).await.unwrap();
    });
    cluster.stop(0);
    cluster.restart(0);
    cluster.wait_until(0, "it leads again", |status| status.role == "leader");
    cluster.run(async {
        let mut client = client(&cluster, 0, cluster.pki.centre()).await;
        for (key, byte) in [("a", 9), ("b0", 2), ("b999", 2), ("s0", 3), ("s599", 3)] {
            assert_eq!(
                stored(&mut client, key).await,
                Some(vec![byte; 600]),
                "{key}"
            );
        }
        assert_eq!(stored(&mut client, "s300").await, None);
    });
}

#[test]
fn values_out_of_bounds_are_refused_by_place_and_store_nothing() {
    let cluster = TestCluster::start_with_raw_values(1);
    cluster.run(async {
        let mut client = client(&cluster, 0, cluster.pki.centre()).await;
        let none = client
            .put(PutValueRequest { value: None })
            .await
            .unwrap_err();
        assert_eq!(code(&none), Some(Code::BatchSize));
        let many = PutValuesRequest {
            values: vec![value("k", 1); 1_001],
        };
        let many = client.put_batch(many).await.unwrap_err();
        assert_eq!(code(&many), Some(Code::BatchSize));
        let faulty = PutValuesRequest {
            values: vec![
                value("good", 1),
                value("", 1),
                RawValue {
                    key: vec![b'k'; 129].into(),
                    value: vec![0; 2_049].into(),
                },
            ],
        };
        let status = client.put_batch(faulty).await.unwrap_err();
        assert_eq!(code(&status), Some(Code::InvalidFields));
        let told = errors::from_status(&status).unwrap().faults;
        let fields: Vec<&str> = told.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(
            fields,
            ["values[1].key", "values[2].key", "values[2].value"]
        );
        assert_eq!(stored(&mut client, "good").await, None);
    });
}

#[test]
fn only_the_centre_puts_and_only_the_leader_takes() {
    let cluster = TestCluster::start_with_raw_values(3);
    let leader = cluster.leader();
    cluster.run(async {
        let registrar = cluster.pki.registrar("registrar@nghe-an", NGHE_AN);
        let mut client_of_registrar = client(&cluster, leader, registrar).await;
        let refused = client_of_registrar
            .put(one(value("k", 1)))
            .await
            .unwrap_err();
        assert_eq!(code(&refused), Some(Code::NotAuthorised));
        let mut operator = client(&cluster, leader, cluster.pki.operator()).await;
        let refused = operator.put(one(value("k", 1))).await.unwrap_err();
        assert_eq!(code(&refused), Some(Code::NotAuthorised));

        let mut follower = client(&cluster, (leader + 1) % 3, cluster.pki.centre()).await;
        let status = follower.put(one(value("k", 1))).await.unwrap_err();
        assert_eq!(code(&status), Some(Code::NotLeader));
        let told = errors::from_status(&status).unwrap().leader_endpoint;
        let port = cluster.client_ports[leader];
        assert!(told.ends_with(&format!(":{port}")), "{told}");
        assert_eq!(stored(&mut follower, "k").await, None);
    });
}
