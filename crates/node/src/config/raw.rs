//! The file as written: names of sections and keys, nothing checked.
//!
//! Leaves are untyped on purpose: serde stops at the first value of the wrong type, and all faults are to be
//! reported together. `read` gives each leaf its type.

use serde::Deserialize;
use toml::Value;

/// A node's configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawNodeConfig {
    pub(super) node: RawNode,
    pub(super) tls: RawTls,
    pub(super) listen: RawListen,
    pub(super) log: RawLog,
    pub(super) storage: RawStorage,
    pub(super) snapshots: RawSnapshots,
    pub(super) limits: RawLimits,
    pub(super) runtime: RawRuntime,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawNode {
    pub(super) name: Option<Value>,
    pub(super) topology: Option<Value>,
    pub(super) data_dir: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawTls {
    pub(super) dir: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawListen {
    pub(super) peer: Option<Value>,
    pub(super) client: Option<Value>,
    pub(super) http: Option<Value>,
    pub(super) health: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawLog {
    pub(super) format: Option<Value>,
    pub(super) level: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawStorage {
    pub(super) block_cache: Option<Value>,
    pub(super) memtable: Option<Value>,
    pub(super) log_tail: Option<Value>,
    pub(super) journal_max: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawSnapshots {
    pub(super) after_log: Option<Value>,
    pub(super) after_entries: Option<Value>,
    pub(super) keep_log: Option<Value>,
    pub(super) keep_entries: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawLimits {
    pub(super) request_deadline_max: Option<Value>,
    pub(super) requests_in_flight_max: Option<Value>,
    pub(super) connections_max: Option<Value>,
    pub(super) drain_deadline: Option<Value>,
    pub(super) scan_idle_max: Option<Value>,
    pub(super) scan_total_max: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawRuntime {
    pub(super) raft_threads: Option<Value>,
    pub(super) edge_threads: Option<Value>,
}
