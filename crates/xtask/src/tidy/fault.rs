//! One place where a rule does not hold.

use std::fmt;

/// A fault: where, and which rule. Displays as `path:line: rule`, which editors can jump to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    path: String,
    /// From one; zero when the whole file is meant.
    line: usize,
    rule: String,
}

impl Fault {
    pub(crate) fn at(path: &str, line: usize, rule: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            rule: rule.into(),
        }
    }

    pub(crate) fn of_file(path: &str, rule: impl Into<String>) -> Self {
        Self::at(path, 0, rule)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(out, "{}: {}", self.path, self.rule)
        } else {
            write!(out, "{}:{}: {}", self.path, self.line, self.rule)
        }
    }
}
