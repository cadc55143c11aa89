//! The journal: synced before it answers, in order, never past its budget.

use std::fs;
use std::path::Path;

use banyan_storage::{AppendError, OpenError, Pending, StoreOptions, Stores};
use rocksdb::{DB, Options};

use crate::fixture::{open, open_again, open_with, options};

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
fn past_the_budget_records_are_refused_and_none_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let small = StoreOptions {
        journal_budget_bytes: 10_000,
        ..options()
    };
    {
        let stores = open_with(directory.path(), &small).unwrap();
        for sequence in 1..=99 {
            assert_eq!(append(&stores, 100).unwrap(), sequence);
        }
        // One that does not fit does not stop one that does.
        let full = append(&stores, 101).unwrap_err();
        assert!(
            matches!(
                full,
                AppendError::Full {
                    record: 101,
                    used: 9_900,
                    budget: 10_000
                }
            ),
            "{full}"
        );
        assert_eq!(append(&stores, 100).unwrap(), 100);
        assert!(append(&stores, 1).is_err());
        let metrics = stores.journal.metrics();
        assert_eq!((metrics.records, metrics.bytes), (100, 10_000));
        assert_eq!((metrics.refused, metrics.dropped), (2, 0));
        assert_eq!(metrics.budget_bytes, 10_000);
        assert!(stores.fault().get().is_none(), "a full journal is no fault");
        assert_eq!(stores.journal.read_access(0, 1_000).unwrap().len(), 100);
    }
    let stores = open_with(directory.path(), &small).unwrap();
    assert!(append(&stores, 100).is_err(), "still full");
    drop(stores);
    let larger = StoreOptions {
        journal_budget_bytes: 20_000,
        ..options()
    };
    let stores = open_with(directory.path(), &larger).unwrap();
    assert_eq!(append(&stores, 100).unwrap(), 101);
    let records = stores.journal.read_access(0, 1_000).unwrap();
    let sequences: Vec<u64> = records.iter().map(|record| record.sequence).collect();
    assert_eq!(sequences, (1..=101).collect::<Vec<u64>>());
}

#[test]
fn of_a_group_only_what_fits_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        journal_budget_bytes: 1_000,
        ..options()
    };
    let stores = open_with(directory.path(), &options).unwrap();
    let pending: Vec<_> = (0..50)
        .map(|_| stores.journal.append_access(vec![7; 100]))
        .collect();
    let answers: Vec<_> = pending.into_iter().map(Pending::wait).collect();
    let taken: Vec<u64> = answers.into_iter().flatten().collect();
    assert_eq!(taken, (1..=10).collect::<Vec<u64>>());
    assert_eq!(stores.journal.metrics().records, 10);
}

/// A journal of the time before markers had a family of their own.
#[test]
fn a_journal_with_its_totals_among_the_records_goes_on_where_it_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let stores = open(directory.path());
    for sequence in 1..=3 {
        assert_eq!(append(&stores, 10).unwrap(), sequence);
    }
    drop(stores);
    {
        let families = ["default", "markers"];
        let path = directory.path().join("journal");
        let mut db = DB::open_cf(&Options::default(), path, families).unwrap();
        let totals_key = [0x01, 1];
        let totals = db.get_cf(db.cf_handle("markers").unwrap(), totals_key);
        db.put(totals_key, totals.unwrap().unwrap()).unwrap();
        db.drop_cf("markers").unwrap();
    }
    let stores = open(directory.path());
    assert_eq!(append(&stores, 10).unwrap(), 4);
    assert_eq!(stores.journal.read_access(0, 10).unwrap().len(), 4);
    drop(stores);
    assert_eq!(append(&open(directory.path()), 10).unwrap(), 5);
}

#[test]
fn a_journal_whose_totals_and_records_disagree_is_refused() {
    type Damage = (&'static str, fn(&DB));
    const TOTALS: [u8; 2] = [0x01, 1];
    let damages: [Damage; 2] = [
        ("no record is the newest, but record 3 is", |db| {
            db.delete_cf(db.cf_handle("markers").unwrap(), TOTALS)
                .unwrap();
        }),
        ("record 3 is the newest, but record 2 is", |db| {
            let mut newest = [2; 9];
            newest[1..].copy_from_slice(&3_u64.to_be_bytes());
            db.delete(newest).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let directory = tempfile::tempdir().unwrap();
        let stores = open(directory.path());
        for sequence in 1..=3 {
            assert_eq!(append(&stores, 10).unwrap(), sequence);
        }
        drop(stores);
        // As of a release that kept no mark, which would know better than the totals.
        fs::remove_file(directory.path().join("journal.watermark")).unwrap();
        drop(open_again(directory.path()).unwrap());
        fs::remove_file(directory.path().join("journal.watermark")).unwrap();
        let path = directory.path().join("journal");
        let db = DB::open_cf(&Options::default(), path, ["default", "markers"]).unwrap();
        damage(&db);
        drop(db);
        let error = open_again(directory.path()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged(_)), "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn a_journal_that_lost_synced_records_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("journal");
    let older = directory.path().join("older");
    drop(open(directory.path()));
    copy(&journal, &older);
    for (known, appended) in [(0, 3), (3, 6)] {
        let stores = open_again(directory.path()).unwrap();
        for sequence in known + 1..=appended {
            assert_eq!(append(&stores, 10).unwrap(), sequence);
        }
        drop(stores);
        let newest = directory.path().join("newest");
        fs::rename(&journal, &newest).unwrap();
        fs::rename(&older, &journal).unwrap();
        let error = open_again(directory.path()).unwrap_err();
        assert!(
            matches!(error, OpenError::AccessRecordsLost { found, synced }
                if (found, synced) == (known, appended)),
            "{error}"
        );
        // The right one is taken again.
        fs::remove_dir_all(&journal).unwrap();
        fs::rename(&newest, &journal).unwrap();
        copy(&journal, &older);
    }
}

/// Copies the files of a directory into a new one.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn append(stores: &Stores, bytes: usize) -> Result<u64, AppendError> {
    stores.journal.append_access(vec![7; bytes]).wait()
}
