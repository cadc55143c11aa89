//! Consensus over real stores and real TLS: openraft's store suite, clusters in one process, admission of peers.
#![expect(clippy::disallowed_methods, reason = "tests spawn nodes as they like")]

mod admission;
mod append_streams;
mod clocks;
mod cluster;
mod elections;
mod fixtures;
mod leadership;
mod members;
mod partitions;
mod paused_leader;
mod pings;
mod pki;
mod raw_values;
mod readings;
mod recovery;
mod replication;
mod script;
mod skewed_clocks;
mod snapshots;
mod suite;
