//! Why a topology was refused: every fault of the file, each with its key, its value and the rule.

use std::fmt;

/// One fault of a topology file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Dotted path of the key, such as `nodes[3].site`. Lists count from zero.
    pub key: String,
    /// The value as written, or empty where the key is missing.
    pub value: String,
    /// The rule that does not hold, with its bound.
    pub problem: String,
}

impl Fault {
    pub(crate) fn new(
        key: impl Into<String>,
        value: impl Into<String>,
        problem: impl Into<String>,
    ) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
            problem: problem.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value.is_empty() {
            write!(out, "{}: {}", self.key, self.problem)
        } else {
            write!(out, "{} = {}: {}", self.key, self.value, self.problem)
        }
    }
}

/// Why a text is not a topology.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// The text is not TOML, or a table stands where a value belongs. Holds the parser's message with its line.
    #[error("topology cannot be read as TOML: {0}")]
    Syntax(String),
    /// The text is TOML but breaks rules. All faults found, in the order of the file's sections.
    #[error("topology has {} fault(s){}", .faults.len(), list(.faults, .unknown_keys))]
    Faults {
        /// Every rule broken.
        faults: Vec<Fault>,
        /// Keys that no part of a topology knows; they stand beside the faults since a misspelt key often causes one.
        unknown_keys: Vec<String>,
    },
}

fn list(faults: &[Fault], unknown_keys: &[String]) -> String {
    let mut text = String::new();
    for fault in faults {
        text.push_str("\n  ");
        text.push_str(&fault.to_string());
    }
    for key in unknown_keys {
        text.push_str("\n  ");
        text.push_str(key);
        text.push_str(": unknown key");
    }
    text
}
