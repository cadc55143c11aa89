//! Raw values: stored beside everything else in the same batches, the newest under a key, there after a restart.

use banyan_domain::Position;
use banyan_storage::{EntryKind, RawValue, StateEntry, StoreOptions, schema};

use crate::fixture::{append, open, open_with, options, run};
use crate::workload::Workload;

fn value(key: &str, byte: u8) -> RawValue {
    RawValue {
        key: key.to_owned().into(),
        value: vec![byte; 600].into(),
    }
}

/// Puts values where a digest mark, a blank entry or a membership would stand.
fn with_values(entry: StateEntry, values: Vec<RawValue>) -> StateEntry {
    StateEntry {
        kind: EntryKind::Values(values),
        ..entry
    }
}

/// Entries of commands with values between them. The values of each replace one of those before.
fn entries() -> Vec<StateEntry> {
    let mut workload = Workload::new(7);
    (1..=20_u8)
        .map(|number| {
            let entry = workload.entry(2).0;
            if number % 3 != 0 {
                return entry;
            }
            let own = format!("own-{number}");
            with_values(
                entry,
                vec![
                    value("shared", 0),
                    value(&own, number),
                    value("shared", number),
                ],
            )
        })
        .collect()
}

#[test]
fn the_newest_value_of_each_key_is_there_after_any_grouping_and_restart() {
    let entries = entries();
    let mut digests = Vec::new();
    for group in [1, 4, 2_000] {
        let directory = tempfile::tempdir().unwrap();
        let options = StoreOptions {
            apply_group_commands: group,
            ..options()
        };
        {
            let stores = open_with(directory.path(), &options).unwrap();
            append(&stores, &entries);
            let (before, after) = entries.split_at(9);
            for part in [before, after] {
                let results = stores.state.apply(part.to_vec()).wait().unwrap();
                for (entry, result) in part.iter().zip(&results) {
                    assert_eq!(entry.position, result.position);
                    let values = matches!(entry.kind, EntryKind::Values(_));
                    assert!(!values || result.outcomes.is_empty());
                }
            }
        }
        let stores = open(directory.path());
        assert_eq!(
            stores.state.applied().unwrap().position,
            entries.last().unwrap().position
        );
        let view = stores.state.view().unwrap();
        let stored = |key: &str| view.raw_value(key.as_bytes()).unwrap();
        assert_eq!(stored("shared"), Some(vec![18; 600].into()));
        assert_eq!(stored("own-3"), Some(vec![3; 600].into()));
        assert_eq!(stored("own-18"), Some(vec![18; 600].into()));
        assert_eq!(stored("own-1"), None);
        assert_eq!(stored("own-"), None, "a key is no prefix");
        digests.push(stores.state.digest_now().unwrap());
    }
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[0], digests[2]);
}

#[test]
fn a_value_moves_neither_the_replicated_time_nor_the_registry() {
    let directory = tempfile::tempdir().unwrap();
    let stores = open(directory.path());
    let commands = Workload::new(3).entry(4).0;
    run(&stores, std::slice::from_ref(&commands));
    let before = stores.state.applied().unwrap();
    let counters = |stores: &banyan_storage::Stores| {
        let view = stores.state.view().unwrap();
        banyan_domain::View::counters(&view).unwrap()
    };
    let counted = counters(&stores);
    let next = StateEntry {
        position: Position {
            index: commands.position.index + 1,
            ..commands.position
        },
        kind: EntryKind::Values(vec![value("k", 1)]),
    };
    run(&stores, &[next]);
    let after = stores.state.applied().unwrap();
    assert_eq!(after.position.index, before.position.index + 1);
    assert_eq!(after.time, before.time);
    assert_eq!(counters(&stores), counted);
}

#[test]
fn keys_stand_under_their_tag_as_they_are() {
    assert_eq!(schema::raw_value_key(b"k"), [0x2f, b'k']);
}
