//! Whether something grew that should not: medians of the second quarter of the windows and of the last, side by side.
//!
//! The first quarter does not count: caches fill. Medians, because a snapshot or a compaction in one window is no drift. What grows by nature is
//! divided by what it grows with: the state by the entries applied, the journal by the reads recorded. Of the state the least counts: a
//! compaction doubles it until the next checkpoint lets the old tables go, and which part of a quarter that takes is chance.

use std::fmt;

use serde::Serialize;

use super::{NodeSample, Row};
use crate::ratios::median;

/// Latencies may be this much longer at the end: two medians of p99 on a machine that others share differ by so much without a cause.
const LATENCY_RATIO_MAX: f64 = 1.3;
/// Memory may be this much more at the end.
const MEMORY_RATIO_MAX: f64 = 1.15;
/// Disk, by what it holds, may be this much more at the end.
const DISK_RATIO_MAX: f64 = 1.15;

/// One figure at both times.
#[derive(Debug, Serialize)]
pub(super) struct Drift {
    pub(super) what: String,
    pub(super) unit: &'static str,
    /// Of the second quarter: the median, or the least.
    pub(super) before: f64,
    /// The same of the last quarter.
    pub(super) after: f64,
    /// `after / before` may be at most this.
    pub(super) ratio_max: f64,
    pub(super) kept: bool,
}

impl Drift {
    fn new(
        what: impl Into<String>,
        unit: &'static str,
        values: &[f64],
        ratio_max: f64,
        of_quarter: fn(&[f64]) -> Option<f64>,
    ) -> Option<Drift> {
        let quarter = values.len() / 4;
        if quarter == 0 {
            return None;
        }
        let before = of_quarter(&values[quarter..2 * quarter])?;
        let after = of_quarter(&values[values.len() - quarter..])?;
        Some(Drift {
            what: what.into(),
            unit,
            before,
            after,
            ratio_max,
            kept: after <= before * ratio_max,
        })
    }
}

fn least(values: &[f64]) -> Option<f64> {
    values.iter().copied().reduce(f64::min)
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<40} {:>12.1} -> {:>12.1} {:<16} ratio {:.3} (at most {:.2}){}",
            self.what,
            self.before,
            self.after,
            self.unit,
            self.after / self.before,
            self.ratio_max,
            if self.kept { "" } else { "  DRIFTS" }
        )
    }
}

/// Every figure of a run; none for a run of fewer than four windows.
pub(super) fn of(windows: &[Row]) -> Vec<Drift> {
    let mut all = Vec::new();
    let Some(first) = windows.first() else {
        return all;
    };
    for (place, (name, _)) in first.figures().iter().enumerate() {
        let p99: Vec<f64> = windows
            .iter()
            .map(|row| row.figures()[place].1.p99_us as f64)
            .collect();
        all.extend(Drift::new(
            format!("p99 of {name}"),
            "us",
            &p99,
            LATENCY_RATIO_MAX,
            median,
        ));
    }
    for (place, node) in first.nodes.iter().enumerate() {
        let mut add = |what: &str, unit, ratio_max, of_quarter, value: fn(&NodeSample) -> f64| {
            let values: Vec<f64> = windows
                .iter()
                .filter_map(|row| row.nodes.get(place).map(value))
                .collect();
            let what = format!("{what} of {}", node.node);
            all.extend(Drift::new(what, unit, &values, ratio_max, of_quarter));
        };
        add("memory", "bytes", MEMORY_RATIO_MAX, median, |node| {
            node.resident_bytes as f64
        });
        add("log", "bytes", DISK_RATIO_MAX, median, |node| {
            node.log_bytes as f64
        });
        add("state", "bytes an entry", DISK_RATIO_MAX, least, |node| {
            node.state_bytes as f64 / node.applied_index.max(1) as f64
        });
    }
    // Reads come at an even rate, so that the journal grows by the window.
    for (place, node) in first.nodes.iter().enumerate() {
        let values: Vec<f64> = windows
            .iter()
            .zip(1_u32..)
            .filter_map(|(row, window)| {
                let bytes = row.nodes.get(place)?.journal_bytes;
                Some(bytes as f64 / f64::from(window))
            })
            .collect();
        let what = format!("journal of {}", node.node);
        all.extend(Drift::new(
            what,
            "bytes a window",
            &values,
            DISK_RATIO_MAX,
            median,
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::samples::CpuShares;
    use super::*;
    use crate::figures::Figures;

    fn run(grow: impl Fn(u64, &mut Row)) -> Vec<String> {
        let windows: Vec<Row> = (1..=40)
            .map(|window| {
                let figures = || Figures {
                    p99_us: 1_000 + window % 7,
                    ..Figures::default()
                };
                let mut row = Row {
                    minute: window as f64,
                    births: figures(),
                    corrections: figures(),
                    local_reads: figures(),
                    linearizable_reads: figures(),
                    cpu: CpuShares::default(),
                    nodes: vec![NodeSample {
                        node: "a".to_owned(),
                        // As it begins: caches fill.
                        resident_bytes: 1_000 * window.min(10),
                        log_bytes: 5_000 + 900 * (window % 5),
                        state_bytes: 300 * window,
                        journal_bytes: 200 * window,
                        applied_index: window,
                        ..NodeSample::default()
                    }],
                };
                grow(window, &mut row);
                row
            })
            .collect();
        let drifts = of(&windows);
        assert_eq!(drifts.len(), 8);
        drifts
            .into_iter()
            .filter(|drift| !drift.kept)
            .map(|drift| drift.what)
            .collect()
    }

    #[test]
    fn a_run_that_only_warms_up_and_saws_does_not_drift() {
        assert_eq!(run(|_, _| {}), Vec::<String>::new());
    }

    #[test]
    fn a_state_that_is_doubled_for_longer_does_not_drift() {
        let doubled = |window: u64| window % 10 < 2 || (window > 30 && window % 10 < 8);
        let told = run(|window, row| row.nodes[0].state_bytes *= 1 + u64::from(doubled(window)));
        assert_eq!(told, Vec::<String>::new());
    }

    #[test]
    fn each_figure_that_grows_is_told() {
        let memory = run(|window, row| row.nodes[0].resident_bytes += 20 * window * window);
        assert_eq!(memory, ["memory of a"]);
        let log = run(|window, row| row.nodes[0].log_bytes += 300 * window);
        assert_eq!(log, ["log of a"]);
        let state = run(|window, row| row.nodes[0].state_bytes = 10 * window * window);
        assert_eq!(state, ["state of a"]);
        let journal = run(|window, row| row.nodes[0].journal_bytes = 5 * window * window);
        assert_eq!(journal, ["journal of a"]);
        let slower = run(|window, row| row.local_reads.p99_us += 25 * window);
        assert_eq!(slower, ["p99 of local reads"]);
    }

    #[test]
    fn one_slow_window_is_no_drift_and_a_short_run_says_nothing() {
        let slow = run(|window, row| row.births.p99_us *= 1 + 50 * u64::from(window == 35));
        assert_eq!(slow, Vec::<String>::new());
        assert!(of(&[]).is_empty());
    }
}
