//! Integration tests of the stores.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod crash;
mod families;
mod fixture;
mod formats;
mod identity;
mod install;
mod journal;
mod log;
mod pages;
mod raw_values;
mod state;
mod workload;
