//! The demonstration's report: for a machine as JSON, for a person as a table. Every figure comes from the run.

use serde::{Deserialize, Serialize};

use crate::history::Pin;
use crate::local_reads::Latencies;
use crate::site_down;

/// `report.json`. Keys are stable: later versions add, none is renamed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Persons that came in through the importer.
    pub imported: u64,
    /// Rows that were refused.
    pub rejected: u64,
    pub import_per_second: f64,
    pub births: Births,
    pub local_read: LocalRead,
    pub drill: Drill,
    /// Every node hashed its whole state at one position, and all hold the same.
    pub state_digest_equal: bool,
    /// Nodes that took part in the digest.
    pub nodes: u64,
    /// Wall time of the whole run in seconds.
    pub seconds: f64,
    /// Seed of the population, the births and the drill.
    pub seed: u64,
    /// Promises that did not hold, one line each; empty if all held.
    pub broken: Vec<String>,
}

/// Births registered at the centre by several clients at once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Births {
    pub acknowledged: u64,
    pub distinct_pins: u64,
    /// Answers that the clients threw away and asked another node for, with the same key.
    pub answers_discarded: u64,
    /// Of those, second answers that told the same number and the same position.
    pub discarded_answers_equal: u64,
    pub per_second: f64,
    pub clients: u64,
    /// Births found at the provincial node, by the registrar there.
    pub read_back: u64,
    /// From the last acknowledgement until the provincial node had applied it, in milliseconds.
    pub province_caught_up_ms: u64,
}

/// Reads by number at a provincial node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LocalRead {
    pub p50_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
    pub reads: u64,
    pub per_second: f64,
    pub clients: u64,
    pub failed: u64,
    pub node: String,
}

impl LocalRead {
    pub(crate) fn of(measured: &Latencies, node: &str, clients: usize) -> LocalRead {
        LocalRead {
            p50_us: measured.p50_us,
            p99_us: measured.p99_us,
            max_us: measured.max_us,
            reads: measured.reads,
            per_second: rounded(measured.reads_per_second),
            clients: clients as u64,
            failed: measured.failed,
            node: node.to_owned(),
        }
    }
}

/// The loss of a site under load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Drill {
    pub site: String,
    /// From the SIGKILL to the first acknowledgement of a write that was first sent after it; absent: there was none.
    pub rto_ms: Option<u64>,
    pub longest_client_gap_ms: u64,
    pub retried: u64,
    pub acknowledged_writes: u64,
    pub lost_acknowledged_writes: u64,
    pub duplicated_effects: u64,
    /// Whether the killed nodes held the leader.
    pub leader_lost: bool,
    pub acknowledged_while_down: u64,
    pub rejected_writes: u64,
    pub unknown_then_settled: u64,
    pub answers_discarded: u64,
    pub provincial_reads_while_down: u64,
    pub provincial_reads_failed_while_down: u64,
    /// From the start of the returned nodes until they had applied what was committed then, under load.
    pub caught_up_ms: u64,
    pub persons: u64,
    /// Records read back, all versions, summed over the nodes.
    pub histories_compared: u64,
}

impl Drill {
    pub fn of(outcome: &site_down::Outcome) -> Drill {
        let milliseconds =
            |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Drill {
            site: outcome.site.clone(),
            rto_ms: outcome.rto.map(milliseconds),
            longest_client_gap_ms: milliseconds(outcome.longest_client_gap),
            retried: outcome.retried,
            acknowledged_writes: outcome.acknowledged_writes,
            lost_acknowledged_writes: outcome.verdict.lost(),
            duplicated_effects: outcome.verdict.duplicated(),
            leader_lost: outcome.leader_lost,
            acknowledged_while_down: outcome.acknowledged_while_down,
            rejected_writes: outcome.rejected_writes,
            unknown_then_settled: outcome.unknown_resolved,
            answers_discarded: outcome.answers_discarded,
            provincial_reads_while_down: outcome.reads_while_down,
            provincial_reads_failed_while_down: outcome.reads_failed_while_down,
            caught_up_ms: milliseconds(outcome.caught_up),
            persons: outcome.persons_expected,
            histories_compared: outcome.verdict.histories_read,
        }
    }

    /// What the drill showed, for a person.
    pub fn lines(&self) -> Vec<(String, String)> {
        let rto = self
            .rto_ms
            .map_or("never".to_owned(), |ms| format!("{ms} ms"));
        let leader = if self.leader_lost {
            ", the leader with it"
        } else {
            ""
        };
        vec![
            row("site killed", format!("{}{leader}", self.site)),
            row("writes went on after", rto),
            row(
                "longest wait of any client",
                format!("{} ms", self.longest_client_gap_ms),
            ),
            row(
                "acknowledged writes",
                format!(
                    "{} ({} while it was away)",
                    self.acknowledged_writes, self.acknowledged_while_down
                ),
            ),
            row(
                "writes sent again",
                format!(
                    "{} for want of an answer, {} on purpose",
                    self.retried, self.answers_discarded
                ),
            ),
            row(
                "provincial reads meanwhile",
                format!(
                    "{}, {} failed",
                    self.provincial_reads_while_down, self.provincial_reads_failed_while_down
                ),
            ),
            row(
                "caught up, under load, in",
                format!("{} ms", self.caught_up_ms),
            ),
            row(
                "acknowledged writes lost",
                self.lost_acknowledged_writes.to_string(),
            ),
            row(
                "effects that happened twice",
                self.duplicated_effects.to_string(),
            ),
        ]
    }
}

impl Report {
    /// The short table that ends the demonstration.
    pub fn table(&self) -> String {
        let births = &self.births;
        let read = &self.local_read;
        let mut rows = vec![
            row(
                "citizens imported",
                format!(
                    "{} at {:.0} a second, {} rejected",
                    self.imported, self.import_per_second, self.rejected
                ),
            ),
            row(
                "births at the centre",
                format!(
                    "{} acknowledged, {} distinct numbers",
                    births.acknowledged, births.distinct_pins
                ),
            ),
            row(
                "answers thrown away",
                format!(
                    "{}, asked again at another node: {} the same",
                    births.answers_discarded, births.discarded_answers_equal
                ),
            ),
            row(
                "read back in the province",
                format!(
                    "{} of {}, {} ms after",
                    births.read_back, births.acknowledged, births.province_caught_up_ms
                ),
            ),
            row(
                &format!("local read at {}", read.node),
                format!(
                    "p50 {} us, p99 {} us ({} clients, {} reads)",
                    read.p50_us, read.p99_us, read.clients, read.reads
                ),
            ),
        ];
        rows.extend(self.drill.lines());
        let equal = if self.state_digest_equal {
            "equal"
        } else {
            "NOT known to be equal"
        };
        rows.push(row(
            "state of the nodes",
            format!("{equal} on {} nodes", self.nodes),
        ));
        let promises = match self.broken.len() {
            0 => "all held".to_owned(),
            count => format!("{count} BROKEN"),
        };
        rows.push(row("promises", promises));
        render(&rows)
    }
}

/// Two columns with a rule above and below.
pub fn render(rows: &[(String, String)]) -> String {
    let width = |column: fn(&(String, String)) -> &String| {
        rows.iter()
            .map(|row| column(row).chars().count())
            .max()
            .unwrap_or(0)
    };
    let (left, right) = (width(|row| &row.0), width(|row| &row.1));
    let rule = "─".repeat(left + right + 4);
    let mut text = format!("{rule}\n");
    for (name, value) in rows {
        let space = " ".repeat(left - name.chars().count());
        text.push_str(&format!(" {name}{space}  {value}\n"));
    }
    text.push_str(&rule);
    text.push('\n');
    text
}

fn row(name: &str, value: String) -> (String, String) {
    (name.to_owned(), value)
}

/// Two digits after the point are more than such figures carry.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// How many of the numbers differ.
pub(crate) fn distinct<'a>(pins: impl Iterator<Item = &'a Pin>) -> u64 {
    pins.collect::<std::collections::BTreeSet<_>>().len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            imported: 10,
            rejected: 0,
            import_per_second: 5.0,
            births: Births {
                acknowledged: 2,
                distinct_pins: 2,
                answers_discarded: 1,
                discarded_answers_equal: 1,
                per_second: 2.0,
                clients: 1,
                read_back: 2,
                province_caught_up_ms: 3,
            },
            local_read: LocalRead {
                p50_us: 1,
                p99_us: 2,
                max_us: 3,
                reads: 4,
                per_second: 5.0,
                clients: 6,
                failed: 0,
                node: "nghe-an-1".to_owned(),
            },
            drill: Drill {
                site: "central".to_owned(),
                rto_ms: Some(700),
                longest_client_gap_ms: 900,
                retried: 8,
                acknowledged_writes: 1000,
                lost_acknowledged_writes: 0,
                duplicated_effects: 0,
                leader_lost: true,
                acknowledged_while_down: 500,
                rejected_writes: 0,
                unknown_then_settled: 0,
                answers_discarded: 50,
                provincial_reads_while_down: 100,
                provincial_reads_failed_while_down: 0,
                caught_up_ms: 1500,
                persons: 512,
                histories_compared: 3500,
            },
            state_digest_equal: true,
            nodes: 7,
            seconds: 30.0,
            seed: 1,
            broken: Vec::new(),
        }
    }

    #[test]
    fn report_has_the_keys_that_others_rely_on() {
        let json = serde_json::to_value(report()).unwrap();
        for path in [
            "/imported",
            "/rejected",
            "/import_per_second",
            "/births/acknowledged",
            "/births/distinct_pins",
            "/local_read/p50_us",
            "/local_read/p99_us",
            "/drill/site",
            "/drill/rto_ms",
            "/drill/longest_client_gap_ms",
            "/drill/retried",
            "/drill/acknowledged_writes",
            "/drill/lost_acknowledged_writes",
            "/drill/duplicated_effects",
            "/state_digest_equal",
            "/nodes",
        ] {
            assert!(json.pointer(path).is_some(), "{path}");
        }
    }

    #[test]
    fn table_says_aloud_when_a_promise_is_broken() {
        assert!(report().table().contains("all held"));
        let broken = Report {
            broken: vec!["one".to_owned()],
            state_digest_equal: false,
            ..report()
        };
        assert!(broken.table().contains("1 BROKEN"));
        assert!(broken.table().contains("NOT known to be equal"));
    }
}
