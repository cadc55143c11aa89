//! What the parts of a node are opened with, out of its configuration.

use std::fs;
use std::path::Path;

use banyan_consensus::{LogPolicy, PeerTls, Timing};
use banyan_storage::{FirstStart, Identity, IdentityError, OpenError, StoreOptions, Stores};
use tokio::runtime::{Builder, Runtime};

use super::error::StartError;
use crate::config::NodeConfig;
use crate::edge::tls::TlsError;

pub(super) fn open_stores(
    config: &NodeConfig,
    first_start: FirstStart,
) -> Result<Stores, StartError> {
    let identity = Identity {
        cluster: config.topology().cluster().to_owned(),
        node: config.node().id().get(),
    };
    let settings = config.storage();
    let options = StoreOptions {
        block_cache_bytes: settings.block_cache().as_usize(),
        state_write_buffer_bytes: settings.memtable().as_usize(),
        log_tail_bytes: settings.log_tail().as_usize(),
        journal_budget_bytes: settings.journal_max().0,
        ..StoreOptions::default()
    };
    Stores::open(config.data_dir(), &identity, first_start, &options).map_err(|error| match error {
        OpenError::Identity(IdentityError::NotFormed { .. } | IdentityError::Unfinished { .. }) => {
            StartError::NotFormed {
                config: config.file().to_owned(),
                source: error,
            }
        }
        other => StartError::DataDirectory(other),
    })
}

/// What the configuration says; the rest as the consensus crate has it.
pub(super) fn log_policy(config: &NodeConfig) -> LogPolicy {
    let settings = config.snapshots();
    let keep_entries = settings.keep_entries() as u64;
    LogPolicy {
        snapshot_bytes: settings.after_log().0,
        snapshot_entries: settings.after_entries() as u64,
        keep_bytes: settings.keep_log().0,
        keep_entries,
        lag_entries: 2 * keep_entries,
        ..LogPolicy::default()
    }
}

pub(super) fn timing(config: &NodeConfig) -> Timing {
    let timing = config.topology().timing();
    Timing {
        heartbeat: timing.heartbeat,
        election_min: timing.election_min,
        election_max: timing.election_max,
    }
}

pub(super) fn peer_tls(config: &NodeConfig) -> Result<PeerTls, TlsError> {
    let files = config.tls();
    Ok(PeerTls {
        authority_pem: read("the peers' authority", files.peer_ca())?,
        certificate_pem: read("the peer certificate", files.peer_certificate())?,
        key_pem: read("the peer key", files.peer_key())?,
    })
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::Unreadable {
        what,
        path: path.to_owned(),
        source: rustls_pki_types::pem::Error::Io(error),
    })
}

pub(super) fn runtime(name: &'static str, threads: usize) -> Result<Runtime, StartError> {
    Builder::new_multi_thread()
        .worker_threads(threads)
        // Nothing blocking is handed to the runtimes: storage owns its threads. One is kept for name resolution.
        .max_blocking_threads(1)
        .thread_name(name)
        .enable_all()
        .build()
        .map_err(|source| StartError::Threads { runtime: name, source })
}
