//! The HTTP edge: metrics for operators, health for anyone, the plain listener.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::certificates::{CLUSTER, Leaf, Signer};
use super::cluster::TestCluster;
use super::people::{self, HA_NOI};

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    path: &str,
) -> String {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("the request is sent");
    let mut answer = Vec::new();
    // A peer that closes without a farewell still has answered.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).expect("the answer is text")
}

fn status_of(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

pub(crate) async fn get_tls(cluster: &TestCluster, leaf: Option<Leaf>, path: &str) -> String {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(cluster.pki.server_ca().as_bytes()).expect("PEM");
    roots.add(ca).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_root_certificates(roots);
    let config = match leaf {
        None => builder.with_no_client_auth(),
        Some(leaf) => {
            let (certificate, key) = cluster.pki.leaf(&leaf);
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
            builder
                .with_client_auth_cert(chain, key)
                .expect("a client certificate")
        }
    };
    let stream = TcpStream::connect(("127.0.0.1", cluster.http_ports[0]))
        .await
        .expect("a connection");
    let name = ServerName::try_from("127.0.0.1").expect("an address");
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .expect("TLS");
    exchange(stream, "GET", path).await
}

#[test]
fn metrics_are_for_operators_and_health_is_for_anyone() {
    let cluster = TestCluster::start(1);
    let operator = format!("banyan://{CLUSTER}/operator/operator@central");
    let centre = format!("banyan://{CLUSTER}/client/centre@central/centre/-");
    let operator = || Some(Leaf::new(&[&operator], Signer::Operator));
    let centre = || Some(Leaf::new(&[&centre], Signer::Client));
    cluster.run(async {
        let mut registry = cluster.centre(0).await;
        registry
            .submit(people::submission(1, people::birth(1, HA_NOI)))
            .await
            .unwrap();

        assert_eq!(status_of(&get_tls(&cluster, None, "/metrics").await), 401);
        assert_eq!(
            status_of(&get_tls(&cluster, centre(), "/metrics").await),
            403
        );
        let scrape = get_tls(&cluster, operator(), "/metrics").await;
        assert_eq!(status_of(&scrape), 200, "{scrape}");
        for expected in [
            "banyan_build_info{",
            "banyan_requests_total{method=\"Submit\",code=\"OK\"} 1",
            "banyan_raft_role{role=\"leader\"} 1",
            "banyan_persons 1",
            "banyan_config_unknown_keys 0",
            "banyan_store{store=\"log\",property=\"durable_index\"}",
            "banyan_access_records_total 0",
        ] {
            assert!(
                scrape.contains(expected),
                "{expected} is missing in\n{scrape}"
            );
        }
        assert!(!scrape.contains(people::MARKER));
        for path in ["/livez", "/readyz"] {
            for caller in [None, centre(), operator()] {
                assert_eq!(
                    status_of(&get_tls(&cluster, caller, path).await),
                    200,
                    "{path}"
                );
            }
        }
        assert_eq!(
            status_of(&get_tls(&cluster, operator(), "/secrets").await),
            404
        );
    });
}

#[test]
fn the_plain_listener_has_health_only() {
    let cluster = TestCluster::start(1);
    cluster.run(async {
        for (method, path, expected) in [
            ("GET", "/livez", 200),
            ("GET", "/readyz", 200),
            ("HEAD", "/livez", 200),
            ("POST", "/livez", 404),
            ("GET", "/metrics", 404),
            ("GET", "/", 404),
        ] {
            let stream = TcpStream::connect(("127.0.0.1", cluster.health_ports[0]))
                .await
                .unwrap();
            let answer = exchange(stream, method, path).await;
            assert_eq!(status_of(&answer), expected, "{method} {path}: {answer}");
        }
    });
}

#[test]
fn a_node_outside_a_formed_cluster_is_alive_but_not_ready() {
    let cluster = TestCluster::start_unformed(1, "");
    cluster.run(async {
        let stream = TcpStream::connect(("127.0.0.1", cluster.health_ports[0]))
            .await
            .unwrap();
        assert_eq!(status_of(&exchange(stream, "GET", "/livez").await), 200);
        let stream = TcpStream::connect(("127.0.0.1", cluster.health_ports[0]))
            .await
            .unwrap();
        let answer = exchange(stream, "GET", "/readyz").await;
        assert_eq!(status_of(&answer), 503);
        assert!(answer.contains("not formed"), "{answer}");
    });
}

#[test]
fn refused_handshakes_and_unknown_keys_show_in_the_metrics() {
    let cluster = TestCluster::start_unformed(1, "[storage]\nblok_cache = 1\n");
    let operator = format!("banyan://{CLUSTER}/operator/operator@central");
    let client = format!("banyan://{CLUSTER}/client/x@y/centre/-");
    cluster.run(async {
        let stranger = cluster
            .pki
            .identity(&Leaf::new(&[&client], Signer::Stranger));
        if let Ok(channel) = cluster.endpoint(0, Some(stranger)).connect().await {
            let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
            assert!(
                health
                    .check(tonic_health::pb::HealthCheckRequest::default())
                    .await
                    .is_err()
            );
        }
        let leaf = Leaf::new(&[&operator], Signer::Operator);
        let scrape = get_tls(&cluster, Some(leaf), "/metrics").await;
        assert!(
            scrape.contains("banyan_tls_refusals_total{edge=\"client\""),
            "{scrape}"
        );
        assert!(scrape.contains("banyan_config_unknown_keys 1"), "{scrape}");
    });
}
