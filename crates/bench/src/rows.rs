//! What is measured, of which system: the vocabulary of a results file.

use serde::{Deserialize, Serialize};

/// A kind of measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Row {
    /// Registrations, unary, 256 clients.
    #[serde(rename = "registry_writes_256")]
    RegistryWrites256,
    /// Registrations on the client library's streams, 256 under way.
    RegistryStreamWrites,
    /// Registrations, one client.
    #[serde(rename = "registry_write_1")]
    RegistryWrite1,
    /// Registrations in batches.
    RegistryBatch,
    /// Reads by number from a node's own state, unary, 64 clients.
    #[serde(rename = "local_read_64")]
    LocalRead64,
    /// The same on streams, 256 under way.
    LocalStreamRead,
    /// Linearizable reads, unary, 64 clients.
    #[serde(rename = "linearizable_64")]
    Linearizable64,
    /// A registration each while the leader is killed.
    LeaderKill,
    /// Registrations on streams through a proxy between the members, 4,096 under way.
    DelayedWrites,
    /// 500 registrations a second, open loop.
    LearnerWrites,
    /// Registrations at 70 % of what the streams carried, open loop.
    SteadyWrites,
    /// One 600-byte value by key, unary, 256 clients.
    #[serde(rename = "raw_writes_256")]
    RawWrites256,
    /// The same on streams.
    RawStreamWrites,
    /// The same, one client.
    #[serde(rename = "raw_write_1")]
    RawWrite1,
    /// The same in batches.
    RawBatch,
    /// Registrations, unary, 256 clients, with 4 real learners attached.
    #[serde(rename = "learners4_writes_256")]
    Learners4Writes256,
}

impl Row {
    /// For people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Row::RegistryWrites256 => "registrations, unary, 256 clients",
            Row::RegistryStreamWrites => "registrations, streams, 256 outstanding",
            Row::RegistryWrite1 => "registrations, 1 client",
            Row::RegistryBatch => "registrations in batches of 500, 4 clients",
            Row::LocalRead64 => "local reads by number, unary, 64 clients",
            Row::LocalStreamRead => "local reads by number, streams, 256 outstanding",
            Row::Linearizable64 => "linearizable reads, unary, 64 clients",
            Row::LeaderKill => "leader killed under 16 writers",
            Row::DelayedWrites => "registrations through the delay proxy, 4,096 outstanding",
            Row::LearnerWrites => "registrations at 500 a second, open loop",
            Row::SteadyWrites => "registrations at 70 % of capacity, open loop",
            Row::Learners4Writes256 => "registrations, unary, 256 clients, 4 learners",
            Row::RawWrites256 => "raw values, unary, 256 clients",
            Row::RawStreamWrites => "raw values, one stream, 256 outstanding",
            Row::RawWrite1 => "raw values, 1 client",
            Row::RawBatch => "raw values in batches of 500, 4 clients",
        }
    }
}

/// A system in one configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum System {
    Banyan,
    /// Banyan's members through the proxy without a delay.
    BanyanUndelayed,
    /// Banyan's members through the proxy, 15 ms one way.
    BanyanDelayed,
    /// With 63 simulated learners.
    BanyanLearners,
    Etcd,
    /// With election times of Banyan's.
    EtcdFast,
    Postgres,
}

impl System {
    /// For people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            System::Banyan => "Banyan",
            System::BanyanUndelayed => "Banyan, 0 ms",
            System::BanyanDelayed => "Banyan, 15 ms",
            System::BanyanLearners => "Banyan, 63 learners",
            System::Etcd => "etcd",
            System::EtcdFast => "etcd, short timeouts",
            System::Postgres => "PostgreSQL",
        }
    }
}
