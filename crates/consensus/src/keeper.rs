//! Keeps the log from growing for ever: asks for snapshots, and for purges of what they cover.
//!
//! openraft's own policies count entries, and an entry here holds one command or a thousand. This task counts bytes as well, on
//! every node for itself. It also repairs one state that a crash can leave: a log purged past the newest snapshot, from
//! which a follower could never be brought up to date.

use openraft::{Raft, async_runtime::watch::WatchReceiver as _, storage::RaftStateMachine};
use openraft_rt::AsyncRuntime;

use crate::{log::LogSize, settings::LogPolicy, types::TypeConfig};

/// What the decision is made from. Indexes of the log; none where there is nothing yet.
#[derive(Clone, Copy, Debug)]
struct Figures {
    applied: Option<u64>,
    snapshot: Option<u64>,
    purged: Option<u64>,
    bytes_since_snapshot: u64,
    /// Purging through here leaves as many bytes as the policy keeps.
    purge_for_bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Decision {
    snapshot: bool,
    purge: Option<u64>,
}

fn decide(figures: Figures, policy: &LogPolicy) -> Decision {
    let Figures {
        applied,
        snapshot,
        purged,
        bytes_since_snapshot,
        purge_for_bytes,
    } = figures;
    let next = |index: Option<u64>| index.map_or(0, |index| index + 1);
    let entries_since = next(applied).saturating_sub(next(snapshot));
    let due = entries_since > 0
        && (bytes_since_snapshot >= policy.snapshot_bytes
            || entries_since >= policy.snapshot_entries);
    let uncovered = purged > snapshot;
    let purge = purge_for_bytes
        .min(snapshot)
        .filter(|index| Some(*index) > purged);
    Decision {
        snapshot: due || uncovered,
        purge,
    }
}

/// Runs until openraft stops.
pub(crate) async fn run<R, SM>(raft: Raft<TypeConfig<R>, SM>, size: LogSize, policy: LogPolicy)
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    loop {
        let figures = {
            let metrics = raft.metrics();
            let metrics = metrics.borrow_watched();
            if metrics.running_state.is_err() {
                return;
            }
            let index =
                |log_id: &Option<crate::types::LogId>| log_id.as_ref().map(|log_id| log_id.index);
            let snapshot = index(&metrics.snapshot);
            Figures {
                applied: index(&metrics.last_applied),
                snapshot,
                purged: index(&metrics.purged),
                bytes_since_snapshot: size.bytes_after(snapshot),
                purge_for_bytes: size.purge_to_keep(policy.keep_bytes),
            }
        };
        let decision = decide(figures, &policy);
        // Either call fails only when openraft has stopped, which the next round sees.
        if decision.snapshot {
            tracing::debug!(?figures, "asking for a snapshot");
            let _ = raft.trigger().snapshot().await;
        }
        if let Some(index) = decision.purge {
            tracing::debug!(?figures, index, "asking for a purge of the log");
            let _ = raft.trigger().purge_log(index).await;
        }
        R::sleep(policy.check_every).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: LogPolicy = LogPolicy {
        snapshot_bytes: 1_000,
        snapshot_entries: 100,
        keep_bytes: 5_000,
        keep_entries: 1_000,
        lag_entries: 10_000,
        check_every: std::time::Duration::from_secs(1),
    };

    fn figures(applied: u64, snapshot: Option<u64>, bytes: u64) -> Figures {
        Figures {
            applied: Some(applied),
            snapshot,
            purged: None,
            bytes_since_snapshot: bytes,
            purge_for_bytes: None,
        }
    }

    #[test]
    fn a_snapshot_is_due_by_bytes_or_by_entries() {
        assert!(!decide(figures(50, None, 999), &POLICY).snapshot);
        assert!(decide(figures(50, None, 1_000), &POLICY).snapshot);
        assert!(decide(figures(99, None, 0), &POLICY).snapshot);
        assert!(
            !decide(figures(99, Some(99), 5_000), &POLICY).snapshot,
            "nothing was applied since"
        );
    }

    #[test]
    fn a_log_purged_past_the_snapshot_asks_for_one_at_once() {
        let mut figures = figures(10, Some(5), 0);
        figures.purged = Some(8);
        assert!(decide(figures, &POLICY).snapshot);
    }

    #[test]
    fn only_what_a_snapshot_covers_is_purged() {
        let mut figures = figures(90, Some(40), 0);
        figures.purge_for_bytes = Some(70);
        assert_eq!(decide(figures, &POLICY).purge, Some(40));
        figures.purged = Some(40);
        assert_eq!(decide(figures, &POLICY).purge, None);
        figures.snapshot = None;
        figures.purged = None;
        assert_eq!(decide(figures, &POLICY).purge, None);
    }
}
