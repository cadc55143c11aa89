//! The policy as a table: every role, action and resource, in the area and out of it.

use banyan_domain::policy::{Action, Denial, Fields, Resource, authorise, decide};
use banyan_domain::{
    Actor, AreaCode, BirthDate, Command, CommandName, CountryCode, Death, DeathKind, DistrictCode,
    DocumentKind, Pin, Place, ProvinceCode, RecordDeath, Role, Sex, TemporaryStay, Units, WardCode,
};

use crate::fixtures::{actor, centre, envelope, person, province, registration};

/// What a cell says: all fields, the identity fields, or why not.
const ALL: Result<Fields, Denial> = Ok(Fields::All);
const IDENTITY: Result<Fields, Denial> = Ok(Fields::Identity);
const OUTSIDE: Result<Fields, Denial> = Err(Denial::OutsideArea);
const ROLE: Result<Fields, Denial> = Err(Denial::Role);
const UNCONFIRMED: Result<Fields, Denial> = Err(Denial::NumberUnconfirmed);
const UNPROVEN: Result<Fields, Denial> = Err(Denial::DeathUnproven);

const REGISTER_PERSON: Action = Action::Submit(CommandName::RegisterPerson);
const REGISTER_BIRTH: Action = Action::Submit(CommandName::RegisterBirth);
const CORRECT: Action = Action::Submit(CommandName::CorrectPerson);
const DEATH: Action = Action::Submit(CommandName::RecordDeath);
const ACTIONS: [Action; 10] = [
    REGISTER_PERSON,
    REGISTER_BIRTH,
    CORRECT,
    DEATH,
    Action::ReadPerson,
    Action::FindPersons,
    Action::ReadHistory,
    Action::ScanPersons,
    Action::AdministerCluster,
    Action::ReadMetrics,
];

fn registrar(area: &str) -> Actor {
    actor(
        &format!("registrar@{area}"),
        Role::Registrar {
            area: AreaCode::parse(area).unwrap(),
        },
    )
}

fn operator() -> Actor {
    actor("operator@central", Role::Operator)
}

#[test]
#[rustfmt::skip]
fn every_cell_of_the_policy() {
    let here = province("40");
    let data = person("Trần Thị Lan", "1975", Sex::Female, &here);
    let death = Death { kind: DeathKind::Deceased, date: BirthDate::parse("2026").unwrap(), place: Place::default() };
    let record = Resource::Record(&data);
    let dead = Resource::Death { data: &data, death: &death, document: DocumentKind::Other };
    let (ours, theirs) = (Pin::parse("040175000001").unwrap(), Pin::parse("042175000001").unwrap());
    let form = Resource::Registration { data: &data, pin: None };
    let numbered = Resource::Registration { data: &data, pin: Some(&ours) };
    let misnumbered = Resource::Registration { data: &data, pin: Some(&theirs) };
    let place = Resource::BirthPlace(&here);
    let unread = Resource::UnreadRecord;
    let cluster = Resource::Cluster;

    // action, resource                       registrar of 40, of 42     centre  operator
    let table = [
        (REGISTER_PERSON,           form,     [ALL,           OUTSIDE,   ALL,    ROLE]),
        (REGISTER_PERSON,           numbered, [ALL,           OUTSIDE,   ALL,    ROLE]),
        (REGISTER_PERSON,           misnumbered, [UNCONFIRMED, OUTSIDE,  ALL,    ROLE]),
        (REGISTER_BIRTH,            place,    [ALL,           OUTSIDE,   ALL,    ROLE]),
        (CORRECT,                   record,   [ALL,           OUTSIDE,   ALL,    ROLE]),
        (DEATH,                     dead,     [ALL,           OUTSIDE,   ALL,    ROLE]),
        (Action::ReadPerson,        record,   [ALL,           IDENTITY,  ALL,    ROLE]),
        (Action::FindPersons,       record,   [ALL,           IDENTITY,  ALL,    ROLE]),
        (Action::ReadHistory,       record,   [ALL,           IDENTITY,  ALL,    ROLE]),
        // See `scan_policy` for the rest.
        (Action::ScanPersons,       record,   [ALL,           OUTSIDE,   ALL,    ROLE]),
        (Action::AdministerCluster, cluster,  [ROLE,          ROLE,      ROLE,   ALL]),
        (Action::ReadMetrics,       cluster,  [ROLE,          ROLE,      ROLE,   ALL]),
        // Before the record is read only the role is judged, and nothing but the identity may be shown.
        (REGISTER_PERSON,           unread,   [ALL,           ALL,       ALL,    ROLE]),
        (REGISTER_BIRTH,            unread,   [ALL,           ALL,       ALL,    ROLE]),
        (CORRECT,                   unread,   [ALL,           ALL,       ALL,    ROLE]),
        (DEATH,                     unread,   [ALL,           ALL,       ALL,    ROLE]),
        (Action::ReadPerson,        unread,   [IDENTITY,      IDENTITY,  ALL,    ROLE]),
        (Action::FindPersons,       unread,   [IDENTITY,      IDENTITY,  ALL,    ROLE]),
        (Action::ReadHistory,       unread,   [IDENTITY,      IDENTITY,  ALL,    ROLE]),
        // What does not go together is denied. The centre needs no resource to be judged by.
        (REGISTER_PERSON,           record,   [ROLE,          ROLE,      ALL,    ROLE]),
        (CORRECT,                   form,     [ROLE,          ROLE,      ALL,    ROLE]),
        (DEATH,                     record,   [ROLE,          ROLE,      ALL,    ROLE]),
        (Action::ReadPerson,        form,     [IDENTITY,      IDENTITY,  ALL,    ROLE]),
        (REGISTER_PERSON,           cluster,  [ROLE,          ROLE,      ROLE,   ROLE]),
        (REGISTER_BIRTH,            cluster,  [ROLE,          ROLE,      ROLE,   ROLE]),
        (CORRECT,                   cluster,  [ROLE,          ROLE,      ROLE,   ROLE]),
        (DEATH,                     cluster,  [ROLE,          ROLE,      ROLE,   ROLE]),
        (Action::ReadPerson,        cluster,  [ROLE,          ROLE,      ROLE,   ROLE]),
        (Action::FindPersons,       cluster,  [ROLE,          ROLE,      ROLE,   ROLE]),
        (Action::ReadHistory,       cluster,  [ROLE,          ROLE,      ROLE,   ROLE]),
        (Action::AdministerCluster, record,   [ROLE,          ROLE,      ROLE,   ROLE]),
        (Action::ReadMetrics,       record,   [ROLE,          ROLE,      ROLE,   ROLE]),
        (Action::AdministerCluster, unread,   [ROLE,          ROLE,      ROLE,   ROLE]),
        (Action::ReadMetrics,       unread,   [ROLE,          ROLE,      ROLE,   ROLE]),
    ];
    let actors = [registrar("40"), registrar("42"), centre(), operator()];
    for (action, resource, cells) in &table {
        for (actor, cell) in actors.iter().zip(cells) {
            let principal = actor.principal.as_str();
            assert_eq!(decide(actor, *action, resource), *cell, "{principal} {action:?} {resource:?}");
        }
    }
    assert!(ACTIONS.iter().all(|action| table.iter().any(|(tabled, _, _)| tabled == action)), "an action has no row");
}

#[test]
fn each_of_four_places_puts_a_record_into_an_area() {
    let vinh = Place {
        ward: Some(WardCode::new("16669").unwrap()),
        ..Place::default()
    };
    let elsewhere = person("Trần Thị Lan", "1975", Sex::Female, &province("01"));
    let with = |change: &dyn Fn(&mut banyan_domain::PersonData)| {
        let mut data = elsewhere.clone();
        change(&mut data);
        data
    };
    let stay = || Some(TemporaryStay::new(vinh.clone(), None, None).unwrap());
    let table = [
        ("nothing", elsewhere.clone(), false),
        (
            "birth registration",
            with(&|data| data.birth_registration_place = vinh.clone()),
            true,
        ),
        (
            "permanent residence",
            with(&|data| data.permanent_residence = vinh.clone()),
            true,
        ),
        (
            "current residence",
            with(&|data| data.current_residence = vinh.clone()),
            true,
        ),
        (
            "temporary residence",
            with(&|data| data.temporary_residence = stay()),
            true,
        ),
        (
            "native place",
            with(&|data| data.native_place = vinh.clone()),
            false,
        ),
        (
            "temporary absence",
            with(&|data| data.temporary_absence = stay()),
            false,
        ),
    ];
    for (what, data, inside) in &table {
        for (area, holds) in [
            ("40", *inside),
            ("412", *inside),
            ("16669", *inside),
            ("16670", false),
            ("01", *what != "birth registration"),
        ] {
            let decided = decide(&registrar(area), CORRECT, &Resource::Record(data));
            assert_eq!(
                decided,
                if holds { ALL } else { OUTSIDE },
                "{what} for a registrar of {area}"
            );
        }
    }
}

fn a_place(province: &str, district: &str, ward: &str) -> Place {
    Place {
        province: ProvinceCode::new(province).ok(),
        district: DistrictCode::new(district).ok(),
        ward: WardCode::new(ward).ok(),
        ..Place::default()
    }
}

#[test]
fn a_registrar_enters_only_numbers_of_its_own_place() {
    let here = a_place("40", "412", "16669");
    let born_here = person("Trần Thị Lan", "1975", Sex::Female, &here);
    let mut lives_here = person("Trần Thị Lan", "1975", Sex::Female, &province("42"));
    lives_here.permanent_residence = here;
    let mut nowhere = lives_here.clone();
    nowhere.birth_registration_place = Place::default();
    let mut abroad = lives_here.clone();
    abroad.birth_registration_place.country = Some(CountryCode::new("FR").unwrap());
    let table = [
        (
            "born here",
            &born_here,
            "040175000001",
            ["40", "412", "16669"],
            ALL,
        ),
        (
            "of another place than the record's",
            &born_here,
            "042175000001",
            ["40", "412", "16669"],
            UNCONFIRMED,
        ),
        (
            "born elsewhere, and so says the number",
            &lives_here,
            "042175000001",
            ["40", "412", "16669"],
            UNCONFIRMED,
        ),
        (
            "born elsewhere, the number says here",
            &lives_here,
            "040175000001",
            ["40", "412", "16669"],
            UNCONFIRMED,
        ),
        (
            "place unknown",
            &nowhere,
            "040175000001",
            ["40", "412", "16669"],
            UNCONFIRMED,
        ),
        (
            "born abroad",
            &abroad,
            "120175000001",
            ["40", "412", "16669"],
            UNCONFIRMED,
        ),
        (
            "seen from the other province",
            &lives_here,
            "042175000001",
            ["42", "42", "42"],
            ALL,
        ),
    ];
    for (what, data, pin, areas, expected) in table {
        let pin = Pin::parse(pin).unwrap();
        let numbered = Resource::Registration {
            data,
            pin: Some(&pin),
        };
        for area in areas {
            assert_eq!(
                decide(&registrar(area), REGISTER_PERSON, &numbered),
                expected,
                "{what}, {area}"
            );
            let form = Resource::Registration { data, pin: None };
            assert_eq!(
                decide(&registrar(area), REGISTER_PERSON, &form),
                ALL,
                "{what}, {area}"
            );
        }
        assert_eq!(decide(&centre(), REGISTER_PERSON, &numbered), ALL, "{what}");
    }
}

#[test]
fn a_death_is_recorded_at_home_or_with_proof_where_it_happened() {
    use DocumentKind::{CourtDecision, DeathCertificate, Other};

    let nothing = person("Trần Thị Lan", "1975", Sex::Female, &Place::default());
    let registered = person("Trần Thị Lan", "1975", Sex::Female, &province("40"));
    let with = |change: &dyn Fn(&mut banyan_domain::PersonData)| {
        let mut data = registered.clone();
        change(&mut data);
        data
    };
    let lives = with(&|data| data.permanent_residence = province("01"));
    let unknown = with(&|data| data.permanent_residence = province("03"));
    let now = with(&|data| data.current_residence = province("42"));
    let stays = with(&|data| {
        data.temporary_residence = Some(TemporaryStay::new(province("42"), None, None).unwrap());
    });
    // Who, died at, document: what the registrars of 40, 01 and 42 may.
    let table = [
        (
            "registered in 40",
            &registered,
            "",
            Other,
            [ALL, OUTSIDE, OUTSIDE],
        ),
        ("lives in 01", &lives, "", Other, [OUTSIDE, ALL, OUTSIDE]),
        (
            "residence in no list",
            &unknown,
            "",
            Other,
            [ALL, OUTSIDE, OUTSIDE],
        ),
        ("stays in 42", &stays, "", Other, [ALL, OUTSIDE, ALL]),
        (
            "is in 42 at the moment",
            &now,
            "",
            Other,
            [ALL, OUTSIDE, OUTSIDE],
        ),
        (
            "died in 42, unproven",
            &lives,
            "42",
            Other,
            [OUTSIDE, ALL, UNPROVEN],
        ),
        (
            "died in 42",
            &lives,
            "42",
            DeathCertificate,
            [OUTSIDE, ALL, ALL],
        ),
        (
            "declared dead in 42",
            &lives,
            "42",
            CourtDecision,
            [OUTSIDE, ALL, ALL],
        ),
        (
            "nothing known, died in 42",
            &nothing,
            "42",
            DeathCertificate,
            [OUTSIDE, OUTSIDE, ALL],
        ),
    ];
    for (what, data, died_at, document, cells) in table {
        let place = if died_at.is_empty() {
            Place::default()
        } else {
            province(died_at)
        };
        let date = BirthDate::parse("2026").unwrap();
        let death = &Death {
            kind: DeathKind::Deceased,
            date,
            place,
        };
        let resource = Resource::Death {
            data,
            death,
            document,
        };
        for (area, cell) in ["40", "01", "42"].into_iter().zip(cells) {
            assert_eq!(
                decide(&registrar(area), DEATH, &resource),
                cell,
                "{what}: {area}"
            );
        }
        assert_eq!(decide(&centre(), DEATH, &resource), ALL, "{what}");
    }
}

#[test]
fn a_place_lies_in_an_area_only_if_all_units_that_it_names_say_so() {
    // 16669 is a ward of district 412 of province 40; 001 is a district of province 01; 99999, 999 and 03 are in no list.
    let table = [
        (("40", "412", "16669"), ["40", "412", "16669"].as_slice()),
        (("", "412", "16669"), &["40", "412", "16669"]),
        (("40", "", "16669"), &["40", "412", "16669"]),
        (("", "", "16669"), &["40", "412", "16669"]),
        (("40", "412", ""), &["40", "412"]),
        (("40", "", ""), &["40"]),
        // Forms of 2021 name units that are gone: they say nothing.
        (("40", "412", "99999"), &["40", "412"]),
        (("40", "999", "99999"), &["40"]),
        (("40", "999", "16669"), &["40"]),
        // The ward, or the district, of another province.
        (("42", "412", "16669"), &[]),
        (("01", "", "16669"), &[]),
        (("01", "001", "16669"), &[]),
        (("", "001", "16669"), &[]),
        (("40", "001", ""), &[]),
        (("40", "001", "99999"), &[]),
        (("03", "412", "16669"), &[]),
        (("03", "", ""), &[]),
        (("", "999", ""), &[]),
        (("", "", "99999"), &[]),
    ];
    for ((province, district, ward), areas) in table {
        let place = a_place(province, district, ward);
        for area in [
            "40", "01", "42", "03", "412", "001", "999", "16669", "16670", "99999",
        ] {
            let inside = Units::current().lies_in(&place, AreaCode::parse(area).unwrap());
            assert_eq!(
                inside,
                areas.contains(&area),
                "{province}/{district}/{ward} in {area}"
            );
        }
    }
}

#[test]
fn a_place_abroad_lies_in_no_area() {
    let mut place = province("40");
    place.country = Some(CountryCode::new("LA").unwrap());
    assert_eq!(
        decide(
            &registrar("40"),
            REGISTER_BIRTH,
            &Resource::BirthPlace(&place)
        ),
        OUTSIDE
    );
    assert_eq!(
        decide(&centre(), REGISTER_BIRTH, &Resource::BirthPlace(&place)),
        ALL
    );
}

#[test]
fn the_edge_lets_through_what_apply_may_allow_and_nothing_else() {
    let data = person("Trần Thị Lan", "1975", Sex::Female, &province("40"));
    let death = Death {
        kind: DeathKind::Deceased,
        date: BirthDate::parse("2026").unwrap(),
        place: Place::default(),
    };
    let pin = Pin::parse("040175000001").unwrap();
    let forms = registration(1, 1, data);
    let deaths = envelope(
        2,
        1,
        Command::RecordDeath(Box::new(RecordDeath { pin, death })),
    );
    let table = [
        (registrar("40"), Ok(()), Ok(())),
        (registrar("42"), Err(Denial::OutsideArea), Ok(())),
        (centre(), Ok(()), Ok(())),
        (operator(), Err(Denial::Role), Err(Denial::Role)),
    ];
    for (actor, form, death) in table {
        for (envelope, expected) in [(&forms, form), (&deaths, death)] {
            let mut envelope = envelope.clone();
            envelope.actor = actor.clone();
            let authorised = authorise(envelope.clone());
            assert_eq!(
                authorised.as_ref().map(|_| ()).map_err(|denial| *denial),
                expected
            );
            assert!(authorised.is_err() || authorised.unwrap().into_inner() == envelope);
        }
    }
}

#[test]
fn the_edge_refuses_a_number_of_another_place_before_it_is_proposed() {
    let data = person("Trần Thị Lan", "1975", Sex::Female, &province("40"));
    let mut form = registration(1, 1, data);
    form.actor = registrar("40");
    for (pin, expected) in [
        ("040175000001", Ok(())),
        ("042175000001", Err(Denial::NumberUnconfirmed)),
    ] {
        if let Command::RegisterPerson(register) = &mut form.command {
            register.pin = Pin::parse(pin).ok();
        }
        assert_eq!(authorise(form.clone()).map(|_| ()), expected);
    }
}

#[test]
fn withheld_fields_are_all_but_the_identity() {
    assert!(Fields::All.withheld().is_empty());
    let identity = [
        "pin",
        "name",
        "birth_date",
        "sex",
        "nationalities",
        "life_status",
    ];
    assert!(
        Fields::Identity
            .withheld()
            .iter()
            .all(|field| !identity.contains(field))
    );
    assert_eq!(Fields::Identity.withheld().len(), 19);
}
