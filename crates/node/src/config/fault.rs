//! What can be wrong with a configuration: each fault with its key, its value and the rule.

use std::fmt;
use std::path::PathBuf;

/// One fault of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFault {
    /// Dotted path of the key, for instance `storage.block_cache`.
    pub key: String,
    /// The value as written, where there is one.
    pub value: Option<String>,
    /// The rule that the value breaks.
    pub rule: String,
}

impl ConfigFault {
    pub(crate) fn new(key: &str, value: Option<&toml::Value>, rule: impl Into<String>) -> Self {
        Self {
            key: key.to_owned(),
            value: value.map(ToString::to_string),
            rule: rule.into(),
        }
    }
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} = {}: {}", self.key, value, self.rule),
            None => write!(f, "{}: {}", self.key, self.rule),
        }
    }
}

/// All faults of one file, one to a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFaults(pub Vec<ConfigFault>);

impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "  {fault}")?;
        }
        Ok(())
    }
}

/// Why a configuration file was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML, or a section is not a table. The text of the source names line and column.
    #[error("{path} is not a configuration file: {message}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Place and rule, as the parser gives them.
        message: String,
    },
    /// Values are wrong: all of them are listed.
    #[error("{path} has {count} fault(s):\n{faults}{}", also_unknown(unknown_keys), count = faults.0.len())]
    Faulty {
        /// The file.
        path: PathBuf,
        /// All that is wrong with it.
        faults: ConfigFaults,
        /// Keys that this version does not know: a misspelt key is often the cause of a missing one.
        unknown_keys: Vec<String>,
    },
}

fn also_unknown(keys: &[String]) -> String {
    keys.iter()
        .map(|key| format!("\n  {key}: is not a key that this version knows"))
        .collect()
}
