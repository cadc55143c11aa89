//! The end of a run: everything is held against everything, the nodes stop, the report is written.

use std::time::Duration;

use anyhow::{Context, Result};
use banyan_drill::access;
use banyan_drill::site_down::{self, Settled};
use banyan_drill::workload::Workload;
use banyan_drill::{checker::Verdict, digest::Comparison};

use super::arguments::Arguments;
use super::faults::{LEVEL_WITHIN, Storm};
use super::oracles;
use super::outcome::{self, Report};
use super::plan::Kind;
use super::run::Running;
use crate::harness::{self, Said};

/// Minutes after which some node must have purged its log.
const PURGED_WITHIN: f64 = 5.0;
/// Nodes have what was acknowledged after this time, when a promise was found broken before.
const COMPARED_WITHIN: Duration = Duration::from_secs(15);

impl Running {
    /// Ends the load, holds everything against everything that was seen, stops the nodes. What stands in the way of that is in the report, too.
    pub(super) async fn finish(
        mut self,
        load: Workload,
        possible: Vec<Kind>,
        minutes: f64,
        wall_ms: i64,
        arguments: &Arguments,
    ) -> Report {
        harness::say("healed; comparing");
        if self.level {
            let stopped = load.stop().await;
            self.keep(stopped.map_err(Into::into));
        } else {
            // Its clients would try for long what cannot be settled any more.
            drop(load);
        }
        let storm = &mut self.storm;
        // Nodes that are not level have broken their promise already. To settle every open write with them would take for ever.
        let compared = if self.level {
            compare(storm, self.judged.persons).await
        } else {
            None
        };
        let writes = storm.history.writes();
        oracles::check(&writes, &self.kept, wall_ms, &mut storm.findings);
        add_comparison(compared.as_ref(), storm);
        if self.judged.undecided > 0 {
            let what = format!(
                "{} registers could not be judged in time",
                self.judged.undecided
            );
            storm.findings.add("undecided", &what);
        }
        let all = storm.arena.cluster.node_names();
        if self.level {
            let checked = self.storm.check_members().await;
            self.keep(checked);
        }
        let storm = &mut self.storm;
        let purged = purged(storm).await;
        if minutes >= PURGED_WITHIN && purged == 0 {
            let what = format!("no node has purged its log in {minutes:.1} minutes");
            storm.findings.add("never_purged", &what);
        }
        let stopped = storm.stop(&all).await;
        self.keep(stopped);
        let looked = self.read_logs();
        let received = self.keep(looked).unwrap_or(0);
        let mut report = Report {
            nodes_purged: purged,
            snapshots_received: received,
            ..self.report(compared, possible, minutes)
        };
        if let Err(error) = report.write(&arguments.report) {
            report.failed.get_or_insert(format!("{error:#}"));
        }
        report
    }

    /// Counts the snapshots that nodes received. A panic of any thread is a broken promise, whatever became of it.
    fn read_logs(&mut self) -> Result<u64> {
        let mut received = 0;
        let cluster = &self.storm.arena.cluster;
        for node in cluster.node_names() {
            let log = cluster.layout().node_log(&node);
            let bytes =
                std::fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
            for line in String::from_utf8_lossy(&bytes).lines() {
                received += u64::from(line.contains("receiving a snapshot"));
                if line.contains("panicked at") {
                    self.storm.findings.add("panic", &format!("{node}: {line}"));
                }
            }
        }
        Ok(received)
    }

    fn report(
        self,
        compared: Option<(Verdict, Comparison, Settled)>,
        possible: Vec<Kind>,
        minutes: f64,
    ) -> Report {
        let Running {
            storm,
            kept,
            judged,
            rounds,
            seed,
            failed,
            ..
        } = self;
        let verdict = compared.as_ref().map(|(verdict, _, _)| verdict);
        let settled = compared.as_ref().map(|(_, _, settled)| *settled);
        let findings = &storm.findings;
        let without = [
            storm
                .arena
                .why_proxies
                .clone()
                .map(|why| format!("network namespaces: {why}")),
            storm
                .arena
                .disks
                .missing()
                .map(|why| format!("disks of its own: {why}")),
            storm
                .arena
                .clocks
                .missing()
                .map(|why| format!("clocks of nodes: {why}")),
        ];
        Report {
            minutes,
            seed,
            network: storm.arena.network.kind(),
            without: without.into_iter().flatten().collect(),
            faults: outcome::by_name(&storm.counts, &possible),
            rounds,
            acknowledged: settled.map_or(storm.history.acknowledged() as u64, |settled| {
                settled.acknowledged
            }),
            settled_later: settled.map_or(0, |settled| settled.resolved),
            rejected: settled.map_or(0, |settled| settled.rejected),
            lost: verdict.map(Verdict::lost),
            duplicated: verdict.map(Verdict::duplicated),
            histories_read: verdict.map_or(0, |verdict| verdict.histories_read),
            digests_equal: compared.as_ref().map(|(_, digest, _)| digest.equal()),
            checker: outcome::checker(&judged, findings),
            windows: judged.windows,
            register_operations: judged.operations,
            answered: judged.answered,
            unserved: judged.unserved,
            ordered_reads: kept.reads() as u64,
            broken: findings
                .counts()
                .iter()
                .map(|(kind, count)| ((*kind).to_owned(), *count))
                .collect(),
            findings: findings.lines().to_vec(),
            failed: failed.map(|error| format!("{error:#}")),
            nodes_purged: 0,
            snapshots_received: 0,
        }
    }
}

/// Holds the nodes against the history of the load. `persons`: those that were not registered by it.
async fn compare(storm: &mut Storm, persons: u64) -> Option<(Verdict, Comparison, Settled)> {
    // Where something is wrong already, what was lost will not come in any time.
    let within = if storm.findings.none() {
        LEVEL_WITHIN
    } else {
        COMPARED_WITHIN
    };
    let cluster = &mut storm.arena.cluster;
    match site_down::compare(cluster, &storm.history, persons, within, &mut Said).await {
        Ok(compared) => Some(compared),
        // A cluster that cannot be compared after it was healed has not kept its promises.
        Err(error) => {
            let why = format!("{:#}", anyhow::Error::from(error));
            storm.findings.add("not_compared", &why);
            None
        }
    }
}

fn add_comparison(compared: Option<&(Verdict, Comparison, Settled)>, storm: &mut Storm) {
    let Some((verdict, digest, settled)) = compared else {
        return;
    };
    for violation in &verdict.violations {
        storm.findings.add("read_back", &violation.to_string());
    }
    if !digest.equal() {
        storm.findings.add(
            "digests",
            &format!("states are not known to be equal {}", digest.explain()),
        );
    }
    if settled.rejected > 0 {
        let what = format!(
            "{} writes were rejected, and the load sends none that may be",
            settled.rejected
        );
        storm.findings.add("rejected", &what);
    }
}

/// How many nodes have purged their log at all; those that do not answer count as not.
async fn purged(storm: &Storm) -> u64 {
    let cluster = &storm.arena.cluster;
    let Ok(operator) = cluster.operator() else {
        return 0;
    };
    let statuses = access::status_of_all(&operator, &cluster.node_names()).await;
    let purged = statuses.values().flatten();
    purged.filter(|status| status.purged_index > 0).count() as u64
}
