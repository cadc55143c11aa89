//! Whose data directory this is: cluster, node and format, written once when the directory is made.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files;

/// The format of data directories and checkpoints that this program reads and writes. Any other is refused.
///
/// 1: versions, events, audit records and markers shared a column family. 2: each has its own (ADR 0029).
pub const FORMAT_VERSION: u32 = 2;

/// The incarnation of a cluster that was never recovered from a lost quorum.
const FIRST_INCARNATION: u64 = 1;

const FILE: &str = "identity.json";
const FORMING: &str = "identity.forming";

/// Whether a data directory without identity may be formed.
///
/// A node whose disk was wiped has forgotten its votes and entries. Formed anew under its old id it could vote a second time in a term, and
/// two leaders of one term could commit different entries at one index. So forming needs somebody's word that this id never ran before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstStart {
    /// A directory without identity is refused.
    Refused,
    /// A directory without identity is formed if it is empty, or if an earlier first start was not finished in it. One that has an
    /// identity is opened as it is, so that a repeated first start does no harm.
    Permitted,
}

/// Names the cluster and the node that a data directory belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Name of the cluster, as in its topology.
    pub cluster: String,
    /// Number of the node, unique in the cluster for ever.
    pub node: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredIdentity {
    format: u32,
    incarnation: u64,
    #[serde(flatten)]
    identity: Identity,
}

/// Why a directory's identity was refused.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The directory belongs to another cluster.
    #[error("data directory {} belongs to cluster {found:?}, this node is configured for cluster {configured:?}", path.display())]
    Cluster {
        /// The data directory.
        path: PathBuf,
        /// The cluster in the directory.
        found: String,
        /// The cluster in the configuration.
        configured: String,
    },
    /// The directory belongs to another node.
    #[error("data directory {} belongs to node {found}, this node is configured as node {configured}", path.display())]
    Node {
        /// The data directory.
        path: PathBuf,
        /// The node number in the directory.
        found: u64,
        /// The node number in the configuration.
        configured: u64,
    },
    /// The directory has an older, newer or unknown format.
    #[error("data directory {} has format {found}, this program reads format {FORMAT_VERSION}", path.display())]
    Format {
        /// The data directory.
        path: PathBuf,
        /// The format in the directory.
        found: u32,
    },
    /// The directory is empty or not there, and forming it was not permitted.
    #[error("data directory {} holds no identity: no node was ever started on it, or all its data is lost", path.display())]
    NotFormed {
        /// The directory.
        path: PathBuf,
    },
    /// A first start broke off in the directory, and finishing it was not permitted.
    #[error("data directory {} holds a first start that was not finished", path.display())]
    Unfinished {
        /// The directory.
        path: PathBuf,
    },
    /// Something is in the directory, but nothing says whose it is.
    #[error("directory {} is not empty and has no {FILE}: it is no data directory of this program, or has lost its identity", path.display())]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// The identity file is there but cannot be understood.
    #[error("identity file {} cannot be read", path.display())]
    Unreadable {
        /// The identity file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// Reading or writing failed.
    #[error("identity of data directory {} could not be read or written", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
}

/// What [`begin`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The directory was made before and belongs to us.
    Formed,
    /// The directory is new; [`complete`] is called once the stores have been made.
    Forming,
}

/// Checks the directory's identity, or starts a new directory.
///
/// A directory without identity is only ever filled with permission, and then only when it was empty or when the marker of an
/// unfinished first start lies in it: losing the identity file must not turn into losing the data.
pub(crate) fn begin(
    directory: &Path,
    identity: &Identity,
    first_start: FirstStart,
) -> Result<Found, IdentityError> {
    let io_error = |source| IdentityError::Io {
        path: directory.to_owned(),
        source,
    };
    match fs::read(directory.join(FILE)) {
        Ok(content) => {
            check(directory, identity, &content)?;
            remove_forming(directory).map_err(io_error)?;
            if first_start == FirstStart::Permitted {
                tracing::info!(
                    directory = %directory.display(),
                    "a first start was permitted, but the data directory has its identity already: it is opened as it is"
                );
            }
            return Ok(Found::Formed);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_error(error)),
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(io_error)? {
        names.push(entry.map_err(io_error)?.file_name());
    }
    names.retain(|name| name != "lock" && name != "identity.new");
    let unfinished = names.iter().any(|name| name == FORMING);
    if !names.is_empty() && !unfinished {
        return Err(IdentityError::Missing {
            path: directory.to_owned(),
        });
    }
    if first_start == FirstStart::Refused {
        let path = directory.to_owned();
        return Err(if unfinished {
            IdentityError::Unfinished { path }
        } else {
            IdentityError::NotFormed { path }
        });
    }
    if unfinished {
        // The first start did not finish. Nothing in it was ever acknowledged: identity comes before the first vote.
        for name in names.iter().filter(|name| *name != FORMING) {
            let path = directory.join(name);
            let removed = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            removed.map_err(io_error)?;
        }
    } else {
        files::write_atomically(&directory.join(FORMING), b"").map_err(io_error)?;
    }
    tracing::warn!(
        directory = %directory.display(),
        cluster = identity.cluster,
        node = identity.node,
        "forming a new data directory: this node has never run before under this id"
    );
    Ok(Found::Forming)
}

/// Writes the identity, durably, after the stores of a new directory have been made.
pub(crate) fn complete(directory: &Path, identity: &Identity) -> Result<(), IdentityError> {
    let io_error = |source| IdentityError::Io {
        path: directory.to_owned(),
        source,
    };
    let stored = StoredIdentity {
        format: FORMAT_VERSION,
        incarnation: FIRST_INCARNATION,
        identity: identity.clone(),
    };
    let mut content =
        serde_json::to_vec_pretty(&stored).map_err(|source| IdentityError::Unreadable {
            path: directory.join(FILE),
            source,
        })?;
    content.push(b'\n');
    files::write_atomically(&directory.join(FILE), &content).map_err(io_error)?;
    remove_forming(directory).map_err(io_error)
}

/// Removes the marker of an unfinished first start. It must not outlive the first start: should the identity be lost one day, the marker
/// would say that nothing in the directory matters.
fn remove_forming(directory: &Path) -> io::Result<()> {
    match fs::remove_file(directory.join(FORMING)) {
        Ok(()) => files::sync_directory(directory),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Which incarnation of its cluster a directory belongs to.
pub(crate) fn incarnation(directory: &Path) -> Result<u64, IdentityError> {
    let content = fs::read(directory.join(FILE)).map_err(|source| IdentityError::Io {
        path: directory.to_owned(),
        source,
    })?;
    let stored: StoredIdentity =
        serde_json::from_slice(&content).map_err(|source| IdentityError::Unreadable {
            path: directory.join(FILE),
            source,
        })?;
    Ok(stored.incarnation)
}

fn check(directory: &Path, identity: &Identity, content: &[u8]) -> Result<(), IdentityError> {
    let path = directory.to_owned();
    let stored: StoredIdentity =
        serde_json::from_slice(content).map_err(|source| IdentityError::Unreadable {
            path: directory.join(FILE),
            source,
        })?;
    if stored.format != FORMAT_VERSION {
        return Err(IdentityError::Format {
            path,
            found: stored.format,
        });
    }
    if stored.identity.cluster != identity.cluster {
        return Err(IdentityError::Cluster {
            path,
            found: stored.identity.cluster,
            configured: identity.cluster.clone(),
        });
    }
    if stored.identity.node != identity.node {
        return Err(IdentityError::Node {
            path,
            found: stored.identity.node,
            configured: identity.node,
        });
    }
    Ok(())
}
