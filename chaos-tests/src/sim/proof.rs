//! What the simulation proves, in files: the report of the gate, the ledger of long runs, and the table of seeded bugs.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
};

use anyhow::{Context, Result};
use serde::Serialize;

use super::sweep::Totals;

/// What `make sim` writes for machines.
#[derive(Debug, Serialize)]
pub struct GateReport {
    /// Seeds that were run.
    pub seeds: u64,
    /// Seeds that broke a promise.
    pub violations: u64,
    /// Virtual hours of all.
    pub simulated_hours: f64,
    /// Real seconds.
    pub wall_seconds: f64,
    /// Seeds in a real second.
    pub seeds_per_second: f64,
    /// Virtual hours in a real one.
    pub simulated_hours_per_hour: f64,
    /// Faults, by kind.
    pub faults: BTreeMap<String, u64>,
    /// Interesting states, and how often they were reached.
    pub sometimes: BTreeMap<String, u64>,
    /// Those listed that were not.
    pub never: Vec<String>,
    /// Entries applied.
    pub entries: u64,
    /// Writes acknowledged.
    pub acknowledged: u64,
    /// The first seeds that broke a promise, each with what it broke.
    pub broken: Vec<String>,
}

impl GateReport {
    /// Of these totals, with `listed` states to be reached.
    pub fn of(totals: &Totals, listed: &[&str]) -> Self {
        let hours = totals.simulated.as_secs_f64() / 3_600.0;
        let wall = totals.wall.as_secs_f64().max(f64::MIN_POSITIVE);
        let named = |counts: &BTreeMap<&'static str, u64>| {
            let counts = counts.iter();
            counts
                .map(|(what, count)| ((*what).to_owned(), *count))
                .collect()
        };
        let never = listed
            .iter()
            .filter(|what| totals.sometimes.get(**what).is_none_or(|count| *count == 0));
        Self {
            seeds: totals.seeds,
            violations: totals.broken.len() as u64,
            simulated_hours: hours,
            wall_seconds: wall,
            seeds_per_second: totals.seeds as f64 / wall,
            simulated_hours_per_hour: hours / wall * 3_600.0,
            faults: named(&totals.faults),
            sometimes: named(&totals.sometimes),
            never: never.map(|what| (*what).to_owned()).collect(),
            entries: totals.entries,
            acknowledged: totals.counts.0,
            broken: totals
                .broken
                .iter()
                .take(10)
                .map(ToString::to_string)
                .collect(),
        }
    }
}

/// What became of one seeded bug.
#[derive(Clone, Debug, Serialize)]
pub struct BugReport {
    /// Its name.
    pub name: String,
    /// What it does.
    pub what: String,
    /// Whether a promise was seen broken.
    pub caught: bool,
    /// After how many seeds, from the first on; all that were tried if it was not caught.
    pub seeds: u64,
    /// The promise.
    pub by: String,
}

/// Writes a file of JSON, with the folder that it lies in.
///
/// # Errors
/// The system's.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let text = serde_json::to_string_pretty(value)?;
    fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
}

/// Adds a line to the ledger: the code's hash, the seeds, and how many of them broke a promise.
///
/// # Errors
/// The system's.
pub fn add_to_ledger(path: &Path, code: &str, from: u64, totals: &Totals) -> Result<()> {
    let begun = !path.exists();
    let mut ledger = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    if begun {
        writeln!(ledger, "code,first_seed,seeds,violations,simulated_hours")?;
    }
    let hours = totals.simulated.as_secs_f64() / 3_600.0;
    let (seeds, broken) = (totals.seeds, totals.broken.len());
    writeln!(ledger, "{code},{from},{seeds},{broken},{hours:.1}")?;
    Ok(())
}
