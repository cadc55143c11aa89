//! The ratios that are promised, each with its goal, and how they come out of the runs.

mod keys;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::figures::Figures;
use crate::results::Run;
use crate::rows::{Row, System};

pub(crate) use keys::KEYS;

/// Which figure of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    PerSecond,
    P50,
    P99,
    Stop,
}

impl Measure {
    /// The figure, unless the run has none or failed too often to have one.
    fn of(self, figures: &Figures) -> Option<f64> {
        let value = match self {
            Measure::PerSecond => figures.per_second,
            Measure::P50 => figures.p50_us as f64,
            Measure::P99 => figures.p99_us as f64,
            Measure::Stop => figures.stop_ms?,
        };
        // More than one call in a thousand without its answer: what the others took says little.
        let sound = figures.errors * 1000 <= figures.calls;
        (value > 0.0 && (sound || self == Measure::Stop)).then_some(value)
    }
}

/// One side of a ratio.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Side(pub(crate) Row, pub(crate) System, pub(crate) Measure);

/// What the alternations come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Median,
    Greatest,
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    pub(crate) fn is_met(self, value: f64) -> bool {
        match self {
            Goal::AtLeast(bound) => value >= bound,
            Goal::AtMost(bound) => value <= bound,
        }
    }

    pub(crate) fn bound(self) -> f64 {
        match self {
            Goal::AtLeast(bound) | Goal::AtMost(bound) => bound,
        }
    }
}

/// A promised ratio: the first side over the second, in each alternation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) top: Side,
    pub(crate) bottom: Side,
    pub(crate) over: Over,
    pub(crate) goal: Goal,
}

/// The alternations of a ratio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    /// What stands for it: the median, or the greatest where that is what was promised.
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
    /// In the order of the alternations.
    pub(crate) each: Vec<f64>,
}

/// The middle value; the mean of the two middle ones of an even number. `None` of nothing.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(*sorted.get(middle - 1)?, upper))
}

impl Key {
    pub(crate) fn rows(&self) -> [Row; 2] {
        [self.top.0, self.bottom.0]
    }

    /// The ratio in each alternation, and what they come to.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(crate) fn spread(&self, runs: &[Run]) -> Result<Spread, String> {
        let alternations: BTreeSet<u32> = runs.iter().map(|run| run.alternation).collect();
        let each: Vec<f64> = alternations
            .into_iter()
            .filter_map(|alternation| {
                Some(value(runs, self.top, alternation)? / value(runs, self.bottom, alternation)?)
            })
            .collect();
        let Some(median) = median(&each) else {
            return Err(format!(
                "no alternation has a sound run of both: {} ({}) and {} ({})",
                self.top.0.title(),
                self.top.1.title(),
                self.bottom.0.title(),
                self.bottom.1.title()
            ));
        };
        let least = each.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = each.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Ok(Spread {
            median: match self.over {
                Over::Median => median,
                Over::Greatest => greatest,
            },
            least,
            greatest,
            each,
        })
    }
}

fn value(runs: &[Run], side: Side, alternation: u32) -> Option<f64> {
    let Side(row, system, measure) = side;
    runs.iter()
        .find(|run| run.row == row && run.system == system && run.alternation == alternation)
        .and_then(|run| measure.of(&run.figures))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::results::Results;
    use crate::rows::Row::{RegistryWrites256, SteadyWrites};
    use crate::rows::System::{Banyan, Etcd};

    /// The list that stands in the issue.
    const PROMISED: [&str; 22] = [
        "registry_writes_256_to_etcd",
        "registry_writes_256_to_postgres",
        "registry_stream_writes_to_etcd",
        "registry_stream_writes_to_postgres",
        "registry_write_1_p50_to_etcd",
        "registry_write_1_p50_to_postgres",
        "registry_batch_to_etcd",
        "raw_writes_256_to_etcd",
        "raw_writes_256_to_postgres",
        "raw_stream_writes_to_etcd",
        "raw_write_1_p50_to_etcd",
        "raw_batch_to_etcd",
        "local_read_64_to_etcd",
        "local_read_64_to_postgres",
        "local_stream_read_to_postgres",
        "linearizable_64_to_etcd",
        "leader_kill_to_etcd_defaults",
        "leader_kill_to_etcd_same_timeouts",
        "delayed_to_undelayed",
        "p99_63_learners_to_none",
        "p99_to_p50_median",
        "p99_to_p50_worst",
    ];

    fn run(row: Row, system: System, alternation: u32, per_second: f64) -> Run {
        let figures = Figures {
            per_second,
            calls: 1000,
            ..Figures::default()
        };
        Run {
            row,
            system,
            alternation,
            figures,
        }
    }

    fn ratio(name: &str) -> &'static Key {
        KEYS.iter().find(|key| key.name == name).unwrap()
    }

    #[test]
    fn results_have_every_promised_key_and_no_other() {
        let mut results = Results::default();
        let reasons = BTreeMap::from([(Row::RawBatch, "a reason".to_owned())]);
        results.settle(&reasons);
        let written: serde_json::Value =
            serde_json::from_slice(&serde_json::to_vec(&results).unwrap()).unwrap();
        let keys: BTreeSet<&str> = written["ratios"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(keys, BTreeSet::from(PROMISED));
        for name in PROMISED {
            assert!(written["ratios"][name].is_null(), "{name}");
            assert!(
                !written["missing"][name].as_str().unwrap().is_empty(),
                "{name}"
            );
        }
        assert_eq!(written["missing"]["raw_batch_to_etcd"], "a reason");
    }

    #[test]
    fn median_is_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
    }

    #[test]
    fn ratio_pairs_runs_of_one_alternation() {
        let mut runs = Vec::new();
        for (alternation, ours, theirs) in [(1, 300.0, 100.0), (2, 100.0, 100.0), (3, 800.0, 200.0)]
        {
            runs.push(run(RegistryWrites256, Etcd, alternation, theirs));
            runs.push(run(RegistryWrites256, Banyan, alternation, ours));
        }
        // Without its pair: left out.
        runs.push(run(RegistryWrites256, Banyan, 4, 1e9));
        let spread = ratio("registry_writes_256_to_etcd").spread(&runs).unwrap();
        assert_eq!(spread.each, [3.0, 1.0, 4.0]);
        assert_eq!(
            (spread.median, spread.least, spread.greatest),
            (3.0, 1.0, 4.0)
        );
        assert!(
            ratio("registry_writes_256_to_postgres")
                .spread(&runs)
                .is_err()
        );
    }

    #[test]
    fn run_with_many_errors_is_not_sound() {
        let mut runs = vec![
            run(RegistryWrites256, Etcd, 1, 10.0),
            run(RegistryWrites256, Banyan, 1, 20.0),
        ];
        let key = ratio("registry_writes_256_to_etcd");
        assert!(key.spread(&runs).is_ok());
        runs[0].figures.errors = 2;
        assert!(key.spread(&runs).is_err());
    }

    #[test]
    fn worst_is_the_greatest_of_the_runs() {
        let figures = |p50_us, p99_us| Figures {
            p50_us,
            p99_us,
            calls: 1,
            ..Figures::default()
        };
        let runs: Vec<Run> = [(10, 20), (10, 90), (10, 30)]
            .into_iter()
            .zip(1..)
            .map(|((p50, p99), alternation)| Run {
                row: SteadyWrites,
                system: Banyan,
                alternation,
                figures: figures(p50, p99),
            })
            .collect();
        let value = |name| ratio(name).spread(&runs).unwrap().median;
        assert_eq!(value("p99_to_p50_median"), 3.0);
        assert_eq!(value("p99_to_p50_worst"), 9.0);
    }
}
