//! How nodes end in a run: killed, asked to stop, by themselves; and what of that is a finding.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use banyan_drill::cluster::Stopped;
use banyan_drill::wait_for;

use super::faults::Storm;
use crate::harness;

/// A node that is asked to stop has ended after this time. It grants itself some 36 s, before a flush: two hand-overs, the drain of its edges, its
/// runtimes, and stores that close (`Node::stop`).
const STOPPED_WITHIN: Duration = Duration::from_secs(45);
/// A full disk is noticed within this time, under load; and a node that noticed it ends within it.
const FULL_SEEN_WITHIN: Duration = Duration::from_secs(20);
/// The code with which a node ends when a store has failed.
pub(super) const ENDED_BY_FAULT: &str = "exit status: 10";

impl Storm {
    /// SIGKILL. A node that had ended by itself before is a finding: afterwards nobody could tell.
    pub(super) async fn kill(&mut self, nodes: &[String]) -> Result<()> {
        self.find_ended(nodes);
        self.end(nodes).await
    }

    /// SIGKILL to nodes that may have ended by themselves. A process that waits for a stalled disk does not end before its sync does, which fails
    /// then: one that was done would be the one that a loss of power has to take. The disk works afterwards.
    pub(super) async fn end(&mut self, nodes: &[String]) -> Result<()> {
        // The signal comes first: no node is to see its syncs fail.
        self.arena.cluster.send_kill(nodes)?;
        for node in nodes {
            self.arena.disks.give_up_syncs(node);
        }
        self.arena.cluster.kill(nodes).await?;
        for node in nodes {
            self.arena.disks.set_stalled(node, false);
        }
        Ok(())
    }

    /// SIGTERM. A node that does not end in time, or in another way than in order, is a finding.
    ///
    /// # Errors
    /// As [`Storm::round`].
    pub(super) async fn stop(&mut self, nodes: &[String]) -> Result<()> {
        let known = self.find_ended(nodes);
        let stopped = self.arena.cluster.stop_nodes(nodes, STOPPED_WITHIN).await?;
        for (kind, what) in disorder(&stopped, &known) {
            self.findings.add(kind, &what);
        }
        Ok(())
    }

    /// Adds a finding for each of the nodes that has ended and was not expected to, and tells which.
    pub(super) fn find_ended(&mut self, nodes: &[String]) -> BTreeSet<String> {
        let mut ended = BTreeSet::new();
        for node in nodes.iter().filter(|node| !self.full.contains(*node)) {
            if let Some(how) = self.arena.cluster.ended_with(node) {
                self.findings
                    .add("node_ended", &format!("{node} ended by itself: {how}"));
                ended.insert(node.clone());
            }
        }
        ended
    }

    /// A node whose disk is full, and that was refused something, must end and say that a store failed.
    ///
    /// # Errors
    /// As [`Storm::round`].
    pub(super) async fn expect_end_of_full(&mut self, node: &str) -> Result<()> {
        let mut ended = self.end_of_full(node).await;
        let refused = self.arena.disks.refused(node);
        if ended.is_none() && !refused.is_empty() {
            // It may have been refused only just now.
            ended = self.end_of_full(node).await;
        }
        match (ended, refused.is_empty()) {
            (Some(how), _) if how == ENDED_BY_FAULT => {}
            (Some(how), _) => {
                self.findings
                    .add("full_disk", &format!("{node} ended with {how}"));
            }
            (None, false) => {
                self.findings.add(
                    "full_disk",
                    &format!("{node} runs on although its disk refused what it wrote: {refused:?}"),
                );
            }
            // Nothing was written to it, or in the place of what was there already: a log file that is used again does not grow.
            (None, true) => {
                harness::say(&format!("          {node} has not noticed its full disk"));
            }
        }
        self.arena.disks.set_full(node, false);
        let one = [node.to_owned()];
        self.end(&one).await
    }

    async fn end_of_full(&mut self, node: &str) -> Option<String> {
        let cluster = &mut self.arena.cluster;
        let ended = wait_for::condition("the end", FULL_SEEN_WITHIN, async || {
            cluster.ended_with(node).ok_or_else(|| "it runs".to_owned())
        });
        ended.await.ok()
    }
}

/// What is wrong with how nodes stopped. `known`: those that had ended before they were asked.
fn disorder(stopped: &Stopped, known: &BTreeSet<String>) -> Vec<(&'static str, String)> {
    let seconds = STOPPED_WITHIN.as_secs();
    let late = stopped.late.iter().map(|node| {
        (
            "did_not_stop",
            format!("{node}, in {seconds} s after SIGTERM"),
        )
    });
    let ended = stopped
        .ended
        .iter()
        .filter(|(node, status)| !status.success() && !known.contains(*node))
        .map(|(node, status)| {
            (
                "stopped_badly",
                format!("{node} ended after SIGTERM with {status}"),
            )
        });
    late.chain(ended).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn node_that_is_late_or_ends_with_a_code_or_by_a_signal_has_not_stopped_in_order() {
        let raw = |status| ExitStatus::from_raw(status);
        let stopped = Stopped {
            late: vec!["a".to_owned()],
            ended: [
                ("b", raw(0)),
                ("c", raw(10 << 8)),
                ("d", raw(6)),
                ("e", raw(1 << 8)),
            ]
            .map(|(node, status)| (node.to_owned(), status))
            .into(),
        };
        // What had ended before was told when it was found.
        let known = BTreeSet::from(["e".to_owned()]);
        let found = disorder(&stopped, &known);
        let kinds: Vec<_> = found
            .iter()
            .map(|(kind, what)| (*kind, what.get(..1).unwrap_or_default()))
            .collect();
        assert_eq!(
            kinds,
            [
                ("did_not_stop", "a"),
                ("stopped_badly", "c"),
                ("stopped_badly", "d")
            ]
        );
    }
}
