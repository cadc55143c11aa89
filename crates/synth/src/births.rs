//! Births as a civil-status office reports them: the eight items of Decree 137/2015 Art. 14.

use banyan_domain::CalendarDate;
use banyan_wire::v1;

use crate::names::{self, Gender, Name};
use crate::places;
use crate::random::Dice;

/// The birth `index` of a seed, on the day `on`, in a province drawn by its number of inhabitants.
///
/// Indices give distinct certificate numbers, and the same arguments the same command.
#[must_use]
pub fn birth(seed: u64, index: u64, on: CalendarDate) -> v1::Command {
    let mut dice = Dice::new(seed, b"newbirth", index);
    let province = places::province(&mut dice);
    command(&mut dice, seed, index, on, province)
}

/// The birth `index` of a seed, on the day `on`, in the province with that two-digit statistical code.
///
/// A code that is no province's falls back to the province that [`birth`] would draw.
#[must_use]
pub fn birth_in(seed: u64, index: u64, on: CalendarDate, province: &str) -> v1::Command {
    let mut dice = Dice::new(seed, b"newbirth", index);
    let drawn = places::province(&mut dice);
    let wanted = province
        .parse()
        .ok()
        .filter(|code| places::INHABITANTS.iter().any(|(known, _)| known == code));
    command(&mut dice, seed, index, on, wanted.unwrap_or(drawn))
}

fn command(dice: &mut Dice, seed: u64, index: u64, on: CalendarDate, province: u16) -> v1::Command {
    let ward = places::ward(dice, province);
    let gender = if dice.chance(522) {
        Gender::Male
    } else {
        Gender::Female
    };
    let ethnicity = places::ethnicity(dice, province);
    let father_family = names::family(dice, ethnicity, province);
    let mother_family = names::family(dice, ethnicity, province);
    let year = on.year();
    let name = names::full(dice, gender, year, father_family);
    let (mother_age, father_age) = (dice.between(19, 36), dice.between(22, 41));
    let mother = names::full(
        dice,
        Gender::Female,
        year.saturating_sub(mother_age as u16),
        mother_family,
    );
    let father = names::full(
        dice,
        Gender::Male,
        year.saturating_sub(father_age as u16),
        father_family,
    );
    // A father is sometimes not recorded; the certificate is then the mother's.
    let father = (!dice.chance(25)).then_some(father);
    let place = v1::Place {
        province: format!("{province:02}"),
        district: ward.district.clone(),
        ward: ward.code.clone(),
        detail: String::new(),
        country: "VN".to_owned(),
    };
    let date = v1::Date {
        year: u32::from(year),
        month: u32::from(on.month()),
        day: u32::from(on.day()),
    };
    let registration = v1::RegisterBirth {
        name: Some(wire_name(name)),
        birth_date: Some(date),
        sex: if gender == Gender::Male {
            v1::Sex::Male
        } else {
            v1::Sex::Female
        }
        .into(),
        birth_registration_place: Some(place.clone()),
        native_place: Some(place),
        ethnicity: format!("{ethnicity:02}"),
        nationalities: vec!["VN".to_owned()],
        father: father.map(related),
        mother: Some(related(mother)),
        legal_representative: None,
    };
    v1::Command {
        office: format!("HT.{province:02}.{}.{}", ward.district, ward.code),
        legal_basis: v1::LegalBasis::BirthRegistration.into(),
        document: Some(v1::SourceDocument {
            kind: v1::DocumentKind::BirthCertificate.into(),
            number: format!("KS-{seed:x}-{index:08}"),
            issued: Some(date),
        }),
        kind: Some(v1::command::Kind::RegisterBirth(Box::new(registration))),
    }
}

fn related(name: Name) -> v1::RelatedPerson {
    v1::RelatedPerson {
        name: Some(wire_name(name)),
        pin: String::new(),
        cmnd: String::new(),
        nationality: "VN".to_owned(),
    }
}

fn wire_name(name: Name) -> v1::PersonName {
    v1::PersonName {
        family: name.family.to_owned(),
        middle: name.middle,
        given: name.given.to_owned(),
    }
}
