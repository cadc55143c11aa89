//! The file as written: every value kept, right or wrong, so that all faults can be told at once.
//!
//! Serde stops at the first value of a wrong type. [`Value`] keeps such a value with its complaint instead; the
//! checks turn it into a fault beside the others.

use serde::{Deserialize, Deserializer};

/// One value of the file: absent, readable, or of a wrong type.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Value<T> {
    /// The key is not in the file.
    #[default]
    Missing,
    /// A value of the expected type.
    Good(T),
    /// A value of another type: as written, and what was expected.
    Bad { written: String, expected: String },
}

impl<'de, T: serde::de::DeserializeOwned> Deserialize<'de> for Value<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = toml::Value::deserialize(deserializer)?;
        Ok(match written.clone().try_into::<T>() {
            Ok(value) => Self::Good(value),
            Err(error) => Self::Bad {
                written: written.to_string(),
                expected: error.message().to_owned(),
            },
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RawTopology {
    pub(crate) cluster: RawCluster,
    pub(crate) timing: RawTiming,
    pub(crate) ports: RawPorts,
    pub(crate) sites: Vec<RawSite>,
    pub(crate) nodes: Vec<RawNode>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RawCluster {
    pub(crate) name: Value<String>,
    pub(crate) survival_goal: Value<String>,
    pub(crate) preferred_sites: Value<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RawTiming {
    pub(crate) heartbeat_ms: Value<u64>,
    pub(crate) election_min_ms: Value<u64>,
    pub(crate) election_max_ms: Value<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RawPorts {
    pub(crate) peer: Value<u16>,
    pub(crate) client: Value<u16>,
    pub(crate) http: Value<u16>,
    pub(crate) health: Value<u16>,
    pub(crate) add_node_id: Value<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RawSite {
    pub(crate) name: Value<String>,
    pub(crate) title: Value<String>,
    pub(crate) role: Value<String>,
    pub(crate) province: Value<String>,
    pub(crate) address: Value<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RawNode {
    pub(crate) id: Value<u64>,
    pub(crate) name: Value<String>,
    pub(crate) site: Value<String>,
    pub(crate) role: Value<String>,
    pub(crate) address: Value<String>,
    pub(crate) peer_port: Value<u16>,
    pub(crate) client_port: Value<u16>,
    pub(crate) http_port: Value<u16>,
    pub(crate) health_port: Value<u16>,
}

/// Reads the text, and gathers the keys that nothing knows.
pub(crate) fn read(text: &str) -> Result<(RawTopology, Vec<String>), String> {
    let document = toml::Deserializer::parse(text).map_err(|error| error.to_string())?;
    let mut unknown_keys = Vec::new();
    let raw = serde_ignored::deserialize(document, |path| unknown_keys.push(path.to_string()))
        .map_err(|error: toml::de::Error| error.to_string())?;
    Ok((raw, unknown_keys))
}
