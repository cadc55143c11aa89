//! Promises that did not hold, gathered over a whole run.

use std::collections::BTreeMap;

use crate::harness;

/// How many of each kind are told at once; the rest is counted.
const TOLD_OF_A_KIND: u64 = 10;

/// Broken promises.
#[derive(Debug, Default)]
pub(super) struct Findings {
    lines: Vec<String>,
    counts: BTreeMap<&'static str, u64>,
}

impl Findings {
    /// Adds one, and tells it at once. What is said holds no person's data.
    pub(super) fn add(&mut self, kind: &'static str, what: &str) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= TOLD_OF_A_KIND {
            let line = format!("{kind}: {what}");
            harness::say(&format!("BROKEN PROMISE: {line}"));
            self.lines.push(line);
        }
    }

    pub(super) fn none(&self) -> bool {
        self.counts.is_empty()
    }

    pub(super) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// The first of each kind.
    pub(super) fn lines(&self) -> &[String] {
        &self.lines
    }
}
