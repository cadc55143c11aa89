//! What a run is made of, from the name of its folder to seven nodes that have a leader.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use banyan_drill::cluster::{self, LocalCluster, Particular, PortPolicy, free_port};
use banyan_drill::wait_for;
use banyan_topology::{NodeId, Ports, Topology};
use clap::ValueEnum;
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

use super::clocks::Clocks;
use super::disks::Disks;
use super::name::RunName;
use super::namespaces::{self, Namespaces};
use super::network::Network;
use super::preload::{self, Preloaded};
use super::proxies::Proxies;
use crate::harness;

/// The folder of the cluster in that of the run.
pub(super) const CLUSTER: &str = "cluster";
const READY_WITHIN: Duration = Duration::from_secs(90);
/// A process that was started has become its node after this time.
const PRELOADED_WITHIN: Duration = Duration::from_secs(20);

/// Small memtables, so that flushes and compactions come often.
const CONFIG: &str = "[storage]\nmemtable = \"4 MiB\"\nblock_cache = \"16 MiB\"\n\n";
/// Of every other node: snapshots and purges come often, and hardly any log stays behind them. A node that was away needs a snapshot when such a
/// one leads, and many full appends when another leads.
const SHORT_LOG: &str = "[snapshots]\nafter_entries = 1000\nkeep_entries = 300\n\n";

/// How the nodes are told apart on the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Wanted {
    /// Namespaces where they can be made, else proxies
    Auto,
    Namespaces,
    Proxies,
}

/// A network that is not used yet, and the topology as it will run.
pub(super) struct Prepared {
    pub(super) run: RunName,
    topology: Topology,
    namespaces: Option<Namespaces>,
    /// Why there are no namespaces, where they were not asked for or cannot be made.
    pub(super) why_proxies: Option<String>,
}

/// Makes the namespaces, where wanted and possible. To be called before any thread is started: this one moves to the clients' namespace, and
/// only the threads that it starts do with it.
///
/// # Errors
/// Namespaces were asked for and cannot be made.
pub(super) fn prepare(wanted: Wanted) -> Result<Prepared> {
    let run = RunName::own().context("cannot read /proc")?;
    let text = fs::read_to_string(harness::local_topology()).context("cannot read the topology")?;
    let topology = Topology::parse(&text)?.topology;
    let made = match wanted {
        Wanted::Proxies => Err("proxies were asked for".to_owned()),
        Wanted::Auto | Wanted::Namespaces => {
            Namespaces::create(run, &topology).map_err(|error| format!("{error:#}"))
        }
    };
    let (namespaces, why_proxies) = match (made, wanted) {
        (Ok(namespaces), _) => (Some(namespaces), None),
        (Err(why), Wanted::Namespaces) => bail!("network namespaces cannot be made: {why}"),
        (Err(why), _) => (None, Some(why)),
    };
    Ok(Prepared {
        run,
        topology,
        namespaces,
        why_proxies,
    })
}

/// Everything that faults are done to. The fields are in the order in which they have to end.
pub(super) struct Arena {
    pub(super) cluster: LocalCluster,
    pub(super) clocks: Clocks,
    pub(super) disks: Disks,
    pub(super) network: Network,
    pub(super) why_proxies: Option<String>,
    /// What nodes have preloaded, by name.
    preloaded: BTreeMap<String, Vec<Preloaded>>,
}

impl Arena {
    /// Starts the nodes in a folder.
    ///
    /// # Errors
    /// What stood in the way; what was made is removed again.
    pub(super) async fn start(
        prepared: Prepared,
        folder: &Path,
        rng: &mut ChaCha8Rng,
    ) -> Result<Arena> {
        let clocks = Clocks::prepare(folder, &prepared.topology, rng)?;
        let mut particular: BTreeMap<String, Particular> = BTreeMap::new();
        let (network, topology) = match prepared.namespaces {
            Some(namespaces) => {
                let addresses = namespaces::addresses(&prepared.topology);
                let topology = with_hosts(&prepared.topology, &addresses)?;
                (Network::Namespaces(namespaces), topology)
            }
            None => behind_relays(folder, &prepared.topology, &mut particular)?,
        };
        let nodes: Vec<String> = topology
            .nodes()
            .iter()
            .map(|node| node.name().to_owned())
            .collect();
        let disks = Disks::mount(folder, &nodes)?;
        let mut preloaded = BTreeMap::new();
        let first_short: usize = rng.random_range(0..2);
        for (place, node) in nodes.iter().enumerate() {
            if place % 2 == first_short {
                let particular = particular.entry(node.clone()).or_default();
                particular.extra_config.push_str(SHORT_LOG);
            }
            let mut wrapper = network.wrapper(node);
            let libraries = [network.preloaded(node), clocks.preloaded(node)];
            let libraries: Vec<Preloaded> = libraries.into_iter().flatten().collect();
            wrapper.extend(preload::wrapper(&libraries));
            particular.entry(node.clone()).or_default().wrapper = wrapper;
            preloaded.insert(node.clone(), libraries);
        }
        let file = folder.join("topology.toml");
        fs::write(&file, topology.to_toml()).context("cannot write the topology")?;
        let cluster = Box::pin(LocalCluster::start(cluster::Options {
            ports: PortPolicy::Given,
            extra_config: CONFIG.to_owned(),
            particular,
            data_root: Some(disks.root().to_owned()),
            ready_within: READY_WITHIN,
            ..cluster::Options::new(file, folder.join(CLUSTER))
        }))
        .await?;
        let mut arena = Arena {
            cluster,
            clocks,
            disks,
            network,
            why_proxies: prepared.why_proxies,
            preloaded,
        };
        for node in &nodes {
            arena.has_preloaded(node).await?;
        }
        Ok(arena)
    }

    /// Waits until a node that runs has all in its memory that was to be preloaded: a process that is just started does not have it yet, and without it
    /// would not feel what is done to its clock.
    ///
    /// # Errors
    /// It does not get there.
    pub(super) async fn has_preloaded(&mut self, node: &str) -> Result<()> {
        let cluster = &mut self.cluster;
        let libraries = self.preloaded.get(node).map_or(&[][..], Vec::as_slice);
        let what = format!("what is preloaded into {node}");
        wait_for::condition(&what, PRELOADED_WITHIN, async || {
            let Some(pid) = cluster.process_ids().remove(node) else {
                return Ok(());
            };
            for library in libraries {
                match library.is_in(pid) {
                    Ok(true) => {}
                    Ok(false) => return Err(format!("{library} is not in its memory")),
                    // A node forbids others of its user to look into it: only root can tell.
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                    Err(error) => return Err(error.to_string()),
                }
            }
            Ok(())
        })
        .await?;
        Ok(())
    }

    /// The names of the sites where voters are.
    pub(super) fn voting_sites(&self) -> Vec<String> {
        let sites: BTreeSet<String> = self
            .cluster
            .topology()
            .voters()
            .map(|node| node.site().to_owned())
            .collect();
        sites.into_iter().collect()
    }

    /// The names of all sites.
    pub(super) fn sites(&self) -> Vec<String> {
        let sites = self.cluster.topology().sites();
        sites.iter().map(|site| site.name().to_owned()).collect()
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // A process that waits for a stalled disk cannot be ended, and this waits for the ends of all.
        self.disks.heal();
    }
}

fn with_hosts(topology: &Topology, hosts: &BTreeMap<String, String>) -> Result<Topology> {
    let named: BTreeMap<NodeId, String> = topology
        .nodes()
        .iter()
        .filter_map(|node| Some((node.id(), hosts.get(node.name())?.clone())))
        .collect();
    Ok(topology.with_hosts(&named)?)
}

/// The topology on the loopback interface, with a relay before every node's port for peers.
fn behind_relays(
    folder: &Path,
    topology: &Topology,
    particular: &mut BTreeMap<String, Particular>,
) -> Result<(Network, Topology)> {
    let mut proxies = Proxies::new(folder, topology)?;
    let mut ports = BTreeMap::new();
    // Held until all are chosen, so that none is given twice.
    let mut held = Vec::new();
    for node in topology.nodes() {
        let mut chosen = |host: &str| -> Result<SocketAddr> {
            let listener = free_port(host).context("no free port")?;
            let address = listener.local_addr().context("no free port")?;
            held.push(listener);
            Ok(address)
        };
        let behind = chosen(node.host())?;
        let (client, http) = (chosen(node.host())?.port(), chosen(node.host())?.port());
        let health = chosen("127.0.0.1")?.port();
        let front: TcpListener = free_port(node.host()).context("no free port")?;
        let peer = front.local_addr().context("no free port")?.port();
        proxies.relay(node.name(), front, behind)?;
        particular
            .entry(node.name().to_owned())
            .or_default()
            .extra_config = format!("[listen]\npeer = \"{behind}\"\n");
        ports.insert(
            node.id(),
            Ports {
                peer,
                client,
                http,
                health,
            },
        );
    }
    Ok((Network::Proxies(proxies), topology.with_ports(&ports)?))
}

/// Where runs keep their folders, and reports are written.
pub(super) fn folder_of(run: RunName, runs: &Path) -> Result<PathBuf> {
    let folder = runs.join(run.to_string());
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    folder
        .canonicalize()
        .context("cannot find the run's folder")
}
