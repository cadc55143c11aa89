//! The checks must be able to fail: one history that keeps every promise, and the same one with one bug at a time.

use super::*;
use crate::registers::record::{Place, Write};

const WRITER: usize = 0;
const OTHER_WRITER: usize = 1;
const READER: usize = 2;
const SESSION: usize = 3;
const LOCAL: usize = 4;

fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn operation(client: usize, called: u64, returned: Option<u64>, act: Act) -> Operation {
    Operation {
        client,
        person: 0,
        node: "central-1".to_owned(),
        called: at(called),
        returned: returned.map(at),
        act,
    }
}

fn write(
    client: usize,
    times: (u64, u64),
    expected: u32,
    writing: u64,
    answer: Answer,
) -> Operation {
    let returned = (answer != Answer::Unknown).then_some(times.1);
    let act = Act::Write(Write {
        expected,
        writing,
        answer,
        redirected: false,
        place: match answer {
            Answer::Accepted { version } => Some(Place {
                position: u64::from(version) * 10,
                term: 1,
                time_ms: 0,
            }),
            Answer::Conflict | Answer::Unknown => None,
        },
    });
    operation(client, times.0, returned, act)
}

fn read(client: usize, times: (u64, u64), level: Level, value: (u32, u64)) -> Operation {
    let (version, writing) = value;
    let staleness = match level {
        Level::Local { .. } => Some(at(50)),
        Level::Linearizable | Level::Session => None,
    };
    let act = Act::Read(Read {
        level,
        value: Value { version, writing },
        staleness,
        position: u64::from(version) * 10,
    });
    operation(client, times.0, Some(times.1), act)
}

const BOUNDED: Level = Level::Local {
    bound: Some(Duration::from_millis(100)),
};

const fn accepted(version: u32) -> Answer {
    Answer::Accepted { version }
}

/// Two writers, one of them with a conflict and with a write whose outcome it never learns, and a reader of each kind.
fn sound() -> Vec<Operation> {
    vec![
        write(WRITER, (0, 10), 1, 11, accepted(2)),
        read(READER, (11, 15), Level::Linearizable, (2, 11)),
        read(SESSION, (12, 16), Level::Session, (2, 11)),
        // Within the staleness that its answer tells, the write may be missing.
        read(LOCAL, (20, 25), BOUNDED, (1, 0)),
        write(OTHER_WRITER, (20, 30), 1, 12, Answer::Conflict),
        write(OTHER_WRITER, (40, 0), 2, 13, Answer::Unknown),
        // Overlaps the write without an answer: either value would do here.
        read(READER, (45, 60), Level::Linearizable, (2, 11)),
        read(READER, (61, 70), Level::Linearizable, (3, 13)),
        write(WRITER, (80, 100), 3, 14, accepted(4)),
        read(READER, (110, 120), Level::Linearizable, (4, 14)),
        read(SESSION, (125, 130), Level::Session, (3, 13)),
        // Expects what was never there: it waits for ever, and nobody can tell.
        write(OTHER_WRITER, (140, 0), 4, 15, Answer::Unknown),
        read(LOCAL, (200, 205), BOUNDED, (4, 14)),
        read(SESSION, (210, 215), Level::Session, (4, 14)),
        read(READER, (220, 230), Level::Linearizable, (4, 14)),
    ]
}

/// The sound history with one operation changed.
fn with_bug(place: usize, changed: Operation) -> Vec<Finding> {
    let mut operations = sound();
    operations[place] = changed;
    check(&operations)
}

fn not_linearizable(findings: &[Finding]) -> bool {
    let person_0 =
        |finding: &Finding| matches!(finding, Finding::NotLinearizable { person: 0, .. });
    findings.iter().any(person_0)
}

#[test]
fn sound_history_passes() {
    let findings = check(&sound());
    assert!(findings.is_empty(), "{findings:?}");
}

#[test]
fn stale_linearizable_read_is_caught() {
    // The write of version 4 was acknowledged at 100; this read was called at 110.
    let stale = read(READER, (110, 120), Level::Linearizable, (3, 13));
    let findings = with_bug(9, stale);
    assert!(not_linearizable(&findings), "{findings:?}");
    assert_eq!(findings.len(), 1);
}

#[test]
fn lost_acknowledged_write_is_caught() {
    // Version 4 is gone after it was acknowledged, and was never read before.
    let mut operations = sound();
    operations.truncate(9);
    operations.push(read(READER, (110, 120), Level::Linearizable, (3, 13)));
    operations.push(write(WRITER, (130, 140), 3, 16, accepted(4)));
    operations.push(read(READER, (150, 160), Level::Linearizable, (4, 16)));
    let findings = check(&operations);
    assert!(not_linearizable(&findings), "{findings:?}");
    let two = |finding: &Finding| {
        matches!(
            finding,
            Finding::TwoContents {
                version: 4,
                writings: [14, 16],
                ..
            }
        )
    };
    assert!(findings.iter().any(two), "{findings:?}");
}

#[test]
fn session_that_goes_back_is_caught() {
    let back = read(SESSION, (210, 215), Level::Session, (2, 11));
    let findings = with_bug(13, back);
    assert!(
        matches!(&findings[..], [Finding::WentBack { seen: 3, .. }]),
        "{findings:?}"
    );
}

#[test]
fn session_that_misses_its_own_write_is_caught() {
    let mut operations = sound();
    operations.insert(9, write(SESSION, (101, 109), 4, 17, Answer::Conflict));
    operations.insert(9, write(SESSION, (70, 79), 3, 18, accepted(4)));
    let session_only = sessions(&operations);
    assert!(
        matches!(&session_only[..], [Finding::WentBack { seen: 4, .. }]),
        "{session_only:?}"
    );
}

#[test]
fn session_whose_position_goes_back_is_caught_on_another_register() {
    let mut operations = sound();
    let mut other = read(SESSION, (210, 215), Level::Session, (1, 0));
    other.person = 1;
    operations[13] = other;
    let findings = check(&operations);
    assert!(
        matches!(&findings[..], [Finding::WentBack { position: 30, .. }]),
        "{findings:?}"
    );
}

#[test]
fn local_read_past_its_bound_is_caught() {
    // Called at 200 with a staleness of 50 ms: what was acknowledged at 100 must be in it.
    let findings = with_bug(12, read(LOCAL, (200, 205), BOUNDED, (3, 13)));
    assert!(
        matches!(&findings[..], [Finding::PastBound { missing: 4, .. }]),
        "{findings:?}"
    );
}

#[test]
fn local_read_is_held_to_the_staleness_that_it_tells() {
    let told = |staleness| {
        let mut operation = read(LOCAL, (200, 205), Level::Local { bound: None }, (3, 13));
        if let Act::Read(read) = &mut operation.act {
            read.staleness = staleness;
        }
        with_bug(12, operation)
    };
    assert!(told(None).is_empty(), "nothing was promised");
    assert!(told(Some(at(101))).is_empty(), "acknowledged within it");
    assert_eq!(told(Some(at(99))).len(), 1);
}

#[test]
fn answer_outside_the_bound_that_was_asked_for_is_caught() {
    for staleness in [None, Some(at(101))] {
        let mut outside = read(LOCAL, (200, 205), BOUNDED, (4, 14));
        if let Act::Read(read) = &mut outside.act {
            read.staleness = staleness;
        }
        let findings = with_bug(12, outside);
        assert!(
            matches!(&findings[..], [Finding::BoundNotTold { .. }]),
            "{findings:?}"
        );
    }
}

#[test]
fn session_that_does_not_see_its_own_write_of_another_register_is_caught() {
    let mut own = write(SESSION, (205, 209), 1, 21, accepted(5));
    own.person = 1;
    let mut operations = sound();
    operations.insert(13, own);
    let findings = check(&operations);
    // The read of the first register at 210 is of position 40, and the write was at 50.
    assert!(
        findings
            .iter()
            .any(|finding| matches!(finding, Finding::WentBack { position: 50, .. })),
        "{findings:?}"
    );
}

#[test]
fn effect_applied_twice_is_caught() {
    // The write without an answer made version 3, and then version 4 as well; the last writer's answer was a conflict.
    let mut operations = sound();
    operations.truncate(8);
    operations.push(write(WRITER, (80, 100), 3, 14, Answer::Conflict));
    operations.push(read(READER, (110, 120), Level::Linearizable, (4, 13)));
    let findings = check(&operations);
    assert!(not_linearizable(&findings), "{findings:?}");
}

#[test]
fn acknowledged_effect_applied_twice_is_caught() {
    let mut operations = sound();
    operations.truncate(1);
    operations.push(read(READER, (11, 15), Level::Linearizable, (3, 11)));
    assert!(not_linearizable(&check(&operations)));
}

#[test]
fn effect_of_a_write_that_was_refused_is_caught() {
    let findings = with_bug(7, read(READER, (61, 70), Level::Linearizable, (3, 12)));
    assert!(not_linearizable(&findings), "{findings:?}");
}

#[test]
fn effect_of_an_unknown_write_may_come_late_and_does_not_go_away() {
    // Not there at 45, there at 61: sound. Gone again at 75, with nothing in between: not.
    let mut operations = sound();
    operations.truncate(8);
    assert!(check(&operations).is_empty());
    operations.push(read(READER, (75, 79), Level::Linearizable, (2, 11)));
    assert!(not_linearizable(&check(&operations)));
}

#[test]
fn registers_do_not_excuse_each_other() {
    // The same bug as above, on the second of two registers.
    let mut operations = sound();
    let mut second = sound();
    second[9] = read(READER, (110, 120), Level::Linearizable, (3, 13));
    for operation in &mut second {
        operation.person = 1;
        operation.client += 10;
    }
    operations.extend(second);
    let findings = check(&operations);
    assert!(
        matches!(&findings[..], [Finding::NotLinearizable { person: 1, .. }]),
        "{findings:?}"
    );
}
