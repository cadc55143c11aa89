//! Every setting of openraft that differs from its default, with the reason. The defaults are made for small state.

use std::time::Duration;

use banyan_domain::seeded_bugs::{SeededBug, planted};
use openraft::{Config, SnapshotPolicy};

/// How fast a dead leader is noticed: a follower that hears nothing stands for election after a random time between `election_min` and
/// `election_max`, as in Ongaro's thesis (section 3.4) and in etcd. Half of `election_max` is also the longest stall of a leader that goes on: its
/// lease (ADR 0026).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How often a leader that has nothing to replicate shows that it lives. Also the time limit of one heartbeat.
    pub heartbeat: Duration,
    /// The shortest wait of a follower before it stands for election.
    pub election_min: Duration,
    /// The longest such wait; half of it is a leader's lease.
    pub election_max: Duration,
}

impl Timing {
    /// Nodes of one data centre with cores of their own: write gap about 0.3 s.
    pub const PROMPT: Self = Self::millis(50, 150, 300);
    /// Many nodes on few cores, or sites tens of milliseconds apart: write gap about 1.3 s. With seven nodes importing on
    /// two cores, the prompt profile loses heartbeats to scheduling alone.
    pub const CALM: Self = Self::millis(100, 700, 1400);

    /// Heartbeat, shortest and longest election wait, in milliseconds.
    pub const fn millis(heartbeat: u64, election_min: u64, election_max: u64) -> Self {
        Self {
            heartbeat: Duration::from_millis(heartbeat),
            election_min: Duration::from_millis(election_min),
            election_max: Duration::from_millis(election_max),
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::CALM
    }
}

/// When a node takes a snapshot, and how much log it keeps behind one. An entry holds 1 to 1,000 commands, so that a count of
/// entries alone says little about the disk: whichever bound is reached first counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPolicy {
    /// A snapshot is taken once the log has grown by this many bytes since the last one.
    pub snapshot_bytes: u64,
    /// ... or by this many entries.
    pub snapshot_entries: u64,
    /// Log that a snapshot covers is kept up to this many bytes, so that a node that was away catches up from the log.
    pub keep_bytes: u64,
    /// ... and up to this many entries.
    pub keep_entries: u64,
    /// A node further behind than this gets a snapshot even where the log would still do.
    pub lag_entries: u64,
    /// How often the two bounds are looked at.
    pub check_every: Duration,
}

impl Default for LogPolicy {
    fn default() -> Self {
        Self {
            snapshot_bytes: 256 << 20,
            snapshot_entries: 50_000,
            keep_bytes: 1 << 30,
            keep_entries: 1_000_000,
            lag_entries: 2_000_000,
            check_every: Duration::from_secs(2),
        }
    }
}

/// A setting that openraft refuses, or that is out of bounds here.
#[derive(Debug, thiserror::Error)]
#[error("consensus settings are not usable: {0}")]
pub struct SettingsError(String);

/// One RPC may be silent for this long while a snapshot is sent or installed, before the sender gives up.
pub(crate) const SNAPSHOT_IDLE_MAX: Duration = Duration::from_secs(30);

/// openraft's configuration for this cluster.
///
/// # Errors
/// When the times contradict each other (heartbeat < election_min < election_max).
pub fn raft_config(
    cluster: &str,
    timing: Timing,
    policy: LogPolicy,
) -> Result<Config, SettingsError> {
    let heartbeat = millis(timing.heartbeat, "heartbeat")?;
    let election_min = millis(timing.election_min, "election_min")?;
    let election_max = millis(timing.election_max, "election_max")?;

    if heartbeat >= election_min || election_min >= election_max {
        return Err(SettingsError(format!(
            "heartbeat {heartbeat} ms, shortest election wait {election_min} ms and longest {election_max} ms must each be above the one before"
        )));
    }
    // openraft's followers first wait out the leader's lease, which is its longest wait, and then a random time up to the same again. Half
    // of ours makes the whole what Raft's followers wait.
    let lease = election_max / 2;
    let after_lease = (heartbeat + 1)
        .max(lease / 2)
        .max(election_min.saturating_sub(lease));

    // A replication answer proves the same as a heartbeat: while one came within the last interval, the heartbeat is not
    // sent. openraft asks that two intervals and a tick stay below the shortest election wait.
    let tick = (heartbeat * 13 / 64).max(1);
    let suppress = if 2 * heartbeat + tick < after_lease {
        heartbeat
    } else {
        0
    };

    let config = Config {
        cluster_name: cluster.to_owned(),
        heartbeat_interval: heartbeat,
        heartbeat_min_interval: Some(suppress),
        election_timeout_min: after_lease,
        election_timeout_max: lease,

        // A node that cannot win (cut off, restarted, behind) asks before it raises the term and so disturbs nobody.
        enable_pre_vote: Some(true),
        // An old leader that still reaches one bridge voter would otherwise renew its lease there for ever while a connected
        // majority cannot elect. Twice the lease is the least that openraft accepts.
        quorum_loss_probe_interval: Some(election_max.max(2 * lease)),
        // A leader that lost power after replicating an entry that it had not synced itself must not go on in its old term: it
        // would give the same log id to another entry. Held by a test.
        enable_leader_restore: Some(planted(SeededBug::LeaderRestore)),
        // A follower whose log went back has lost what it acknowledged. That is a defect to look at, not to paper over.
        allow_log_reversion: Some(false),

        // Snapshots and purges are asked for by `keeper`, which counts bytes as well as entries.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: policy.keep_entries,
        // Each purge is a range deletion: few and large.
        purge_batch_size: (policy.snapshot_entries / 4).clamp(1, 256),
        // The default sends a whole snapshot to a learner that was away for five seconds.
        replication_lag_threshold: policy.lag_entries,
        // openraft hands this to the transport as a deadline and does not cut the call itself. Whole transfers take as long as
        // the state is large, so here it bounds silence, not the transfer.
        install_snapshot_timeout: millis(SNAPSHOT_IDLE_MAX, "snapshot idle time")?,
        // Bytes bound a message (`log::READ_BYTES_MAX`); this only keeps tiny entries from making a huge count.
        max_payload_entries: 1_024,
        // A site that comes back is found again within a second.
        backoff: "100ms 200ms 400ms ...1s".to_owned(),
        // Proposals are coalesced before openraft sees them, so few are ever queued; short queues show overload early.
        api_channel_size: Some(4_096),
        ..Config::default()
    };
    config
        .validate()
        .map_err(|error| SettingsError(error.to_string()))
}

fn millis(duration: Duration, what: &str) -> Result<u64, SettingsError> {
    u64::try_from(duration.as_millis())
        .ok()
        .filter(|millis| (1..=86_400_000).contains(millis))
        .ok_or_else(|| SettingsError(format!("{what} {duration:?} is not between 1 ms and 24 h")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restarted_leader_never_resumes_without_an_election() {
        for timing in [Timing::PROMPT, Timing::CALM] {
            let config = raft_config("c", timing, LogPolicy::default()).unwrap();
            assert_eq!(config.enable_leader_restore, Some(false));
            assert_eq!(config.enable_pre_vote, Some(true));
            assert_eq!(config.allow_log_reversion, Some(false));
            assert!(config.quorum_loss_probe_interval.is_some());
            assert_eq!(config.snapshot_policy, SnapshotPolicy::Never);
        }
    }

    #[test]
    fn a_follower_waits_between_the_shortest_and_the_longest_time() {
        for (heartbeat, min, max) in [
            (50, 150, 300),
            (100, 700, 1400),
            (50, 300, 1000),
            (50, 450, 500),
        ] {
            let timing = Timing::millis(heartbeat, min, max);
            let config = raft_config("c", timing, LogPolicy::default()).unwrap();
            let lease = config.election_timeout_max;
            assert!(lease + config.election_timeout_min >= min, "{timing:?}");
            assert!(lease + config.election_timeout_max <= max, "{timing:?}");
            assert!(lease > heartbeat, "{timing:?}");
        }
    }

    #[test]
    fn times_that_contradict_each_other_are_refused() {
        assert!(raft_config("c", Timing::millis(100, 50, 1000), LogPolicy::default()).is_err());
        assert!(raft_config("c", Timing::millis(0, 50, 1000), LogPolicy::default()).is_err());
    }

    #[test]
    fn heartbeats_are_suppressed_only_where_that_cannot_start_an_election() {
        let config = raft_config("c", Timing::millis(100, 150, 300), LogPolicy::default()).unwrap();
        assert_eq!(config.heartbeat_min_interval, Some(0));
    }
}
