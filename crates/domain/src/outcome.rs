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

/// What is kept under a principal's key: enough to answer every retry with the first outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOutcome {
    /// Hash of the command that was decided: tells a retry from a reuse.
    pub fingerprint: Fingerprint,
    /// What was decided.
    pub verdict: Verdict,
}

/// What was decided under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The command made a version, which holds the rest of the outcome and names the key.
    Accepted {
        /// Whose record.
        person: PersonId,
        /// The version.
        version: VersionNumber,
    },
    /// The command was refused.
    Rejected {
        /// Why.
        rejection: Rejection,
        /// What policy had allowed it against.
        judged: Judged,
        /// Log position of the decision.
        position: Position,
        /// Replicated time of the decision.
        time: Timestamp,
    },
}

/// What policy allowed a command against before it was refused for another reason: a retry is judged by the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// Policy said no, or was not asked: the refusal follows from the command alone or says that nobody is there.
    Nothing,
    /// What the command itself says, as for a registration.
    Command,
    /// A version of a record.
    Record {
        /// Whose.
        person: PersonId,
        /// The version.
        version: VersionNumber,
    },
}
