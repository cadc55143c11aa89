//! Persons as registers: a history of concurrent reads and writes, and what must hold of it.
//!
//! A register is a person's record. Its value is the version with what the correction wrote ([`record::Value`]), and a write is a
//! correction with `expected_version`, which is a compare-and-set. [`clients`] write and read at nodes drawn at random while
//! [`faults`] go on, and [`check`] holds what they saw against the promises: linearizable reads and writes with a published checker
//! ([`model`]), sessions and bounds of staleness by rules of a few lines each. Persons are told by their index, never by their number.

mod answers;
pub mod check;
pub mod clients;
pub mod faults;
pub mod model;
pub mod record;
mod ways;
