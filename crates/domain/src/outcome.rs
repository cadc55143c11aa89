//! What became of a command: kept under its idempotency key, so that every retry gets the first answer.

use crate::ids::{Fingerprint, PersonId, Position, Timestamp, VersionNumber};
use crate::person::Finding;
use crate::pin::Pin;
use crate::rejection::Rejection;

/// The effect of an accepted command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Whose record.
    pub person: PersonId,
    /// The number; a new one where one was allotted.
    pub pin: Pin,
    /// The version that the command made.
    pub version: VersionNumber,
    /// What was kept as written without confirmation.
    pub findings: Vec<Finding>,
}

/// What became of a command, and where and when that was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Accepted, or why not.
    pub result: Result<Accepted, Rejection>,
    /// Log position of the decision; of the first one for a replay.
    pub position: Position,
    /// Replicated time of the decision.
    pub time: Timestamp,
    /// Whether this is the first outcome of an earlier try with the same key.
    pub replayed: bool,
}

/// The first outcome under a key, with the hash that tells a retry from a reuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOutcome {
    /// Hash of the command that was decided.
    pub fingerprint: Fingerprint,
    /// Its outcome; `replayed` is false.
    pub outcome: Outcome,
}
