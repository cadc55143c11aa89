//! The person's record between the wire and the domain.
//!
//! Reading gathers every fault, each with the dotted path of its field; messages say the rule and never the value. An
//! absent place means an empty one, an empty text a value that is not given.

mod write;

use banyan_domain::limits::NATIONALITIES_MAX;
use banyan_domain::{
    BirthDate, BloodGroup, CalendarDate, Cmnd, CountryCode, Death, DeathKind, DistrictCode,
    DocumentKind, DocumentNumber, Ethnicity, FieldFault, Household, MaritalStatus, Nationalities,
    PersonData, PersonName, Pin, Place, ProvinceCode, RelatedPerson, Relation, Religion, Sex,
    SourceDocument, TemporaryStay, Text, WardCode,
};

pub use write::{
    birth_date_to_wire, date_to_wire, death_to_wire, document_to_wire, finding_to_wire,
    name_to_wire, person_data_to_wire, person_version_to_wire, place_to_wire, provenance_to_wire,
    related_to_wire, role_to_wire,
};
pub(crate) use write::{nationalities_to_wire, reason_to_wire};

use crate::gather::{Gather, at_path};
use crate::v1;

/// Faults of a message, with paths relative to it.
type Faults = Vec<FieldFault>;

/// Reads the items of a record that stands at `path`, for instance `data`.
///
/// # Errors
/// Every fault, each with its dotted path.
pub fn person_data_from_wire(data: &v1::PersonData, path: &str) -> Result<PersonData, Faults> {
    at_path(path, read_person_data(data))
}

/// Reads a name that stands at `path`.
///
/// # Errors
/// Every fault, each with its dotted path.
pub fn name_from_wire(name: &v1::PersonName, path: &str) -> Result<PersonName, Faults> {
    at_path(path, read_name(name))
}

/// Reads a date that may be a year alone and stands at `path`.
///
/// # Errors
/// The fault with the path of `year`, `month` or `day`.
pub fn birth_date_from_wire(date: &v1::Date, path: &str) -> Result<BirthDate, Faults> {
    at_path(path, read_birth_date(date))
}

/// Reads a full date that stands at `path`.
///
/// # Errors
/// The fault with the path of `year`, `month` or `day`.
pub fn date_from_wire(date: &v1::Date, path: &str) -> Result<CalendarDate, Faults> {
    at_path(path, read_date(date))
}

/// Reads a place that stands at `path`. Codes are checked for their form only.
///
/// # Errors
/// Every fault, each with its dotted path.
pub fn place_from_wire(place: &v1::Place, path: &str) -> Result<Place, Faults> {
    at_path(path, read_place(place))
}

/// Reads a death that stands at `path`.
///
/// # Errors
/// Every fault, each with its dotted path.
pub fn death_from_wire(death: &v1::Death, path: &str) -> Result<Death, Faults> {
    at_path(path, read_death(death))
}

pub(crate) fn read_person_data(data: &v1::PersonData) -> Result<PersonData, Faults> {
    let mut gather = Gather::default();
    let name = gather.required("name", data.name.as_ref(), read_name);
    let birth_date = gather.required("birth_date", data.birth_date.as_ref(), read_birth_date);
    let sex = gather.code("sex", data.sex, Sex::from_code);
    let birth_registration_place = read_place_or_none(
        &mut gather,
        "birth_registration_place",
        data.birth_registration_place.as_ref(),
    );
    let native_place = read_place_or_none(&mut gather, "native_place", data.native_place.as_ref());
    let ethnicity = gather.optional("ethnicity", &data.ethnicity, Ethnicity::new);
    let religion = gather.optional("religion", &data.religion, Religion::new);
    let nationalities = read_nationalities(&mut gather, &data.nationalities);
    let marital_status = gather.maybe_code(
        "marital_status",
        data.marital_status,
        MaritalStatus::from_code,
    );
    let permanent_residence = read_place_or_none(
        &mut gather,
        "permanent_residence",
        data.permanent_residence.as_ref(),
    );
    let temporary_residence = gather.maybe(
        "temporary_residence",
        data.temporary_residence.as_ref(),
        read_stay,
    );
    let temporary_absence = gather.maybe(
        "temporary_absence",
        data.temporary_absence.as_ref(),
        read_stay,
    );
    let current_residence = read_place_or_none(
        &mut gather,
        "current_residence",
        data.current_residence.as_ref(),
    );
    let blood_group = gather.maybe_code("blood_group", data.blood_group, BloodGroup::from_code);
    let father = gather.maybe("father", data.father.as_ref(), read_related);
    let mother = gather.maybe("mother", data.mother.as_ref(), read_related);
    let spouse = gather.maybe("spouse", data.spouse.as_ref(), read_related);
    let legal_representative = gather.maybe(
        "legal_representative",
        data.legal_representative.as_ref(),
        read_related,
    );
    let household = gather.maybe("household", data.household.as_ref(), read_household);
    let cmnd = gather.optional("cmnd", &data.cmnd, Cmnd::parse);
    let whole = move || {
        Some(PersonData {
            name: name?,
            birth_date: birth_date?,
            sex: sex?,
            birth_registration_place,
            native_place,
            ethnicity,
            religion,
            nationalities: nationalities?,
            marital_status,
            permanent_residence,
            temporary_residence,
            temporary_absence,
            current_residence,
            blood_group,
            father,
            mother,
            spouse,
            legal_representative,
            household,
            cmnd,
        })
    };
    gather.finish(whole())
}

pub(crate) fn read_name(name: &v1::PersonName) -> Result<PersonName, Faults> {
    PersonName::new(&name.family, &name.middle, &name.given)
}

pub(crate) fn read_birth_date(date: &v1::Date) -> Result<BirthDate, Faults> {
    BirthDate::from_parts(date.year, date.month, date.day)
        .map_err(|fault| vec![fault.at(faulty_part(date))])
}

pub(crate) fn read_date(date: &v1::Date) -> Result<CalendarDate, Faults> {
    match read_birth_date(date)? {
        BirthDate::Full(date) => Ok(date),
        BirthDate::YearOnly(_) => Err(vec![FieldFault::new(
            "month",
            "must be given: the date must be a full one",
        )]),
    }
}

/// The first part of a date that cannot be right.
fn faulty_part(date: &v1::Date) -> &'static str {
    let year_only = date.month == 0 && date.day == 0;
    if year_only || BirthDate::from_parts(date.year, 0, 0).is_err() {
        "year"
    } else if (1..=12).contains(&date.month) {
        "day"
    } else {
        "month"
    }
}

pub(crate) fn read_place(place: &v1::Place) -> Result<Place, Faults> {
    let mut gather = Gather::default();
    let read = Place {
        province: gather.optional("province", &place.province, ProvinceCode::new),
        district: gather.optional("district", &place.district, DistrictCode::new),
        ward: gather.optional("ward", &place.ward, WardCode::new),
        detail: gather
            .value("detail", Text::optional(&place.detail))
            .flatten(),
        country: gather.optional("country", &place.country, CountryCode::new),
    };
    gather.finish(Some(read))
}

/// A place, empty where the message is absent.
pub(crate) fn read_place_or_none(
    gather: &mut Gather,
    field: &str,
    place: Option<&v1::Place>,
) -> Place {
    gather.maybe(field, place, read_place).unwrap_or_default()
}

pub(crate) fn read_nationalities(gather: &mut Gather, codes: &[String]) -> Option<Nationalities> {
    if codes.len() > NATIONALITIES_MAX {
        // Said before the codes are read: a list of thousands gets one fault, not thousands.
        gather.add(
            "nationalities",
            format!(
                "has {} codes, the maximum is {NATIONALITIES_MAX}",
                codes.len()
            ),
        );
        return None;
    }
    let mut read = Vec::with_capacity(codes.len());
    for (place, code) in codes.iter().enumerate() {
        match CountryCode::new(code) {
            Ok(code) => read.push(code),
            Err(fault) => gather.add(&format!("nationalities[{place}]"), fault.0),
        }
    }
    if read.len() < codes.len() {
        return None;
    }
    gather.value("nationalities", Nationalities::new(read))
}

pub(crate) fn read_related(related: &v1::RelatedPerson) -> Result<RelatedPerson, Faults> {
    let mut gather = Gather::default();
    let name = gather.required("name", related.name.as_ref(), read_name);
    let pin = gather.optional("pin", &related.pin, Pin::parse);
    let cmnd = gather.optional("cmnd", &related.cmnd, Cmnd::parse);
    let nationality = gather.optional("nationality", &related.nationality, CountryCode::new);
    gather.finish(name.map(|name| RelatedPerson {
        name,
        pin,
        cmnd,
        nationality,
    }))
}

fn read_household(household: &v1::Household) -> Result<Household, Faults> {
    let mut gather = Gather::default();
    let number = gather
        .value("number", Text::optional(&household.number))
        .flatten();
    let relation = gather.code("relation", household.relation, Relation::from_code);
    let relation_text = gather
        .value("relation_text", Text::optional(&household.relation_text))
        .flatten();
    let head = gather.maybe("head", household.head.as_ref(), read_related);
    let bound = banyan_domain::limits::HOUSEHOLD_MEMBERS_MAX;
    if household.members.len() > bound {
        gather.add(
            "members",
            format!(
                "has {} members, the maximum is {bound}",
                household.members.len()
            ),
        );
        return gather.finish(None);
    }
    let mut members = Vec::with_capacity(household.members.len());
    for (place, member) in household.members.iter().enumerate() {
        match read_related(member) {
            Ok(member) => members.push(member),
            Err(faults) => {
                gather.nested::<()>(&format!("members[{place}]"), Err(faults));
            }
        }
    }
    // A head that was named and is at fault must not be reported as missing as well.
    let head_is_whole = household.head.is_some() == head.is_some();
    let built = match relation {
        Some(relation) if head_is_whole => gather.nested(
            "",
            Household::new(number, relation, relation_text, head, members),
        ),
        _ => None,
    };
    gather.finish(built)
}

fn read_stay(stay: &v1::TemporaryStay) -> Result<TemporaryStay, Faults> {
    let mut gather = Gather::default();
    let place = read_place_or_none(&mut gather, "place", stay.place.as_ref());
    let from = gather.maybe("from", stay.from.as_ref(), read_date);
    let until = gather.maybe("until", stay.until.as_ref(), read_date);
    let built = gather.nested("", TemporaryStay::new(place, from, until));
    gather.finish(built)
}

pub(crate) fn read_death(death: &v1::Death) -> Result<Death, Faults> {
    let mut gather = Gather::default();
    let kind = gather.code("kind", death.kind, DeathKind::from_code);
    let date = gather.required("date", death.date.as_ref(), read_birth_date);
    let place = read_place_or_none(&mut gather, "place", death.place.as_ref());
    let whole = move || {
        Some(Death {
            kind: kind?,
            date: date?,
            place,
        })
    };
    gather.finish(whole())
}

pub(crate) fn read_document(document: &v1::SourceDocument) -> Result<SourceDocument, Faults> {
    let mut gather = Gather::default();
    let kind = gather.code("kind", document.kind, DocumentKind::from_code);
    let number = gather.value("number", DocumentNumber::new(&document.number));
    let issued = gather.maybe("issued", document.issued.as_ref(), read_date);
    let whole = move || {
        Some(SourceDocument {
            kind: kind?,
            number: number?,
            issued,
        })
    };
    gather.finish(whole())
}
