//! The files of a local cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use banyan_topology::Topology;
use serde::{Deserialize, Serialize};

use super::process::ProcessMark;
use super::{ClusterError, Options};
use crate::identities;

const STATE_FILE: &str = "cluster.json";
/// How much of a log an error shows.
const TAIL_BYTES: u64 = 2000;

/// Where a cluster's files are. All paths are absolute.
#[derive(Debug, Clone)]
pub struct Layout {
    pub directory: PathBuf,
}

/// What runs.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StateFile {
    pub(super) cluster: String,
    pub(super) banyand: PathBuf,
    pub(super) nodes: BTreeMap<String, ProcessMark>,
    /// Nodes that were made here and have not answered yet: these alone may form their data directories.
    #[serde(default)]
    pub(super) unformed: BTreeSet<String>,
}

/// Where the node's program was looked for.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    #[error("{path} is not a file: it was given as the node's program")]
    Given { path: PathBuf },
    #[error(
        "no banyand found (looked at {looked}): build it with `cargo build -p banyan-node`, or set BANYAND_BIN"
    )]
    NotFound { looked: String },
}

/// Finds the node's program: the given path, `BANYAND_BIN`, else beside the running program or one folder above it
/// (tests run in `deps/`).
///
/// # Errors
/// [`BinaryError`].
#[expect(
    clippy::disallowed_methods,
    reason = "BANYAND_BIN is documented: tests have no command line"
)]
pub fn find_banyand(given: Option<&Path>) -> Result<PathBuf, BinaryError> {
    let named = given
        .map(Path::to_owned)
        .or_else(|| std::env::var_os("BANYAND_BIN").map(Into::into));
    if let Some(path) = named {
        return match path.canonicalize() {
            Ok(found) if found.is_file() => Ok(found),
            _ => Err(BinaryError::Given { path }),
        };
    }
    let here = std::env::current_exe().unwrap_or_default();
    let candidates: Vec<PathBuf> = here
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("banyand"))
        .collect();
    candidates
        .iter()
        .find(|path| path.is_file())
        .cloned()
        .ok_or_else(|| BinaryError::NotFound {
            looked: candidates
                .iter()
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
                .join(", "),
        })
}

impl Layout {
    /// Makes the directory if it is missing.
    pub(super) fn new(directory: &Path) -> Result<Layout, ClusterError> {
        let used = |source| ClusterError::File {
            path: directory.to_owned(),
            source,
        };
        fs::create_dir_all(directory).map_err(used)?;
        Ok(Layout {
            directory: directory.canonicalize().map_err(used)?,
        })
    }

    pub fn pki(&self) -> PathBuf {
        self.directory.join("pki")
    }

    pub fn contexts(&self) -> PathBuf {
        self.directory.join("contexts.toml")
    }

    pub fn topology(&self) -> PathBuf {
        self.directory.join("topology.toml")
    }

    pub fn node(&self, name: &str) -> PathBuf {
        self.directory.join("nodes").join(name)
    }

    pub fn node_config(&self, name: &str) -> PathBuf {
        self.node(name).join("node.toml")
    }

    pub fn node_log(&self, name: &str) -> PathBuf {
        self.node(name).join("banyand.log")
    }

    fn state(&self) -> PathBuf {
        self.directory.join(STATE_FILE)
    }

    pub(super) fn read_state(&self) -> Result<Option<StateFile>, ClusterError> {
        let path = self.state();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ClusterError::File { path, source }),
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| ClusterError::StateFile {
                path,
                reason: error.to_string(),
            })
    }

    /// Written beside and renamed, so that a reader never sees half of it.
    pub(super) fn write_state(&self, state: &StateFile) -> Result<(), ClusterError> {
        let path = self.state();
        let written = serde_json::to_vec_pretty(state)
            .map_err(io::Error::other)
            .and_then(|bytes| {
                let beside = path.with_extension("json.new");
                fs::write(&beside, bytes)?;
                fs::rename(&beside, &path)
            });
        written.map_err(|source| ClusterError::File { path, source })
    }

    pub(super) fn read_topology(&self) -> Result<Topology, ClusterError> {
        read_topology(&self.topology())
    }

    pub(super) fn write_topology(&self, topology: &Topology) -> Result<(), ClusterError> {
        write(&self.topology(), &topology.to_toml())
    }

    pub(super) fn write_contexts(&self, topology: &Topology) -> Result<(), ClusterError> {
        let principals = identities::principals(topology);
        write(
            &self.contexts(),
            &identities::render_contexts(topology, &principals, "pki/"),
        )
    }

    pub(super) fn write_node_config(
        &self,
        name: &str,
        options: &Options,
    ) -> Result<(), ClusterError> {
        let data = match &options.data_root {
            Some(root) => root.join(name),
            None => PathBuf::from("data"),
        };
        let folder = self.node(name);
        fs::create_dir_all(&folder).map_err(|source| ClusterError::File {
            path: folder,
            source,
        })?;
        // Debug quoting of a path is TOML's for everything that a path of ours holds.
        let text = format!(
            "[node]\nname = {name:?}\ntopology = \"../../topology.toml\"\ndata_dir = {data:?}\n\n\
             [tls]\ndir = \"../../pki/nodes/{name}\"\n\n\
             [log]\nformat = \"json\"\nlevel = \"info\"\n\n{}{}",
            options.extra_config,
            options
                .particular
                .get(name)
                .map_or("", |particular| particular.extra_config.as_str()),
        );
        write(&self.node_config(name), &text)
    }
}

pub(super) fn read_topology(path: &Path) -> Result<Topology, ClusterError> {
    let text = fs::read_to_string(path).map_err(|source| ClusterError::File {
        path: path.to_owned(),
        source,
    })?;
    Topology::parse(&text)
        .map(|parsed| parsed.topology)
        .map_err(|source| ClusterError::Topology {
            path: path.to_owned(),
            source,
        })
}

fn write(path: &Path, text: &str) -> Result<(), ClusterError> {
    fs::write(path, text).map_err(|source| ClusterError::File {
        path: path.to_owned(),
        source,
    })
}

/// The last lines of a log, for an error.
pub(super) fn tail(path: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = fs::File::open(path)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_else(|error| format!("(its log cannot be read: {error})"))
}
