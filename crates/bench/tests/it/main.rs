//! The node of the bench as a process: it carries raw values, and `banyand` does not go on where it has been.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use banyan_drill::cluster::{LocalCluster, Options, PortPolicy, find_banyand};
use banyan_wire::internal_v1::raw_values_client::RawValuesClient;
use banyan_wire::internal_v1::{GetValueRequest, PutValueRequest, RawValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

const PATIENCE: Duration = Duration::from_secs(60);
const NODE: &str = "central-1";
const TOPOLOGY: &str = "\
[cluster]
name = \"banyan-raw-values\"
survival_goal = \"none\"

[timing]
heartbeat_ms = 50
election_min_ms = 150
election_max_ms = 300

[ports]
peer = 7400
client = 7500
http = 7600
health = 7700
add_node_id = true

[[sites]]
name = \"central\"
title = \"central\"
role = \"central\"
address = \"127.0.0.1\"

[[nodes]]
id = 1
name = \"central-1\"
site = \"central\"
role = \"voter\"
";

fn client(cluster: &LocalCluster) -> RawValuesClient<Channel> {
    let pki = cluster.layout().pki();
    let centre = cluster.centre_name();
    let read = |name: String| fs::read(pki.join(name)).unwrap();
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read("server-ca.pem".to_owned())))
        .identity(Identity::from_pem(
            read(format!("clients/{centre}.pem")),
            read(format!("clients/{centre}.key")),
        ));
    let address = cluster.topology().node(NODE).unwrap().client_endpoint();
    let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
    RawValuesClient::new(endpoint.tls_config(tls).unwrap().connect_lazy())
}

async fn put(client: &mut RawValuesClient<Channel>) -> Result<(), tonic::Status> {
    let value = RawValue {
        key: "key".to_owned().into(),
        value: vec![7; 600].into(),
    };
    let request = PutValueRequest { value: Some(value) };
    client.put(request).await.map(|_| ())
}

fn options(folder: &Path, program: &Path) -> Options {
    let topology = folder.join("topology.toml");
    fs::write(&topology, TOPOLOGY).unwrap();
    Options {
        banyand: Some(program.to_owned()),
        ports: PortPolicy::Free,
        ..Options::new(topology, folder.join("cluster"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn banyand_stops_at_the_values_that_a_node_of_the_bench_has_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_banyan-bench-node"));
    let mut cluster = LocalCluster::start(options(folder.path(), program))
        .await
        .unwrap();
    let mut client = client(&cluster);
    put(&mut client).await.unwrap();
    let get = GetValueRequest {
        key: "key".to_owned().into(),
    };
    let got = client.get(get).await.unwrap().into_inner();
    assert_eq!(got.value.as_deref(), Some(&[7; 600][..]));
    // Not in order: the value is in the log, and the state on disk is older.
    cluster.kill_node(NODE).await.unwrap();

    let log = folder.path().join("log");
    let mut banyand = Command::new(find_banyand(None).unwrap())
        .arg("--config")
        .arg(cluster.layout().node_config(NODE))
        .stdout(Stdio::null())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let ended = loop {
        if let Some(ended) = banyand.try_wait().unwrap() {
            break ended;
        }
        if begun.elapsed() > PATIENCE {
            banyand.kill().unwrap();
            banyand.wait().unwrap();
            panic!("banyand goes on");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let told = fs::read_to_string(&log).unwrap();
    assert!(!ended.success(), "{told}");
    assert!(told.contains("does not know"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn banyand_serves_no_values() {
    let folder = tempfile::tempdir().unwrap();
    let program = find_banyand(None).unwrap();
    let cluster = LocalCluster::start(options(folder.path(), &program))
        .await
        .unwrap();
    let refused = put(&mut client(&cluster)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unimplemented, "{refused:?}");
}
