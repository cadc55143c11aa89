//! The person's record from the domain to the wire.

use banyan_domain::{
    BirthDate, BloodGroup, CalendarDate, CountryCode, Death, DistrictCode, Ethnicity, Finding,
    Household, MaritalStatus, Nationalities, PersonData, PersonName, PersonVersion, Place,
    Provenance, ProvinceCode, RelatedPerson, Religion, Role, SourceDocument, TemporaryStay, Text,
    WardCode,
};

use crate::v1;

/// The items of a record for the wire.
#[must_use]
pub fn person_data_to_wire(data: &PersonData) -> v1::PersonData {
    v1::PersonData {
        name: Some(name_to_wire(&data.name)),
        birth_date: Some(birth_date_to_wire(data.birth_date)),
        sex: data.sex.code(),
        birth_registration_place: place_to_wire(&data.birth_registration_place),
        native_place: place_to_wire(&data.native_place),
        ethnicity: data.ethnicity.map(Ethnicity::text).unwrap_or_default(),
        religion: data.religion.map(Religion::text).unwrap_or_default(),
        nationalities: nationalities_to_wire(&data.nationalities),
        marital_status: data.marital_status.map_or(0, MaritalStatus::code),
        permanent_residence: place_to_wire(&data.permanent_residence),
        temporary_residence: data.temporary_residence.as_ref().map(stay_to_wire),
        temporary_absence: data.temporary_absence.as_ref().map(stay_to_wire),
        current_residence: place_to_wire(&data.current_residence),
        blood_group: data.blood_group.map_or(0, BloodGroup::code),
        father: data.father.as_ref().map(related_to_wire),
        mother: data.mother.as_ref().map(related_to_wire),
        spouse: data.spouse.as_ref().map(related_to_wire),
        legal_representative: data.legal_representative.as_ref().map(related_to_wire),
        household: data.household.as_ref().map(household_to_wire),
        cmnd: data
            .cmnd
            .as_ref()
            .map(|cmnd| cmnd.as_str().to_owned())
            .unwrap_or_default(),
    }
}

/// A name for the wire.
#[must_use]
pub fn name_to_wire(name: &PersonName) -> v1::PersonName {
    v1::PersonName {
        family: name.family().to_owned(),
        middle: name.middle().to_owned(),
        given: name.given().to_owned(),
    }
}

/// A date for the wire; month and day are zero for a year alone.
#[must_use]
pub fn birth_date_to_wire(date: BirthDate) -> v1::Date {
    match date {
        BirthDate::Full(date) => date_to_wire(date),
        BirthDate::YearOnly(year) => v1::Date {
            year: u32::from(year),
            month: 0,
            day: 0,
        },
    }
}

/// A full date for the wire.
#[must_use]
pub fn date_to_wire(date: CalendarDate) -> v1::Date {
    v1::Date {
        year: u32::from(date.year()),
        month: u32::from(date.month()),
        day: u32::from(date.day()),
    }
}

/// A place for the wire, absent where nothing is said.
#[must_use]
pub fn place_to_wire(place: &Place) -> Option<v1::Place> {
    if place.is_empty() {
        return None;
    }
    let text = |code: Option<&str>| code.map(ToOwned::to_owned).unwrap_or_default();
    Some(v1::Place {
        province: text(place.province.as_ref().map(ProvinceCode::as_str)),
        district: text(place.district.as_ref().map(DistrictCode::as_str)),
        ward: text(place.ward.as_ref().map(WardCode::as_str)),
        detail: text(place.detail.as_ref().map(Text::as_str)),
        country: text(place.country.as_ref().map(CountryCode::as_str)),
    })
}

/// A related person for the wire.
#[must_use]
pub fn related_to_wire(related: &RelatedPerson) -> v1::RelatedPerson {
    v1::RelatedPerson {
        name: Some(name_to_wire(&related.name)),
        pin: related
            .pin
            .as_ref()
            .map(|pin| pin.as_str().to_owned())
            .unwrap_or_default(),
        cmnd: related
            .cmnd
            .as_ref()
            .map(|cmnd| cmnd.as_str().to_owned())
            .unwrap_or_default(),
        nationality: related
            .nationality
            .map(|code| code.as_str().to_owned())
            .unwrap_or_default(),
    }
}

/// A death for the wire.
#[must_use]
pub fn death_to_wire(death: &Death) -> v1::Death {
    v1::Death {
        kind: death.kind.code(),
        date: Some(birth_date_to_wire(death.date)),
        place: place_to_wire(&death.place),
    }
}

/// A finding for the wire.
#[must_use]
pub fn finding_to_wire(finding: &Finding) -> v1::Finding {
    v1::Finding {
        code: finding.code.label().to_owned(),
        field: finding.field.clone(),
    }
}

/// A whole version for the wire. What the reader may not see is for the node to take away.
#[must_use]
pub fn person_version_to_wire(version: &PersonVersion) -> v1::PersonVersion {
    v1::PersonVersion {
        person_id: version.person.get(),
        version: version.version.get(),
        pin: version.pin.as_str().to_owned(),
        data: Some(person_data_to_wire(&version.data)),
        death: version.death.as_ref().map(death_to_wire),
        life_status: version.life_status().code(),
        findings: version.findings.iter().map(finding_to_wire).collect(),
        provenance: Some(provenance_to_wire(&version.provenance)),
        withheld: Vec::new(),
    }
}

/// Provenance for the wire.
#[must_use]
pub fn provenance_to_wire(provenance: &Provenance) -> v1::Provenance {
    let (role, area) = role_to_wire(&provenance.actor.role);
    v1::Provenance {
        time_ms: provenance.time.get(),
        principal: provenance.actor.principal.as_str().to_owned(),
        role: role.to_owned(),
        office: provenance.office.as_str().to_owned(),
        legal_basis: provenance.legal_basis.code(),
        document: Some(document_to_wire(&provenance.document)),
        command: provenance.command.label().to_owned(),
        position: provenance.position.index,
        area: area.to_owned(),
        reason: reason_to_wire(provenance),
    }
}

/// The reason of a correction for the wire; empty where none is given.
pub(crate) fn reason_to_wire(provenance: &Provenance) -> String {
    let reason = provenance.reason.as_ref();
    reason
        .map(|reason| reason.as_str().to_owned())
        .unwrap_or_default()
}

/// A source document for the wire.
#[must_use]
pub fn document_to_wire(document: &SourceDocument) -> v1::SourceDocument {
    v1::SourceDocument {
        kind: document.kind.code(),
        number: document.number.as_str().to_owned(),
        issued: document.issued.map(date_to_wire),
    }
}

/// The role's word and its area, which is empty for all but registrars.
#[must_use]
pub fn role_to_wire(role: &Role) -> (&'static str, &str) {
    let area = match role {
        Role::Registrar { area } => area.as_str(),
        Role::Centre | Role::Operator => "",
    };
    (role.word(), area)
}

pub(crate) fn nationalities_to_wire(nationalities: &Nationalities) -> Vec<String> {
    nationalities
        .codes()
        .iter()
        .map(|code| code.as_str().to_owned())
        .collect()
}

fn stay_to_wire(stay: &TemporaryStay) -> v1::TemporaryStay {
    v1::TemporaryStay {
        place: place_to_wire(stay.place()),
        from: stay.from().map(date_to_wire),
        until: stay.until().map(date_to_wire),
    }
}

fn household_to_wire(household: &Household) -> v1::Household {
    let text = |text: Option<&str>| text.map(ToOwned::to_owned).unwrap_or_default();
    v1::Household {
        number: text(household.number().map(Text::as_str)),
        relation: household.relation().code(),
        relation_text: text(household.relation_text().map(Text::as_str)),
        head: household.head().map(related_to_wire),
        members: household.members().iter().map(related_to_wire).collect(),
    }
}
