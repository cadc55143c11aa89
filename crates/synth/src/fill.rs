//! From a member of a household to the form that the commune's officer would have filled in.

use std::fmt::Write as _;

use crate::forms::{Column, Form};
use crate::household::{Birth, Household, Marital, Member, Parent, Relation, Stay};
use crate::names::{Gender, Name};
use crate::places::Ward;
use crate::random::Dice;

/// Fills `form` for one member. `person` is the index among all persons, `number` that of the household.
pub(crate) fn fill(
    form: &mut Form,
    household: &Household,
    member: usize,
    person: u64,
    number: u64,
    seed: u64,
) {
    form.clear();
    let subject = &household.members[member];
    head_of_form(form, household, person, seed);
    person_items(form, household, subject);
    places_of(form, household, subject);
    relatives(form, household, subject);
    household_items(form, household, member, number);
}

fn head_of_form(form: &mut Form, household: &Household, person: u64, seed: u64) {
    let ward = household.ward;
    put(
        form,
        Column::FormNumber,
        format_args!("DC01-{:02}-{person:09}", ward.province),
    );
    put(
        form,
        Column::Office,
        format_args!("CA.{:02}.{}.{}", ward.province, ward.district, ward.code),
    );
    // Forms are collected in the five months after the reference date.
    let mut dice = Dice::new(seed, b"collects", person);
    put(
        form,
        Column::Issued,
        format_args!("2025-{:02}-{:02}", dice.between(7, 11), dice.between(1, 28)),
    );
}

fn person_items(form: &mut Form, household: &Household, subject: &Member) {
    name_at(form, Column::FamilyName, &subject.name);
    form.set(Column::Pin, subject.pin.as_deref().unwrap_or_default());
    form.set(Column::Cmnd, subject.cmnd.as_deref().unwrap_or_default());
    birth_date(form, &subject.birth);
    form.set(
        Column::Sex,
        if subject.gender == Gender::Male {
            "male"
        } else {
            "female"
        },
    );
    put(
        form,
        Column::Ethnicity,
        format_args!("{:02}", household.ethnicity),
    );
    form.set(Column::Religion, household.religion);
    form.set(Column::Nationalities, "VN");
    let marital = match subject.marital {
        Marital::Never => "never_married",
        Marital::Married => "married",
        Marital::DivorcedOrWidowed => "divorced_or_widowed",
    };
    form.set(Column::MaritalStatus, marital);
    form.set(Column::BloodGroup, subject.blood);
}

fn birth_date(form: &mut Form, birth: &Birth) {
    if birth.year_only {
        put(form, Column::BirthDate, format_args!("{:04}", birth.year));
    } else {
        put(
            form,
            Column::BirthDate,
            format_args!("{:04}-{:02}-{:02}", birth.year, birth.month, birth.day),
        );
    }
}

fn places_of(form: &mut Form, household: &Household, subject: &Member) {
    place_at(
        form,
        Column::BirthRegistrationProvince,
        subject.birth_ward,
        "",
    );
    place_at(form, Column::NativeProvince, subject.native_ward, "");
    place_at(
        form,
        Column::PermanentProvince,
        household.ward,
        &household.address,
    );
    match &subject.stay {
        Some(stay) => stay_at(form, stay),
        None => place_at(
            form,
            Column::CurrentProvince,
            household.ward,
            &household.address,
        ),
    }
}

fn stay_at(form: &mut Form, stay: &Stay) {
    place_at(form, Column::TemporaryProvince, stay.ward, &stay.address);
    put(
        form,
        Column::TemporaryFrom,
        format_args!("2025-{:02}-15", stay.month + 1),
    );
    put(
        form,
        Column::TemporaryUntil,
        format_args!("2027-{:02}-14", stay.month + 1),
    );
    place_at(form, Column::CurrentProvince, stay.ward, &stay.address);
}

fn relatives(form: &mut Form, household: &Household, subject: &Member) {
    parent_at(form, Column::FatherFamilyName, household, &subject.father);
    parent_at(form, Column::MotherFamilyName, household, &subject.mother);
    if let Some(spouse) = subject.spouse {
        member_at(form, Column::SpouseFamilyName, &household.members[spouse]);
    }
    let with_parent = [&subject.father, &subject.mother]
        .iter()
        .any(|parent| matches!(parent, Parent::Member(_)));
    if subject.age < 14 && !with_parent {
        member_at(
            form,
            Column::RepresentativeFamilyName,
            &household.members[0],
        );
    }
}

fn household_items(form: &mut Form, household: &Household, member: usize, number: u64) {
    put(
        form,
        Column::HouseholdNumber,
        format_args!("HK{}-{number:08}", household.ward.code),
    );
    let relation = match household.members[member].relation {
        Relation::Head => "head",
        Relation::Spouse => "spouse",
        Relation::Parent => "parent",
        Relation::Child => "child",
        Relation::Grandchild => "grandchild",
    };
    form.set(Column::HouseholdRelation, relation);
    if member > 0 {
        member_at(form, Column::HeadFamilyName, &household.members[0]);
        return;
    }
    // The head's form lists the others.
    let list = form.value_mut(Column::HouseholdMembers);
    for (position, other) in household.members.iter().enumerate().skip(1) {
        if position > 1 {
            list.push(';');
        }
        let name = &other.name;
        let pin = other.pin.as_deref().unwrap_or_default();
        let cmnd = other.cmnd.as_deref().unwrap_or_default();
        let entry = format_args!(
            "{}|{}|{}|{pin}|{cmnd}|VN",
            name.family, name.middle, name.given
        );
        write_to(list, entry);
    }
}

fn parent_at(form: &mut Form, family: Column, household: &Household, parent: &Parent) {
    match parent {
        Parent::Member(index) => member_at(form, family, &household.members[*index]),
        Parent::Outside(name) => {
            name_at(form, family, name);
            form.set(family.offset(5), "VN");
        }
    }
}

fn member_at(form: &mut Form, family: Column, member: &Member) {
    name_at(form, family, &member.name);
    form.set(family.offset(3), member.pin.as_deref().unwrap_or_default());
    form.set(family.offset(4), member.cmnd.as_deref().unwrap_or_default());
    form.set(family.offset(5), "VN");
}

fn name_at(form: &mut Form, family: Column, name: &Name) {
    form.set(family, name.family);
    form.set(family.offset(1), &name.middle);
    form.set(family.offset(2), name.given);
}

fn place_at(form: &mut Form, province: Column, ward: &Ward, detail: &str) {
    put(form, province, format_args!("{:02}", ward.province));
    form.set(province.offset(1), &ward.district);
    form.set(province.offset(2), &ward.code);
    form.set(province.offset(3), detail);
    form.set(province.offset(4), "VN");
}

fn put(form: &mut Form, column: Column, value: std::fmt::Arguments<'_>) {
    let slot = form.value_mut(column);
    slot.clear();
    write_to(slot, value);
}

fn write_to(text: &mut String, value: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(value);
}
