//! Why something could not be done to a local cluster.

use std::io;
use std::path::PathBuf;

use banyan_client::CallError;
use banyan_topology::TopologyError;

use super::files::BinaryError;
use super::ports::PortsError;
use crate::access;
use crate::pki::PkiError;
use crate::wait_for::Elapsed;

/// Why something could not be done to a cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("cannot use {path}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} is not a valid topology")]
    Topology {
        path: PathBuf,
        #[source]
        source: TopologyError,
    },
    #[error("{path} holds no cluster: start one with `banyan cluster up`")]
    NoCluster { path: PathBuf },
    #[error("{path} is not a cluster's state file: {reason}")]
    StateFile { path: PathBuf, reason: String },
    #[error(
        "the cluster in {path} already runs ({running} of its nodes): see `banyan cluster status`, or stop it with `banyan cluster down`"
    )]
    Running { path: PathBuf, running: usize },
    #[error(transparent)]
    Binary(#[from] BinaryError),
    #[error(transparent)]
    Ports(#[from] PortsError),
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error("no node is called {name}")]
    NoNode { name: String },
    #[error("{node} has no process that runs")]
    NotRunning { node: String },
    #[error("the process of {node} runs")]
    StillRuns { node: String },
    #[error("no site with nodes is called {name}")]
    NoSite { name: String },
    #[error("cannot start {node}")]
    Start {
        node: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot signal {node}")]
    Signal {
        node: String,
        #[source]
        source: io::Error,
    },
    #[error("{node} ended while it was waited for ({how}); the end of its log {log}:\n{tail}")]
    Ended {
        node: String,
        how: String,
        log: PathBuf,
        tail: String,
    },
    #[error(transparent)]
    Elapsed(#[from] Elapsed),
    #[error("no access to the cluster")]
    Access(#[from] access::AccessError),
    #[error("the cluster could not be formed")]
    Bootstrap(#[source] CallError),
}
