//! Why a node did not start, and why it ended by itself.

use std::fmt;
use std::io;
use std::path::PathBuf;

use banyan_consensus::StartError as ConsensusError;
use banyan_domain::Position;
use banyan_storage::OpenError;

use crate::edge::tls::TlsError;

/// Why a node did not start. Each kind has its own exit code.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Certificates or keys are not usable.
    #[error("certificates cannot be used")]
    Certificates(#[from] TlsError),
    /// An address cannot be listened on.
    #[error("cannot listen for {edge} on {address}")]
    Listen {
        /// `peer`, `client`, `http` or `health`.
        edge: &'static str,
        /// As configured.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The data directory is not usable.
    #[error("the data directory cannot be used")]
    DataDirectory(#[from] OpenError),
    /// The data directory has no identity, and the start was not said to be the node's first.
    #[error(
        "this start would have to form the data directory. A node that never ran before: run \
         `banyand --config {} --first-start` once. A node that did: its data is lost, and it must not come back under its old id",
        config.display()
    )]
    NotFormed {
        /// The node's configuration file.
        config: PathBuf,
        /// What was found in the directory.
        #[source]
        source: OpenError,
    },
    /// Threads cannot be started.
    #[error("cannot start the threads of {runtime}")]
    Threads {
        /// `raft` or `edge`.
        runtime: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Consensus did not start.
    #[error("consensus cannot start")]
    Consensus(#[from] ConsensusError),
}

/// Why a running node must stop: a fault, with the position that it had applied.
#[derive(Debug, Clone)]
pub struct Ended {
    /// What failed.
    pub cause: String,
    /// What was applied by then.
    pub applied: Option<Position>,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.applied {
            Some(position) => write!(f, "{}; applied through {position}", self.cause),
            None => write!(f, "{}; nothing was applied", self.cause),
        }
    }
}
