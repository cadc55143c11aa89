//! The commands that drills send: births, deaths and corrections of synthetic persons, all from a seed.

use banyan_domain::CalendarDate;
use banyan_wire::v1;

/// What a drill knows of a person it had registered.
#[derive(Debug, Clone)]
pub struct Known {
    pub pin: String,
    pub version: u32,
    /// The record as it should read.
    pub data: v1::PersonData,
    pub office: String,
    /// When the birth was registered: no later event is dated before it.
    pub day: v1::Date,
}

/// A birth in a province, or in any where none is named. The same arguments give the same command.
pub fn birth(seed: u64, index: u64, day: CalendarDate, province: Option<&str>) -> v1::Command {
    match province {
        Some(code) => banyan_synth::births::birth_in(seed, index, day, code),
        None => banyan_synth::births::birth(seed, index, day),
    }
}

/// The registration inside a birth command.
pub fn registration(command: &v1::Command) -> Option<&v1::RegisterBirth> {
    match &command.kind {
        Some(v1::command::Kind::RegisterBirth(birth)) => Some(birth),
        _ => None,
    }
}

/// What is known of a person after the birth was accepted.
pub fn known(command: &v1::Command, pin: &str, version: u32) -> Option<Known> {
    let birth = registration(command)?;
    Some(Known {
        pin: pin.to_owned(),
        version,
        data: v1::PersonData {
            name: birth.name.clone(),
            birth_date: birth.birth_date,
            sex: birth.sex,
            birth_registration_place: birth.birth_registration_place.clone(),
            native_place: birth.native_place.clone(),
            ethnicity: birth.ethnicity.clone(),
            nationalities: birth.nationalities.clone(),
            marital_status: v1::MaritalStatus::NeverMarried.into(),
            father: birth.father.clone(),
            mother: birth.mother.clone(),
            legal_representative: birth.legal_representative.clone(),
            ..v1::PersonData::default()
        },
        office: command.office.clone(),
        day: birth.birth_date.unwrap_or_default(),
    })
}

/// Adds a blood group to a record, or changes it: `step` chooses which.
pub fn correction(person: &Known, seed: u64, index: u64, step: u32) -> v1::Command {
    let groups = [
        v1::BloodGroup::A,
        v1::BloodGroup::B,
        v1::BloodGroup::Ab,
        v1::BloodGroup::O,
    ];
    let mut data = person.data.clone();
    data.blood_group = groups[step as usize % groups.len()].into();
    v1::Command {
        office: person.office.clone(),
        legal_basis: v1::LegalBasis::Correction.into(),
        document: Some(document(
            v1::DocumentKind::UpdateForm,
            "CN",
            seed,
            index,
            person.day,
        )),
        kind: Some(v1::command::Kind::CorrectPerson(Box::new(
            v1::CorrectPerson {
                pin: person.pin.clone(),
                expected_version: person.version,
                data: Some(data),
                reason: "blood group from the hospital's record".to_owned(),
            },
        ))),
    }
}

/// A death on the day of birth: the one date that is neither before the birth nor in the future.
pub fn death(person: &Known, seed: u64, index: u64) -> v1::Command {
    v1::Command {
        office: person.office.clone(),
        legal_basis: v1::LegalBasis::CivilStatus.into(),
        document: Some(document(
            v1::DocumentKind::DeathCertificate,
            "KT",
            seed,
            index,
            person.day,
        )),
        kind: Some(v1::command::Kind::RecordDeath(Box::new(v1::RecordDeath {
            pin: person.pin.clone(),
            death: Some(v1::Death {
                kind: v1::DeathKind::Deceased.into(),
                date: Some(person.day),
                place: person.data.birth_registration_place.clone(),
            }),
        }))),
    }
}

fn document(
    kind: v1::DocumentKind,
    series: &str,
    seed: u64,
    index: u64,
    issued: v1::Date,
) -> v1::SourceDocument {
    v1::SourceDocument {
        kind: kind.into(),
        number: format!("{series}-{seed:x}-{index:08}"),
        issued: Some(issued),
    }
}
