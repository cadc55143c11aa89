//! `config check`: a node's file or a topology, with all that is wrong with it.

use std::fs;
use std::path::Path;

use banyan_topology::{Topology, TopologyError};

use super::fault::LoadError;
use super::node_config::NodeConfig;

/// What a check of one file found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// What the file is: `node configuration` or `topology`.
    pub kind: &'static str,
    /// Everything wrong with it, unknown keys too; empty for a good file.
    pub faults: Vec<String>,
}

/// Checks a file: one with a section `[node]` is a node's configuration, any other a topology. Unknown keys are faults here.
///
/// # Errors
/// The file cannot be read.
pub fn check_file(file: &Path) -> Result<CheckReport, LoadError> {
    let text = fs::read_to_string(file).map_err(|source| LoadError::Unreadable {
        path: file.to_owned(),
        source,
    })?;
    let is_node = text
        .parse::<toml::Table>()
        .is_ok_and(|table| table.contains_key("node") || table.contains_key("tls"));
    if is_node {
        Ok(check_node(file, &text))
    } else {
        Ok(check_topology(&text))
    }
}

fn check_node(file: &Path, text: &str) -> CheckReport {
    let faults = match NodeConfig::parse(file, text) {
        Ok(loaded) => loaded.unknown_keys.iter().map(|key| unknown(key)).collect(),
        Err(LoadError::Faulty {
            faults,
            unknown_keys,
            ..
        }) => faults
            .0
            .iter()
            .map(ToString::to_string)
            .chain(unknown_keys.iter().map(|key| unknown(key)))
            .collect(),
        Err(other) => vec![other.to_string()],
    };
    CheckReport {
        kind: "node configuration",
        faults,
    }
}

fn check_topology(text: &str) -> CheckReport {
    let faults = match Topology::parse(text) {
        Ok(parsed) => parsed.unknown_keys.iter().map(|key| unknown(key)).collect(),
        Err(TopologyError::Syntax(message)) => vec![message],
        Err(TopologyError::Faults {
            faults,
            unknown_keys,
        }) => faults
            .iter()
            .map(ToString::to_string)
            .chain(unknown_keys.iter().map(|key| unknown(key)))
            .collect(),
    };
    CheckReport {
        kind: "topology",
        faults,
    }
}

fn unknown(key: &str) -> String {
    format!("{key}: is not a key that this version knows")
}
