//! Who may call what: a table of authorised and unauthorised actors over every method and route.

use banyan_domain::policy::Action;
use banyan_node::edge::authorisation::{Access, GRPC};
use banyan_wire::errors::{self, Code};
use banyan_wire::v1::GetPersonRequest;
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::transport::{Channel, Identity};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use super::certificates::{CLUSTER, Leaf, Signer};
use super::cluster::TestCluster;
use super::people::{self, HA_NOI, NGHE_AN};

/// Calls a method with an empty message, which each of them decodes; what comes back is beside the point unless it is a refusal.
async fn call(channel: Channel, path: &'static str) -> Result<(), Status> {
    let mut client = Grpc::new(channel);
    client.ready().await.expect("the connection is ready");
    let codec = ProstCodec::<(), ()>::default();
    let path = PathAndQuery::from_static(path);
    let mut request = Request::new(tokio_stream::empty::<()>());
    request.set_timeout(std::time::Duration::from_secs(2));
    if path.as_str().ends_with("ServerReflectionInfo") {
        return client.streaming(request, path, codec).await.map(|_| ());
    }
    if path.as_str().ends_with("/Watch") {
        return client
            .server_streaming(Request::new(()), path, codec)
            .await
            .map(|_| ());
    }
    client
        .unary(Request::new(()), path, codec)
        .await
        .map(|_: tonic::Response<()>| ())
}

fn code(status: &Status) -> Option<Code> {
    errors::from_status(status).and_then(|detail| detail.known_code())
}

fn is_refusal(status: &Status) -> bool {
    code(status).is_some_and(|code| (200..300).contains(&code.row().number))
}

#[test]
fn every_method_is_open_to_its_audience_and_closed_to_others() {
    let cluster = TestCluster::start_unformed(1, "");
    let registrar = cluster.pki.registrar("registrar@nghe-an", NGHE_AN);
    let centre = cluster.pki.centre();
    let operator = cluster.pki.operator();
    cluster.run(async {
        let callers: [(&str, Identity, [bool; 3]); 3] = [
            // Open to: identified, officers, operators.
            ("registrar", registrar, [true, true, false]),
            ("centre", centre, [true, true, false]),
            ("operator", operator, [true, false, true]),
        ];
        for (who, identity, open) in callers {
            let channel = cluster.channel(0, identity).await;
            for row in GRPC {
                let allowed = match row.access {
                    Access::Anyone => true,
                    Access::Identified => open[0],
                    Access::Policy([Action::AdministerCluster | Action::ReadMetrics]) => open[2],
                    Access::Policy(_) => open[1],
                };
                // These two change the node; the refusals are what matters here.
                if allowed && matches!(row.name, "Bootstrap" | "TransferLeader") {
                    continue;
                }
                let answer = call(channel.clone(), row.path).await;
                let refused = answer.as_ref().err().is_some_and(is_refusal);
                // The empty message asks for everyone, and that is for the centre. What registrars may scan stands in `scan`.
                let everyone = row.name == "ScanPersons" && who == "registrar";
                let allowed = allowed && !everyone;
                assert_eq!(refused, !allowed, "{who} calls {}: {answer:?}", row.name);
            }
        }
    });
}

#[test]
fn a_method_outside_the_table_is_refused() {
    let cluster = TestCluster::start_unformed(1, "");
    cluster.run(async {
        for identity in [cluster.pki.operator(), cluster.pki.centre()] {
            let channel = cluster.channel(0, identity).await;
            for path in [
                "/banyan.internal.v1.Peer/Append",
                "/banyan.v1.Registry/Erase",
                "/x",
            ] {
                let status = call(channel.clone(), path).await.unwrap_err();
                assert_eq!(
                    code(&status),
                    Some(Code::MethodUnknown),
                    "{path}: {status:?}"
                );
            }
        }
    });
}

#[test]
fn certificates_that_tls_accepts_but_the_registry_does_not_get_a_clear_refusal() {
    let cluster = TestCluster::start_unformed(1, "");
    let client = format!("banyan://{CLUSTER}/client/x@y/centre/-");
    let second = format!("banyan://{CLUSTER}/client/z@y/centre/-");
    let operator = format!("banyan://{CLUSTER}/operator/operator@central");
    let peer = format!("banyan://{CLUSTER}/peer/1/voter");
    let elsewhere = "banyan://other/client/x@y/centre/-";
    let cases: [(&str, Leaf, Code); 8] = [
        (
            "the clients' authority vouches for an operator",
            Leaf::new(&[&operator], Signer::Client),
            Code::AuthorityMismatch,
        ),
        (
            "the operators' authority vouches for a client",
            Leaf::new(&[&client], Signer::Operator),
            Code::AuthorityMismatch,
        ),
        (
            "the clients' authority vouches for a peer",
            Leaf::new(&[&peer], Signer::Client),
            Code::AuthorityMismatch,
        ),
        (
            "two identities",
            Leaf::new(&[&client, &second], Signer::Client),
            Code::IdentityMissing,
        ),
        (
            "no identity",
            Leaf::new(&[], Signer::Client),
            Code::IdentityMissing,
        ),
        (
            "an identity that is not well-formed",
            Leaf::new(&["banyan://banyan-test/client"], Signer::Client),
            Code::IdentityMissing,
        ),
        (
            "a foreign URI",
            Leaf::new(&["https://example.org/"], Signer::Client),
            Code::IdentityMissing,
        ),
        (
            "another cluster",
            Leaf::new(&[elsewhere], Signer::Client),
            Code::IdentityOtherCluster,
        ),
    ];
    cluster.run(async {
        for (what, leaf, expected) in cases {
            let mut registry = cluster.registry(0, cluster.pki.identity(&leaf)).await;
            let status = registry
                .get_person(GetPersonRequest::default())
                .await
                .unwrap_err();
            assert_eq!(code(&status), Some(expected), "{what}: {status:?}");
        }
    });
}

#[test]
fn certificates_of_other_authorities_and_expired_ones_get_no_connection() {
    let cluster = TestCluster::start_unformed(1, "");
    let client = format!("banyan://{CLUSTER}/client/x@y/centre/-");
    let peer = format!("banyan://{CLUSTER}/peer/1/voter");
    let cases = [
        (
            "a stranger's authority",
            Leaf::new(&[&client], Signer::Stranger),
        ),
        ("the peers' authority", Leaf::new(&[&peer], Signer::Peer)),
        (
            "an expired certificate",
            Leaf::new(&[&client], Signer::Client).expired(),
        ),
    ];
    cluster.run(async {
        for (what, leaf) in cases {
            let endpoint = cluster.endpoint(0, Some(cluster.pki.identity(&leaf)));
            assert!(reaches_nothing(endpoint).await, "{what} was let in");
        }
        assert!(
            reaches_nothing(cluster.endpoint(0, None)).await,
            "no certificate was let in"
        );
    });
}

/// With TLS 1.3 a client learns that its certificate is refused only when it first reads.
async fn reaches_nothing(endpoint: tonic::transport::Endpoint) -> bool {
    match endpoint.connect().await {
        Err(_) => true,
        Ok(channel) => {
            let status = call(channel, "/grpc.health.v1.Health/Check")
                .await
                .unwrap_err();
            errors::from_status(&status).is_none()
        }
    }
}

#[test]
fn a_registrar_writes_in_its_area_only_and_operators_never() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        let registrar = cluster.pki.registrar("registrar@nghe-an", NGHE_AN);
        let mut registry = cluster.registry(0, registrar).await;
        registry
            .submit(people::submission(1, people::birth(1, NGHE_AN)))
            .await
            .unwrap();
        let status = registry
            .submit(people::submission(2, people::birth(2, HA_NOI)))
            .await
            .expect_err("a birth in another province");
        assert_eq!(code(&status), Some(Code::NotAuthorised), "{status:?}");

        let mut operator = cluster.registry(0, cluster.pki.operator()).await;
        let status = operator
            .submit(people::submission(3, people::birth(3, HA_NOI)))
            .await
            .expect_err("an operator's birth");
        assert_eq!(code(&status), Some(Code::NotAuthorised), "{status:?}");
    });
}
