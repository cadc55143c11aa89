//! The audit record of a decision: one for each command that was applied, refused and replayed ones too.

use crate::idempotency::IdempotencyKey;
use crate::ids::{PersonId, Position, Timestamp, VersionNumber};
use crate::provenance::{Actor, CommandName, Office};

/// How a command was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It took effect.
    Accepted,
    /// It was a retry; the first outcome was answered.
    Replayed,
    /// It was refused, with the rejection's stable name.
    Rejected(String),
}

/// Who asked for what, and how it was decided. Holds no data of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Log position.
    pub position: Position,
    /// Place in the entry's batch, from 0.
    pub ordinal: u32,
    /// Who.
    pub actor: Actor,
    /// Where.
    pub office: Office,
    /// Which command.
    pub command: CommandName,
    /// How it was decided.
    pub decision: Decision,
    /// Whose record it was about, as far as the registry knows: a refusal names the person too.
    pub person: Option<PersonId>,
    /// The version made.
    pub version: Option<VersionNumber>,
    /// The request's key.
    pub key: IdempotencyKey,
    /// Replicated time.
    pub time: Timestamp,
}
