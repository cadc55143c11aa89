//! The field that a rejection names is the path of the command, the same that a fault of the request would name.

use banyan_domain::{
    Command, CorrectPerson, MemoryView, Pin, PlaceProblem, RegisterBirth, Rejection, Sex, Text,
    VersionNumber, apply,
};

use crate::fixtures::{context, envelope, person, province, registration};

fn refused(view: &MemoryView, number: u64, command: Command) -> Rejection {
    let transition = apply(view, &context(number, 0), &envelope(number, 1, command)).unwrap();
    transition.outcome.result.unwrap_err()
}

fn birth(born: &str, registered: &str) -> Command {
    let data = person("Trần Thị Lan", born, Sex::Female, &province(registered));
    Command::RegisterBirth(Box::new(RegisterBirth {
        name: data.name,
        birth_date: data.birth_date.day().unwrap(),
        sex: data.sex,
        birth_registration_place: data.birth_registration_place,
        native_place: data.native_place,
        ethnicity: None,
        nationalities: data.nationalities,
        father: None,
        mother: None,
        legal_representative: None,
    }))
}

#[test]
fn a_form_names_fields_under_data_and_a_birth_at_the_top() {
    let mut view = MemoryView::new();
    let form = |born, registered| {
        registration(1, 1, person("Siu", born, Sex::Male, &province(registered))).command
    };
    let no_place = |field: &str| Rejection::BirthPlaceUnknown {
        reason: PlaceProblem::ProvinceUnknown,
        field: field.to_owned(),
    };
    let future = |field: &str| Rejection::DateInFuture {
        field: field.to_owned(),
    };
    assert_eq!(
        refused(&view, 1, form("1975", "03")),
        no_place("data.birth_registration_place")
    );
    assert_eq!(
        refused(&view, 2, birth("2026-11-20", "03")),
        no_place("birth_registration_place")
    );
    assert_eq!(
        refused(&view, 3, form("2027", "40")),
        future("data.birth_date")
    );
    assert_eq!(
        refused(&view, 4, birth("2026-11-23", "40")),
        future("birth_date")
    );

    let born = person("Siu", "1975", Sex::Male, &province("40"));
    let transition = apply(&view, &context(5, 0), &registration(5, 1, born.clone())).unwrap();
    let pin: Pin = transition.outcome.result.as_ref().unwrap().pin;
    view.absorb(transition.mutations);
    let mut data = born;
    data.birth_date = banyan_domain::BirthDate::parse("2027").unwrap();
    let correction = Command::CorrectPerson(Box::new(CorrectPerson {
        pin,
        expected_version: VersionNumber(1),
        data,
        reason: Text::new("wrongly entered").unwrap(),
    }));
    assert_eq!(refused(&view, 6, correction), future("data.birth_date"));
}
