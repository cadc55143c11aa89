//! What is measured for how long: worked out and printed before anything is started.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use anyhow::bail;

use crate::load::Window;
use crate::rows::{Row, System};

/// A run on two cores has to end within this.
pub(crate) const BUDGET: Duration = Duration::from_secs(25 * 60);
/// Between two runs: what the last one left behind is flushed.
pub(crate) const PAUSE: Duration = Duration::from_millis(300);
/// Starting and filling the systems of a phase, about.
const PHASE_START: Duration = Duration::from_secs(25);
/// After a kill: starting the member again, and waiting until it is level.
const KILL_MEND: Duration = Duration::from_secs(4);

use Row::{
    DelayedWrites, LeaderKill, LearnerWrites, Learners4Writes256, Linearizable64, LocalRead64,
    LocalStreamRead, RawBatch, RawStreamWrites, RawWrite1, RawWrites256, RegistryBatch,
    RegistryStreamWrites, RegistryWrite1, RegistryWrites256, SteadyWrites,
};
use System::{Banyan, BanyanDelayed, BanyanLearners, BanyanUndelayed, Etcd, EtcdFast, Postgres};

/// Systems that run at the same time, and the rows that are measured of them in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Throughput and latency beside etcd and PostgreSQL.
    Peers,
    /// Values by key beside etcd and PostgreSQL, without the registry's work.
    Raw,
    /// Leaders killed.
    Kills,
    /// The proxy between the members.
    Delay,
    /// Simulated learners.
    Learners,
    /// A few real learners beside etcd's and PostgreSQL's.
    Attached,
}

impl Phase {
    /// In the order in which they run.
    pub(crate) const ALL: [Phase; 6] = [
        Phase::Peers,
        Phase::Raw,
        Phase::Kills,
        Phase::Delay,
        Phase::Learners,
        Phase::Attached,
    ];
}

/// What each phase measures, in order.
pub(crate) const ROWS: &[(Phase, Row, &[System])] = &[
    (Phase::Peers, RegistryWrites256, &[Etcd, Postgres, Banyan]),
    (Phase::Peers, RegistryStreamWrites, &[Banyan]),
    (Phase::Peers, RegistryBatch, &[Banyan]),
    (Phase::Peers, RegistryWrite1, &[Etcd, Postgres, Banyan]),
    (Phase::Peers, LocalRead64, &[Etcd, Postgres, Banyan]),
    (Phase::Peers, LocalStreamRead, &[Banyan]),
    (Phase::Peers, Linearizable64, &[Etcd, Banyan]),
    (Phase::Peers, SteadyWrites, &[Banyan]),
    (Phase::Raw, RawWrites256, &[Etcd, Postgres, Banyan]),
    (Phase::Raw, RawStreamWrites, &[Banyan]),
    (Phase::Raw, RawBatch, &[Banyan]),
    (Phase::Raw, RawWrite1, &[Etcd, Banyan]),
    (Phase::Kills, LeaderKill, &[Etcd, EtcdFast, Banyan]),
    (
        Phase::Delay,
        DelayedWrites,
        &[BanyanUndelayed, BanyanDelayed],
    ),
    (Phase::Learners, LearnerWrites, &[Banyan, BanyanLearners]),
    (
        Phase::Attached,
        Learners4Writes256,
        &[Etcd, Postgres, Banyan],
    ),
];

/// Rows for which a whole run has no time: measured in a smoke run, and where they are named.
const ON_REQUEST: &[Row] = &[Learners4Writes256];

/// The name of a row in the results.
fn name(row: Row) -> String {
    let name = serde_json::to_value(row).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

/// The plan of a run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) alternations: u32,
    pub(crate) window: Window,
    quick: bool,
    /// The rows that are wanted, where some are named.
    only: Option<BTreeSet<String>>,
}

impl Plan {
    /// The whole measurement, or a smoke run.
    ///
    /// # Errors
    /// A name in `only` that is no row's.
    pub(crate) fn new(quick: bool, only: &[String]) -> anyhow::Result<Plan> {
        let names: Vec<String> = ROWS.iter().map(|(_, row, _)| name(*row)).collect();
        if let Some(unknown) = only.iter().find(|wanted| !names.contains(wanted)) {
            bail!("no row is named {unknown}; there are: {}", names.join(", "));
        }
        let (alternations, warm_up, counted) = if quick {
            (1, Duration::from_millis(300), Duration::from_millis(1200))
        } else {
            (5, Duration::from_millis(500), Duration::from_secs(8))
        };
        Ok(Plan {
            alternations,
            window: Window { warm_up, counted },
            quick,
            only: (!only.is_empty()).then(|| only.iter().cloned().collect()),
        })
    }

    /// Whether a row is left out.
    pub(crate) fn leaves_out(&self, row: Row) -> bool {
        match &self.only {
            Some(only) => !only.contains(&name(row)),
            None => !self.quick && ON_REQUEST.contains(&row),
        }
    }

    /// The rows of a phase that are wanted.
    pub(crate) fn rows(&self, phase: Phase) -> Vec<(Row, &'static [System])> {
        ROWS.iter()
            .filter(|(of, row, _)| *of == phase && !self.leaves_out(*row))
            .map(|(_, row, systems)| (*row, *systems))
            .collect()
    }

    fn phase(&self, phase: Phase) -> Duration {
        let runs: usize = self
            .rows(phase)
            .iter()
            .map(|(_, systems)| systems.len())
            .sum();
        if runs == 0 {
            return Duration::ZERO;
        }
        let mend = if phase == Phase::Kills {
            KILL_MEND
        } else {
            Duration::ZERO
        };
        let each = self.window.total() + PAUSE + mend;
        let runs = u32::try_from(runs).unwrap_or(u32::MAX);
        PHASE_START + each * runs * self.alternations
    }

    /// How long all of it takes, about.
    pub(crate) fn total(&self) -> Duration {
        Phase::ALL.into_iter().map(|phase| self.phase(phase)).sum()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} alternation(s), each run {:.1} s after {:.1} s of warm-up:",
            self.alternations,
            self.window.counted.as_secs_f64(),
            self.window.warm_up.as_secs_f64()
        )?;
        for phase in Phase::ALL {
            for (row, systems) in self.rows(phase) {
                let names: Vec<&str> = systems.iter().map(|system| system.title()).collect();
                writeln!(f, "  {}: {}", row.title(), names.join(", "))?;
            }
            writeln!(f, "  {phase:?}: about {} s", self.phase(phase).as_secs())?;
        }
        write!(
            f,
            "about {} s together, of at most {} s",
            self.total().as_secs(),
            BUDGET.as_secs()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_run_fits_its_budget() {
        let plan = Plan::new(false, &[]).unwrap();
        assert!(plan.window.counted >= Duration::from_secs(8));
        assert_eq!(plan.alternations, 5);
        assert!(plan.total() < BUDGET, "{plan}");
        assert!(plan.rows(Phase::Attached).is_empty());
        let smoke = Plan::new(true, &[]).unwrap();
        assert_eq!(smoke.rows(Phase::Attached).len(), 1);
    }

    #[test]
    fn rows_can_be_chosen_by_name() {
        let plan = Plan::new(true, &["registry_batch".to_owned()]).unwrap();
        assert_eq!(plan.rows(Phase::Peers), [(RegistryBatch, &[Banyan][..])]);
        assert!(plan.rows(Phase::Kills).is_empty());
        let unknown = Plan::new(true, &["registry_batches".to_owned()]).unwrap_err();
        assert!(
            unknown.to_string().contains("registry_writes_256"),
            "{unknown}"
        );
    }
}
