//! Commands for tests. Their effect is a rejection that is kept under its key, which is all that consensus needs.

use std::sync::OnceLock;

use banyan_consensus::{Clock, SystemClock};
use banyan_domain::{
    Actor, Command, CommandHead, Death, DeathDate, DeathKind, DocumentKind, DocumentNumber,
    Envelope, Fingerprint, IdempotencyKey, LegalBasis, NodeId, Office, Pin, Place, Principal,
    RecordDeath, Role, SourceDocument, Timestamp,
};

/// When these tests began: all keys are of that time, so that a number always gives the same key.
fn begun() -> Timestamp {
    static BEGUN: OnceLock<Timestamp> = OnceLock::new();
    *BEGUN.get_or_init(|| SystemClock.now())
}

/// A command with a key of its own for each number: a death of somebody who is not registered.
pub(crate) fn envelope(number: u64) -> Envelope {
    let mut bits = [0; 10];
    bits[3..].copy_from_slice(&number.to_be_bytes()[1..]);
    let key = IdempotencyKey::new(begun(), bits);
    let document = format!("T-{number}");
    Envelope {
        actor: Actor {
            principal: Principal::new("centre@central").expect("a principal"),
            role: Role::Centre,
            admitted_by: NodeId(1),
        },
        key,
        fingerprint: Fingerprint(*key.as_bytes()),
        salt: number,
        head: CommandHead {
            office: Office::new("G01.001").expect("an office"),
            legal_basis: LegalBasis::CivilStatus,
            document: SourceDocument {
                kind: DocumentKind::DeathCertificate,
                number: DocumentNumber::new(&document).expect("a number"),
                issued: None,
            },
        },
        command: Command::RecordDeath(Box::new(RecordDeath {
            pin: Pin::parse("001090000001").expect("a number"),
            death: Death {
                kind: DeathKind::Deceased,
                date: DeathDate::parse("2020-01-02").expect("a date"),
                place: Place::default(),
            },
        })),
    }
}

/// Several commands with consecutive numbers.
pub(crate) fn envelopes(numbers: std::ops::Range<u64>) -> Vec<Envelope> {
    numbers.map(envelope).collect()
}
