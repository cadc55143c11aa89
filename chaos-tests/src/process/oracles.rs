//! Rules that hold over the whole history of a run, each in a few lines and in time that grows with its length.
//!
//! Unique numbers and effects that happened once are held by `banyan_drill::checker`, over the same history.

use std::collections::BTreeMap;
use std::time::Duration;

use banyan_drill::history::Write;

use super::findings::Findings;
use super::windows;
use crate::registers::record::{Act, Operation, Place};

/// How far a stamp may be from the clock of a majority (ADR 0028), with what a step of a clock needs to be seen.
const STAMP_WITHIN: Duration = Duration::from_millis(6500);

/// One operation that its client saw end, and the position that it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) called: Duration,
    pub(super) returned: Duration,
    pub(super) position: u64,
}

/// An acknowledged write, of the load or of a register, on the clock of the whole run.
#[derive(Debug, Clone, Copy)]
struct Entry {
    called: Duration,
    returned: Duration,
    place: Place,
}

/// What is kept of all windows for the end.
#[derive(Debug, Default)]
pub(super) struct Kept {
    linearizable: Vec<Moment>,
    /// Acknowledged writes of registers.
    written: Vec<Entry>,
    /// Versions of a register by window and person: when known at the latest, and which.
    versions: BTreeMap<(u64, usize), Vec<(Moment, bool)>>,
}

impl Kept {
    /// Takes what an operation on a register shows. `began`: the start of its window.
    pub(super) fn register(&mut self, window: u64, began: Duration, operation: &Operation) {
        if let Some(moment) = windows::moment(began, operation) {
            self.linearizable.push(moment);
        }
        if let (Act::Write(write), Some(returned)) = (operation.act, operation.returned) {
            self.written.extend(write.place.map(|place| Entry {
                called: began + operation.called,
                returned: began + returned,
                place,
            }));
        }
        let seen = operation
            .acknowledged()
            .map(|version| (version, false))
            .or_else(|| windows::linearizable_version(operation).map(|version| (version, true)));
        if let (Some((version, is_read)), Some(returned)) = (seen, operation.returned) {
            let moment = Moment {
                called: began + operation.called,
                returned: began + returned,
                position: u64::from(version),
            };
            let versions = self.versions.entry((window, operation.person)).or_default();
            versions.push((moment, is_read));
        }
    }

    pub(super) fn reads(&self) -> usize {
        self.linearizable.len()
    }
}

/// Holds all rules against a run. `wall_ms`: the wall clock when the history of the load began.
pub(super) fn check(writes: &[Write], kept: &Kept, wall_ms: i64, findings: &mut Findings) {
    let mut entries: Vec<Entry> = writes.iter().filter_map(entry).collect();
    entries.extend_from_slice(&kept.written);
    let acknowledged: Vec<Moment> = entries
        .iter()
        .map(|entry| Moment {
            called: entry.called,
            returned: entry.returned,
            position: entry.place.position,
        })
        .collect();
    for (before, after) in not_in_order(&acknowledged, &acknowledged, Order::Later) {
        findings.add(
            "positions_not_in_order",
            &format!("a write that began later than another's answer has a lower position: {before:?}, {after:?}"),
        );
    }
    let mut known = acknowledged;
    known.extend_from_slice(&kept.linearizable);
    for (before, after) in not_in_order(&known, &kept.linearizable, Order::NotEarlier) {
        findings.add(
            "stale_linearizable_read",
            &format!(
                "a linearizable read is older than what was known before it: {before:?}, {after:?}"
            ),
        );
    }
    for ((window, person), versions) in &kept.versions {
        let all: Vec<Moment> = versions.iter().map(|(moment, _)| *moment).collect();
        let reads: Vec<Moment> = versions
            .iter()
            .filter(|(_, is_read)| *is_read)
            .map(|(moment, _)| *moment)
            .collect();
        for (before, after) in not_in_order(&all, &reads, Order::NotEarlier) {
            findings.add(
                "stale_version",
                &format!(
                    "window {window}, person {person}: version {} after version {}",
                    after.position, before.position
                ),
            );
        }
    }
    terms_and_stamps(&entries, findings);
    stamps_are_true(&entries, wall_ms, findings);
}

fn entry(write: &Write) -> Option<Entry> {
    let answer = write.acknowledgement()?;
    Some(Entry {
        called: write.started,
        returned: write.ended,
        place: Place {
            position: answer.position,
            term: answer.term,
            time_ms: answer.time_ms,
        },
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// What begins after another's end is at a later position: it is another effect.
    Later,
    /// It is at the same or a later one.
    NotEarlier,
}

/// Those of `later` that are not behind what had returned before they were called, each with what it is not behind.
fn not_in_order(earlier: &[Moment], later: &[Moment], order: Order) -> Vec<(Moment, Moment)> {
    let mut earlier: Vec<&Moment> = earlier.iter().collect();
    earlier.sort_by_key(|moment| moment.returned);
    let mut later: Vec<&Moment> = later.iter().collect();
    later.sort_by_key(|moment| moment.called);
    let mut furthest: Option<&Moment> = None;
    let mut returned = earlier.into_iter().peekable();
    let mut found = Vec::new();
    for moment in later {
        while let Some(next) = returned.next_if(|next| next.returned < moment.called) {
            if furthest.is_none_or(|known| next.position > known.position) {
                furthest = Some(next);
            }
        }
        let Some(known) = furthest else { continue };
        let fits = match order {
            Order::Later => moment.position > known.position,
            Order::NotEarlier => moment.position >= known.position,
        };
        if !fits {
            found.push((*known, *moment));
        }
    }
    found
}

/// In the order of the log neither terms nor stamps go back.
fn terms_and_stamps(entries: &[Entry], findings: &mut Findings) {
    let mut answers: Vec<Place> = entries.iter().map(|entry| entry.place).collect();
    answers.sort_by_key(|answer| answer.position);
    for pair in answers.windows(2) {
        let [before, after] = pair else { continue };
        if after.term < before.term {
            let (position, term, then) = (after.position, after.term, before.term);
            findings.add(
                "term_went_back",
                &format!("position {position} is of term {term}, after term {then}"),
            );
        }
        if after.time_ms < before.time_ms {
            let back = before.time_ms - after.time_ms;
            findings.add(
                "stamp_went_back",
                &format!(
                    "position {} is stamped {back} ms before {}",
                    after.position, before.position
                ),
            );
        }
    }
}

/// A write is stamped while it is under way, by a clock that a majority agrees with.
fn stamps_are_true(entries: &[Entry], wall_ms: i64, findings: &mut Findings) {
    let milliseconds = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let within = milliseconds(STAMP_WITHIN);
    for entry in entries {
        let answer = entry.place;
        let earliest = wall_ms + milliseconds(entry.called) - within;
        let latest = wall_ms + milliseconds(entry.returned) + within;
        if !(earliest..=latest).contains(&answer.time_ms) {
            let ahead = answer.time_ms - wall_ms - milliseconds(entry.returned);
            findings.add(
                "wrong_stamp",
                &format!(
                    "position {} is stamped {ahead} ms after its answer came",
                    answer.position
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use banyan_domain::{IdempotencyKey, Timestamp};
    use banyan_drill::history::{Acknowledgement, ClientIndex, Key, Pin, WriteKind, WriteOutcome};

    use super::*;
    use crate::registers::record::Answer;

    /// A write from one second to the next, that was stamped at a time of the same clock.
    fn stamped(second: u8, position: u64, term: u64, time_ms: i64) -> Write {
        let answer = Acknowledgement {
            person: position,
            pin: Pin(position.to_string()),
            version: 1,
            position,
            term,
            time_ms,
            replayed: false,
        };
        Write {
            client: ClientIndex(0),
            kind: WriteKind::Birth,
            key: Key(IdempotencyKey::new(Timestamp(0), [second; 10])),
            command: banyan_wire::v1::Command::default(),
            started: Duration::from_secs(second.into()),
            ended: Duration::from_secs(u64::from(second) + 1),
            tries: 1,
            node: String::new(),
            outcome: WriteOutcome::Acknowledged(answer),
            discarded: None,
        }
    }

    fn found(writes: &[Write]) -> Vec<&'static str> {
        let mut findings = Findings::default();
        check(writes, &Kept::default(), 0, &mut findings);
        findings.counts().keys().copied().collect()
    }

    #[test]
    fn each_rule_of_positions_terms_and_stamps_finds_what_breaks_it() {
        let first = stamped(0, 5, 2, 500);
        assert!(found(&[first.clone(), stamped(2, 6, 2, 2_500)]).is_empty());
        // As far off as a leader's clock may be.
        assert!(found(&[first.clone(), stamped(2, 6, 2, 6_500)]).is_empty());
        let cases = [
            (stamped(2, 4, 2, 400), "positions_not_in_order"),
            (stamped(2, 6, 1, 2_500), "term_went_back"),
            (stamped(2, 6, 2, 400), "stamp_went_back"),
            (stamped(2, 6, 2, 3_600_000), "wrong_stamp"),
        ];
        for (second, rule) in cases {
            assert_eq!(found(&[first.clone(), second]), [rule]);
        }
    }

    #[test]
    fn writes_of_registers_are_held_to_the_same_rules() {
        let first = stamped(0, 5, 2, 500);
        let register = |position, term, time_ms| {
            let mut kept = Kept::default();
            let began = Duration::from_secs(2);
            let operation = Operation {
                client: 0,
                person: 0,
                node: String::new(),
                called: Duration::ZERO,
                returned: Some(Duration::from_secs(1)),
                act: Act::Write(crate::registers::record::Write {
                    expected: 1,
                    writing: 1,
                    answer: Answer::Accepted { version: 2 },
                    redirected: false,
                    place: Some(Place {
                        position,
                        term,
                        time_ms,
                    }),
                }),
            };
            kept.register(1, began, &operation);
            let mut findings = Findings::default();
            check(std::slice::from_ref(&first), &kept, 0, &mut findings);
            findings.counts().keys().copied().collect::<Vec<_>>()
        };
        assert!(register(6, 2, 2_500).is_empty());
        assert_eq!(register(4, 2, 400), ["positions_not_in_order"]);
        assert_eq!(register(6, 1, 2_500), ["term_went_back"]);
        assert_eq!(register(6, 2, 400), ["stamp_went_back"]);
        assert_eq!(register(6, 2, 3_600_000), ["wrong_stamp"]);
    }

    fn moment(called: u64, returned: u64, position: u64) -> Moment {
        Moment {
            called: Duration::from_millis(called),
            returned: Duration::from_millis(returned),
            position,
        }
    }

    #[test]
    fn only_what_began_after_an_answer_must_be_behind_it() {
        let writes = [
            moment(0, 10, 5),
            moment(5, 20, 4), // beside the first
            moment(21, 30, 6),
        ];
        assert_eq!(not_in_order(&writes, &writes, Order::Later), []);
        let wrong = moment(31, 40, 6);
        let all = [&writes[..], &[wrong]].concat();
        assert_eq!(not_in_order(&all, &all, Order::Later), [(writes[2], wrong)]);
        assert_eq!(not_in_order(&all, &all, Order::NotEarlier), []);
    }

    #[test]
    fn read_before_an_acknowledged_write_is_found() {
        let write = moment(0, 10, 7);
        let stale = moment(11, 12, 6);
        let fine = moment(9, 12, 6);
        assert_eq!(
            not_in_order(&[write], &[stale, fine], Order::NotEarlier),
            [(write, stale)]
        );
    }
}
