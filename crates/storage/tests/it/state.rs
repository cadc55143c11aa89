//! The state store against the domain's reference model: any grouping, flushing and restarting gives the same.

use std::time::{Duration, Instant};

use banyan_domain::{
    BirthDate, EventSequence, IdempotencyKey, NameKey, PersonId, PersonVersion, Pin, PinBucket,
    PinPage, Position, ProvinceCode, Sex, Timestamp, VersionNumber, View,
};
use banyan_storage::{DigestState, EntryKind, ReadView, StateEntry, StoreOptions, Stores};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::fixture::{append, open, open_with, options, run};
use crate::workload::Workload;

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_grouping_of_a_log_gives_the_model_and_one_digest(seed in any::<u64>()) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut workload = Workload::new(seed);
        let mut entries = Vec::new();
        let mut expected = Vec::new();
        for _ in 0..60 {
            let commands = rng.random_range(1..6);
            let (entry, outcomes) = workload.entry(commands);
            entries.push(entry);
            expected.push(outcomes);
        }
        let mut digests = Vec::new();
        for group in [1, 7, 10_000] {
            let directory = tempfile::tempdir().unwrap();
            let options = StoreOptions { apply_group_commands: group, ..options() };
            let mut stores = open_with(directory.path(), &options).unwrap();
            append(&stores, &entries);
            let mut outcomes = Vec::new();
            let mut rest = &entries[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rng.random_range(1..=rest.len().min(group)));
                rest = later;
                let results = stores.state.apply(now.to_vec()).wait().unwrap();
                outcomes.extend(results.into_iter().map(|result| result.outcomes));
                match rng.random_range(0..6) {
                    0 => drop(stores.state.flush().wait().unwrap()),
                    1 => {
                        drop(stores);
                        stores = open_with(directory.path(), &options).unwrap();
                        // Closing wrote everything that was applied.
                        prop_assert_eq!(stores.state.applied().unwrap().position, now.last().unwrap().position);
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(&outcomes, &expected);
            compare(&stores.state.view().unwrap(), &workload);
            digests.push(stores.state.digest_now().unwrap());
        }
        prop_assert_eq!(digests[0], digests[1]);
        prop_assert_eq!(digests[0], digests[2]);
    }
}

fn history_after(view: &ReadView, person: PersonId, after: u32) -> Vec<PersonVersion> {
    let mut versions = Vec::new();
    let visit = |version| {
        versions.push(version);
        true
    };
    view.visit_history(person, VersionNumber(after), visit)
        .unwrap();
    versions
}

/// Every person of the model, by every way to it.
fn compare_persons(view: &ReadView, workload: &Workload, next_person: u64) {
    let model = &workload.model;
    for person in (1..next_person).map(PersonId) {
        let history: Vec<_> = model.history(person).cloned().collect();
        assert_eq!(history_after(view, person, 0), history);
        for (after, rest) in [(1, &history[1..]), (u32::MAX - 1, &[]), (u32::MAX, &[])] {
            assert_eq!(history_after(view, person, after), rest);
        }
        let newest = model.version(person).unwrap().unwrap();
        assert_eq!(view.version(person).unwrap().as_ref(), Some(&newest));
        assert_eq!(
            view.version_at(person, newest.version).unwrap().as_ref(),
            Some(&newest)
        );
        assert_eq!(
            view.get_by_pin(&newest.pin).unwrap().as_ref(),
            Some(&newest)
        );
        if let Some(cmnd) = &newest.data.cmnd {
            assert_eq!(view.get_by_cmnd(cmnd).unwrap().as_ref(), Some(&newest));
        }
        let key = NameKey::of(&newest.data.name, newest.data.birth_date);
        let namesakes: Vec<_> = model.by_name(key).collect();
        let found = view
            .find(&newest.data.name, newest.data.birth_date, 1_000)
            .unwrap();
        assert!(!found.more);
        assert_eq!(
            found
                .persons
                .iter()
                .map(|version| version.person)
                .collect::<Vec<_>>(),
            namesakes
        );
    }
}

/// Everything that the model knows must be in the store, and nothing else.
fn compare(view: &ReadView, workload: &Workload) {
    let model = &workload.model;
    let counters = model.counters().unwrap();
    assert_eq!(view.counters().unwrap(), counters);
    assert_eq!(view.count_persons().unwrap(), counters.persons);
    assert_eq!(
        view.events_from(EventSequence(0), usize::MAX).unwrap(),
        model.events()
    );
    assert_eq!(view.audit_from(0, 0, usize::MAX).unwrap(), model.audit());
    compare_persons(view, workload, counters.next_person);
    let mut pins = 0;
    let mut used = std::collections::BTreeMap::new();
    view.visit_pins(|pin, person| {
        assert_eq!(model.person_by_pin(&pin)?, Some(person));
        pins += 1;
        *used.entry(PinPage::of(&pin)).or_insert(0) += 1;
        Ok(())
    })
    .unwrap();
    for (page, used) in used {
        assert_eq!(view.used_in_page(&page).unwrap(), used);
        assert_eq!(view.full_pages(&page.bucket()).unwrap(), 0);
        for other in page.others() {
            assert_eq!(view.used_in_page(&other), model.used_in_page(&other));
        }
    }
    assert!(pins >= counters.persons);
    let mut outcomes = Vec::new();
    view.visit_outcomes(|key, principal, stored| {
        outcomes.push((key, principal, stored));
        Ok(())
    })
    .unwrap();
    assert_eq!(outcomes.len() as u64, counters.keys);
    let expected: Vec<_> = model
        .outcomes()
        .map(|(key, principal, stored)| (key, principal.clone(), stored.clone()))
        .collect();
    assert!(outcomes == expected, "stored outcomes differ");
    for (from, until) in [(0, i64::MAX), (0, 0), (0, counters.last_time.get())] {
        let from = IdempotencyKey::new(Timestamp(from), [0; 10]);
        for count_max in [0, 1, 7, usize::MAX] {
            assert_eq!(
                view.stored_keys(from, Timestamp(until), count_max),
                model.stored_keys(from, Timestamp(until), count_max)
            );
        }
    }
}

#[test]
fn bucket_is_scanned_like_the_model() {
    let directory = tempfile::tempdir().unwrap();
    let stores = open(directory.path());
    let mut workload = Workload::new(99);
    let entries: Vec<_> = (0..200).map(|_| workload.entry(5).0).collect();
    run(&stores, &entries);
    let view = stores.state.view().unwrap();
    let mut buckets = std::collections::BTreeSet::new();
    view.visit_pins(|pin, _| {
        buckets.insert(format!("{:?}", pin.bucket().digits()));
        let (bucket, serial) = (pin.bucket(), pin.serial());
        for from in [0, serial, serial.saturating_sub(3), 999_999] {
            for until in [from, from + 1, (from + 5).min(1_000_000), 1_000_000] {
                assert_eq!(
                    view.first_free_serial(&bucket, from..until)?,
                    workload.model.first_free_serial(&bucket, from..until)?,
                    "from {from} until {until}"
                );
            }
        }
        Ok(())
    })
    .unwrap();
    assert!(buckets.len() > 10);
}

#[test]
fn a_page_that_becomes_full_is_counted_and_passed() {
    let directory = tempfile::tempdir().unwrap();
    let stores = open(directory.path());
    let mut workload = Workload::new(3);
    let (province, born) = (
        ProvinceCode::new("40").unwrap(),
        BirthDate::parse("1975").unwrap(),
    );
    let bucket = PinBucket::for_person(province, born, Sex::Female).unwrap();
    let page = PinPage::holding(bucket, 999_999);
    let pins = page.serials().map(|serial| Pin::in_bucket(bucket, serial));
    let (entry, outcomes) = workload.forms_with_numbers(born, Sex::Female, pins);
    assert!(outcomes.iter().all(|outcome| outcome.result.is_ok()));
    run(&stores, &[entry]);
    let view = stores.state.view().unwrap();
    assert_eq!(view.used_in_page(&page).unwrap(), page.capacity());
    assert_eq!(view.full_pages(&bucket).unwrap(), 1);
    assert_eq!(
        view.first_free_serial(&bucket, page.serials()).unwrap(),
        None
    );
    assert_eq!(view.counters().unwrap(), workload.model.counters().unwrap());
}

#[test]
fn a_view_sees_one_moment_whatever_is_applied_after() {
    let directory = tempfile::tempdir().unwrap();
    let stores = open(directory.path());
    let mut workload = Workload::new(5);
    let before: Vec<_> = (0..20).map(|_| workload.entry(4).0).collect();
    run(&stores, &before);
    let view = stores.state.view().unwrap();
    let digest = view.digest().unwrap();
    let after: Vec<_> = (0..20).map(|_| workload.entry(4).0).collect();
    run(&stores, &after);
    assert_eq!(view.applied().unwrap().unwrap().position.index, 20);
    assert_eq!(view.digest().unwrap(), digest);
    assert_ne!(stores.state.digest_now().unwrap(), digest);
}

#[test]
fn two_nodes_agree_at_every_mark_however_they_group_and_flush() {
    let mut workload = Workload::new(11);
    let mut entries: Vec<_> = (0..120).map(|_| workload.entry(3).0).collect();
    for entry in &mut entries {
        if entry.position.index % 10 == 0 {
            entry.kind = EntryKind::DigestMark;
        }
    }
    let marks: Vec<u64> = entries
        .iter()
        .filter(|entry| matches!(entry.kind, EntryKind::DigestMark))
        .map(|entry| entry.position.index)
        .collect();
    let marks = &marks[marks.len() - 8..];
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two) = (open(one.path()), open(two.path()));
    append(&one, &entries);
    append(&two, &entries);
    assert_eq!(
        one.state.digest(marks[0]),
        DigestState::Pending,
        "not reached yet"
    );
    for entry in &entries {
        one.state.apply(vec![entry.clone()]).wait().unwrap();
        while matches!(one.state.digest(entry.position.index), DigestState::Pending) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if entry.position.index % 37 == 0 {
            one.state.flush().wait().unwrap();
        }
    }
    for chunk in entries.chunks(40) {
        two.state.apply(chunk.to_vec()).wait().unwrap();
        await_digests(&two);
    }
    let mut ready = 0;
    for mark in marks {
        let digests = (one.state.digest(*mark), two.state.digest(*mark));
        match &digests {
            (DigestState::Ready { .. }, DigestState::Ready { .. }) => {
                assert_eq!(digests.0, digests.1, "at {mark}");
                ready += 1;
            }
            // More marks at once than may wait to be hashed: unknown, never equal.
            (DigestState::Ready { .. }, DigestState::Unknown(_)) => {}
            other => panic!("at {mark}: {other:?}"),
        }
    }
    assert!(ready >= 3, "{ready}");
    // A position that is no mark.
    assert!(matches!(
        one.state.digest(marks[0] + 1),
        DigestState::Unknown(_)
    ));
}

fn await_digests(stores: &Stores) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let last = stores.state.applied().unwrap().position.index;
    while (1..=last).any(|index| stores.state.digest(index) == DigestState::Pending) {
        assert!(Instant::now() < deadline, "digests are not done in time");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_mark_before_a_restart_is_unknown_unless_it_is_applied_again() {
    let directory = tempfile::tempdir().unwrap();
    let entries: Vec<_> = (1..=3)
        .map(|index| StateEntry {
            position: Position { term: 1, index },
            kind: EntryKind::DigestMark,
        })
        .collect();
    {
        let stores = open(directory.path());
        run(&stores, &entries);
        await_digests(&stores);
        assert!(matches!(stores.state.digest(2), DigestState::Ready { .. }));
    }
    let stores = open(directory.path());
    assert_eq!(stores.state.applied().unwrap().position.index, 3);
    assert!(matches!(stores.state.digest(2), DigestState::Unknown(_)));
}

#[test]
fn apply_waits_until_the_log_is_durable_through_the_entry() {
    // A cluster's first entry has index 0: an empty log is not durable through it.
    for index in [0, 1] {
        let directory = tempfile::tempdir().unwrap();
        let stores = open(directory.path());
        let entry = StateEntry {
            position: Position { term: 1, index },
            kind: EntryKind::Blank,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let mut applied = Box::pin(stores.state.apply(vec![entry.clone()]));
        let early = runtime.block_on(async {
            tokio::time::timeout(Duration::from_millis(100), &mut applied).await
        });
        assert!(early.is_err(), "entry {index} is not in the log");
        assert_eq!(stores.state.applied(), None);
        append(&stores, &[entry]);
        runtime.block_on(applied).unwrap();
        assert_eq!(stores.state.applied().unwrap().position.index, index);
    }
}

#[test]
fn whoever_waits_for_an_entry_is_woken_by_a_fault() {
    let directory = tempfile::tempdir().unwrap();
    let stores = open(directory.path());
    let blank = |index| StateEntry {
        position: Position { term: 1, index },
        kind: EntryKind::Blank,
    };
    run(&stores, &[blank(1)]);
    append(&stores, &[blank(2), blank(3)]);
    let waiting = std::thread::spawn({
        let stores = stores.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap();
            let patience = Duration::from_secs(10);
            let log = stores.log.durable();
            runtime.block_on(async {
                let applied = tokio::time::timeout(patience, stores.state.reached(9)).await;
                let durable = tokio::time::timeout(patience, log.reached(9)).await;
                (applied, durable)
            })
        }
    });
    std::thread::sleep(Duration::from_millis(200));
    let fault = stores.state.apply(vec![blank(3)]).wait().unwrap_err();
    let (applied, durable) = waiting.join().unwrap();
    for woken in [applied, durable] {
        let error = woken.expect("the waiter is woken").unwrap_err();
        assert_eq!(error.cause, fault.cause);
    }
}

#[test]
fn an_entry_out_of_order_is_a_fault_that_stays() {
    let directory = tempfile::tempdir().unwrap();
    let stores = open(directory.path());
    let blank = |index| StateEntry {
        position: Position { term: 1, index },
        kind: EntryKind::Blank,
    };
    run(&stores, &[blank(1)]);
    append(&stores, &[blank(2), blank(3)]);
    let fault = stores.state.apply(vec![blank(3)]).wait().unwrap_err();
    assert_eq!(fault.store, "state");
    assert!(
        stores.state.apply(vec![blank(2)]).wait().is_err(),
        "even the right entry is refused now"
    );
    assert!(stores.state.view().is_err());
    let (done, _) = crate::fixture::done();
    assert!(
        stores
            .log
            .append(vec![crate::fixture::record(4, 1)], done)
            .is_err(),
        "and so does the log"
    );
    assert!(stores.journal.append_access(vec![1]).wait().is_err());
    assert!(stores.fault().get().is_some());
}

#[test]
fn closing_does_not_wait_for_entries_that_never_come() {
    let directory = tempfile::tempdir().unwrap();
    let stores = open(directory.path());
    let entry = StateEntry {
        position: Position { term: 1, index: 1 },
        kind: EntryKind::Blank,
    };
    let pending = stores.state.apply(vec![entry]);
    drop(stores);
    assert!(pending.wait().is_err());
    assert_eq!(open(directory.path()).state.applied(), None);
}
