//! `config show`: the values in force, defaults included, keys and certificates by path only.

use serde_json::{Value, json};

use super::node_config::NodeConfig;
use super::sections::LogFormat;

impl NodeConfig {
    /// The values in force, as stable JSON. Secrets are never part of it: key files are named, not shown.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let node = self.node();
        let path = |path: &std::path::Path| path.display().to_string();
        let time = |duration| humantime::format_duration(duration).to_string();
        json!({
            "node": {
                "name": node.name(),
                "id": node.id().get(),
                "role": node.role().as_str(),
                "site": node.site(),
                "cluster": self.topology().cluster(),
                "topology": path(self.topology_file()),
                "data_dir": path(self.data_dir()),
            },
            "tls": {
                "dir": path(self.tls().dir()),
                "peer_certificate": path(self.tls().peer_certificate()),
                "peer_key": hidden(self.tls().peer_key()),
                "peer_ca": path(self.tls().peer_ca()),
                "server_certificate": path(self.tls().server_certificate()),
                "server_key": hidden(self.tls().server_key()),
                "client_ca": path(self.tls().client_ca()),
                "operator_ca": path(self.tls().operator_ca()),
            },
            "listen": {
                "peer": self.endpoints().peer(),
                "client": self.endpoints().client(),
                "http": self.endpoints().http(),
                "health": self.endpoints().health().to_string(),
            },
            "log": {
                "format": match self.log().format() {
                    LogFormat::Human => "human",
                    LogFormat::Json => "json",
                },
                "level": self.log().level().to_string(),
            },
            "storage": {
                "block_cache": self.storage().block_cache().to_string(),
                "memtable": self.storage().memtable().to_string(),
                "log_tail": self.storage().log_tail().to_string(),
                "journal_max": self.storage().journal_max().to_string(),
            },
            "snapshots": {
                "after_log": self.snapshots().after_log().to_string(),
                "after_entries": self.snapshots().after_entries(),
                "keep_log": self.snapshots().keep_log().to_string(),
                "keep_entries": self.snapshots().keep_entries(),
            },
            "limits": {
                "request_deadline_max": time(self.limits().request_deadline_max()),
                "requests_in_flight_max": self.limits().requests_in_flight_max(),
                "connections_max": self.limits().connections_max(),
                "drain_deadline": time(self.limits().drain_deadline()),
                "scan_idle_max": time(self.limits().scan_idle_max()),
                "scan_total_max": time(self.limits().scan_total_max()),
            },
            "runtime": {
                "raft_threads": self.runtime().raft_threads(),
                "edge_threads": self.runtime().edge_threads(),
            },
            "timing": {
                "heartbeat": time(self.topology().timing().heartbeat),
                "election_min": time(self.topology().timing().election_min),
                "election_max": time(self.topology().timing().election_max),
            },
        })
    }

    /// The values in force, one to a line: `section.key = value`.
    #[must_use]
    pub fn to_lines(&self) -> String {
        let mut lines = String::new();
        if let Value::Object(sections) = self.to_json() {
            for (section, values) in sections {
                if let Value::Object(values) = values {
                    for (key, value) in values {
                        lines.push_str(&format!("{section}.{key} = {value}\n"));
                    }
                }
            }
        }
        lines
    }
}

fn hidden(path: &std::path::Path) -> String {
    format!("(hidden, in {})", path.display())
}
