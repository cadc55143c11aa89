//! A whole cluster on one machine: its files, its processes, its state as its nodes tell it.
//!
//! ```text
//! <directory>/cluster.json    what runs: written at every start and end of a node
//!             topology.toml   as it runs, ports included
//!             contexts.toml   for `banyan --contexts`
//!             pki/            see crate::pki
//!             nodes/<name>/   node.toml  data/  banyand.log
//! ```
//! Processes are known by id and start time, so that another program (`banyan cluster status|down`) finds them again and
//! nothing else is ever signalled.

mod clients;
mod error;
mod files;
mod in_place;
mod ports;
mod process;
mod signals;
mod stopping;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banyan_topology::{Node, NodeId, Topology};
use banyan_wire::v1;

use crate::access;
use crate::pki;
use crate::wait_for::{self, Elapsed};

pub use error::ClusterError;
pub use files::{BinaryError, Layout, find_banyand};
pub use ports::{PortPolicy, PortsError, free_port};
pub use process::Lifetime;
pub use stopping::Stopped;

use files::StateFile;
use process::{Launch, NodeProcess, Starter};

/// A process that was sent SIGKILL is gone in milliseconds; this is for a machine under load.
const KILLED_WITHIN: Duration = Duration::from_secs(10);

/// How to start a cluster.
#[derive(Debug, Clone)]
pub struct Options {
    /// A topology file.
    pub topology: PathBuf,
    /// Made if missing. One that holds a cluster already is started again as it is: its topology, keys and data stay.
    pub directory: PathBuf,
    /// The node's program; `None`: see [`find_banyand`].
    pub banyand: Option<PathBuf>,
    pub ports: PortPolicy,
    pub lifetime: Lifetime,
    /// Lines added to each node's configuration, for instance `[storage]` and its keys.
    pub extra_config: String,
    /// What is particular to some nodes, by name.
    pub particular: BTreeMap<String, Particular>,
    /// Where data directories stand; `None`: under `directory`.
    pub data_root: Option<PathBuf>,
    /// Nodes that something else plays: they get ports, keys and a place in the membership, and no process.
    pub simulated: BTreeSet<String>,
    /// Time for the nodes to answer and for the cluster to have a leader.
    pub ready_within: Duration,
}

impl Options {
    /// Ports and places as the topology and the directory say; the nodes end with this program.
    pub fn new(topology: impl Into<PathBuf>, directory: impl Into<PathBuf>) -> Options {
        Options {
            topology: topology.into(),
            directory: directory.into(),
            banyand: None,
            ports: PortPolicy::Topology,
            lifetime: Lifetime::WithStarter,
            extra_config: String::new(),
            particular: BTreeMap::new(),
            data_root: None,
            simulated: BTreeSet::new(),
            ready_within: Duration::from_secs(60),
        }
    }
}

/// What is particular to one node of a cluster that is started.
#[derive(Debug, Clone, Default)]
pub struct Particular {
    /// Lines added to this node's configuration, behind those of all nodes.
    pub extra_config: String,
    /// A program with its arguments that becomes the node's, for instance `nsenter --net=… --`. It must not fork: signals go to its process id.
    pub wrapper: Vec<OsString>,
}

/// What is known of one node.
#[derive(Debug, Clone)]
pub struct NodeState {
    pub name: String,
    pub site: String,
    pub pid: Option<i32>,
    pub running: bool,
    /// What the node says of itself; `Err`: why it says nothing.
    pub status: Result<v1::StatusResponse, String>,
}

/// A local cluster, started here or found running.
#[derive(Debug)]
pub struct LocalCluster {
    layout: Layout,
    topology: Topology,
    banyand: PathBuf,
    lifetime: Lifetime,
    starter: Starter,
    processes: BTreeMap<String, NodeProcess>,
    /// Nodes that were made here and have not answered yet. Only they are started with the permission to form their data directories: a node
    /// that is started again on a directory without its data must be refused.
    unformed: BTreeSet<String>,
    simulated: BTreeSet<String>,
    /// Wrappers of nodes. A cluster that was found running has none: its nodes start as any.
    particular: BTreeMap<String, Particular>,
    ready_within: Duration,
}

impl LocalCluster {
    /// Starts all nodes, waits until they answer, forms the cluster, waits until it has a leader that all know.
    ///
    /// # Errors
    /// [`ClusterError`]; what was started is ended again.
    pub async fn start(options: Options) -> Result<LocalCluster, ClusterError> {
        let banyand = find_banyand(options.banyand.as_deref())?;
        let layout = Layout::new(&options.directory)?;
        let (topology, unformed) = match layout.read_state()? {
            Some(state) => {
                let running = state.nodes.values().filter(|mark| mark.runs()).count();
                if running > 0 {
                    return Err(ClusterError::Running {
                        path: layout.directory,
                        running,
                    });
                }
                (layout.read_topology()?, state.unformed)
            }
            None => {
                let topology = prepare(&layout, &options)?;
                let all = topology.nodes().iter().map(|node| node.name().to_owned());
                let unformed = all.collect();
                (topology, unformed)
            }
        };
        let starter = Starter::new().map_err(|source| ClusterError::Start {
            node: "the starter".to_owned(),
            source,
        })?;
        let mut cluster = LocalCluster {
            layout,
            topology,
            banyand,
            lifetime: options.lifetime,
            starter,
            processes: BTreeMap::new(),
            unformed,
            simulated: options.simulated,
            particular: options.particular,
            ready_within: options.ready_within,
        };
        let started = cluster.start_all().await;
        if let Err(error) = started {
            cluster.end_all();
            return Err(error);
        }
        Ok(cluster)
    }

    /// Finds a cluster that another program started.
    ///
    /// # Errors
    /// [`ClusterError::NoCluster`] when the directory holds none.
    pub fn attach(directory: &Path) -> Result<LocalCluster, ClusterError> {
        let layout = Layout::new(directory)?;
        let state = layout
            .read_state()?
            .ok_or_else(|| ClusterError::NoCluster {
                path: directory.to_owned(),
            })?;
        let starter = Starter::new().map_err(|source| ClusterError::Start {
            node: "the starter".to_owned(),
            source,
        })?;
        Ok(LocalCluster {
            topology: layout.read_topology()?,
            banyand: state.banyand,
            lifetime: Lifetime::Detached,
            starter,
            processes: state
                .nodes
                .into_iter()
                .map(|(name, mark)| (name, NodeProcess::attached(mark)))
                .collect(),
            unformed: state.unformed,
            simulated: BTreeSet::new(),
            particular: BTreeMap::new(),
            ready_within: Duration::from_secs(60),
            layout,
        })
    }

    /// The topology as it runs.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Where its files are.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Asks all nodes at once what they know.
    ///
    /// # Errors
    /// Only when there is no way in at all; a node that does not answer says so in its state.
    pub async fn status(&mut self) -> Result<Vec<NodeState>, ClusterError> {
        let operator = self.operator()?;
        let mut answers = access::status_of_all(&operator, &self.node_names()).await;
        let mut states = Vec::new();
        for node in self.topology.nodes() {
            let process = self.processes.get_mut(node.name());
            let (pid, running) = process.map_or((None, false), |process| {
                (Some(process.mark.pid), process.runs())
            });
            states.push(NodeState {
                name: node.name().to_owned(),
                site: node.site().to_owned(),
                pid,
                running,
                status: answers
                    .remove(node.name())
                    .unwrap_or_else(|| Err("was not asked".to_owned())),
            });
        }
        Ok(states)
    }

    /// The names of all nodes, in the order of the topology.
    pub fn node_names(&self) -> Vec<String> {
        self.topology
            .nodes()
            .iter()
            .map(|node| node.name().to_owned())
            .collect()
    }

    /// The names of the nodes that run.
    pub fn running(&mut self) -> Vec<String> {
        self.processes
            .iter_mut()
            .filter_map(|(name, process)| process.runs().then(|| name.clone()))
            .collect()
    }

    /// The process ids of the nodes that run, by name.
    pub fn process_ids(&mut self) -> BTreeMap<String, i32> {
        self.processes
            .iter_mut()
            .filter_map(|(name, process)| process.runs().then(|| (name.clone(), process.mark.pid)))
            .collect()
    }

    /// How a node ended that was started here and has ended by itself, for instance `exit status: 1`. `None`: it runs, or was ended by
    /// [`LocalCluster::kill`].
    pub fn ended_with(&mut self, name: &str) -> Option<String> {
        let status = self.processes.get_mut(name)?.exit_status()?;
        Some(status.to_string())
    }

    /// Ends one node with SIGKILL and reaps it.
    ///
    /// # Errors
    /// [`ClusterError::NoNode`], or that the signal could not be sent.
    pub async fn kill_node(&mut self, name: &str) -> Result<(), ClusterError> {
        self.kill(&[name.to_owned()]).await
    }

    /// Ends all nodes of a site with SIGKILL, one right after the other, and reaps them.
    ///
    /// # Errors
    /// [`ClusterError::NoSite`], or that a signal could not be sent.
    pub async fn kill_site(&mut self, site: &str) -> Result<(), ClusterError> {
        let nodes = self.nodes_at(site)?;
        self.kill(&nodes).await
    }

    /// Ends all nodes at once, as a loss of power would.
    ///
    /// # Errors
    /// That a signal could not be sent.
    pub async fn kill_all(&mut self) -> Result<(), ClusterError> {
        let nodes = self.node_names();
        self.kill(&nodes).await
    }

    /// The names of a site's nodes.
    ///
    /// # Errors
    /// [`ClusterError::NoSite`].
    pub fn nodes_at(&self, site: &str) -> Result<Vec<String>, ClusterError> {
        let nodes: Vec<String> = self
            .topology
            .nodes_at(site)
            .map(|node| node.name().to_owned())
            .collect();
        if nodes.is_empty() {
            return Err(ClusterError::NoSite {
                name: site.to_owned(),
            });
        }
        Ok(nodes)
    }

    /// Sends SIGKILL to the named nodes; what is waited for comes after the last signal.
    ///
    /// # Errors
    /// [`ClusterError::NoNode`], [`ClusterError::Signal`].
    pub async fn kill(&mut self, nodes: &[String]) -> Result<(), ClusterError> {
        self.send_kill(nodes)?;
        for name in nodes {
            self.wait_for_end(name).await?;
        }
        self.write_state()
    }

    async fn wait_for_end(&mut self, name: &str) -> Result<(), ClusterError> {
        if let Some(process) = self.processes.get_mut(name)
            && !process.ended_within(KILLED_WITHIN).await
        {
            return Err(ClusterError::Elapsed(Elapsed {
                what: format!("the end of {name} after SIGKILL"),
                deadline: KILLED_WITHIN,
                last: "its process still runs".to_owned(),
            }));
        }
        self.processes.remove(name);
        Ok(())
    }

    /// Starts one node that does not run, on its old data. Returns when the process runs; see [`LocalCluster::wait_answering`].
    ///
    /// # Errors
    /// [`ClusterError::NoNode`], [`ClusterError::Start`].
    pub fn start_node(&mut self, name: &str) -> Result<(), ClusterError> {
        if self.topology.node(name).is_none() {
            return Err(ClusterError::NoNode {
                name: name.to_owned(),
            });
        }
        if self.processes.get_mut(name).is_some_and(NodeProcess::runs) {
            return Ok(());
        }
        let process = self
            .starter
            .start(Launch {
                wrapper: self.wrapper(name),
                banyand: self.banyand.clone(),
                config: self.layout.node_config(name),
                log: self.layout.node_log(name),
                lifetime: self.lifetime,
                first_start: self.unformed.contains(name),
            })
            .map_err(|source| ClusterError::Start {
                node: name.to_owned(),
                source,
            })?;
        self.processes.insert(name.to_owned(), process);
        self.write_state()
    }

    fn wrapper(&self, name: &str) -> Vec<OsString> {
        let particular = self.particular.get(name);
        particular.map_or_else(Vec::new, |particular| particular.wrapper.clone())
    }

    async fn start_all(&mut self) -> Result<(), ClusterError> {
        let mut nodes = self.node_names();
        nodes.retain(|name| !self.simulated.contains(name));
        for name in &nodes {
            self.start_node(name)?;
        }
        self.wait_answering(&nodes, self.ready_within).await?;
        self.unformed.clear();
        self.write_state()?;
        self.form().await?;
        self.wait_caught_up(&nodes, self.ready_within).await?;
        Ok(())
    }

    /// Forms the cluster; a no-op for one that is formed. Tried again while the first node is still electing itself.
    async fn form(&mut self) -> Result<(), ClusterError> {
        let operator = self.operator()?;
        let Some(first) = self
            .topology
            .voters()
            .next()
            .map(|node| node.name().to_owned())
        else {
            return Ok(());
        };
        let mut last = None;
        let formed = wait_for::condition("forming the cluster", self.ready_within, async || {
            let error = match operator.bootstrap(&first).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let reason = access::reason(&error);
            last = Some(error);
            Err(reason)
        })
        .await;
        match (formed, last) {
            (Ok(()), _) => Ok(()),
            (Err(_), Some(error)) => Err(ClusterError::Bootstrap(error)),
            (Err(elapsed), None) => Err(elapsed.into()),
        }
    }

    fn write_state(&self) -> Result<(), ClusterError> {
        self.layout.write_state(&StateFile {
            cluster: self.topology.cluster().to_owned(),
            banyand: self.banyand.clone(),
            nodes: self
                .processes
                .iter()
                .map(|(name, process)| (name.clone(), process.mark))
                .collect(),
            unformed: self.unformed.clone(),
        })
    }

    fn end_all(&mut self) {
        for process in self.processes.values_mut() {
            process.end_now();
        }
        self.processes.clear();
        // The state file is a help for other programs; the processes are gone either way.
        let _ = self.write_state();
    }

    /// The node id of a name, for calls that take one.
    pub fn node_id(&self, name: &str) -> Option<NodeId> {
        self.topology.node(name).map(Node::id)
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        if self.lifetime == Lifetime::WithStarter {
            self.end_all();
        }
    }
}

/// Settles the ports and writes topology, keys, contexts and configurations of a new cluster.
fn prepare(layout: &Layout, options: &Options) -> Result<Topology, ClusterError> {
    let topology = ports::settle(&files::read_topology(&options.topology)?, options.ports)?;
    layout.write_topology(&topology)?;
    pki::create(&pki::Options {
        directory: &layout.pki(),
        topology: &topology,
        valid_days: pki::VALID_DAYS,
    })?;
    layout.write_contexts(&topology)?;
    for node in topology.nodes() {
        layout.write_node_config(node.name(), options)?;
    }
    Ok(topology)
}
