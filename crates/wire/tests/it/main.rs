//! What crosses the wire and what is stored comes back as it was; faults name their fields; codes have their pages.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot make its input has failed"
)]

mod bounded;
mod commands;
mod costs;
mod error_pages;
mod errors;
mod faults;
mod generators;
mod records;
mod redaction;
