//! A data directory belongs to one cluster, one node and one process.

use std::fs;

use banyan_storage::{Identity, IdentityError, OpenError, Stores};

use crate::fixture::{identity, open, options, try_open};

#[test]
fn another_cluster_or_node_is_refused_with_both_names() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let other = Identity {
        cluster: "other".to_owned(),
        ..identity()
    };
    let error = Stores::open(directory.path(), &other, &options()).unwrap_err();
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
    let error = Stores::open(directory.path(), &other, &options()).unwrap_err();
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
fn another_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let file = directory.path().join("identity.json");
    let text = fs::read_to_string(&file)
        .unwrap()
        .replace("\"format\": 1", "\"format\": 2");
    fs::write(&file, text).unwrap();
    let error = try_open(directory.path()).unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::Identity(IdentityError::Format { found: 2, .. })
        ),
        "{error}"
    );
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
fn a_first_start_that_broke_off_is_begun_again() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    fs::remove_file(directory.path().join("identity.json")).unwrap();
    fs::write(directory.path().join("identity.forming"), b"").unwrap();
    drop(open(directory.path()));
    assert!(directory.path().join("identity.json").exists());
    assert!(!directory.path().join("identity.forming").exists());
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
