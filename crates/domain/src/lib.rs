//! What a person's record is and how it may change: pure, without IO, clock, randomness or async.
//!
//! Start at [`apply`]: it takes a [`View`] of the state, the place of a command in the log and the [`Envelope`] that
//! carries it, and gives a [`Transition`]: mutations for the store to carry out in one batch, and the [`Outcome`] to
//! answer. [`policy`] says who may do what. Everything else are the types that a record is made of, which cannot be
//! wrong: their constructors return every fault that they find.
//!
//! Absent on purpose: encodings (crate `wire`), storage (crate `storage`), clocks and randomness (they travel in the
//! command).
#![deny(missing_docs)]

mod apply;
mod audit;
mod codes;
mod command;
mod date;
mod event;
mod faults;
mod idempotency;
mod ids;
mod letters;
pub mod limits;
mod memory;
mod name;
mod outcome;
mod page;
mod person;
mod pin;
mod places;
pub mod policy;
mod provenance;
mod rejection;
pub mod seeded_bugs;
mod text;
mod transition;
mod units;
mod view;

pub use apply::{ApplyContext, apply, expire};
pub use audit::{AuditRecord, Decision};
pub use codes::{BloodGroup, DeathKind, FindingCode, LifeStatus, MaritalStatus, Relation, Sex};
pub use command::{
    COMMAND_VERSION, Command, CommandHead, CorrectPerson, Envelope, RecordDeath, RegisterBirth,
    RegisterPerson,
};
pub use date::{BirthDate, CalendarDate, DeathDate};
pub use event::{Event, EventKind};
pub use faults::{FieldFault, ValueFault};
pub use idempotency::{IdempotencyKey, Standing};
pub use ids::{EventSequence, Fingerprint, NodeId, PersonId, Position, Timestamp, VersionNumber};
pub use memory::{MemoryView, OverlayView};
pub use name::{NameKey, PersonName};
pub use outcome::{Accepted, Judged, Outcome, StoredOutcome, Verdict};
pub use page::PinPage;
pub use person::{
    Death, Ethnicity, Finding, Household, Nationalities, PersonData, PersonVersion, RelatedPerson,
    Religion, TemporaryStay,
};
pub use pin::{Cmnd, Contradiction, Pin, PinBucket, PinExplanation};
pub use places::{AreaCode, CountryCode, DistrictCode, Place, ProvinceCode, WardCode};
pub use provenance::{
    Actor, CommandName, DocumentKind, DocumentNumber, FormKey, LegalBasis, Office, Principal,
    Provenance, Reason, Role, SourceDocument,
};
pub use rejection::{PlaceProblem, Rejection};
pub use text::{AsciiCode, Text};
pub use transition::{Mutation, Transition};
pub use units::Units;
pub use view::{Counters, View, ViewFault};
