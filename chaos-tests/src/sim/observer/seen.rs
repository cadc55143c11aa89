//! What an observer has seen when a run is over.

use std::{collections::BTreeMap, time::Duration};

use crate::sim::invariants::Invariant;

/// A broken promise.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// When, in virtual time.
    pub at: Duration,
    /// What was seen. Persons are synthetic; their numbers stay out all the same.
    pub what: String,
}

/// What an observer has seen when a run is over.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Over all events, in order.
    pub hash: u64,
    /// How many.
    pub events: u64,
    /// Readable ones, if they were asked for.
    pub lines: Vec<String>,
    /// How often each interesting state was reached.
    pub sometimes: BTreeMap<&'static str, u64>,
    /// How often each kind of fault was made.
    pub faults: BTreeMap<&'static str, u64>,
    /// The first broken promises.
    pub violations: Vec<Violation>,
    /// All of them.
    pub violations_seen: u64,
    /// Entries applied.
    pub entries: u64,
    /// Effects of requests.
    pub effects: u64,
    /// Terms that were led.
    pub terms: u64,
}
