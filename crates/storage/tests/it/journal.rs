//! The journal: synced before it answers, in order, within its budget.

use banyan_storage::{StoreOptions, Stores};

use crate::fixture::{identity, open, options};

#[test]
fn records_are_numbered_kept_and_read_back() {
    let directory = tempfile::tempdir().unwrap();
    {
        let stores = open(directory.path());
        let pending: Vec<_> = (0..100_u64)
            .map(|number| stores.journal.append_access(number.to_be_bytes().to_vec()))
            .collect();
        for (sequence, pending) in (1..).zip(pending) {
            assert_eq!(pending.wait().unwrap(), sequence);
        }
        assert!(
            stores.journal.metrics().sync.count < 100,
            "synced in groups"
        );
    }
    let stores = open(directory.path());
    let records = stores.journal.read_access(0, 1_000).unwrap();
    assert_eq!(records.len(), 100);
    for (number, record) in (0_u64..).zip(&records) {
        assert_eq!(
            (record.sequence, record.bytes.as_ref()),
            (number + 1, &number.to_be_bytes()[..])
        );
    }
    assert_eq!(stores.journal.read_access(91, 5).unwrap()[0].sequence, 91);
    assert_eq!(stores.journal.append_access(vec![]).wait().unwrap(), 101);
}

#[test]
fn beyond_the_budget_the_oldest_go_and_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        journal_budget_bytes: 10_000,
        ..options()
    };
    {
        let stores = Stores::open(directory.path(), &identity(), &options).unwrap();
        for _ in 0..300 {
            stores.journal.append_access(vec![7; 100]).wait().unwrap();
        }
        let metrics = stores.journal.metrics();
        assert!(metrics.bytes <= 10_000, "{metrics:?}");
        assert_eq!(metrics.records + metrics.dropped, 300);
        assert_eq!(metrics.bytes, metrics.records * 100);
    }
    let stores = Stores::open(directory.path(), &identity(), &options).unwrap();
    let metrics = stores.journal.metrics();
    let records = stores.journal.read_access(0, 1_000).unwrap();
    assert_eq!(records.len() as u64, metrics.records);
    assert_eq!(records.last().unwrap().sequence, 300);
    assert_eq!(records[0].sequence, metrics.dropped + 1);
}
