//! Topology files: the shipped ones hold what they promise, and every fault of a bad one is told at once.

mod faults;
mod files;
