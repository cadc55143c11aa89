//! A simulated nation: real consensus, real state machine, real rules, on simulated machines, by the thousand.
//!
//! One seed makes one run: a minute of clients and faults, then a time to heal, in which everything must converge. What is real: the crates
//! `domain`, `consensus` and the deciding parts of `storage`, with openraft. What is simulated stands in the files named
//! after it: [`runtime`] (time and processes), [`network`], [`disk`], [`clock`]. [`observer`] sees everything and holds it against [`invariants`].
//!
//! Not here: RocksDB, gRPC, TLS, real files and real time. They are the process suite's.

pub mod afterwards;
pub mod clients;
pub mod clock;
pub mod disk;
pub mod faults;
pub mod invariants;
pub mod nation;
pub mod network;
pub mod node;
pub mod observer;
pub mod peers;
pub mod plan;
pub mod proof;
pub mod run;
pub mod runtime;
pub mod sometimes;
pub mod sweep;
