//! Events: what happened, for those who follow the registry. They name records by key and hold no personal data.

use crate::codes::coded;
use crate::ids::{EventSequence, PersonId, Timestamp, VersionNumber};

coded! {
    /// Kind of an event.
    EventKind {
        /// A person was registered from a form.
        PersonRegistered = 1 "PersonRegistered",
        /// A birth was registered.
        BirthRegistered = 2 "BirthRegistered",
        /// A record was corrected.
        PersonCorrected = 3 "PersonCorrected",
        /// A death or disappearance was recorded.
        DeathRecorded = 4 "DeathRecorded",
    }
}

/// One event. Sequences are gapless from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Its place among all events.
    pub sequence: EventSequence,
    /// What happened.
    pub kind: EventKind,
    /// To whose record.
    pub person: PersonId,
    /// The version that it made.
    pub version: VersionNumber,
    /// Index of the log entry.
    pub log_index: u64,
    /// Replicated time.
    pub time: Timestamp,
}
