//! Any grouping of a log into batches gives the same transitions and the same state, and what the state promises holds.

use std::collections::{BTreeMap, BTreeSet};

use banyan_domain::{
    ApplyContext, AreaCode, BirthDate, Cmnd, Command, CorrectPerson, CountryCode, Death, DeathKind,
    DocumentKind, DocumentNumber, Envelope, Fingerprint, LegalBasis, MemoryView, Mutation, NameKey,
    OverlayView, PersonId, Pin, Place, Position, ProvinceCode, RecordDeath, RegisterBirth,
    RegisterPerson, Role, Sex, Text, Timestamp, Transition, Verdict, VersionNumber, View as _,
    WardCode, apply, expire,
};
use proptest::prelude::*;

use crate::fixtures::{
    NOON, actor, centre, context, envelope, key, person, province, registration,
};

/// A command before the numbers that it needs are known. Few values each, so that commands meet.
#[derive(Debug, Clone)]
struct Plan {
    kind: u8,
    who: u8,
    key: u64,
    fingerprint: u8,
    salt: u64,
    form: u8,
    name: u8,
    born: u8,
    female: bool,
    place: u8,
    cmnd: u8,
    pin: u8,
    target: u64,
    stale: bool,
    death: u8,
    basis: u8,
    hours: i64,
}

fn plan() -> impl Strategy<Value = Plan> {
    let request = (0..6_u8, 0..6_u8, 0..60_u64, 0..8_u8, 0..3_u64, 0..40_u8);
    let data = (0..4_u8, 0..5_u8, any::<bool>(), 0..7_u8, 0..12_u8);
    let more = (
        0..12_u8,
        0..20_u64,
        prop::bool::weighted(0.2),
        0..5_u8,
        0..16_u8,
        -48..48_i64,
    );
    (request, data, more).prop_map(|(request, data, more)| {
        let (kind, who, key, fingerprint, salt, form) = request;
        let (name, born, female, place, cmnd) = data;
        let (pin, target, stale, death, basis, hours) = more;
        Plan {
            kind,
            who,
            key,
            fingerprint,
            salt,
            form,
            name,
            born,
            female,
            place,
            cmnd,
            pin,
            target,
            stale,
            death,
            basis,
            hours,
        }
    })
}

fn a_place(choice: u8) -> Place {
    match choice {
        0..=2 => province("40"),
        3 => province("42"),
        4 => Place {
            ward: Some(WardCode::new("16669").unwrap()),
            ..Place::default()
        },
        5 => Place {
            province: Some(ProvinceCode::new("03").unwrap()),
            ..Place::default()
        },
        _ => Place {
            country: Some(CountryCode::new("FR").unwrap()),
            ..Place::default()
        },
    }
}

fn a_death(choice: u8) -> Death {
    let date = ["2026-11-21", "1975", "2026-11-23", "2020", "1950-02-01"][usize::from(choice)];
    let kind = if choice == 3 {
        DeathKind::Missing
    } else {
        DeathKind::Deceased
    };
    Death {
        kind,
        date: BirthDate::parse(date).unwrap(),
        place: a_place(choice),
    }
}

impl Plan {
    /// The envelope, with numbers of persons that are on record.
    fn envelope(&self, view: &MemoryView) -> Envelope {
        let born =
            ["1899", "1950", "1975-04-30", "2026-11-20", "2026-11-23"][usize::from(self.born)];
        let name = ["Nguyễn Văn An", "Trần Thị Lan", "Siu", "Lê Minh"][usize::from(self.name)];
        let sex = if self.female { Sex::Female } else { Sex::Male };
        let mut data = person(name, born, sex, &a_place(self.place));
        data.cmnd =
            (self.cmnd < 6).then(|| Cmnd::parse(&format!("18200000{}", self.cmnd)).unwrap());
        let persons = view.counters().unwrap().persons;
        let known = (persons > 0).then(|| {
            view.version(PersonId(1 + self.target % persons))
                .unwrap()
                .unwrap()
        });
        let nobody = Pin::parse("040175999999").unwrap();
        let target = known.as_ref().map_or(nobody, |known| known.pin);
        let command = match self.kind {
            0 | 1 => {
                let given = Pin::parse(&format!("0401750000{:02}", self.pin)).unwrap();
                let pin = match self.pin {
                    0..=2 => Some(given),
                    3 => Some(target),
                    _ => None,
                };
                let death = (self.death < 2 && self.stale).then(|| a_death(self.death));
                Command::RegisterPerson(Box::new(RegisterPerson { data, pin, death }))
            }
            2 | 3 => Command::RegisterBirth(Box::new(RegisterBirth {
                name: data.name,
                birth_date: data
                    .birth_date
                    .day()
                    .unwrap_or_else(|| BirthDate::parse("2026-11-01").unwrap().day().unwrap()),
                sex,
                birth_registration_place: data.birth_registration_place,
                native_place: data.native_place,
                ethnicity: None,
                nationalities: data.nationalities,
                father: None,
                mother: None,
                legal_representative: None,
            })),
            4 => {
                let version = known.as_ref().map_or(1, |known| known.version.get());
                let corrected = match &known {
                    // Most corrections leave alone what the number says.
                    Some(known) if !self.stale => {
                        let mut corrected = known.data.clone();
                        corrected.name = data.name;
                        corrected.cmnd = data.cmnd;
                        corrected.permanent_residence = data.birth_registration_place;
                        corrected
                    }
                    _ => data,
                };
                Command::CorrectPerson(Box::new(CorrectPerson {
                    pin: target,
                    expected_version: VersionNumber(
                        version + u32::from(self.stale && self.pin < 6),
                    ),
                    data: corrected,
                    reason: Text::new("wrongly entered").unwrap(),
                }))
            }
            _ => Command::RecordDeath(Box::new(RecordDeath {
                pin: target,
                death: a_death(self.death),
            })),
        };
        let mut envelope = envelope(self.key, self.salt, command);
        envelope.fingerprint = Fingerprint([u8::from(self.fingerprint == 0); 16]);
        envelope.head.document.number = DocumentNumber::new(&format!("F{}", self.form)).unwrap();
        match self.basis {
            0 => envelope.head.legal_basis = LegalBasis::Collection,
            1..=3 => {
                envelope.head.legal_basis = LegalBasis::CourtDecision;
                if self.basis == 1 {
                    envelope.head.document.kind = DocumentKind::CourtDecision;
                }
            }
            _ => {}
        }
        envelope.actor = match self.who {
            0 => actor("operator@central", Role::Operator),
            1 => actor(
                "registrar@40",
                Role::Registrar {
                    area: AreaCode::parse("40").unwrap(),
                },
            ),
            _ => centre(),
        };
        envelope
    }
}

/// One by one, against the state itself.
fn one_by_one(plans: &[Plan]) -> (MemoryView, Vec<(ApplyContext, Envelope)>, Vec<Transition>) {
    let mut view = MemoryView::new();
    let (mut log, mut transitions) = (Vec::new(), Vec::new());
    for (index, plan) in (1..).zip(plans) {
        let envelope = plan.envelope(&view);
        let time = Timestamp(NOON.get() + plan.hours * 3_600_000);
        let context = ApplyContext {
            position: Position { term: 1, index },
            ordinal: 0,
            time,
        };
        view.absorb(expire(&view, time, 1).unwrap());
        let transition = apply(&view, &context, &envelope).unwrap();
        view.absorb(transition.mutations.clone());
        transitions.push(transition);
        log.push((context, envelope));
    }
    (view, log, transitions)
}

/// In batches of the sizes given, over and over: each against the state before the batch with the batch's changes on top.
fn in_batches(log: &[(ApplyContext, Envelope)], sizes: &[usize]) -> (MemoryView, Vec<Transition>) {
    let mut view = MemoryView::new();
    let mut transitions = Vec::new();
    let (mut rest, mut sizes) = (log, sizes.iter().cycle());
    while !rest.is_empty() {
        let (batch, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        rest = after;
        let mut overlay = OverlayView::new(&view);
        let mut changes = Vec::new();
        for (context, envelope) in batch {
            let dropped = expire(&overlay, context.time, 1).unwrap();
            overlay.absorb(dropped.clone());
            changes.extend(dropped);
            let transition = apply(&overlay, context, envelope).unwrap();
            overlay.absorb(transition.mutations.clone());
            changes.extend(transition.mutations.clone());
            transitions.push(transition);
        }
        view.absorb(changes);
    }
    (view, transitions)
}

/// Every number is one person's for ever.
fn numbers_are_given_once(transitions: &[Transition]) {
    let mut given = BTreeMap::new();
    for mutation in transitions
        .iter()
        .flat_map(|transition| &transition.mutations)
    {
        match mutation {
            Mutation::BindPin { pin, person } => {
                assert!(
                    given.insert(*pin, *person).is_none(),
                    "a number was given twice"
                );
            }
            Mutation::PutVersion(version) => {
                assert_eq!(given.get(&version.pin), Some(&version.person))
            }
            _ => {}
        }
    }
}

/// Persons, versions and events are numbered without gaps; time never goes back; every command left an audit record.
fn counters_are_gapless(view: &MemoryView, commands: usize) {
    let counters = view.counters().unwrap();
    let persons: BTreeSet<u64> = view
        .versions()
        .map(|version| version.person.get())
        .collect();
    assert!(persons.iter().copied().eq(1..=counters.persons));
    assert_eq!(counters.next_person, counters.persons + 1);
    for person in persons {
        let versions: Vec<u32> = view
            .history(PersonId(person))
            .map(|version| version.version.get())
            .collect();
        assert!(
            versions
                .iter()
                .copied()
                .eq(1..=u32::try_from(versions.len()).unwrap())
        );
    }
    assert!(
        view.events()
            .iter()
            .map(|event| event.sequence.get())
            .eq(1..counters.next_event)
    );
    assert_eq!(view.events().len(), view.versions().count());
    assert_eq!(view.audit().len(), commands);
    assert!(
        view.audit()
            .is_sorted_by_key(|record| (record.time, record.position))
    );
    assert_eq!(
        view.audit()
            .last()
            .map_or(Timestamp(0), |record| record.time),
        counters.last_time
    );
}

/// The indexes say about each person what the newest version says, and nothing else.
fn indexes_agree_with_records(view: &MemoryView) {
    let mut cmnds = BTreeMap::new();
    for version in view.versions() {
        let newest = view.version(version.person).unwrap().unwrap();
        assert_eq!(
            view.person_by_pin(&version.pin).unwrap(),
            Some(version.person)
        );
        let key = NameKey::of(&version.data.name, version.data.birth_date);
        let indexed = view.by_name(key).any(|person| person == version.person);
        assert_eq!(
            indexed,
            key == NameKey::of(&newest.data.name, newest.data.birth_date)
        );
        if let Some(cmnd) = version.data.cmnd {
            let holder = cmnds.entry(cmnd).or_insert(None);
            if newest.data.cmnd == Some(cmnd) {
                assert!(
                    holder.is_none_or(|person| person == version.person),
                    "a card number has two holders"
                );
                *holder = Some(version.person);
            }
        }
    }
    for (cmnd, holder) in cmnds {
        assert_eq!(view.person_by_cmnd(&cmnd).unwrap(), holder);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(384))]

    #[test]
    fn any_grouping_gives_the_same_state_and_transitions(
        plans in prop::collection::vec(plan(), 1..100),
        sizes in prop::collection::vec(1..40_usize, 1..6),
    ) {
        let (view, log, transitions) = one_by_one(&plans);
        let (grouped, again) = in_batches(&log, &sizes);
        prop_assert_eq!(&transitions, &again);
        prop_assert!(view == grouped, "the states differ");
        numbers_are_given_once(&transitions);
        counters_are_gapless(&view, plans.len());
        indexes_agree_with_records(&view);
    }
}

/// The plans above are worth something only if they reach every answer.
#[test]
fn random_plans_reach_every_answer_but_an_exhausted_bucket() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut answers = BTreeSet::new();
    for _ in 0..60 {
        let plans = prop::collection::vec(plan(), 80..100)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        for transition in one_by_one(&plans).2 {
            let replayed = transition.outcome.replayed;
            answers.insert(
                transition
                    .outcome
                    .result
                    .map_or_else(|no| no.name(), |_| if replayed { "REPLAYED" } else { "OK" }),
            );
        }
    }
    let expected = [
        "BIRTH_PLACE_UNKNOWN",
        "CMND_ALREADY_REGISTERED",
        "DATE_IN_FUTURE",
        "DEATH_BEFORE_BIRTH",
        "DOCUMENT_MISMATCH",
        "FORM_ALREADY_REGISTERED",
        "IDEMPOTENCY_KEY_REUSED",
        "KEY_AHEAD",
        "LEGAL_BASIS_MISMATCH",
        "NOT_ALLOWED_AT_DECISION",
        "OK",
        "PERSON_ALREADY_DECEASED",
        "PERSON_NOT_FOUND",
        "PIN_ALREADY_REGISTERED",
        "PIN_CONTRADICTS_RECORD",
        "PIN_REESTABLISHMENT_REQUIRED",
        "REPLAYED",
        "VERSION_CONFLICT",
    ];
    assert_eq!(answers.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn births_with_equal_salts_in_one_batch_never_share_a_number() {
    let view = MemoryView::new();
    let mut overlay = OverlayView::new(&view);
    let mut numbers = BTreeSet::new();
    // More than the tries of the salted sequence, so that the scan is reached too.
    for number in 0..200_u32 {
        let data = person("Trần Thị Lan", "2026-11-20", Sex::Female, &province("40"));
        let envelope = registration(u64::from(number), 5, data);
        let transition = apply(&overlay, &context(1, number), &envelope).unwrap();
        assert!(numbers.insert(transition.outcome.result.unwrap().pin));
        overlay.absorb(transition.mutations);
    }
    assert_eq!(numbers.len(), 200);
    assert_eq!(view, MemoryView::new());
    assert_eq!(
        overlay
            .outcome(&centre().principal, &key(199))
            .unwrap()
            .unwrap()
            .verdict,
        Verdict::Accepted {
            person: PersonId(200),
            version: VersionNumber(1),
        }
    );
}
