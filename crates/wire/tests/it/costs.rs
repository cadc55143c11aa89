//! What conversions cost: each person goes through them once on every node.
#![expect(
    clippy::print_stdout,
    reason = "the figures are what the test is read for"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use banyan_domain::{
    Actor, Envelope, NodeId, PersonId, PersonVersion, Principal, Provenance, Role, Timestamp,
    VersionNumber,
};
use banyan_domain::{Command, IdempotencyKey, Pin, Position};
use banyan_wire::command::{command_from_wire, envelope_from_wire, envelope_to_wire, fingerprint};
use banyan_wire::{internal_v1, record, v1};
use prost::Message;

/// Generous: about 3 µs each when the machine is quiet; a busy one must not fail the test, a quadratic step must.
const COST_MAX: Duration = Duration::from_micros(100);
const RUNS: u32 = 100;
const ROUNDS: u32 = 20;

fn related(given: &str, pin: &str) -> Option<v1::RelatedPerson> {
    Some(v1::RelatedPerson {
        name: Some(v1::PersonName {
            family: String::from("Nguyễn"),
            middle: String::from("Thị Ngọc"),
            given: given.to_owned(),
        }),
        pin: pin.to_owned(),
        cmnd: String::new(),
        nationality: String::from("VN"),
    })
}

fn place(detail: &str) -> Option<v1::Place> {
    Some(v1::Place {
        province: String::from("40"),
        district: String::from("412"),
        ward: String::from("16663"),
        detail: detail.to_owned(),
        country: String::new(),
    })
}

/// A form as a family of four fills it in.
fn form() -> v1::Command {
    let data = v1::PersonData {
        name: related("Hương", "").and_then(|person| person.name),
        birth_date: Some(v1::Date {
            year: 1985,
            month: 3,
            day: 14,
        }),
        sex: v1::Sex::Female as i32,
        birth_registration_place: place(""),
        native_place: place(""),
        ethnicity: String::from("01"),
        religion: String::from("00"),
        nationalities: vec![String::from("VN")],
        marital_status: v1::MaritalStatus::Married as i32,
        permanent_residence: place("Số 17, đường Nguyễn Du, khối 4"),
        current_residence: place("Số 17, đường Nguyễn Du, khối 4"),
        blood_group: v1::BloodGroup::O as i32,
        father: related("Hùng", "040060001234"),
        mother: related("Lan", "040163004321"),
        spouse: related("Minh", "040083009876"),
        household: Some(v1::Household {
            number: String::from("NA-2019-004417"),
            relation: v1::Relation::Spouse as i32,
            head: related("Minh", "040083009876"),
            members: related("An", "040210000042").into_iter().collect(),
            ..Default::default()
        }),
        cmnd: String::from("186123456"),
        ..Default::default()
    };
    let register = v1::RegisterPerson {
        data: Some(data),
        pin: String::from("040185001234"),
        death: None,
    };
    v1::Command {
        office: String::from("G01.832.404"),
        legal_basis: v1::LegalBasis::Collection as i32,
        document: Some(v1::SourceDocument {
            kind: v1::DocumentKind::CollectionForm as i32,
            number: String::from("DC01-2021-000017"),
            issued: Some(v1::Date {
                year: 2021,
                month: 2,
                day: 1,
            }),
        }),
        kind: Some(v1::command::Kind::RegisterPerson(Box::new(register))),
    }
}

fn envelope() -> Envelope {
    let message = form();
    let (head, command) = command_from_wire(&message).unwrap();
    let actor = Actor {
        principal: Principal::new("registrar@nghe-an").unwrap(),
        role: Role::parse("registrar", "40").unwrap(),
        admitted_by: NodeId(6),
    };
    let fingerprint = fingerprint(&message);
    Envelope {
        actor,
        key: IdempotencyKey::new(Timestamp(1_790_000_000_000), [7; 10]),
        fingerprint,
        salt: 1,
        head,
        command,
    }
}

fn version(envelope: &Envelope) -> PersonVersion {
    let Command::RegisterPerson(register) = &envelope.command else {
        unreachable!()
    };
    PersonVersion {
        person: PersonId(1),
        version: VersionNumber(1),
        pin: Pin::parse("040185001234").unwrap(),
        data: register.data.clone(),
        death: None,
        findings: Vec::new(),
        provenance: Provenance {
            time: Timestamp(1_790_000_000_000),
            actor: envelope.actor.clone(),
            office: envelope.head.office.clone(),
            legal_basis: envelope.head.legal_basis,
            document: envelope.head.document.clone(),
            command: envelope.command.name(),
            reason: None,
            position: Position { term: 3, index: 17 },
        },
        key: envelope.key,
    }
}

/// The quietest of many short runs: other work on the machine lengthens some of them, never shortens one.
fn cost<T>(what: &str, mut work: impl FnMut() -> T) {
    let mut least = Duration::MAX;
    for _ in 0..RUNS {
        let begun = Instant::now();
        for _ in 0..ROUNDS {
            black_box(work());
        }
        least = least.min(begun.elapsed() / ROUNDS);
    }
    println!("{what}: {:.2} us", least.as_secs_f64() * 1e6);
    assert!(
        least < COST_MAX,
        "{what} takes {least:?}, the maximum is {COST_MAX:?}"
    );
}

#[test]
fn a_person_is_converted_in_microseconds() {
    let envelope = envelope();
    let message = envelope_to_wire(&envelope);
    let bytes = message.encode_to_vec();
    println!("an envelope has {} bytes", bytes.len());
    cost("encode an envelope", || {
        envelope_to_wire(&envelope).encode_to_vec()
    });
    cost("decode the message of an envelope", || {
        internal_v1::CommandEnvelope::decode(bytes.as_slice()).unwrap()
    });
    cost("decode an envelope", || {
        let message = internal_v1::CommandEnvelope::decode(bytes.as_slice()).unwrap();
        envelope_from_wire(&message).unwrap()
    });
    let version = version(&envelope);
    let stored = record::encode_version(&version);
    println!("a version has {} bytes", stored.len());
    cost("encode a version", || record::encode_version(&version));
    cost("decode a version", || {
        record::decode_version(version.person, version.version, &stored).unwrap()
    });
    let command = form();
    cost("fingerprint a command", || fingerprint(&command));
}
