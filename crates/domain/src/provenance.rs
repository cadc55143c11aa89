//! Who acts, from which office, on which legal basis, from which document.

use std::fmt;

use crate::codes::{DeathKind, coded};
use crate::date::CalendarDate;
use crate::faults::ValueFault;
use crate::ids::{NodeId, Position, Timestamp};
use crate::limits::{
    DOCUMENT_NUMBER_CHARS_MAX, OFFICE_CHARS_MAX, PRINCIPAL_CHARS_MAX, REASON_CHARS_MAX,
};
use crate::places::AreaCode;
use crate::text::{AsciiCode, Text};

/// Name under which somebody authenticated, for instance `registrar@nghe-an`. From the certificate, never from a request.
pub type Principal = AsciiCode<PRINCIPAL_CHARS_MAX>;

/// Code of the office where the actor sits (agency codes of Decision 20/2020/QD-TTg).
pub type Office = AsciiCode<OFFICE_CHARS_MAX>;

/// Number of a source document as printed on it. Numbers of decisions hold Vietnamese letters (`15/2021/QĐST-VDS`). It leads
/// to a person and so its `Debug` hides it.
pub type DocumentNumber = Text<DOCUMENT_NUMBER_CHARS_MAX>;

/// Why a record was corrected, in the officer's words. It may tell of the person and so its `Debug` hides it.
pub type Reason = Text<REASON_CHARS_MAX>;

/// What an actor may do follows from this. From the certificate, never from a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Looks citizens up and registers events in an area.
    Registrar {
        /// The area.
        area: AreaCode,
    },
    /// The centre: issues numbers, reads and writes every record.
    Centre,
    /// Runs the cluster; sees no person.
    Operator,
}

impl Role {
    /// The role's word: `registrar`, `centre`, `operator`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Registrar { .. } => "registrar",
            Self::Centre => "centre",
            Self::Operator => "operator",
        }
    }

    /// The area of a registrar.
    #[must_use]
    pub const fn area(&self) -> Option<AreaCode> {
        match self {
            Self::Registrar { area } => Some(*area),
            Self::Centre | Self::Operator => None,
        }
    }

    /// From the words that [`Role::word`] and [`Role::area`] give.
    ///
    /// # Errors
    /// Another word, a registrar without an area, or an area for another role.
    pub fn parse(word: &str, area: &str) -> Result<Self, ValueFault> {
        match (word, area) {
            ("registrar", area) => AreaCode::parse(area).map(|area| Self::Registrar { area }),
            ("centre", "") => Ok(Self::Centre),
            ("operator", "") => Ok(Self::Operator),
            ("centre" | "operator", _) => Err(ValueFault::new("only a registrar has an area")),
            _ => Err(ValueFault::new(
                "role must be registrar, centre or operator",
            )),
        }
    }
}

/// Who acts, as authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Name.
    pub principal: Principal,
    /// Role.
    pub role: Role,
    /// The node that authenticated the actor.
    pub admitted_by: NodeId,
}

coded! {
    /// The law that carries a change.
    LegalBasis {
        /// First collection (Circular 66/2015/TT-BCA, form DC01).
        Collection = 1 "COLLECTION",
        /// Birth registration (Decree 137/2015/ND-CP Art. 14).
        BirthRegistration = 2 "BIRTH_REGISTRATION",
        /// Correction (Law 59/2014/QH13 Art. 5; form DC02).
        Correction = 3 "CORRECTION",
        /// Civil status (Law 60/2014/QH13).
        CivilStatus = 4 "CIVIL_STATUS",
        /// Decision of a court.
        CourtDecision = 5 "COURT_DECISION",
        /// Residence (Law 68/2020/QH14).
        Residence = 6 "RESIDENCE",
    }
}

coded! {
    /// Kind of a source document.
    DocumentKind {
        /// Collection form DC01.
        CollectionForm = 1 "COLLECTION_FORM",
        /// Update form DC02.
        UpdateForm = 2 "UPDATE_FORM",
        /// Birth certificate.
        BirthCertificate = 3 "BIRTH_CERTIFICATE",
        /// Death certificate, or the death notice of a hospital or another agency (giấy báo tử).
        DeathCertificate = 4 "DEATH_CERTIFICATE",
        /// Decision of a court.
        CourtDecision = 5 "COURT_DECISION",
        /// Another document.
        Other = 6 "OTHER",
    }
}

impl DocumentKind {
    /// Whether such a document carries a death of that kind in that command. Only a court declares a person missing. A death
    /// needs a certificate or notice, a court's decision, or a paper in place of one (Decree 123/2015/ND-CP Art. 4); at first
    /// collection the form itself names it (Law 59/2014/QH13 Art. 9(1)(p)).
    #[must_use]
    pub const fn carries_death(self, kind: DeathKind, command: CommandName) -> bool {
        match kind {
            DeathKind::Missing => matches!(self, Self::CourtDecision),
            DeathKind::Deceased => {
                self.proves_death()
                    || matches!(self, Self::Other)
                    || matches!(
                        (self, command),
                        (Self::CollectionForm, CommandName::RegisterPerson)
                    )
            }
        }
    }

    /// Whether such a document proves a death also to an office that does not know the person.
    #[must_use]
    pub const fn proves_death(self) -> bool {
        matches!(self, Self::DeathCertificate | Self::CourtDecision)
    }
}

/// The document that a change is taken from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceDocument {
    /// Kind.
    pub kind: DocumentKind,
    /// Number as printed; unique for its kind and office.
    pub number: DocumentNumber,
    /// Day of issue, where known.
    pub issued: Option<CalendarDate>,
}

/// Names the document of a first registration: a form or certificate is entered once.
///
/// The office is what the client writes. The area is what its certificate says, so that nobody takes up the numbers of an
/// office outside its own area (ADR 0017).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FormKey {
    /// Area of the registrar who entered it; none for the centre, whose forms count in the whole country.
    pub area: Option<AreaCode>,
    /// Office that entered it.
    pub office: Office,
    /// Kind of document.
    pub kind: DocumentKind,
    /// Its number.
    pub number: DocumentNumber,
}

coded! {
    /// The commands by name.
    CommandName {
        /// See [`crate::RegisterPerson`].
        RegisterPerson = 1 "RegisterPerson",
        /// See [`crate::RegisterBirth`].
        RegisterBirth = 2 "RegisterBirth",
        /// See [`crate::CorrectPerson`].
        CorrectPerson = 3 "CorrectPerson",
        /// See [`crate::RecordDeath`].
        RecordDeath = 4 "RecordDeath",
    }
}

impl CommandName {
    /// The legal bases that carry the command. A death of the kind [`DeathKind::Missing`] needs a court; see
    /// [`LegalBasis::carries_death`].
    #[must_use]
    pub const fn legal_bases(self) -> &'static [LegalBasis] {
        match self {
            Self::RegisterPerson => &[LegalBasis::Collection, LegalBasis::Residence],
            Self::RegisterBirth => &[LegalBasis::BirthRegistration],
            Self::CorrectPerson => &[
                LegalBasis::Correction,
                LegalBasis::CivilStatus,
                LegalBasis::Residence,
                LegalBasis::CourtDecision,
            ],
            Self::RecordDeath => &[LegalBasis::CivilStatus, LegalBasis::CourtDecision],
        }
    }
}

impl LegalBasis {
    /// Whether the basis carries a death of that kind: only a court declares a person missing (Civil Code 2015 Art. 68).
    #[must_use]
    pub const fn carries_death(self, kind: DeathKind) -> bool {
        match kind {
            DeathKind::Deceased => matches!(self, Self::CivilStatus | Self::CourtDecision),
            DeathKind::Missing => matches!(self, Self::CourtDecision),
        }
    }
}

impl fmt::Display for CommandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

/// Who made a version, when, where, on which basis, from which document, by which log entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Replicated time of the decision.
    pub time: Timestamp,
    /// Who.
    pub actor: Actor,
    /// Where.
    pub office: Office,
    /// The law.
    pub legal_basis: LegalBasis,
    /// The paper.
    pub document: SourceDocument,
    /// The command.
    pub command: CommandName,
    /// Why, where the command says so: a correction does.
    pub reason: Option<Reason>,
    /// Position of the log entry that carried it.
    pub position: Position,
}
