//! Synthetic people for tests. Every name holds the marker that no log line may show.

use std::sync::OnceLock;

use banyan_consensus::{Clock, SystemClock};
use banyan_domain::{IdempotencyKey, Timestamp};
use banyan_wire::v1::command::Kind;
use banyan_wire::v1::{
    Command, CorrectPerson, Date, Death, DeathKind, DocumentKind, Household, LegalBasis,
    PersonData, PersonName, Place, RecordDeath, RegisterBirth, RegisterPerson, RelatedPerson,
    Relation, Sex, SourceDocument, SubmitRequest,
};

/// Stands in every personal field that takes free text.
pub(crate) const MARKER: &str = "Zzmarked";

pub(crate) const HA_NOI: &str = "01";
pub(crate) const NGHE_AN: &str = "40";

pub(crate) fn name(number: u64) -> PersonName {
    PersonName {
        family: "Nguyễn".to_owned(),
        middle: "Văn".to_owned(),
        given: format!("{MARKER}name{}", letters(number)),
    }
}

/// A number in letters: names hold no digits.
fn letters(mut number: u64) -> String {
    let mut text = String::new();
    loop {
        text.push(char::from(
            b'a' + u8::try_from(number % 26).expect("below 26"),
        ));
        number /= 26;
        if number == 0 {
            return text;
        }
    }
}

pub(crate) fn date(year: u32, month: u32, day: u32) -> Date {
    Date { year, month, day }
}

pub(crate) fn place(province: &str) -> Place {
    let (district, ward) = match province {
        HA_NOI => ("001", "00001"),
        NGHE_AN => ("412", "16663"),
        _ => ("", ""),
    };
    Place {
        province: province.to_owned(),
        district: district.to_owned(),
        ward: ward.to_owned(),
        detail: format!("{MARKER} street 1"),
        country: String::new(),
    }
}

pub(crate) fn person(number: u64, province: &str) -> PersonData {
    PersonData {
        name: Some(name(number)),
        birth_date: Some(date(1990, 5, 17)),
        sex: Sex::Female as i32,
        birth_registration_place: Some(place(province)),
        native_place: Some(place(province)),
        ethnicity: "01".to_owned(),
        religion: "00".to_owned(),
        nationalities: vec!["VN".to_owned()],
        permanent_residence: Some(place(province)),
        current_residence: Some(place(province)),
        ..PersonData::default()
    }
}

/// The largest household that the registry keeps has 50 members, each with a name of 100 characters.
pub(crate) fn household(members: usize) -> Household {
    let member = |_| RelatedPerson {
        name: Some(PersonName {
            family: "ễ".repeat(30),
            middle: "ộ".repeat(38),
            given: "ậ".repeat(30),
        }),
        ..RelatedPerson::default()
    };
    Household {
        relation: Relation::Head as i32,
        members: (0..members).map(member).collect(),
        ..Household::default()
    }
}

fn command(basis: LegalBasis, kind: DocumentKind, document: String, command: Kind) -> Command {
    Command {
        office: "HQ-01".to_owned(),
        legal_basis: basis as i32,
        document: Some(SourceDocument {
            kind: kind as i32,
            number: document,
            issued: Some(date(2021, 3, 1)),
        }),
        kind: Some(command),
    }
}

pub(crate) fn register(number: u64, province: &str) -> Command {
    command(
        LegalBasis::Collection,
        DocumentKind::CollectionForm,
        format!("DC01-{number}"),
        Kind::RegisterPerson(Box::new(RegisterPerson {
            data: Some(person(number, province)),
            pin: String::new(),
            death: None,
        })),
    )
}

pub(crate) fn birth(number: u64, province: &str) -> Command {
    command(
        LegalBasis::BirthRegistration,
        DocumentKind::BirthCertificate,
        format!("GKS-{number}"),
        Kind::RegisterBirth(Box::new(RegisterBirth {
            name: Some(name(number)),
            birth_date: Some(date(2026, 1, 5)),
            sex: Sex::Male as i32,
            birth_registration_place: Some(place(province)),
            native_place: Some(place(province)),
            ethnicity: "01".to_owned(),
            nationalities: vec!["VN".to_owned()],
            ..RegisterBirth::default()
        })),
    )
}

pub(crate) fn correct(number: u64, pin: &str, version: u32, data: PersonData) -> Command {
    command(
        LegalBasis::Correction,
        DocumentKind::UpdateForm,
        format!("DC02-{number}"),
        Kind::CorrectPerson(Box::new(CorrectPerson {
            pin: pin.to_owned(),
            expected_version: version,
            data: Some(data),
            reason: "wrong on the form".to_owned(),
        })),
    )
}

pub(crate) fn death(number: u64, pin: &str) -> Command {
    command(
        LegalBasis::CivilStatus,
        DocumentKind::DeathCertificate,
        format!("GCT-{number}"),
        Kind::RecordDeath(Box::new(RecordDeath {
            pin: pin.to_owned(),
            death: Some(Death {
                kind: DeathKind::Deceased as i32,
                date: Some(date(2026, 2, 1)),
                place: Some(place(HA_NOI)),
            }),
        })),
    )
}

/// An idempotency key that differs for each number, made when these tests began: a number always gives the same key.
pub(crate) fn key(number: u64) -> Vec<u8> {
    static BEGUN: OnceLock<Timestamp> = OnceLock::new();
    key_made(*BEGUN.get_or_init(|| SystemClock.now()), number)
}

/// An idempotency key of that time.
pub(crate) fn key_made(made: Timestamp, number: u64) -> Vec<u8> {
    let mut bits = [0; 10];
    bits[3..].copy_from_slice(&number.to_be_bytes()[1..]);
    IdempotencyKey::new(made, bits).as_bytes().to_vec()
}

pub(crate) fn submission(key_number: u64, command: Command) -> SubmitRequest {
    SubmitRequest {
        idempotency_key: key(key_number).into(),
        command: Some(command),
        dry_run: false,
        hint_leader: false,
    }
}
