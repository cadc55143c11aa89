//! Local clusters, workload, history, oracle, faults and reports: the parts of drills and of fault tests.
//!
//! A drill starts real processes ([`cluster`]), puts load on them ([`workload`], [`import`]), keeps what the clients saw
//! ([`history`]), breaks something ([`site_down`]), and holds what the nodes say afterwards against what was promised
//! ([`checker`], [`digest`]). [`demo`] is all of it in a row. Nothing here is a part of a node.

pub mod access;
pub mod checker;
pub mod cluster;
pub mod commands;
pub mod demo;
pub mod digest;
pub mod history;
pub mod identities;
pub mod import;
pub mod local_reads;
pub mod observer;
pub mod pki;
pub mod population;
pub mod report;
pub mod site_down;
pub mod wait_for;
pub mod workload;
