//! The policy as a table: every role, action and resource, in the area and out of it.

use banyan_domain::policy::{Action, Denial, Fields, Resource, authorise, decide};
use banyan_domain::{
    Actor, AreaCode, BirthDate, Command, CommandName, Death, DeathKind, Place, RecordDeath, Role,
    Sex, TemporaryStay, WardCode,
};

use crate::fixtures::{actor, centre, envelope, person, province, registration};

/// What a cell says: all fields, the identity fields, or why not.
const ALL: Result<Fields, Denial> = Ok(Fields::All);
const IDENTITY: Result<Fields, Denial> = Ok(Fields::Identity);
const OUTSIDE: Result<Fields, Denial> = Err(Denial::OutsideArea);
const ROLE: Result<Fields, Denial> = Err(Denial::Role);

const REGISTER_PERSON: Action = Action::Submit(CommandName::RegisterPerson);
const REGISTER_BIRTH: Action = Action::Submit(CommandName::RegisterBirth);
const CORRECT: Action = Action::Submit(CommandName::CorrectPerson);
const DEATH: Action = Action::Submit(CommandName::RecordDeath);
const ACTIONS: [Action; 9] = [
    REGISTER_PERSON,
    REGISTER_BIRTH,
    CORRECT,
    DEATH,
    Action::ReadPerson,
    Action::FindPersons,
    Action::ReadHistory,
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
    let dead = Resource::RecordAndDeath(&data, &death);
    let place = Resource::BirthPlace(&here);
    let unread = Resource::UnreadRecord;
    let cluster = Resource::Cluster;

    // action, resource                       registrar of 40, of 42     centre  operator
    let table = [
        (REGISTER_PERSON,           record,   [ALL,           OUTSIDE,   ALL,    ROLE]),
        (REGISTER_BIRTH,            place,    [ALL,           OUTSIDE,   ALL,    ROLE]),
        (CORRECT,                   record,   [ALL,           OUTSIDE,   ALL,    ROLE]),
        (DEATH,                     dead,     [ALL,           OUTSIDE,   ALL,    ROLE]),
        (Action::ReadPerson,        record,   [ALL,           IDENTITY,  ALL,    ROLE]),
        (Action::FindPersons,       record,   [ALL,           IDENTITY,  ALL,    ROLE]),
        (Action::ReadHistory,       record,   [ALL,           IDENTITY,  ALL,    ROLE]),
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
        // What does not go together is denied.
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

#[test]
fn a_death_in_the_area_may_be_recorded_of_anyone() {
    let data = person("Trần Thị Lan", "1975", Sex::Female, &province("01"));
    let date = BirthDate::parse("2026").unwrap();
    for (place, expected) in [("40", ALL), ("42", OUTSIDE)] {
        let death = Death {
            kind: DeathKind::Deceased,
            date,
            place: province(place),
        };
        assert_eq!(
            decide(
                &registrar("40"),
                DEATH,
                &Resource::RecordAndDeath(&data, &death)
            ),
            expected
        );
    }
}

#[test]
fn a_place_abroad_lies_in_no_area() {
    let mut place = province("40");
    place.country = Some(banyan_domain::CountryCode::new("LA").unwrap());
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
    let pin = banyan_domain::Pin::parse("040175000001").unwrap();
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
