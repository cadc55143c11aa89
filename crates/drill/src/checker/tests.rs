//! The oracle must see each kind of broken promise, and none where there is none.

use super::*;
use crate::commands;
use crate::history::tests::{acknowledgement, write};
use crate::history::{Discarded, WriteOutcome};
use banyan_domain::CalendarDate;

fn birth_write(key: u8, answer: Acknowledgement) -> Write {
    let day = CalendarDate::new(2026, 11, 1).unwrap();
    let mut made = write(0, key, 0, 1, WriteOutcome::Acknowledged(answer));
    made.command = commands::birth(7, u64::from(key), day, Some("40"));
    made
}

fn version_of(write: &Write) -> v1::PersonVersion {
    let answer = write.acknowledgement().unwrap();
    let known = commands::known(&write.command, &answer.pin.0, 1).unwrap();
    v1::PersonVersion {
        person_id: answer.person,
        version: answer.version,
        pin: answer.pin.0.clone(),
        data: Some(known.data),
        provenance: Some(v1::Provenance {
            position: answer.position,
            command: "RegisterBirth".to_owned(),
            document: write.command.document.clone(),
            ..v1::Provenance::default()
        }),
        ..v1::PersonVersion::default()
    }
}

fn compared(write: &Write, found: &[v1::PersonVersion]) -> Vec<Violation> {
    let promises = Promises::of(std::slice::from_ref(write), &BTreeMap::new());
    let (pin, promised) = promises.persons.first_key_value().unwrap();
    let mut violations = Vec::new();
    compare("nghe-an-1", pin, promised, found, &mut violations);
    violations
}

#[test]
fn kept_promise_is_no_violation() {
    let write = birth_write(1, acknowledgement(1, "040224000001", 10));
    assert_eq!(compared(&write, &[version_of(&write)]), []);
}

#[test]
fn missing_person_is_lost() {
    let write = birth_write(1, acknowledgement(1, "040224000001", 10));
    assert!(matches!(
        &compared(&write, &[])[..],
        [Violation::Lost { position: 10, .. }]
    ));
}

#[test]
fn altered_content_is_lost_and_names_the_field_only() {
    let write = birth_write(1, acknowledgement(1, "040224000001", 10));
    let mut other = version_of(&write);
    other.data.as_mut().unwrap().sex = v1::Sex::Unspecified.into();
    let found = compared(&write, &[other]);
    let [Violation::Lost { why, .. }] = &found[..] else {
        panic!("one violation expected")
    };
    assert_eq!(why, "other content in sex");
}

#[test]
fn version_too_many_is_a_duplicated_effect() {
    let write = birth_write(1, acknowledgement(1, "040224000001", 10));
    let one = version_of(&write);
    let two = v1::PersonVersion {
        version: 2,
        ..one.clone()
    };
    assert!(matches!(
        &compared(&write, &[one, two])[..],
        [Violation::Duplicated { .. }]
    ));
}

#[test]
fn number_given_twice_is_a_duplicated_effect() {
    let writes = [
        birth_write(1, acknowledgement(1, "040224000001", 10)),
        birth_write(2, acknowledgement(2, "040224000001", 11)),
    ];
    let promises = Promises::of(&writes, &BTreeMap::new());
    assert!(matches!(
        &promises.violations[..],
        [Violation::Duplicated { position: 11, .. }, ..]
    ));
}

#[test]
fn second_answer_with_another_effect_is_a_duplicated_effect() {
    let mut write = birth_write(1, acknowledgement(1, "040224000001", 10));
    let mut discard = |again: Acknowledgement| {
        write.discarded = Some(Discarded {
            node: "recovery-1".to_owned(),
            again: WriteOutcome::Acknowledged(again),
            tries: 1,
        });
        Promises::of(std::slice::from_ref(&write), &BTreeMap::new()).violations
    };
    let same = Acknowledgement {
        replayed: true,
        ..acknowledgement(1, "040224000001", 10)
    };
    assert_eq!(discard(same), []);
    assert_eq!(discard(acknowledgement(2, "040224000002", 12)).len(), 1);
}

#[test]
fn open_outcomes_are_violations_until_they_are_resolved() {
    let open = WriteOutcome::Unknown {
        reason: "no answer".to_owned(),
    };
    let writes = [Write {
        outcome: open,
        ..birth_write(1, acknowledgement(1, "0", 1))
    }];
    let promises = Promises::of(&writes, &BTreeMap::new());
    assert!(matches!(
        &promises.violations[..],
        [Violation::Unsettled { .. }]
    ));
    let answer = WriteOutcome::Acknowledged(acknowledgement(1, "040224000001", 10));
    let promises = Promises::of(&writes, &BTreeMap::from([(writes[0].key, answer)]));
    assert_eq!((promises.violations.len(), promises.births), (0, 1));
}

#[test]
fn counts_tell_loss_from_duplication_and_silence_from_both() {
    let told = BTreeMap::from([
        ("a".to_owned(), Ok(10)),
        ("b".to_owned(), Ok(9)),
        ("c".to_owned(), Ok(11)),
        ("d".to_owned(), Err("no answer".to_owned())),
    ]);
    let found = check_counts(&told, 10);
    assert!(matches!(
        &found[..],
        [
            Violation::Lost { .. },
            Violation::Duplicated { .. },
            Violation::NotChecked { .. }
        ]
    ));
}
