//! The validated configuration of one node.

use std::fs;
use std::path::{Path, PathBuf};

use banyan_topology::{Node, Site, Topology, TopologyError};
use toml::Value;

use super::fault::{ConfigFault, ConfigFaults, LoadError};
use super::raw::RawNodeConfig;
use super::read::Reader;
use super::sections::{
    self, Endpoints, Limits, LogSettings, RuntimeSettings, SnapshotSettings, StorageSettings,
    TlsFiles,
};

/// A node's configuration: valid by construction, with the topology that it names.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    file: PathBuf,
    topology_file: PathBuf,
    topology: Topology,
    node: Node,
    site: Site,
    data_dir: PathBuf,
    tls: TlsFiles,
    endpoints: Endpoints,
    log: LogSettings,
    storage: StorageSettings,
    snapshots: SnapshotSettings,
    limits: Limits,
    runtime: RuntimeSettings,
}

/// A configuration and the keys of its files that this version does not know.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: NodeConfig,
    /// Unknown keys with the file they stand in, in the order of the files.
    pub unknown_keys: Vec<String>,
}

impl NodeConfig {
    /// Reads a node's file and the topology that it names. Relative paths start at the folder of the file.
    ///
    /// # Errors
    /// [`LoadError`] with every fault of both files.
    pub fn load(file: &Path) -> Result<Loaded, LoadError> {
        let text = fs::read_to_string(file).map_err(|source| LoadError::Unreadable {
            path: file.to_owned(),
            source,
        })?;
        Self::parse(file, &text)
    }

    /// As [`NodeConfig::load`], with the text of the node's file at hand.
    ///
    /// # Errors
    /// As [`NodeConfig::load`].
    pub fn parse(file: &Path, text: &str) -> Result<Loaded, LoadError> {
        let malformed = |message: String| LoadError::Malformed {
            path: file.to_owned(),
            message,
        };
        let mut unknown_keys = Vec::new();
        let deserializer =
            toml::Deserializer::parse(text).map_err(|error| malformed(error.to_string()))?;
        let raw: RawNodeConfig = serde_ignored::deserialize(deserializer, |path| {
            unknown_keys.push(format!("{}: {path}", file.display()));
        })
        .map_err(|error| malformed(error.to_string()))?;
        let base = file.parent().unwrap_or(Path::new("."));
        let mut reader = Reader {
            base,
            faults: Vec::new(),
        };
        let built = build(file, raw, &mut reader, &mut unknown_keys);
        match built {
            Some(config) if reader.faults.is_empty() => Ok(Loaded {
                config,
                unknown_keys,
            }),
            _ => Err(LoadError::Faulty {
                path: file.to_owned(),
                faults: ConfigFaults(reader.faults),
                unknown_keys,
            }),
        }
    }

    /// The file it was read from.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The topology's file.
    #[must_use]
    pub fn topology_file(&self) -> &Path {
        &self.topology_file
    }

    /// The cluster that this node belongs to.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// This node in the topology.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The site where it stands.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Where it keeps its stores.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Its certificates and keys.
    #[must_use]
    pub fn tls(&self) -> &TlsFiles {
        &self.tls
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Its log lines.
    #[must_use]
    pub fn log(&self) -> &LogSettings {
        &self.log
    }

    /// Budgets of its stores.
    #[must_use]
    pub fn storage(&self) -> &StorageSettings {
        &self.storage
    }

    /// When it takes snapshots, and what it keeps behind them.
    #[must_use]
    pub fn snapshots(&self) -> &SnapshotSettings {
        &self.snapshots
    }

    /// Bounds of its edges.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Its threads.
    #[must_use]
    pub fn runtime(&self) -> &RuntimeSettings {
        &self.runtime
    }
}

fn build(
    file: &Path,
    raw: RawNodeConfig,
    reader: &mut Reader<'_>,
    unknown_keys: &mut Vec<String>,
) -> Option<NodeConfig> {
    let name = reader.text("node.name", raw.node.name.as_ref());
    let topology_file = reader.path("node.topology", raw.node.topology.as_ref());
    let data_dir = reader.path("node.data_dir", raw.node.data_dir.as_ref());
    let tls_dir = reader.path("tls.dir", raw.tls.dir.as_ref());
    let listen = sections::listen(&raw.listen, reader);
    let log = sections::log(&raw.log, reader);
    let storage = sections::storage(&raw.storage, reader);
    let snapshots = sections::snapshots(&raw.snapshots, reader);
    let limits = sections::limits(&raw.limits, reader);
    let runtime = sections::runtime(&raw.runtime, reader);
    let topology_value = raw.node.topology.as_ref();
    let topology = topology_file
        .as_deref()
        .and_then(|path| topology(path, topology_value, reader, unknown_keys));
    let (name, topology) = (name?, topology?);
    let place = topology.node(&name).cloned().and_then(|node| {
        let site = topology.site(node.site()).cloned()?;
        Some((node, site))
    });
    let Some((node, site)) = place else {
        let known: Vec<&str> = topology.nodes().iter().map(Node::name).collect();
        let rule = format!(
            "names no node of node.topology, which knows: {}",
            known.join(", ")
        );
        reader.fault("node.name", raw.node.name.as_ref(), rule);
        return None;
    };
    let endpoints = listen.endpoints(&node);
    Some(NodeConfig {
        file: file.to_owned(),
        topology_file: topology_file?,
        topology,
        node,
        site,
        data_dir: data_dir?,
        tls: TlsFiles::in_dir(tls_dir?),
        endpoints,
        log,
        storage,
        snapshots,
        limits,
        runtime,
    })
}

fn topology(
    path: &Path,
    value: Option<&Value>,
    reader: &mut Reader<'_>,
    unknown_keys: &mut Vec<String>,
) -> Option<Topology> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            reader.fault("node.topology", value, format!("cannot be read: {error}"));
            return None;
        }
    };
    let here = path.display();
    match Topology::parse(&text) {
        Ok(parsed) => {
            unknown_keys.extend(
                parsed
                    .unknown_keys
                    .iter()
                    .map(|key| format!("{here}: {key}")),
            );
            Some(parsed.topology)
        }
        Err(TopologyError::Syntax(message)) => {
            reader.fault("node.topology", value, format!("is not TOML: {message}"));
            None
        }
        Err(TopologyError::Faults {
            faults,
            unknown_keys: unknown,
        }) => {
            unknown_keys.extend(unknown.iter().map(|key| format!("{here}: {key}")));
            reader
                .faults
                .extend(faults.into_iter().map(|fault| ConfigFault {
                    key: format!("{here}: {}", fault.key),
                    value: (!fault.value.is_empty()).then_some(fault.value),
                    rule: fault.problem,
                }));
            None
        }
    }
}
