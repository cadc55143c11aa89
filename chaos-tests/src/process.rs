//! Real processes under faults drawn from a seed: `banyan-chaos`, `make chaos`.
//!
//! A run ([`run`]) starts seven nodes, each in a `network` namespace of its own and with its data on a file system of the run's own (`disks`),
//! puts load on them, and goes from round to round: faults are drawn (`plan`), done and healed (`faults`). Between the rounds it judges what the
//! clients of registers saw (`windows`), at the end everything (`oracles`, `outcome`). All that a run makes bears its `name`, so
//! that the next run finds what a killed one left (`leftovers`).

pub mod arguments;
mod clocks;
mod corruption;
mod damage;
mod disks;
mod ending;
mod ends;
mod faults;
mod findings;
mod leaders;
mod leftovers;
mod members;
mod name;
mod namespaces;
mod network;
mod oracles;
mod outcome;
mod plan;
mod preload;
mod proxies;
mod relay;
pub mod run;
mod start;
mod tools;
mod windows;
