//! Every fault of a request is found at once, named by its dotted path, and says nothing of the value.

use banyan_wire::command::command_from_wire;
use banyan_wire::v1;
use banyan_wire::v1::command::Kind;

fn name(given: &str) -> Option<v1::PersonName> {
    Some(v1::PersonName {
        family: String::from("Nguyễn"),
        middle: String::from("Thị"),
        given: given.to_owned(),
    })
}

fn date(year: u32, month: u32, day: u32) -> Option<v1::Date> {
    Some(v1::Date { year, month, day })
}

fn command(kind: Kind) -> v1::Command {
    v1::Command {
        office: String::from("CA-NA-01"),
        legal_basis: v1::LegalBasis::Collection as i32,
        document: Some(v1::SourceDocument {
            kind: v1::DocumentKind::CollectionForm as i32,
            number: String::from("DC01/2021/17"),
            issued: None,
        }),
        kind: Some(kind),
    }
}

fn fields(command: &v1::Command) -> Vec<String> {
    let faults = command_from_wire(command).unwrap_err();
    faults.into_iter().map(|fault| fault.field).collect()
}

#[test]
fn every_fault_is_named_by_its_path() {
    let data = v1::PersonData {
        name: name(""),
        birth_date: date(1985, 13, 1),
        sex: 9,
        birth_registration_place: Some(v1::Place {
            ward: String::from("12"),
            ..Default::default()
        }),
        ethnicity: String::from("99"),
        nationalities: vec![String::from("VN"), String::from("vn")],
        marital_status: -1,
        temporary_residence: Some(v1::TemporaryStay {
            place: None,
            from: date(2020, 5, 0),
            until: date(2020, 2, 30),
        }),
        father: Some(v1::RelatedPerson {
            pin: String::from("123"),
            ..Default::default()
        }),
        household: Some(v1::Household {
            relation: v1::Relation::Child as i32,
            head: Some(v1::RelatedPerson {
                name: name("\u{202E}x"),
                ..Default::default()
            }),
            members: vec![
                v1::RelatedPerson {
                    name: name("Hoa"),
                    ..Default::default()
                },
                v1::RelatedPerson {
                    name: name("7"),
                    ..Default::default()
                },
            ],
            ..Default::default()
        }),
        cmnd: String::from("x"),
        ..Default::default()
    };
    let mut command = command(Kind::RegisterPerson(Box::new(v1::RegisterPerson {
        data: Some(data),
        pin: String::from("0401850012345"),
        death: Some(v1::Death {
            kind: 1,
            date: None,
            place: None,
        }),
    })));
    command.office = String::new();
    command.document = None;
    assert_eq!(
        fields(&command),
        [
            "office",
            "document",
            "data.name.given",
            "data.birth_date.month",
            "data.sex",
            "data.birth_registration_place.ward",
            "data.ethnicity",
            "data.nationalities[1]",
            "data.marital_status",
            "data.temporary_residence.from.day",
            "data.temporary_residence.until.day",
            "data.father.name",
            "data.father.pin",
            "data.household.head.name.given",
            "data.household.members[1].name.given",
            "data.cmnd",
            "pin",
            "death.date",
        ]
    );
}

#[test]
fn a_birth_needs_a_full_date_and_a_death_may_have_a_year() {
    let birth = v1::RegisterBirth {
        name: name("Hoa"),
        birth_date: date(2026, 0, 0),
        sex: 1,
        nationalities: vec![String::from("VN")],
        ..Default::default()
    };
    assert_eq!(
        fields(&command(Kind::RegisterBirth(Box::new(birth)))),
        ["birth_date.month"]
    );
    let death = v1::Death {
        kind: 1,
        date: date(2020, 0, 0),
        place: None,
    };
    let record = v1::RecordDeath {
        pin: String::from("040185001234"),
        death: Some(death),
    };
    assert!(command_from_wire(&command(Kind::RecordDeath(Box::new(record)))).is_ok());
}

#[test]
fn a_date_outside_the_calendar_is_told_by_its_year() {
    let death = v1::Death {
        kind: 2,
        date: date(1799, 1, 1),
        place: None,
    };
    let record = v1::RecordDeath {
        pin: String::from("040185001234"),
        death: Some(death),
    };
    assert_eq!(
        fields(&command(Kind::RecordDeath(Box::new(record)))),
        ["death.date.year"]
    );
}

#[test]
fn lists_are_bounded_before_they_are_read() {
    let data = v1::PersonData {
        name: name("Hoa"),
        birth_date: date(1985, 0, 0),
        sex: 2,
        nationalities: vec![String::from("?"); 10_000],
        household: Some(v1::Household {
            relation: 1,
            members: vec![v1::RelatedPerson::default(); 10_000],
            ..Default::default()
        }),
        ..Default::default()
    };
    let register = v1::RegisterPerson {
        data: Some(data),
        ..Default::default()
    };
    let command = command(Kind::RegisterPerson(Box::new(register)));
    assert_eq!(
        fields(&command),
        ["data.nationalities", "data.household.members"]
    );
}

#[test]
fn a_correction_says_which_version_it_saw_and_why() {
    let correct = v1::CorrectPerson {
        pin: String::from("040185001234"),
        ..Default::default()
    };
    let found = fields(&command(Kind::CorrectPerson(Box::new(correct))));
    assert_eq!(found, ["expected_version", "data", "reason"]);
}

#[test]
fn a_command_of_no_kind_is_told() {
    assert_eq!(
        fields(&v1::Command::default()),
        ["office", "legal_basis", "document", "kind"]
    );
}

#[test]
fn messages_never_hold_the_value() {
    let marked = "ZQX7";
    let data = v1::PersonData {
        name: name("ZQX7"),
        ethnicity: marked.to_owned(),
        religion: marked.to_owned(),
        nationalities: vec![marked.to_owned()],
        cmnd: marked.to_owned(),
        current_residence: Some(v1::Place {
            province: marked.to_owned(),
            district: marked.to_owned(),
            ward: marked.to_owned(),
            detail: marked.repeat(100),
            country: marked.to_owned(),
        }),
        spouse: Some(v1::RelatedPerson {
            name: None,
            pin: marked.to_owned(),
            cmnd: marked.to_owned(),
            nationality: marked.to_owned(),
        }),
        ..Default::default()
    };
    let register = v1::RegisterPerson {
        data: Some(data),
        pin: marked.to_owned(),
        ..Default::default()
    };
    let faults = command_from_wire(&command(Kind::RegisterPerson(Box::new(register)))).unwrap_err();
    assert!(faults.len() >= 14, "{faults:?}");
    for fault in faults {
        assert!(!fault.to_string().contains(marked), "{fault}");
    }
}
