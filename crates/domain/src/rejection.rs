//! The registry's deterministic "no": replicated, and the same on every retry.

use crate::codes::DeathKind;
use crate::ids::VersionNumber;
use crate::limits::{KEY_AHEAD_MAX_MS, KEY_WINDOW_MS, KEYS_STORED_MAX};
use crate::pin::Contradiction;
use crate::policy::Denial;
use crate::provenance::{CommandName, DocumentKind, LegalBasis};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const MINUTE_MS: i64 = 60 * 1_000;

/// Why a command had no effect. Says what was found, never whose data it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Rejection {
    /// A person is registered under this number, or once was.
    #[error("a person is already registered under this personal identification number")]
    PinAlreadyRegistered,
    /// A person is registered with this 9-digit card number.
    #[error("a person is already registered under this 9-digit identity card number")]
    CmndAlreadyRegistered,
    /// The document was entered before.
    #[error("this document of this office has already been entered")]
    FormAlreadyRegistered,
    /// The number cannot belong to this person.
    #[error("the personal identification number contradicts the record: {}", .what.what())]
    PinContradictsRecord {
        /// What contradicts.
        what: Contradiction,
    },
    /// Nobody has this number.
    #[error("no person is registered under this personal identification number")]
    PersonNotFound,
    /// A death is recorded already, or the person is declared missing already and is to be so again.
    #[error("the person's death or disappearance is already recorded")]
    PersonAlreadyDeceased,
    /// The death lies before the birth.
    #[error("the date of death lies before the date of birth")]
    DeathBeforeBirth,
    /// A date lies after the day of the decision, counted in Viet Nam.
    #[error("{field} lies after the day of the decision")]
    DateInFuture {
        /// Dotted path of the field.
        field: String,
    },
    /// The record has moved on.
    #[error("the record is at version {current}, not at the one that was expected")]
    VersionConflict {
        /// The record's version now.
        current: VersionNumber,
    },
    /// The correction changes what the number says (Circular 59/2021/TT-BCA Art. 6).
    #[error("the change contradicts the personal identification number, which must be re-established first: {}", .what.what())]
    PinReestablishmentRequired {
        /// What contradicts.
        what: Contradiction,
    },
    /// No number can be derived from the place of birth registration.
    #[error("no number can be allotted: {reason}")]
    BirthPlaceUnknown {
        /// Why.
        reason: PlaceProblem,
        /// Dotted path of the place.
        field: String,
    },
    /// The bucket's million numbers are given out.
    #[error("all numbers of this province, sex and birth year are given out")]
    BucketExhausted,
    /// The key was used for another command.
    #[error("the idempotency key was used before for another command")]
    IdempotencyKeyReused,
    /// The key is older than the window: whatever was stored under it is, or will be, dropped.
    #[error(
        "the idempotency key was made more than {} days ago", KEY_WINDOW_MS / DAY_MS
    )]
    KeyExpired,
    /// The key is of a time to come.
    #[error(
        "the idempotency key was made more than {} minutes after the registry's time", KEY_AHEAD_MAX_MS / MINUTE_MS
    )]
    KeyAhead,
    /// No further key can be kept at the moment, and none is dropped before its time.
    #[error("the registry keeps {} idempotency keys, its bound", KEYS_STORED_MAX)]
    KeysFull,
    /// Policy refused the actor against the record as it stands.
    #[error("policy does not allow this: {}", .denial.reason())]
    NotAllowed {
        /// Why.
        denial: Denial,
    },
    /// The legal basis does not carry the command.
    #[error("legal basis {} does not carry {command}", .basis.label())]
    LegalBasisMismatch {
        /// The basis given.
        basis: LegalBasis,
        /// The command.
        command: CommandName,
    },
    /// The source document does not carry the death, or the disappearance, that the command records.
    #[error("a document of kind {} does not carry the status {}", .document.label(), .death.label())]
    DocumentMismatch {
        /// Kind of the document given.
        document: DocumentKind,
        /// What it was to carry.
        death: DeathKind,
    },
}

/// Why no place code for a number follows from a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum PlaceProblem {
    /// No known province is named.
    #[error("the place of birth registration names none of the 63 provinces")]
    ProvinceUnknown,
    /// Registered abroad: the list of country codes is not part of the registry yet.
    #[error("the birth was registered abroad and the registry has no list of country codes")]
    Abroad,
    /// Born before 1900.
    #[error("numbers exist for births from 1900 on only")]
    BornBefore1900,
}

impl Rejection {
    /// A stable name in upper case, the same as in the table of public error codes.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PinAlreadyRegistered => "PIN_ALREADY_REGISTERED",
            Self::CmndAlreadyRegistered => "CMND_ALREADY_REGISTERED",
            Self::FormAlreadyRegistered => "FORM_ALREADY_REGISTERED",
            Self::PinContradictsRecord { .. } => "PIN_CONTRADICTS_RECORD",
            Self::PersonNotFound => "PERSON_NOT_FOUND",
            Self::PersonAlreadyDeceased => "PERSON_ALREADY_DECEASED",
            Self::DeathBeforeBirth => "DEATH_BEFORE_BIRTH",
            Self::DateInFuture { .. } => "DATE_IN_FUTURE",
            Self::VersionConflict { .. } => "VERSION_CONFLICT",
            Self::PinReestablishmentRequired { .. } => "PIN_REESTABLISHMENT_REQUIRED",
            Self::BirthPlaceUnknown { .. } => "BIRTH_PLACE_UNKNOWN",
            Self::BucketExhausted => "BUCKET_EXHAUSTED",
            Self::IdempotencyKeyReused => "IDEMPOTENCY_KEY_REUSED",
            Self::KeyExpired => "KEY_EXPIRED",
            Self::KeyAhead => "KEY_AHEAD",
            Self::KeysFull => "KEYS_FULL",
            Self::NotAllowed { .. } => "NOT_ALLOWED_AT_DECISION",
            Self::LegalBasisMismatch { .. } => "LEGAL_BASIS_MISMATCH",
            Self::DocumentMismatch { .. } => "DOCUMENT_MISMATCH",
        }
    }
}
