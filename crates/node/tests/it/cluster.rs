//! A real cluster in this process: free ports, a folder of its own, certificates made for it.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use banyan_drill::cluster::free_port;
use banyan_node::config::NodeConfig;
use banyan_node::node::{Listeners, Node, RawValues};
use banyan_storage::FirstStart;
use banyan_wire::v1::cluster_admin_client::ClusterAdminClient;
use banyan_wire::v1::registry_client::RegistryClient;
use banyan_wire::v1::{BootstrapRequest, StatusRequest, StatusResponse};
use tempfile::TempDir;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::certificates::{CLUSTER, Pki};

/// How long a test waits for a condition.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Sites by the places of their nodes. The node of a province learns, the others vote.
const SITES: [(&str, &str); 4] = [
    ("central", "central"),
    ("recovery", "recovery"),
    ("third", "quorum"),
    ("nghe-an", "province"),
];

struct Ports {
    peer: TcpListener,
    client: TcpListener,
    http: TcpListener,
    health: TcpListener,
}

/// A running cluster of one or three voters, or of three and a learner.
pub(crate) struct TestCluster {
    pub(crate) pki: Pki,
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) nodes: Vec<Option<Node>>,
    pub(crate) peer_ports: Vec<u16>,
    pub(crate) client_ports: Vec<u16>,
    pub(crate) http_ports: Vec<u16>,
    pub(crate) health_ports: Vec<u16>,
    configs: Vec<PathBuf>,
    raw_values: RawValues,
    // Last, so that it goes after the nodes that use it.
    pub(crate) folder: TempDir,
}

fn bind() -> TcpListener {
    free_port("127.0.0.1").unwrap()
}

fn port(listener: &TcpListener) -> u16 {
    listener.local_addr().unwrap().port()
}

fn topology(ports: &[Ports]) -> String {
    let goal = if ports.len() == 1 { "none" } else { "site" };
    let mut text = format!(
        "[cluster]\nname = \"{CLUSTER}\"\nsurvival_goal = \"{goal}\"\n\
         [timing]\nheartbeat_ms = 50\nelection_min_ms = 200\nelection_max_ms = 400\n"
    );
    for (site, role) in SITES.iter().take(ports.len()) {
        let province = if *role == "province" {
            "province = \"40\"\n"
        } else {
            ""
        };
        text.push_str(&format!(
            "[[sites]]\nname = \"{site}\"\ntitle = \"{site}\"\nrole = \"{role}\"\naddress = \"127.0.0.1\"\n{province}"
        ));
    }
    for (index, ports) in ports.iter().enumerate() {
        let site = SITES[index].0;
        text.push_str(&format!(
            "[[nodes]]\nid = {}\nname = \"{site}-1\"\nsite = \"{site}\"\nrole = \"{}\"\n\
             peer_port = {}\nclient_port = {}\nhttp_port = {}\nhealth_port = {}\n",
            index + 1,
            standing(index),
            port(&ports.peer),
            port(&ports.client),
            port(&ports.http),
            port(&ports.health),
        ));
    }
    text
}

fn standing(index: usize) -> &'static str {
    if SITES[index].1 == "province" {
        "learner"
    } else {
        "voter"
    }
}

impl TestCluster {
    /// Starts `count` nodes (1, 3, or 4 with a learner) and forms the cluster.
    pub(crate) fn start(count: usize) -> Self {
        Self::start_unformed(count, "").formed()
    }

    /// The same as the bench starts it.
    pub(crate) fn start_with_raw_values(count: usize) -> Self {
        Self::start_nodes(count, "", RawValues::Carried).formed()
    }

    fn formed(self) -> Self {
        let cluster = self;
        cluster.run(async {
            let mut admin = cluster.admin(0).await;
            admin.bootstrap(BootstrapRequest {}).await.unwrap();
        });
        for index in 0..cluster.nodes.len() {
            cluster.wait_until(index, "a leader is known", |status| status.leader_id != 0);
        }
        cluster
    }

    /// Starts the nodes only. `extra` is added to each node's configuration.
    pub(crate) fn start_unformed(count: usize, extra: &str) -> Self {
        Self::start_nodes(count, extra, RawValues::Refused)
    }

    fn start_nodes(count: usize, extra: &str, raw_values: RawValues) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("banyan-node-it-")
            .tempdir()
            .unwrap();
        let ports: Vec<Ports> = (0..count)
            .map(|_| Ports {
                peer: bind(),
                client: bind(),
                http: bind(),
                health: bind(),
            })
            .collect();
        let pki = Pki::new();
        fs::write(folder.path().join("topology.toml"), topology(&ports)).unwrap();
        let mut cluster = Self {
            pki,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap(),
            nodes: Vec::new(),
            peer_ports: ports.iter().map(|ports| port(&ports.peer)).collect(),
            client_ports: ports.iter().map(|ports| port(&ports.client)).collect(),
            http_ports: ports.iter().map(|ports| port(&ports.http)).collect(),
            health_ports: ports.iter().map(|ports| port(&ports.health)).collect(),
            configs: Vec::new(),
            raw_values,
            folder,
        };
        for (index, ports) in ports.into_iter().enumerate() {
            let name = format!("{}-1", SITES[index].0);
            let tls = cluster.folder.path().join("tls").join(&name);
            cluster
                .pki
                .write_node(&tls, index as u64 + 1, &name, standing(index));
            let config = cluster.folder.path().join(format!("{name}.toml"));
            let text = format!(
                "{extra}\n[node]\nname = \"{name}\"\ntopology = \"topology.toml\"\n\
                 data_dir = \"data/{name}\"\n[tls]\ndir = \"tls/{name}\"\n"
            );
            fs::write(&config, text).unwrap();
            let listeners = Listeners {
                peer: ports.peer,
                client: ports.client,
                http: ports.http,
                health: ports.health,
            };
            let loaded = NodeConfig::load(&config).unwrap();
            let node = Node::start_with(
                loaded.config,
                listeners,
                loaded.unknown_keys,
                FirstStart::Permitted,
                raw_values,
            )
            .unwrap();
            cluster.nodes.push(Some(node));
            cluster.configs.push(config);
        }
        cluster
    }

    pub(crate) fn run<T>(&self, test: impl Future<Output = T>) -> T {
        self.runtime.block_on(test)
    }

    /// Starts a stopped node again at its addresses.
    pub(crate) fn restart(&mut self, index: usize) {
        let loaded = NodeConfig::load(&self.configs[index]).unwrap();
        let listeners = Listeners::bind(&loaded.config).unwrap();
        let node = Node::start_with(
            loaded.config,
            listeners,
            loaded.unknown_keys,
            FirstStart::Refused,
            self.raw_values,
        )
        .unwrap();
        self.nodes[index] = Some(node);
    }

    pub(crate) fn stop(&mut self, index: usize) {
        self.nodes[index].take().unwrap().stop();
    }

    /// An endpoint of a node's client port that shows this certificate, or none.
    pub(crate) fn endpoint(&self, index: usize, identity: Option<Identity>) -> Endpoint {
        let mut tls =
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.pki.server_ca()));
        if let Some(identity) = identity {
            tls = tls.identity(identity);
        }
        Endpoint::from_shared(format!("https://127.0.0.1:{}", self.client_ports[index]))
            .unwrap()
            .tls_config(tls)
            .unwrap()
    }

    pub(crate) async fn channel(&self, index: usize, identity: Identity) -> Channel {
        self.endpoint(index, Some(identity))
            .connect()
            .await
            .unwrap()
    }

    pub(crate) async fn registry(
        &self,
        index: usize,
        identity: Identity,
    ) -> RegistryClient<Channel> {
        RegistryClient::new(self.channel(index, identity).await)
            .max_encoding_message_size(64 << 20)
            .max_decoding_message_size(64 << 20)
    }

    /// As the centre.
    pub(crate) async fn centre(&self, index: usize) -> RegistryClient<Channel> {
        self.registry(index, self.pki.centre()).await
    }

    pub(crate) async fn admin(&self, index: usize) -> ClusterAdminClient<Channel> {
        ClusterAdminClient::new(self.channel(index, self.pki.operator()).await)
    }

    pub(crate) fn status(&self, index: usize) -> StatusResponse {
        self.run(async {
            self.admin(index)
                .await
                .status(StatusRequest {})
                .await
                .unwrap()
                .into_inner()
        })
    }

    /// Waits until a node's status meets a condition.
    pub(crate) fn wait_until(
        &self,
        index: usize,
        what: &str,
        condition: impl Fn(&StatusResponse) -> bool,
    ) -> StatusResponse {
        let begun = Instant::now();
        loop {
            let status = self.status(index);
            if condition(&status) {
                return status;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "node {index} never reached: {what}; {status:?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Index of the node that leads.
    pub(crate) fn leader(&self) -> usize {
        let status = self.wait_until(0, "a leader is known", |status| status.leader_id != 0);
        usize::try_from(status.leader_id).unwrap() - 1
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(node) = node.take() {
                node.stop();
            }
        }
    }
}
