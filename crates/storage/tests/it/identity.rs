//! A data directory belongs to one cluster, one node and one process.

use std::fs;
use std::path::Path;

use banyan_storage::{FORMAT_VERSION, FirstStart, Identity, IdentityError, OpenError, Stores};

use crate::fixture::{append, identity, open, open_again, options, try_open};
use crate::workload::Workload;

fn open_as(directory: &Path, identity: &Identity) -> Result<Stores, OpenError> {
    Stores::open(directory, identity, FirstStart::Permitted, &options())
}

#[test]
fn another_cluster_or_node_is_refused_with_both_names() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let other = Identity {
        cluster: "other".to_owned(),
        ..identity()
    };
    let error = open_as(directory.path(), &other).unwrap_err();
    assert!(matches!(
        error,
        OpenError::Identity(IdentityError::Cluster { .. })
    ));
    assert!(
        error.to_string().contains("\"test\"") && error.to_string().contains("\"other\""),
        "{error}"
    );
    let other = Identity {
        node: 2,
        ..identity()
    };
    let error = open_as(directory.path(), &other).unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::Identity(IdentityError::Node {
                found: 1,
                configured: 2,
                ..
            })
        ),
        "{error}"
    );
    drop(open(directory.path()));
}

#[test]
fn another_format_is_refused_older_or_newer() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let file = directory.path().join("identity.json");
    let own = fs::read_to_string(&file).unwrap();
    for format in [FORMAT_VERSION - 1, FORMAT_VERSION + 1] {
        let line = format!("\"format\": {FORMAT_VERSION}");
        let other = own.replace(&line, &format!("\"format\": {format}"));
        assert_ne!(own, other);
        fs::write(&file, &other).unwrap();
        let error = try_open(directory.path()).unwrap_err();
        assert!(
            matches!(
                error,
                OpenError::Identity(IdentityError::Format { found, .. }) if found == format
            ),
            "{error}"
        );
        let (found, expected) = (
            format!("format {format},"),
            format!("format {FORMAT_VERSION}"),
        );
        let text = error.to_string();
        assert!(text.contains(&found) && text.ends_with(&expected), "{text}");
        // Nothing was changed: the program of that format still opens it.
        assert_eq!(fs::read_to_string(&file).unwrap(), other);
    }
    fs::write(&file, &own).unwrap();
    drop(open(directory.path()));
}

#[test]
fn a_directory_that_lost_its_identity_is_not_taken_for_an_empty_one() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    fs::remove_file(directory.path().join("identity.json")).unwrap();
    let error = try_open(directory.path()).unwrap_err();
    assert!(
        matches!(error, OpenError::Identity(IdentityError::Missing { .. })),
        "{error}"
    );
    assert!(directory.path().join("state/CURRENT").exists());
}

#[test]
fn an_empty_directory_is_formed_only_where_that_is_permitted() {
    let directory = tempfile::tempdir().unwrap();
    let gone = directory.path().join("not/there");
    for path in [directory.path(), &gone] {
        let error = open_again(path).unwrap_err();
        assert!(
            matches!(error, OpenError::Identity(IdentityError::NotFormed { .. })),
            "{error}"
        );
    }
    assert!(!gone.exists(), "a refused start makes nothing");
    drop(open(&gone));
    // Ever after without, and a first start that is repeated does no harm.
    append(&open_again(&gone).unwrap(), &[Workload::new(1).entry(1).0]);
    assert_eq!(open(&gone).log.bounds().last, Some(1));
    assert_eq!(open_again(&gone).unwrap().log.bounds().last, Some(1));
}

#[test]
fn a_directory_that_was_wiped_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    append(&open(&path), &[Workload::new(1).entry(1).0]);
    fs::remove_dir_all(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = open_again(&path).unwrap_err();
    assert!(
        matches!(error, OpenError::Identity(IdentityError::NotFormed { .. })),
        "{error}"
    );
    assert!(!path.join("log").exists() && !path.join("identity.json").exists());
}

#[test]
fn a_first_start_that_broke_off_is_completed_by_a_first_start_only() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    fs::remove_file(directory.path().join("identity.json")).unwrap();
    fs::write(directory.path().join("identity.forming"), b"").unwrap();
    let error = open_again(directory.path()).unwrap_err();
    assert!(
        matches!(error, OpenError::Identity(IdentityError::Unfinished { .. })),
        "{error}"
    );
    assert!(directory.path().join("identity.forming").exists());
    drop(open(directory.path()));
    assert!(directory.path().join("identity.json").exists());
    assert!(!directory.path().join("identity.forming").exists());
    drop(open_again(directory.path()).unwrap());
}

#[test]
fn the_marker_of_a_first_start_does_not_outlive_it() {
    let directory = tempfile::tempdir().unwrap();
    append(&open(directory.path()), &[Workload::new(1).entry(1).0]);
    // As after a crash between the identity and the removal of the marker.
    fs::write(directory.path().join("identity.forming"), b"").unwrap();
    drop(open_again(directory.path()).unwrap());
    assert!(!directory.path().join("identity.forming").exists());
    // Were it still there, the loss of the identity would now cost the data.
    fs::remove_file(directory.path().join("identity.json")).unwrap();
    assert!(matches!(
        try_open(directory.path()).unwrap_err(),
        OpenError::Identity(IdentityError::Missing { .. })
    ));
    assert!(directory.path().join("log/CURRENT").exists());
}

#[test]
fn a_formed_directory_without_its_log_is_refused() {
    type Wreck = (&'static str, fn(&Path));
    let wreck: [Wreck; 4] = [
        ("log and mark are gone", |path| {
            fs::remove_dir_all(path.join("log")).unwrap();
            fs::remove_file(path.join("log.watermark")).unwrap();
        }),
        ("the log is gone", |path| {
            fs::remove_dir_all(path.join("log")).unwrap()
        }),
        ("the log is empty", |path| {
            fs::remove_dir_all(path.join("log")).unwrap();
            fs::create_dir(path.join("log")).unwrap();
        }),
        ("the mark is gone", |path| {
            fs::remove_file(path.join("log.watermark")).unwrap()
        }),
    ];
    for (what, wreck) in wreck {
        let directory = tempfile::tempdir().unwrap();
        append(&open(directory.path()), &[Workload::new(1).entry(1).0]);
        wreck(directory.path());
        for first_start in [FirstStart::Refused, FirstStart::Permitted] {
            let error =
                Stores::open(directory.path(), &identity(), first_start, &options()).unwrap_err();
            assert!(
                matches!(error, OpenError::LogGone { .. }),
                "{what}: {error}"
            );
        }
    }
}

#[test]
fn a_log_that_was_replaced_by_a_new_one_is_refused() {
    let one = tempfile::tempdir().unwrap();
    drop(open(one.path()));
    // A RocksDB that nobody ever wrote a group to, and no mark that would know better.
    let log = one.path().join("log");
    fs::remove_dir_all(&log).unwrap();
    fs::write(one.path().join("log.watermark"), b"").unwrap();
    drop(rocksdb::DB::open_default(&log).unwrap());
    assert!(matches!(
        open_again(one.path()).unwrap_err(),
        OpenError::LogGone { .. }
    ));
}

#[test]
fn a_formed_directory_without_its_journal_is_refused() {
    for empty in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let journal = directory.path().join("journal");
        let stores = open(directory.path());
        let appended = stores.journal.append_access(vec![1]).wait();
        assert_eq!(appended.unwrap(), 1);
        drop(stores);
        fs::remove_dir_all(&journal).unwrap();
        if empty {
            fs::create_dir(&journal).unwrap();
        }
        for first_start in [FirstStart::Refused, FirstStart::Permitted] {
            let error =
                Stores::open(directory.path(), &identity(), first_start, &options()).unwrap_err();
            assert!(matches!(error, OpenError::JournalGone { .. }), "{error}");
        }
        assert!(!journal.join("CURRENT").exists(), "none was made");
    }
}

#[test]
fn a_state_without_its_pointer_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    fs::remove_file(directory.path().join("state/CURRENT")).unwrap();
    assert!(matches!(
        try_open(directory.path()).unwrap_err(),
        OpenError::Damaged(_)
    ));
    assert!(directory.path().join("state/1").exists());
}

#[test]
fn a_second_opener_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path());
    assert!(matches!(
        try_open(directory.path()).unwrap_err(),
        OpenError::Locked { .. }
    ));
    drop(first);
    drop(open(directory.path()));
}
