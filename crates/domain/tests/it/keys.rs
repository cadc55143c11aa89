//! Exactly once: at most one effect under a principal's key, the first outcome on every retry within the window, and
//! dropping that is bounded and never early.

use std::collections::BTreeMap;

use banyan_domain::limits::{KEY_AHEAD_MAX_MS, KEY_WINDOW_MS, KEYS_DROPPED_BEYOND_COMMANDS};
use banyan_domain::{
    ApplyContext, AreaCode, BirthDate, Command, CorrectPerson, Death, DeathKind, Decision,
    DocumentNumber, Envelope, Fingerprint, IdempotencyKey, MemoryView, Mutation, Outcome,
    OverlayView, PersonId, Position, Principal, RecordDeath, Rejection, Role, Sex, Standing, Text,
    Timestamp, VersionNumber, View as _, apply, expire,
};
use proptest::prelude::*;

use crate::fixtures::{NOON, actor, centre, envelope, person, province, registration};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
/// How far the leader's stamp goes from one entry to the next; it may go back.
const JUMPS: [i64; 9] = [
    0,
    1,
    MINUTE,
    6 * MINUTE,
    DAY,
    -DAY,
    14 * DAY,
    29 * DAY,
    31 * DAY,
];
/// How old a key is when it is first used.
const AGES: [i64; 7] = [
    0,
    DAY,
    KEY_WINDOW_MS - 1,
    KEY_WINDOW_MS,
    KEY_WINDOW_MS + 1,
    -KEY_AHEAD_MAX_MS,
    -KEY_AHEAD_MAX_MS - 1,
];

/// One command of an entry.
#[derive(Debug, Clone)]
struct Try {
    /// A new key of an age, or one that was used before.
    age: Option<usize>,
    old: prop::sample::Index,
    who: u8,
    body: u8,
}

#[derive(Debug, Clone)]
struct Entry {
    jump: usize,
    tries: Vec<Try>,
}

fn entry() -> impl Strategy<Value = Entry> {
    let age = prop::option::weighted(0.4, 0..AGES.len());
    let one = (age, any::<prop::sample::Index>(), 0..3_u8, 0..6_u8);
    let one = one.prop_map(|(age, old, who, body)| Try {
        age,
        old,
        who,
        body,
    });
    (0..JUMPS.len(), prop::collection::vec(one, 1..4))
        .prop_map(|(jump, tries)| Entry { jump, tries })
}

/// A person of Nghệ An whom the bodies are about.
fn beginning() -> MemoryView {
    let mut view = MemoryView::new();
    let data = person("Trần Thị Lan", "1975", Sex::Female, &province("40"));
    let before = Timestamp(NOON.get() - 40 * DAY);
    let context = context(0, before);
    let envelope = Envelope {
        key: IdempotencyKey::new(before, [1; 10]),
        ..registration(0, 5, data)
    };
    view.absorb(apply(&view, &context, &envelope).unwrap().mutations);
    view
}

const fn context(index: u64, time: Timestamp) -> ApplyContext {
    ApplyContext {
        position: Position { term: 3, index },
        ordinal: 0,
        time,
    }
}

/// What a client sends: a registration with one of two forms, a correction of one of two versions, a death.
fn body(number: u8, view: &MemoryView) -> Command {
    let first = view.version(PersonId(1)).unwrap().unwrap();
    match number {
        0 | 1 => {
            let data = person("Nguyễn Văn An", "1980", Sex::Male, &province("40"));
            registration(0, 5, data).command
        }
        2 | 3 => Command::CorrectPerson(Box::new(CorrectPerson {
            pin: first.pin,
            expected_version: VersionNumber(u32::from(number) - 1),
            data: person("Trần Thị Mai", "1975", Sex::Female, &province("40")),
            reason: Text::new("wrongly entered").unwrap(),
        })),
        4 => Command::RecordDeath(Box::new(RecordDeath {
            pin: first.pin,
            death: Death {
                kind: DeathKind::Deceased,
                date: BirthDate::parse("2026-11-01").unwrap(),
                place: province("40"),
            },
        })),
        // A date that comes while the sequence runs.
        _ => {
            let data = person("Lê Minh", "2026-12-05", Sex::Male, &province("40"));
            registration(0, 5, data).command
        }
    }
}

fn request(key: IdempotencyKey, one: &Try, view: &MemoryView) -> Envelope {
    let mut envelope = envelope(0, 5, body(one.body, view));
    envelope.key = key;
    envelope.fingerprint = Fingerprint([one.body; 16]);
    envelope.head.document.number = DocumentNumber::new(&one.body.to_string()).unwrap();
    envelope.actor = match one.who {
        0 => centre(),
        1 => registrar("40"),
        _ => registrar("42"),
    };
    envelope
}

fn registrar(area: &str) -> banyan_domain::Actor {
    let role = Role::Registrar {
        area: AreaCode::parse(area).unwrap(),
    };
    actor(&format!("registrar@{area}"), role)
}

type Whose = (Principal, IdempotencyKey);

/// What the registry owes to each key.
#[derive(Default)]
struct Promises(BTreeMap<Whose, (Fingerprint, Outcome)>);

impl Promises {
    /// Judges an answer, and remembers it if it is the first.
    fn check(&mut self, envelope: &Envelope, now: Timestamp, outcome: &Outcome) {
        let whose = (envelope.actor.principal.clone(), envelope.key);
        let expected = match envelope.key.standing(now) {
            Standing::Expired => Some(Rejection::KeyExpired),
            Standing::Ahead => Some(Rejection::KeyAhead),
            Standing::Current => None,
        };
        if let Some(expected) = expected {
            assert_eq!(outcome.result, Err(expected));
            assert!(!outcome.replayed);
            return;
        }
        match self.0.get(&whose) {
            None => {
                assert!(!outcome.replayed);
                self.0
                    .insert(whose, (envelope.fingerprint, outcome.clone()));
            }
            Some((fingerprint, first)) if *fingerprint == envelope.fingerprint => {
                let again = Outcome {
                    replayed: false,
                    ..outcome.clone()
                };
                assert!(outcome.replayed);
                assert_eq!(&again, first);
            }
            Some(_) => assert_eq!(outcome.result, Err(Rejection::IdempotencyKeyReused)),
        }
    }
}

/// Each request made one version at most, and what is stored is what the counters say.
fn check_state(view: &MemoryView, now: Timestamp) {
    let mut effects = BTreeMap::new();
    for version in view.versions() {
        let whose = (version.provenance.actor.principal.clone(), version.key);
        let before = effects.insert(whose, (version.person, version.version));
        assert!(before.is_none(), "a key had two effects");
    }
    let counters = view.counters().unwrap();
    assert_eq!(view.outcomes().count() as u64, counters.keys);
    assert_eq!(counters.first_key.is_none(), counters.keys == 0);
    if let Some(first) = counters.first_key {
        assert!(view.outcomes().all(|(key, ..)| key >= first));
    }
    assert!(counters.last_time >= now);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_key_has_one_effect_and_one_answer_whatever_the_clocks_do(
        entries in prop::collection::vec(entry(), 1..40),
    ) {
        let mut view = beginning();
        let mut promises = Promises::default();
        let mut keys = vec![IdempotencyKey::new(NOON, [7; 10])];
        let mut stamp = NOON;
        for (index, entry) in (1..).zip(&entries) {
            stamp = Timestamp(stamp.get() + JUMPS[entry.jump]);
            let now = view.counters().unwrap().last_time.max(stamp);
            let mut overlay = OverlayView::new(&view);
            let mut changes = expire(&overlay, stamp, entry.tries.len()).unwrap();
            overlay.absorb(changes.clone());
            for one in &entry.tries {
                let key = match one.age {
                    Some(age) => {
                        let mut random = [0; 10];
                        random[3..].copy_from_slice(&(keys.len() as u64).to_be_bytes()[1..]);
                        let made = Timestamp(now.get() - AGES[age]);
                        keys.push(IdempotencyKey::new(made, random));
                        *keys.last().unwrap()
                    }
                    None => *one.old.get(&keys),
                };
                let envelope = request(key, one, &view);
                let transition = apply(&overlay, &context(index, stamp), &envelope).unwrap();
                promises.check(&envelope, now, &transition.outcome);
                overlay.absorb(transition.mutations.clone());
                changes.extend(transition.mutations);
            }
            view.absorb(changes);
            check_state(&view, now);
        }
    }
}

/// So many births, each under a key of its own made at [`NOON`], in one entry.
fn births(view: &mut MemoryView, count: u64) {
    for number in 1..=count {
        let data = person("Trần Thị Lan", "1975", Sex::Female, &province("40"));
        let envelope = registration(number, number, data);
        let transition = apply(view, &context(1, NOON), &envelope).unwrap();
        assert!(transition.outcome.result.is_ok());
        view.absorb(transition.mutations);
    }
}

#[test]
fn an_entry_drops_a_bounded_number_of_expired_keys_and_no_other() {
    let mut view = MemoryView::new();
    births(&mut view, 200);
    let end = Timestamp(NOON.get() + KEY_WINDOW_MS);
    assert!(expire(&view, end, 1_000).unwrap().is_empty(), "not yet");

    let after = Timestamp(end.get() + 1);
    let mut left = 200;
    while left > 0 {
        let commands = 3;
        let mutations = expire(&view, after, commands).unwrap();
        let dropped = mutations
            .iter()
            .filter(|mutation| matches!(mutation, Mutation::DropOutcome { .. }))
            .count();
        assert_eq!(dropped, (commands + KEYS_DROPPED_BEYOND_COMMANDS).min(left));
        view.absorb(mutations);
        left -= dropped;
        assert_eq!(view.counters().unwrap().keys, left as u64);
        assert_eq!(view.outcomes().count(), left);
    }
    assert!(expire(&view, after, 1_000).unwrap().is_empty(), "all gone");
    assert_eq!(view.counters().unwrap().first_key, None);
    assert_eq!(view.counters().unwrap().persons, 200, "persons stay");
}

#[test]
fn an_expired_key_that_is_not_dropped_yet_is_refused_like_one_that_is() {
    let mut view = MemoryView::new();
    births(&mut view, 1);
    let data = person("Trần Thị Lan", "1975", Sex::Female, &province("40"));
    let again = registration(1, 1, data);
    let after = Timestamp(NOON.get() + KEY_WINDOW_MS + 1);
    for dropped in [false, true] {
        if dropped {
            let mutations = expire(&view, after, 1).unwrap();
            view.absorb(mutations);
        }
        assert_eq!(view.outcomes().count(), usize::from(!dropped));
        let transition = apply(&view, &context(2, after), &again).unwrap();
        assert_eq!(transition.outcome.result, Err(Rejection::KeyExpired));
        let audited = transition.mutations.iter().any(|mutation| {
            matches!(mutation, Mutation::AppendAudit(record)
                if record.decision == Decision::Rejected(String::from("KEY_EXPIRED")))
        });
        assert!(audited);
        assert_eq!(transition.mutations.len(), 2, "audit and counters only");
    }
}

#[test]
fn one_key_of_many_principals_is_dropped_in_parts() {
    let mut view = MemoryView::new();
    let names = 100;
    for number in 0..names {
        let data = person("Trần Thị Lan", "1975", Sex::Female, &province("40"));
        let mut envelope = registration(number, number, data);
        envelope.key = IdempotencyKey::new(NOON, [4; 10]);
        envelope.actor = actor(&format!("centre-{number:03}@central"), Role::Centre);
        let transition = apply(&view, &context(1, NOON), &envelope).unwrap();
        view.absorb(transition.mutations);
    }
    let after = Timestamp(NOON.get() + KEY_WINDOW_MS + 1);
    // Both entries in one batch, over the state before it.
    let mut overlay = OverlayView::new(&view);
    let first = expire(&overlay, after, 1).unwrap();
    overlay.absorb(first.clone());
    let second = expire(&overlay, after, 1).unwrap();
    let dropped: Vec<_> = [first, second]
        .concat()
        .into_iter()
        .filter_map(|mutation| match mutation {
            Mutation::DropOutcome { principal, .. } => Some(principal),
            _ => None,
        })
        .collect();
    assert_eq!(dropped.len() as u64, names);
    assert!(
        dropped.is_sorted_by(|left, right| left < right),
        "one twice"
    );
}

#[test]
fn a_late_key_below_those_stored_is_found_when_it_expires() {
    let mut view = MemoryView::new();
    births(&mut view, 2);
    let data = person("Trần Thị Lan", "1975", Sex::Female, &province("40"));
    let mut late = registration(9, 9, data);
    late.key = IdempotencyKey::new(Timestamp(NOON.get() - 20 * DAY), [4; 10]);
    let transition = apply(&view, &context(2, NOON), &late).unwrap();
    view.absorb(transition.mutations);
    assert_eq!(view.counters().unwrap().first_key, Some(late.key));
    let after = Timestamp(late.key.made().get() + KEY_WINDOW_MS + 1);
    let mutations = expire(&view, after, 1).unwrap();
    view.absorb(mutations);
    assert_eq!(view.counters().unwrap().keys, 2);
    let first = view.counters().unwrap().first_key.unwrap();
    assert_eq!(first.made(), NOON);
}
