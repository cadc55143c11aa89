//! What a run found, as a file and as a table.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::findings::Findings;
use super::plan::{Counts, Kind};
use super::windows::Judged;

/// The report.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// With load and faults.
    pub(super) minutes: f64,
    pub(super) seed: u64,
    pub(super) network: &'static str,
    /// What the run had to do without, and why.
    pub(super) without: Vec<String>,
    pub(super) faults: BTreeMap<&'static str, u64>,
    pub(super) rounds: u64,
    /// Writes of the load, settled in the end.
    pub(super) acknowledged: u64,
    /// Of them, those whose outcome was open until they were asked for once more.
    pub(super) settled_later: u64,
    pub(super) rejected: u64,
    /// Acknowledged writes that are missing or altered on some node. Nothing: they could not be compared.
    pub(super) lost: Option<u64>,
    pub(super) duplicated: Option<u64>,
    pub(super) histories_read: u64,
    /// Whether all nodes hold the same. Nothing: they could not be compared.
    pub(super) digests_equal: Option<bool>,
    /// `ok`, or what was wrong with the history of registers.
    pub(super) checker: String,
    pub(super) windows: u64,
    pub(super) register_operations: u64,
    /// Of them, those that were answered, by kind.
    pub(super) answered: BTreeMap<&'static str, u64>,
    /// Calls of registers that were not served and had no effect, by kind and what was said.
    pub(super) unserved: BTreeMap<String, u64>,
    /// Linearizable reads that were held against all acknowledged writes.
    pub(super) ordered_reads: u64,
    /// Nodes that had purged their log by the end.
    pub(super) nodes_purged: u64,
    /// Snapshots that nodes received, begun anew ones included.
    pub(super) snapshots_received: u64,
    /// Broken promises by kind.
    pub(super) broken: BTreeMap<String, u64>,
    /// The first of each kind.
    pub(super) findings: Vec<String>,
    /// What stood in the way of the run itself. What it saw until then was judged.
    pub(super) failed: Option<String>,
}

/// Exit code: a promise did not hold.
pub(super) const BROKEN: u8 = 1;
/// Exit code: the run itself failed, and no promise is known to be broken.
pub(super) const FAILED: u8 = 2;

impl Report {
    /// Whether every promise held, over the whole run.
    pub(super) fn passed(&self) -> bool {
        self.exit_code() == 0
    }

    /// What the program ends with. A broken promise counts for more than a run that could not be carried through.
    pub(super) fn exit_code(&self) -> u8 {
        match (self.broken.is_empty(), &self.failed) {
            (false, _) => BROKEN,
            (true, Some(_)) => FAILED,
            (true, None) => 0,
        }
    }

    /// Writes the file, beside and then in place.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("a report is JSON")?;
        let write = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let beside = path.with_extension("json.new");
            fs::write(&beside, text + "\n")?;
            fs::rename(&beside, path)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut rows: Vec<(String, String)> = vec![
            ("minutes".to_owned(), format!("{:.1}", self.minutes)),
            ("seed".to_owned(), self.seed.to_string()),
            ("network".to_owned(), self.network.to_owned()),
        ];
        for (kind, count) in &self.faults {
            rows.push((format!("  {kind}"), count.to_string()));
        }
        let told =
            |count: Option<u64>| count.map_or("not known".to_owned(), |count| count.to_string());
        rows.push((
            "writes acknowledged".to_owned(),
            self.acknowledged.to_string(),
        ));
        rows.push(("  lost".to_owned(), told(self.lost)));
        rows.push(("  duplicated".to_owned(), told(self.duplicated)));
        let counts = [
            ("histories read back", self.histories_read),
            ("operations on registers", self.register_operations),
            ("windows of registers", self.windows),
            ("nodes that purged", self.nodes_purged),
            ("snapshots received", self.snapshots_received),
        ];
        rows.extend(counts.map(|(name, count)| (name.to_owned(), count.to_string())));
        let equal = match self.digests_equal {
            Some(true) => "equal",
            Some(false) => "NOT EQUAL",
            None => "not known",
        };
        rows.push(("states of the nodes".to_owned(), equal.to_owned()));
        rows.push(("checker".to_owned(), self.checker.clone()));
        for what in &self.without {
            rows.push(("without".to_owned(), what.clone()));
        }
        for (kind, count) in &self.broken {
            rows.push((format!("BROKEN {kind}"), count.to_string()));
        }
        if let Some(why) = &self.failed {
            rows.push(("FAILED".to_owned(), why.clone()));
        }
        let wide = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        rows.iter()
            .map(|(name, value)| format!("{name:<wide$}  {value}\n"))
            .collect()
    }
}

/// The counts of faults by name; kinds that could have been drawn and were not are there with zero.
pub(super) fn by_name(counts: &Counts, possible: &[Kind]) -> BTreeMap<&'static str, u64> {
    possible
        .iter()
        .map(|kind| (kind.name(), counts.get(kind).copied().unwrap_or(0)))
        .collect()
}

/// What the checker says of the registers.
pub(super) fn checker(judged: &Judged, findings: &Findings) -> String {
    const OF_THE_CHECKER: [&str; 6] = [
        "not_linearizable",
        "two_contents",
        "session_went_back",
        "past_bound",
        "bound_not_told",
        "wrong_answer",
    ];
    let wrong: Vec<String> = findings
        .counts()
        .iter()
        .filter(|(kind, _)| OF_THE_CHECKER.contains(kind))
        .map(|(kind, count)| format!("{kind}: {count}"))
        .collect();
    match (wrong.is_empty(), judged.undecided) {
        (false, _) => wrong.join(", "),
        (true, 0) => "ok".to_owned(),
        (true, undecided) => format!("undecided: {undecided}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_run_tells_what_it_found_and_does_not_pass() {
        let failed = Some("no way in".to_owned());
        let broken = BTreeMap::from([("lost".to_owned(), 1)]);
        let code = |report: Report| (report.passed(), report.exit_code());
        assert_eq!(code(Report::default()), (true, 0));
        let report = Report {
            failed: failed.clone(),
            ..Report::default()
        };
        assert!(report.table().contains("no way in"));
        assert_eq!(code(report), (false, FAILED));
        let report = Report {
            failed,
            broken,
            ..Report::default()
        };
        assert_eq!(code(report), (false, BROKEN));
    }
}
