//! The person's record: the items of Law 59/2014/QH13 Art. 9(1) as amended by Law 68/2020/QH14 Art. 37(1), as types that
//! cannot be wrong.

use std::fmt;

use crate::codes::{BloodGroup, DeathKind, FindingCode, LifeStatus, MaritalStatus, Relation, Sex};
use crate::date::{BirthDate, CalendarDate, DeathDate};
use crate::faults::{FieldFault, ValueFault};
use crate::idempotency::IdempotencyKey;
use crate::ids::{PersonId, VersionNumber};
use crate::limits::{
    FINDINGS_MAX, HOUSEHOLD_MEMBERS_MAX, HOUSEHOLD_NUMBER_CHARS_MAX, NATIONALITIES_MAX,
    RELATION_TEXT_CHARS_MAX,
};
use crate::name::PersonName;
use crate::pin::{Cmnd, Pin};
use crate::places::{CountryCode, Place};
use crate::provenance::Provenance;
use crate::text::Text;
use crate::units::Units;

/// Something about a version that could not be confirmed and was kept as written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What.
    pub code: FindingCode,
    /// Dotted path of the field, for instance `native_place.ward`.
    pub field: String,
}

/// Ethnic group: a code of the list of 54, 1 to 54, or 55 for foreigners (General Statistics Office, census list of 2009).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ethnicity(u8);

impl Ethnicity {
    /// Reads a code of two digits, 01 to 55.
    ///
    /// # Errors
    /// Another form or number.
    pub fn new(text: &str) -> Result<Self, ValueFault> {
        two_digits(text)
            .filter(|code| (1..=55).contains(code))
            .map(Self)
            .ok_or_else(|| ValueFault::new("must be a code of two digits, 01 to 55"))
    }

    /// The code, 1 to 55.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// The code as two digits.
    #[must_use]
    pub fn text(self) -> String {
        format!("{:02}", self.0)
    }
}

/// Religion: a code of two digits, 00 for none (QCVN 109:2017/BTTTT annex G; the list is data of the exchange, only the
/// form is checked).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Religion(u8);

impl Religion {
    /// Reads a code of two digits.
    ///
    /// # Errors
    /// Another form.
    pub fn new(text: &str) -> Result<Self, ValueFault> {
        two_digits(text)
            .map(Self)
            .ok_or_else(|| ValueFault::new("must be a code of two digits, 00 to 99"))
    }

    /// The code, 0 to 99.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// The code as two digits.
    #[must_use]
    pub fn text(self) -> String {
        format!("{:02}", self.0)
    }
}

fn two_digits(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [tens, units] if tens.is_ascii_digit() && units.is_ascii_digit() => {
            Some((tens - b'0') * 10 + (units - b'0'))
        }
        _ => None,
    }
}

/// One to three different nationalities, in the order given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nationalities(Vec<CountryCode>);

impl Nationalities {
    /// Checks the number and that none stands twice.
    ///
    /// # Errors
    /// None, more than [`NATIONALITIES_MAX`], or one twice.
    pub fn new(codes: Vec<CountryCode>) -> Result<Self, ValueFault> {
        if codes.is_empty() || codes.len() > NATIONALITIES_MAX {
            return Err(ValueFault::new(format!(
                "must be 1 to {NATIONALITIES_MAX} country codes, got {}",
                codes.len()
            )));
        }
        let twice = codes
            .iter()
            .enumerate()
            .any(|(index, code)| codes[..index].contains(code));
        if twice {
            Err(ValueFault::new("must not name one country twice"))
        } else {
            Ok(Self(codes))
        }
    }

    /// The codes.
    #[must_use]
    pub fn codes(&self) -> &[CountryCode] {
        &self.0
    }
}

/// A person named in another's record: father, mother, spouse, legal representative, household member.
#[derive(Clone, PartialEq, Eq)]
pub struct RelatedPerson {
    /// Name.
    pub name: PersonName,
    /// PIN, where known. Not checked against the registry: the other may not be registered yet.
    pub pin: Option<Pin>,
    /// Number of the old identity card, where known.
    pub cmnd: Option<Cmnd>,
    /// Nationality, where known.
    pub nationality: Option<CountryCode>,
}

impl fmt::Debug for RelatedPerson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<related person>")
    }
}

/// The household as the person's record names it.
#[derive(Clone, PartialEq, Eq)]
pub struct Household {
    number: Option<Text<HOUSEHOLD_NUMBER_CHARS_MAX>>,
    relation: Relation,
    relation_text: Option<Text<RELATION_TEXT_CHARS_MAX>>,
    head: Option<RelatedPerson>,
    members: Vec<RelatedPerson>,
}

impl Household {
    /// Checks what belongs together.
    ///
    /// # Errors
    /// Every fault: words missing for [`Relation::Other`] or given for another, a head named by the head, no head named by
    /// another member, more than [`HOUSEHOLD_MEMBERS_MAX`] members.
    pub fn new(
        number: Option<Text<HOUSEHOLD_NUMBER_CHARS_MAX>>,
        relation: Relation,
        relation_text: Option<Text<RELATION_TEXT_CHARS_MAX>>,
        head: Option<RelatedPerson>,
        members: Vec<RelatedPerson>,
    ) -> Result<Self, Vec<FieldFault>> {
        let mut faults = Vec::new();
        if (relation == Relation::Other) != relation_text.is_some() {
            faults.push(FieldFault::new(
                "relation_text",
                "must be given for the relation OTHER, and only then",
            ));
        }
        if (relation == Relation::Head) == head.is_some() {
            faults.push(FieldFault::new(
                "head",
                "must be named by every member but the head",
            ));
        }
        if members.len() > HOUSEHOLD_MEMBERS_MAX {
            let message = format!(
                "has {} members, the maximum is {HOUSEHOLD_MEMBERS_MAX}",
                members.len()
            );
            faults.push(FieldFault::new("members", message));
        }
        if faults.is_empty() {
            Ok(Self {
                number,
                relation,
                relation_text,
                head,
                members,
            })
        } else {
            Err(faults)
        }
    }

    /// Number of the residence file.
    #[must_use]
    pub const fn number(&self) -> Option<&Text<HOUSEHOLD_NUMBER_CHARS_MAX>> {
        self.number.as_ref()
    }

    /// Relation to the head.
    #[must_use]
    pub const fn relation(&self) -> Relation {
        self.relation
    }

    /// The words of a relation that is none of the listed.
    #[must_use]
    pub const fn relation_text(&self) -> Option<&Text<RELATION_TEXT_CHARS_MAX>> {
        self.relation_text.as_ref()
    }

    /// The head, where the person is not the head.
    #[must_use]
    pub const fn head(&self) -> Option<&RelatedPerson> {
        self.head.as_ref()
    }

    /// The other members.
    #[must_use]
    pub fn members(&self) -> &[RelatedPerson] {
        &self.members
    }
}

impl fmt::Debug for Household {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<household>")
    }
}

/// Temporary residence, or temporary absence, at a place over a time.
#[derive(Clone, PartialEq, Eq)]
pub struct TemporaryStay {
    place: Place,
    from: Option<CalendarDate>,
    until: Option<CalendarDate>,
}

impl TemporaryStay {
    /// Checks the order of the dates.
    ///
    /// # Errors
    /// The end lies before the begin.
    pub fn new(
        place: Place,
        from: Option<CalendarDate>,
        until: Option<CalendarDate>,
    ) -> Result<Self, Vec<FieldFault>> {
        if let (Some(from), Some(until)) = (from, until)
            && until < from
        {
            return Err(vec![FieldFault::new("until", "must not be before `from`")]);
        }
        Ok(Self { place, from, until })
    }

    /// Where.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// First day.
    #[must_use]
    pub const fn from(&self) -> Option<CalendarDate> {
        self.from
    }

    /// Last day.
    #[must_use]
    pub const fn until(&self) -> Option<CalendarDate> {
        self.until
    }
}

impl fmt::Debug for TemporaryStay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<temporary stay>")
    }
}

/// Date of death, or of being declared missing.
#[derive(Clone, PartialEq, Eq)]
pub struct Death {
    /// Which of the two.
    pub kind: DeathKind,
    /// When; a year alone where no more is known.
    pub date: DeathDate,
    /// Where, as far as known.
    pub place: Place,
}

impl fmt::Debug for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<death {}>", self.kind.label())
    }
}

/// What the registry keeps about a person, without the number itself.
#[derive(Clone, PartialEq, Eq)]
pub struct PersonData {
    /// a: name.
    pub name: PersonName,
    /// b: date of birth; a year alone is legal.
    pub birth_date: BirthDate,
    /// c: sex.
    pub sex: Sex,
    /// d: place of birth registration.
    pub birth_registration_place: Place,
    /// đ: native place (quê quán).
    pub native_place: Place,
    /// e: ethnicity.
    pub ethnicity: Option<Ethnicity>,
    /// g: religion.
    pub religion: Option<Religion>,
    /// h: nationality.
    pub nationalities: Nationalities,
    /// i: marital status.
    pub marital_status: Option<MaritalStatus>,
    /// k: permanent residence.
    pub permanent_residence: Place,
    /// Temporary residence (2020).
    pub temporary_residence: Option<TemporaryStay>,
    /// Declared temporary absence (2020).
    pub temporary_absence: Option<TemporaryStay>,
    /// l: current place of living.
    pub current_residence: Place,
    /// m: blood group, on the citizen's request.
    pub blood_group: Option<BloodGroup>,
    /// n: father.
    pub father: Option<RelatedPerson>,
    /// n: mother.
    pub mother: Option<RelatedPerson>,
    /// n: wife or husband.
    pub spouse: Option<RelatedPerson>,
    /// n: legal representative.
    pub legal_representative: Option<RelatedPerson>,
    /// o: household, its head and members, relation to the head.
    pub household: Option<Household>,
    /// Number of the old 9-digit identity card.
    pub cmnd: Option<Cmnd>,
}

impl PersonData {
    /// What could not be confirmed about the places, at most [`FINDINGS_MAX`].
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let units = Units::current();
        let mut findings = Vec::new();
        units.findings(
            &self.birth_registration_place,
            "birth_registration_place",
            &mut findings,
        );
        units.findings(&self.native_place, "native_place", &mut findings);
        units.findings(
            &self.permanent_residence,
            "permanent_residence",
            &mut findings,
        );
        units.findings(&self.current_residence, "current_residence", &mut findings);
        if let Some(stay) = &self.temporary_residence {
            units.findings(stay.place(), "temporary_residence.place", &mut findings);
        }
        if let Some(stay) = &self.temporary_absence {
            units.findings(stay.place(), "temporary_absence.place", &mut findings);
        }
        findings.truncate(FINDINGS_MAX);
        findings
    }
}

impl fmt::Debug for PersonData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<person data>")
    }
}

/// One version of a person's record. Versions are added and never changed (Decree 37/2021/ND-CP Art. 1(2)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonVersion {
    /// Whose.
    pub person: PersonId,
    /// From 1.
    pub version: VersionNumber,
    /// The number that the person has as of this version.
    pub pin: Pin,
    /// The record.
    pub data: PersonData,
    /// Death or disappearance.
    pub death: Option<Death>,
    /// What was kept as written without confirmation.
    pub findings: Vec<Finding>,
    /// Who, when, where, why.
    pub provenance: Provenance,
    /// Key of the request that made this version.
    pub key: IdempotencyKey,
}

impl PersonVersion {
    /// Alive, dead or missing.
    #[must_use]
    pub fn life_status(&self) -> LifeStatus {
        match self.death.as_ref().map(|death| death.kind) {
            None => LifeStatus::Alive,
            Some(DeathKind::Deceased) => LifeStatus::Deceased,
            Some(DeathKind::Missing) => LifeStatus::Missing,
        }
    }
}
