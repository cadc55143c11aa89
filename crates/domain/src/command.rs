//! The commands that change the registry, and the envelope in which the log carries them.

use std::fmt;

use crate::codes::Sex;
use crate::date::CalendarDate;
use crate::idempotency::IdempotencyKey;
use crate::ids::{Fingerprint, VersionNumber};
use crate::name::PersonName;
use crate::person::{Death, Ethnicity, Nationalities, PersonData, RelatedPerson};
use crate::pin::Pin;
use crate::places::{AreaCode, Place};
use crate::provenance::{Actor, CommandName, FormKey, LegalBasis, Office, Reason, SourceDocument};

/// Version of the meaning of commands that this program applies. A log entry of another version stops the node.
pub const COMMAND_VERSION: u32 = 1;

/// What every command says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandHead {
    /// Office where the actor sits.
    pub office: Office,
    /// The law that carries the change.
    pub legal_basis: LegalBasis,
    /// The document that it is taken from.
    pub document: SourceDocument,
}

impl CommandHead {
    /// What makes the document unique among first registrations by those who act for an area, or by the centre.
    #[must_use]
    pub fn form_key(&self, area: Option<AreaCode>) -> FormKey {
        FormKey {
            area,
            office: self.office.clone(),
            kind: self.document.kind,
            number: self.document.number.clone(),
        }
    }
}

/// Registers a person from a collected form (DC01). Without a PIN one is allotted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterPerson {
    /// The record.
    pub data: PersonData,
    /// The number, where one was issued already.
    pub pin: Option<Pin>,
    /// Death, where the form names one.
    pub death: Option<Death>,
}

/// Registers a birth with the eight items of Decree 137/2015/ND-CP Art. 14(1); a new PIN is allotted.
#[derive(Clone, PartialEq, Eq)]
pub struct RegisterBirth {
    /// Name.
    pub name: PersonName,
    /// Day of birth.
    pub birth_date: CalendarDate,
    /// Sex.
    pub sex: Sex,
    /// Place of birth registration; its province opens the number.
    pub birth_registration_place: Place,
    /// Native place.
    pub native_place: Place,
    /// Ethnicity.
    pub ethnicity: Option<Ethnicity>,
    /// Nationality.
    pub nationalities: Nationalities,
    /// Father, unless undetermined.
    pub father: Option<RelatedPerson>,
    /// Mother, unless undetermined.
    pub mother: Option<RelatedPerson>,
    /// Legal representative.
    pub legal_representative: Option<RelatedPerson>,
}

impl fmt::Debug for RegisterBirth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<birth>")
    }
}

/// The record as it should read. What stood there before stays in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorrectPerson {
    /// Whose.
    pub pin: Pin,
    /// The version that the corrector has seen; refused if the record has moved on.
    pub expected_version: VersionNumber,
    /// The corrected record.
    pub data: PersonData,
    /// Why.
    pub reason: Reason,
}

/// Records a death, or that a court declared the person missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordDeath {
    /// Whose.
    pub pin: Pin,
    /// The death.
    pub death: Death,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// See [`RegisterPerson`].
    RegisterPerson(Box<RegisterPerson>),
    /// See [`RegisterBirth`].
    RegisterBirth(Box<RegisterBirth>),
    /// See [`CorrectPerson`].
    CorrectPerson(Box<CorrectPerson>),
    /// See [`RecordDeath`].
    RecordDeath(Box<RecordDeath>),
}

impl Command {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> CommandName {
        match self {
            Self::RegisterPerson(_) => CommandName::RegisterPerson,
            Self::RegisterBirth(_) => CommandName::RegisterBirth,
            Self::CorrectPerson(_) => CommandName::CorrectPerson,
            Self::RecordDeath(_) => CommandName::RecordDeath,
        }
    }
}

/// A command as the log carries it: with the authenticated actor, the key and the randomness, chosen once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Who, as authenticated at the edge.
    pub actor: Actor,
    /// Names the request; scoped to the principal.
    pub key: IdempotencyKey,
    /// Hash of the command as the client sent it.
    pub fingerprint: Fingerprint,
    /// Randomness for the allotment of a number.
    pub salt: u64,
    /// Office, law, document.
    pub head: CommandHead,
    /// The change.
    pub command: Command,
}
