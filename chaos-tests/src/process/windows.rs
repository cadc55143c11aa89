//! A window of the run: clients of registers that are new persons, from one quiet moment to the next.
//!
//! A write without an answer may take effect at any time after it, so that a checker's work grows with all that follows. In windows of a
//! minute it stays small, and nothing is left out: every window is judged whole, and the cheap rules are held against the whole run.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use banyan_drill::cluster::LocalCluster;

use super::findings::Findings;
use super::oracles::{Kept, Moment};
use crate::registers::check::{self, Finding};
use crate::registers::clients::{Clients, PERSONS};
use crate::registers::record::{Act, Level, Operation, Recorder};

/// What was counted over all windows.
#[derive(Debug, Default, Clone)]
pub(super) struct Judged {
    pub(super) windows: u64,
    pub(super) operations: u64,
    /// Registers on which the checker came to no end in its time.
    pub(super) undecided: u64,
    /// Persons that the windows brought into the registry.
    pub(super) persons: u64,
    /// Answered operations, by kind.
    pub(super) answered: BTreeMap<&'static str, u64>,
    /// Calls that were not served and had no effect, by what was said.
    pub(super) unserved: BTreeMap<String, u64>,
}

/// Running clients.
pub(super) struct Window {
    clients: Clients,
    recorder: Recorder,
    /// When the record began, on the clock of the whole run.
    began: Duration,
    number: u64,
}

impl Window {
    /// Registers new persons and starts clients. All nodes must run and be level. `now`: on the clock of the whole run.
    ///
    /// # Errors
    /// A person could not be registered, or a client not made.
    pub(super) async fn start(
        cluster: &mut LocalCluster,
        seed: u64,
        number: u64,
        now: Duration,
    ) -> Result<Window> {
        let recorder = Recorder::default();
        // Neither that of the load nor that of another window: the documents of births must differ.
        let seed = seed.wrapping_add(number);
        let clients = Clients::start(cluster, &recorder, seed)
            .await
            .context("the clients of registers do not start")?;
        Ok(Window {
            clients,
            recorder,
            began: now,
            number,
        })
    }

    pub(super) fn age(&self) -> Duration {
        self.recorder.now()
    }

    /// How many operations of each kind have been answered so far.
    pub(super) fn answered(&self) -> BTreeMap<&'static str, u64> {
        self.recorder.answered()
    }

    /// Ends the clients, and judges all that they saw. `level`: whether all nodes run and are level; only then must each answer once more.
    ///
    /// # Errors
    /// A client panicked, or the folder cannot be written.
    pub(super) async fn end(
        mut self,
        folder: &Path,
        level: bool,
        kept: &mut Kept,
        judged: &mut Judged,
        findings: &mut Findings,
    ) -> Result<()> {
        judged.persons += PERSONS as u64;
        let stopped = self.clients.stop().await;
        if level && let Err(error) = self.clients.read_everywhere().await {
            findings.add("no_answer", &format!("window {}: {error}", self.number));
        }
        for (kind, count) in self.recorder.answered() {
            *judged.answered.entry(kind).or_default() += count;
        }
        let seen = self.recorder.seen();
        for (what, count) in &seen.unserved {
            *judged.unserved.entry(what.clone()).or_default() += count;
        }
        let (operations, found) = tokio::task::spawn_blocking(move || {
            let found = check::check(&seen.operations);
            (seen, found)
        })
        .await
        .map(|(seen, found)| ((seen.operations, seen.wrong), found))
        .context("the checker")?;
        let (operations, wrong) = operations;
        judged.windows += 1;
        judged.operations += operations.len() as u64;
        for operation in &operations {
            kept.register(self.number, self.began, operation);
        }
        for what in &wrong {
            findings.add("wrong_answer", what);
        }
        for finding in &found {
            match finding {
                Finding::Undecided { .. } => judged.undecided += 1,
                _ => findings.add(kind(finding), &format!("window {}: {finding}", self.number)),
            }
        }
        if !(found.is_empty() && wrong.is_empty()) {
            let mut text = String::new();
            for operation in &operations {
                text += &format!("{operation:?}\n");
            }
            let file = folder.join(format!("window-{}.txt", self.number));
            std::fs::write(file, text).context("cannot keep a window's history")?;
        }
        stopped
    }
}

fn kind(finding: &Finding) -> &'static str {
    match finding {
        Finding::NotLinearizable { .. } | Finding::Undecided { .. } => "not_linearizable",
        Finding::TwoContents { .. } => "two_contents",
        Finding::WentBack { .. } => "session_went_back",
        Finding::PastBound { .. } => "past_bound",
        Finding::BoundNotTold { .. } => "bound_not_told",
    }
}

/// What the cheap rules need of one operation on a register; `None`: nothing.
pub(super) fn moment(began: Duration, operation: &Operation) -> Option<Moment> {
    let Act::Read(read) = operation.act else {
        return None;
    };
    (read.level == Level::Linearizable).then_some(Moment {
        called: began + operation.called,
        returned: began + operation.returned?,
        position: read.position,
    })
}

/// The version that a linearizable read answered.
pub(super) fn linearizable_version(operation: &Operation) -> Option<u32> {
    match operation.act {
        Act::Read(read) if read.level == Level::Linearizable => Some(read.value.version),
        _ => None,
    }
}
