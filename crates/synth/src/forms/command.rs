//! From a form to the `RegisterPerson` command that it asks for, and from a command's field back to the column.

use banyan_wire::v1;
use v1::command::Kind;

use super::{COLUMNS, Column, Form, FormFault};

/// The command that a form asks for: registration from a collected form (DC01).
///
/// # Errors
/// Every fault of the form at once: values that cannot be read, and values that break a rule of the registry.
pub fn command_of(mut form: Form) -> Result<v1::Command, Vec<FormFault>> {
    let mut faults = Vec::new();
    let command = assemble(&mut form, &mut faults);
    let unread = faults.len();
    if let Err(found) = banyan_wire::command::command_from_wire(&command) {
        for fault in found {
            let column =
                column_of(&fault.field).map_or(fault.field, |column| column.name().to_owned());
            // A value that could not be read is missing from the command: one fault for it is enough.
            if !faults[..unread].iter().any(|known| known.column == column) {
                faults.push(FormFault {
                    column,
                    message: fault.message,
                });
            }
        }
    }
    if faults.is_empty() {
        Ok(command)
    } else {
        Err(faults)
    }
}

/// The column that fills a field of a command, as the registry names the field in a fault.
///
/// `data.birth_date.month`, `register_person.data.birth_date` and `data.birth_date` all give `birth_date`.
#[must_use]
pub fn column_of(path: &str) -> Option<Column> {
    let path = path.strip_prefix("command.").unwrap_or(path);
    let path = path.strip_prefix("register_person.").unwrap_or(path);
    let fits = |column: &&Column| {
        path.strip_prefix(column.path())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with('['))
    };
    if let Some(found) = COLUMNS
        .iter()
        .filter(fits)
        .max_by_key(|column| column.path().len())
    {
        return Some(*found);
    }
    // A fault of a whole group (`data.name`, `data.permanent_residence`): its first column.
    COLUMNS
        .iter()
        .find(|column| {
            column
                .path()
                .strip_prefix(path)
                .is_some_and(|rest| rest.starts_with('.'))
        })
        .copied()
}

fn assemble(form: &mut Form, faults: &mut Vec<FormFault>) -> v1::Command {
    let document = v1::SourceDocument {
        kind: v1::DocumentKind::CollectionForm.into(),
        number: form.take(Column::FormNumber),
        issued: date(form, Column::Issued, faults),
    };
    let office = form.take(Column::Office);
    let death = death(form, faults);
    let registration = v1::RegisterPerson {
        pin: form.take(Column::Pin),
        death,
        data: Some(data(form, faults)),
    };
    v1::Command {
        office,
        legal_basis: v1::LegalBasis::Collection.into(),
        document: Some(document),
        kind: Some(Kind::RegisterPerson(Box::new(registration))),
    }
}

fn data(form: &mut Form, faults: &mut Vec<FormFault>) -> v1::PersonData {
    v1::PersonData {
        name: name(form, Column::FamilyName),
        birth_date: date(form, Column::BirthDate, faults),
        sex: word(form, Column::Sex, &SEXES, faults),
        birth_registration_place: place(form, Column::BirthRegistrationProvince),
        native_place: place(form, Column::NativeProvince),
        ethnicity: form.take(Column::Ethnicity),
        religion: form.take(Column::Religion),
        nationalities: nationalities(form),
        marital_status: word(form, Column::MaritalStatus, &MARITAL_STATUSES, faults),
        permanent_residence: place(form, Column::PermanentProvince),
        temporary_residence: stay(form, Column::TemporaryProvince, faults),
        temporary_absence: stay(form, Column::AbsenceProvince, faults),
        current_residence: place(form, Column::CurrentProvince),
        blood_group: word(form, Column::BloodGroup, &BLOOD_GROUPS, faults),
        father: related(form, Column::FatherFamilyName),
        mother: related(form, Column::MotherFamilyName),
        spouse: related(form, Column::SpouseFamilyName),
        legal_representative: related(form, Column::RepresentativeFamilyName),
        household: household(form, faults),
        cmnd: form.take(Column::Cmnd),
    }
}

/// A word of a fixed list and the number that it has in the protocol.
type Words<const N: usize> = [(&'static str, i32); N];

const SEXES: Words<2> = [
    ("male", v1::Sex::Male as i32),
    ("female", v1::Sex::Female as i32),
];

const MARITAL_STATUSES: Words<3> = [
    ("never_married", v1::MaritalStatus::NeverMarried as i32),
    ("married", v1::MaritalStatus::Married as i32),
    (
        "divorced_or_widowed",
        v1::MaritalStatus::DivorcedOrWidowed as i32,
    ),
];

const BLOOD_GROUPS: Words<4> = [
    ("A", v1::BloodGroup::A as i32),
    ("B", v1::BloodGroup::B as i32),
    ("AB", v1::BloodGroup::Ab as i32),
    ("O", v1::BloodGroup::O as i32),
];

const RELATIONS: Words<13> = [
    ("head", v1::Relation::Head as i32),
    ("spouse", v1::Relation::Spouse as i32),
    ("parent", v1::Relation::Parent as i32),
    ("child", v1::Relation::Child as i32),
    ("grandparent", v1::Relation::Grandparent as i32),
    ("grandchild", v1::Relation::Grandchild as i32),
    ("sibling", v1::Relation::Sibling as i32),
    ("uncle_or_aunt", v1::Relation::UncleOrAunt as i32),
    ("nephew_or_niece", v1::Relation::NephewOrNiece as i32),
    ("guardian", v1::Relation::Guardian as i32),
    ("ward", v1::Relation::Ward as i32),
    ("co_tenant", v1::Relation::CoTenant as i32),
    ("other", v1::Relation::Other as i32),
];

const DEATH_KINDS: Words<2> = [
    ("deceased", v1::DeathKind::Deceased as i32),
    ("missing", v1::DeathKind::Missing as i32),
];

/// The number of a word; zero (unspecified) where the form says nothing.
fn word<const N: usize>(
    form: &Form,
    column: Column,
    words: &Words<N>,
    faults: &mut Vec<FormFault>,
) -> i32 {
    let value = form.get(column).trim();
    if value.is_empty() {
        return 0;
    }
    if let Some((_, number)) = words.iter().find(|(known, _)| *known == value) {
        return *number;
    }
    let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
    faults.push(FormFault::of(
        column,
        format!("must be one of {}", known.join(", ")),
    ));
    0
}

/// A date as `yyyy-mm-dd`, `yyyymmdd` or `yyyy`; whether the calendar has that day is checked with the command.
fn date(form: &Form, column: Column, faults: &mut Vec<FormFault>) -> Option<v1::Date> {
    let value = form.get(column).trim();
    if value.is_empty() {
        return None;
    }
    let parsed = parse_date(value);
    if parsed.is_none() {
        faults.push(FormFault::of(
            column,
            "must be a date written yyyy-mm-dd, yyyymmdd or yyyy",
        ));
    }
    parsed
}

/// Reads `yyyy-mm-dd`, `yyyymmdd` or `yyyy`. Only the notation is checked, not the calendar.
#[must_use]
pub fn parse_date(value: &str) -> Option<v1::Date> {
    let digits = |part: &str| -> Option<u32> {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            part.parse().ok()
        } else {
            None
        }
    };
    if !value.is_ascii() {
        return None;
    }
    let (month, day) = match value.len() {
        4 => {
            return Some(v1::Date {
                year: digits(value)?,
                month: 0,
                day: 0,
            });
        }
        8 => (&value[4..6], &value[6..8]),
        10 if &value[4..5] == "-" && &value[7..8] == "-" => (&value[5..7], &value[8..10]),
        _ => return None,
    };
    let (month, day) = (digits(month)?, digits(day)?);
    // Zero would mean that month and day are unknown; as written here it is a mistake.
    if month == 0 || day == 0 {
        return None;
    }
    Some(v1::Date {
        year: digits(&value[..4])?,
        month,
        day,
    })
}

fn name(form: &mut Form, family: Column) -> Option<v1::PersonName> {
    let name = v1::PersonName {
        family: form.take(family),
        middle: form.take(family.offset(1)),
        given: form.take(family.offset(2)),
    };
    let empty = name.family.is_empty() && name.middle.is_empty() && name.given.is_empty();
    (!empty).then_some(name)
}

fn place(form: &mut Form, province: Column) -> Option<v1::Place> {
    let place = v1::Place {
        province: form.take(province),
        district: form.take(province.offset(1)),
        ward: form.take(province.offset(2)),
        detail: form.take(province.offset(3)),
        country: form.take(province.offset(4)),
    };
    let parts = [
        &place.province,
        &place.district,
        &place.ward,
        &place.detail,
        &place.country,
    ];
    let empty = parts.iter().all(|part| part.is_empty());
    (!empty).then_some(place)
}

fn stay(
    form: &mut Form,
    province: Column,
    faults: &mut Vec<FormFault>,
) -> Option<v1::TemporaryStay> {
    let stay = v1::TemporaryStay {
        from: date(form, province.offset(5), faults),
        until: date(form, province.offset(6), faults),
        place: place(form, province),
    };
    let empty = stay.place.is_none() && stay.from.is_none() && stay.until.is_none();
    (!empty).then_some(stay)
}

fn related(form: &mut Form, family: Column) -> Option<v1::RelatedPerson> {
    let person = v1::RelatedPerson {
        name: name(form, family),
        pin: form.take(family.offset(3)),
        cmnd: form.take(family.offset(4)),
        nationality: form.take(family.offset(5)),
    };
    let empty = person.name.is_none()
        && person.pin.is_empty()
        && person.cmnd.is_empty()
        && person.nationality.is_empty();
    (!empty).then_some(person)
}

/// Country codes separated by semicolons.
fn nationalities(form: &Form) -> Vec<String> {
    form.get(Column::Nationalities)
        .split(';')
        .map(str::trim)
        .filter(|code| !code.is_empty())
        .map(str::to_owned)
        .collect()
}

fn household(form: &mut Form, faults: &mut Vec<FormFault>) -> Option<v1::Household> {
    let household = v1::Household {
        number: form.take(Column::HouseholdNumber),
        relation: word(form, Column::HouseholdRelation, &RELATIONS, faults),
        relation_text: form.take(Column::HouseholdRelationText),
        head: related(form, Column::HeadFamilyName),
        members: members(form, faults),
    };
    let empty = household.number.is_empty()
        && household.relation == 0
        && household.relation_text.is_empty()
        && household.head.is_none()
        && household.members.is_empty();
    (!empty).then_some(household)
}

/// Members of the household, separated by semicolons; each is `family|middle|given|pin|cmnd|nationality`.
fn members(form: &Form, faults: &mut Vec<FormFault>) -> Vec<v1::RelatedPerson> {
    let mut members = Vec::new();
    for entry in form
        .get(Column::HouseholdMembers)
        .split(';')
        .filter(|entry| !entry.trim().is_empty())
    {
        let parts: Vec<&str> = entry.split('|').map(str::trim).collect();
        let [family, middle, given, pin, cmnd, nationality] = parts.as_slice() else {
            let message = "each member must be family|middle|given|pin|cmnd|nationality, members separated by ;";
            faults.push(FormFault::of(Column::HouseholdMembers, message));
            return Vec::new();
        };
        members.push(v1::RelatedPerson {
            name: Some(v1::PersonName {
                family: (*family).to_owned(),
                middle: (*middle).to_owned(),
                given: (*given).to_owned(),
            }),
            pin: (*pin).to_owned(),
            cmnd: (*cmnd).to_owned(),
            nationality: (*nationality).to_owned(),
        });
    }
    members
}

fn death(form: &mut Form, faults: &mut Vec<FormFault>) -> Option<v1::Death> {
    let death = v1::Death {
        kind: word(form, Column::DeathKind, &DEATH_KINDS, faults),
        date: date(form, Column::DeathDate, faults),
        place: place(form, Column::DeathProvince),
    };
    let empty = death.kind == 0 && death.date.is_none() && death.place.is_none();
    (!empty).then_some(death)
}
