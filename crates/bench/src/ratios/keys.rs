//! The promised ratios with their goals: the table of the issue.

use super::Goal::{AtLeast, AtMost};
use super::Measure::{P50, P99, PerSecond, Stop};
use super::{Goal, Key, Over, Side};
use crate::rows::Row::{
    DelayedWrites, LeaderKill, LearnerWrites, Linearizable64, LocalRead64, LocalStreamRead,
    RawBatch, RawStreamWrites, RawWrite1, RawWrites256, RegistryBatch, RegistryStreamWrites,
    RegistryWrite1, RegistryWrites256, SteadyWrites,
};
use crate::rows::System::{
    Banyan, BanyanDelayed, BanyanLearners, BanyanUndelayed, Etcd, EtcdFast, Postgres,
};

const fn key(name: &'static str, top: Side, bottom: Side, goal: Goal) -> Key {
    Key {
        name,
        top,
        bottom,
        over: Over::Median,
        goal,
    }
}

/// All of them, in the order of the table of goals.
#[rustfmt::skip]
pub(crate) const KEYS: &[Key] = &[
    key("registry_writes_256_to_etcd", Side(RegistryWrites256, Banyan, PerSecond), Side(RegistryWrites256, Etcd, PerSecond), AtLeast(2.0)),
    key("registry_writes_256_to_postgres", Side(RegistryWrites256, Banyan, PerSecond), Side(RegistryWrites256, Postgres, PerSecond), AtLeast(1.3)),
    key("registry_stream_writes_to_etcd", Side(RegistryStreamWrites, Banyan, PerSecond), Side(RegistryWrites256, Etcd, PerSecond), AtLeast(3.0)),
    key("registry_stream_writes_to_postgres", Side(RegistryStreamWrites, Banyan, PerSecond), Side(RegistryWrites256, Postgres, PerSecond), AtLeast(2.0)),
    key("registry_write_1_p50_to_etcd", Side(RegistryWrite1, Banyan, P50), Side(RegistryWrite1, Etcd, P50), AtMost(0.8)),
    key("registry_write_1_p50_to_postgres", Side(RegistryWrite1, Banyan, P50), Side(RegistryWrite1, Postgres, P50), AtMost(1.7)),
    key("registry_batch_to_etcd", Side(RegistryBatch, Banyan, PerSecond), Side(RegistryWrites256, Etcd, PerSecond), AtLeast(3.0)),
    key("raw_writes_256_to_etcd", Side(RawWrites256, Banyan, PerSecond), Side(RawWrites256, Etcd, PerSecond), AtLeast(2.5)),
    key("raw_writes_256_to_postgres", Side(RawWrites256, Banyan, PerSecond), Side(RawWrites256, Postgres, PerSecond), AtLeast(1.5)),
    key("raw_stream_writes_to_etcd", Side(RawStreamWrites, Banyan, PerSecond), Side(RawWrites256, Etcd, PerSecond), AtLeast(6.0)),
    key("raw_write_1_p50_to_etcd", Side(RawWrite1, Banyan, P50), Side(RawWrite1, Etcd, P50), AtMost(0.7)),
    key("raw_batch_to_etcd", Side(RawBatch, Banyan, PerSecond), Side(RawWrites256, Etcd, PerSecond), AtLeast(6.0)),
    key("local_read_64_to_etcd", Side(LocalRead64, Banyan, PerSecond), Side(LocalRead64, Etcd, PerSecond), AtLeast(3.0)),
    key("local_read_64_to_postgres", Side(LocalRead64, Banyan, PerSecond), Side(LocalRead64, Postgres, PerSecond), AtLeast(0.8)),
    key("local_stream_read_to_postgres", Side(LocalStreamRead, Banyan, PerSecond), Side(LocalRead64, Postgres, PerSecond), AtLeast(4.0)),
    key("linearizable_64_to_etcd", Side(Linearizable64, Banyan, PerSecond), Side(Linearizable64, Etcd, PerSecond), AtLeast(2.5)),
    key("leader_kill_to_etcd_defaults", Side(LeaderKill, Banyan, Stop), Side(LeaderKill, Etcd, Stop), AtMost(0.4)),
    key("leader_kill_to_etcd_same_timeouts", Side(LeaderKill, Banyan, Stop), Side(LeaderKill, EtcdFast, Stop), AtMost(1.0)),
    key("delayed_to_undelayed", Side(DelayedWrites, BanyanDelayed, PerSecond), Side(DelayedWrites, BanyanUndelayed, PerSecond), AtLeast(0.8)),
    key("p99_63_learners_to_none", Side(LearnerWrites, BanyanLearners, P99), Side(LearnerWrites, Banyan, P99), AtMost(1.5)),
    key("p99_to_p50_median", Side(SteadyWrites, Banyan, P99), Side(SteadyWrites, Banyan, P50), AtMost(5.0)),
    Key { over: Over::Greatest, ..key("p99_to_p50_worst", Side(SteadyWrites, Banyan, P99), Side(SteadyWrites, Banyan, P50), AtMost(10.0)) },
];
