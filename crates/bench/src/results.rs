//! `peers.json`: every run, the versions and settings under which it was made, and the ratios.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::figures::Figures;
use crate::machine::Machine;
use crate::ratios::{self, Spread};
use crate::rows::{Row, System};

/// A measured run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) row: Row,
    pub(crate) system: System,
    /// From 1. Runs of one alternation of one row follow each other at once.
    pub(crate) alternation: u32,
    pub(crate) figures: Figures,
}

/// Writes a file beside and renames, so that a reader never sees half of it.
///
/// # Errors
/// What the file system says.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let beside = path.with_extension("json.new");
    let text = serde_json::to_vec_pretty(value)?;
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::rename(&beside, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// A smoke run: its figures are of no use but to show that everything runs.
    pub(crate) quick: bool,
    /// When it ended, UTC, RFC 3339.
    pub(crate) finished: String,
    /// How long it took.
    pub(crate) seconds: f64,
    pub(crate) machine: Machine,
    pub(crate) versions: BTreeMap<String, String>,
    /// Topology, times, durability, clients: in words, by topic.
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) runs: Vec<Run>,
    /// The median over the alternations; null where it could not be measured.
    pub(crate) ratios: BTreeMap<String, Option<f64>>,
    /// Of each ratio that is measured: median, least, greatest, and each alternation's.
    pub(crate) spreads: BTreeMap<String, Spread>,
    /// Why a ratio is null.
    pub(crate) missing: BTreeMap<String, String>,
}

impl Results {
    /// Works the ratios out of the runs. `reasons` tells by row why it has no runs.
    pub(crate) fn settle(&mut self, reasons: &BTreeMap<Row, String>) {
        self.ratios.clear();
        self.spreads.clear();
        self.missing.clear();
        for key in ratios::KEYS {
            match key.spread(&self.runs) {
                Ok(spread) => {
                    self.ratios.insert(key.name.to_owned(), Some(spread.median));
                    self.spreads.insert(key.name.to_owned(), spread);
                }
                Err(reason) => {
                    let told = key.rows().into_iter().find_map(|row| reasons.get(&row));
                    let reason = told.cloned().unwrap_or(reason);
                    self.ratios.insert(key.name.to_owned(), None);
                    self.missing.insert(key.name.to_owned(), reason);
                }
            }
        }
    }

    /// Writes the file.
    ///
    /// # Errors
    /// As [`write_json`].
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        write_json(path, self)
    }

    /// Reads what [`Results::write`] wrote.
    ///
    /// # Errors
    /// That it cannot be read.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Results> {
        let text =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("cannot parse {}", path.display()))
    }
}
