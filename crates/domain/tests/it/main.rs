//! The crate seen from outside: stories, properties, the policy table.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod allotment;
mod fixtures;
mod grouping;
mod keys;
mod parsers;
mod paths;
mod policy_table;
mod scan_policy;
mod scripts;
mod story;
mod told;
