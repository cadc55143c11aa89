//! Checkpoints and their installation: whole or not at all, whatever happens in between.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use banyan_domain::Position;
use banyan_storage::{
    Applied, Checkpoint, CheckpointFile, CheckpointManifest, EntryKind, FORMAT_VERSION, Incoming,
    InstallError, InstallStep, OpenError, StateEntry, StoreOptions, Stores, VerifyError,
};

use crate::crash::spawn;
use crate::fixture::{open, open_with, options, run, try_open};
use crate::workload::Workload;

const STEPS: [(&str, InstallStep); 6] = [
    ("verified", InstallStep::Verified),
    ("log-durable", InstallStep::LogDurable),
    ("moved", InstallStep::Moved),
    ("opened", InstallStep::Opened),
    ("switched", InstallStep::Switched),
    ("swapped", InstallStep::Swapped),
];

/// A donor with 120 entries and a checkpoint of them.
fn donor(directory: &Path) -> (Stores, Checkpoint) {
    let stores = open(directory);
    let mut workload = Workload::new(42);
    let entries: Vec<_> = (0..120).map(|_| workload.entry(6).0).collect();
    for chunk in entries.chunks(30) {
        run(&stores, chunk);
        stores.state.flush().wait().unwrap();
    }
    let checkpoint = stores.state.checkpoint().wait().unwrap();
    (stores, checkpoint)
}

/// A receiver that has applied the first 20 entries of another history.
fn receiver(directory: &Path) -> Stores {
    let stores = open(directory);
    let mut workload = Workload::new(7);
    let entries: Vec<_> = (0..20).map(|_| workload.entry(3).0).collect();
    run(&stores, &entries);
    stores.state.flush().wait().unwrap();
    stores
}

/// Sends a checkpoint in pieces of a kilobyte or so.
fn transfer(stores: &Stores, checkpoint: &Checkpoint) -> Incoming {
    let incoming = stores
        .state
        .begin_install(checkpoint.manifest().clone())
        .unwrap();
    for (file, mut offset) in incoming.needs().unwrap() {
        let size = checkpoint.manifest().files[file].size;
        while offset < size {
            let data = checkpoint.read(file, offset, 60_000).unwrap();
            incoming.write(file, offset, &data).unwrap();
            offset += data.len() as u64;
        }
    }
    assert!(incoming.needs().unwrap().is_empty());
    incoming
}

/// Verifies and installs.
fn install(stores: &Stores, incoming: Incoming) -> Result<Applied, InstallError> {
    stores.state.install(incoming.verified()?).wait()
}

#[test]
fn an_installed_checkpoint_is_the_donors_state() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (donor, checkpoint) = donor(one.path());
    checkpoint.verify().unwrap();
    let stores = receiver(two.path());
    let old = stores.state.view().unwrap();
    let old_digest = old.digest().unwrap();

    let incoming = transfer(&stores, &checkpoint);
    let applied: Applied = install(&stores, incoming).unwrap();
    assert_eq!(applied.position, checkpoint.manifest().position());
    assert_eq!(stores.state.applied(), donor.state.applied());
    assert_eq!(stores.state.membership(), donor.state.membership());
    assert_eq!(stores.state.durable_applied(), Some(applied));
    assert_eq!(
        stores.state.digest_now().unwrap(),
        donor.state.digest_now().unwrap()
    );

    // Whoever was reading goes on; then the old generation goes.
    assert_eq!(old.digest().unwrap(), old_digest);
    assert!(two.path().join("state/1").exists());
    drop(old);
    let deadline = Instant::now() + Duration::from_secs(20);
    while two.path().join("state/1").exists() {
        assert!(
            Instant::now() < deadline,
            "the old generation is still there"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    // A checkpoint of the new state costs no second hashing, and it verifies.
    let own = stores.state.checkpoint().wait().unwrap();
    own.verify().unwrap();
    assert_eq!(own.manifest().position(), checkpoint.manifest().position());
    drop(stores);
    let stores = open(two.path());
    assert_eq!(
        stores.state.digest_now().unwrap(),
        donor.state.digest_now().unwrap()
    );
    assert_eq!(
        stores.state.newest_checkpoint().unwrap().manifest(),
        own.manifest()
    );
}

#[test]
fn a_crash_at_any_step_of_an_installation_leaves_the_old_or_the_new_state() {
    let one = tempfile::tempdir().unwrap();
    let (donor, checkpoint) = donor(one.path());
    let new = donor.state.digest_now().unwrap();
    for (name, step) in STEPS {
        let two = tempfile::tempdir().unwrap();
        let old = receiver(two.path()).state.digest_now().unwrap();
        let task = format!(
            "install {} {} {name}",
            two.path().display(),
            checkpoint.directory().display()
        );
        let status = spawn(&task).wait().unwrap();
        assert!(!status.success(), "{name}: the child was to abort");

        let stores = open(two.path());
        let expected = if step >= InstallStep::Switched {
            new
        } else {
            old
        };
        assert_eq!(
            stores.state.digest_now().unwrap(),
            expected,
            "after a crash at {name}"
        );
        assert_eq!(stores.log.bounds().last, Some(20), "{name}");
        let generations = fs::read_dir(two.path().join("state"))
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_dir())
            .count();
        assert_eq!(generations, 1, "{name}: stale generations are gone");
        assert_eq!(
            fs::read_dir(two.path().join("incoming")).unwrap().count(),
            0,
            "{name}"
        );

        // And it can be done again.
        let incoming = transfer(&stores, &checkpoint);
        install(&stores, incoming).unwrap();
        assert_eq!(
            stores.state.digest_now().unwrap(),
            new,
            "{name}, second time"
        );
    }
}

/// At which step the child aborts.
static ABORT_AT: AtomicU8 = AtomicU8::new(u8::MAX);

fn abort_at(step: InstallStep) {
    if step as u8 == ABORT_AT.load(Ordering::SeqCst) {
        std::process::abort();
    }
}

pub(crate) fn child(directory: &Path, donor: &Path, name: &str) {
    let step = STEPS.iter().find(|(known, _)| *known == name).unwrap().1;
    ABORT_AT.store(step as u8, Ordering::SeqCst);
    let options = StoreOptions {
        install_observer: Some(abort_at),
        ..options()
    };
    let stores = open_with(directory, &options).unwrap();
    let manifest =
        CheckpointManifest::decode(&fs::read(donor.join("banyan-manifest.json")).unwrap()).unwrap();
    let incoming = stores.state.begin_install(manifest).unwrap();
    for (file, _) in incoming.needs().unwrap() {
        let data = fs::read(donor.join(&incoming.manifest().files[file].name)).unwrap();
        incoming.write(file, 0, &data).unwrap();
    }
    install(&stores, incoming).unwrap();
}

#[test]
fn a_broken_transfer_resumes_where_it_broke_off() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_donor, checkpoint) = donor(one.path());
    let stores = receiver(two.path());
    let biggest = (0..checkpoint.manifest().files.len())
        .max_by_key(|file| checkpoint.manifest().files[*file].size)
        .unwrap();
    let incoming = stores
        .state
        .begin_install(checkpoint.manifest().clone())
        .unwrap();
    assert_eq!(
        incoming.needs().unwrap().len(),
        checkpoint.manifest().files.len()
    );
    incoming
        .write(biggest, 0, &checkpoint.read(biggest, 0, 1_000).unwrap())
        .unwrap();
    // Gaps, too many bytes and unknown files are refused.
    assert!(incoming.write(biggest, 1_001, b"x").is_err());
    assert!(
        incoming
            .write(biggest, checkpoint.manifest().files[biggest].size, b"x")
            .is_err()
    );
    assert!(incoming.write(10_000, 0, b"x").is_err());
    drop(incoming);
    let incoming = stores
        .state
        .begin_install(checkpoint.manifest().clone())
        .unwrap();
    assert!(incoming.needs().unwrap().contains(&(biggest, 1_000)));
    drop(incoming);
    let incoming_again = transfer(&stores, &checkpoint);
    install(&stores, incoming_again).unwrap();
}

#[test]
fn a_damaged_checkpoint_is_refused_and_the_old_state_stays() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (donor, checkpoint) = donor(one.path());
    let stores = receiver(two.path());
    let old = stores.state.digest_now().unwrap();
    let incoming = transfer(&stores, &checkpoint);
    let tables: Vec<_> = (0..checkpoint.manifest().files.len())
        .filter(|file| checkpoint.manifest().files[*file].name.ends_with(".sst"))
        .collect();
    let damaged = [tables[0], tables[1]];
    for file in damaged {
        incoming.write(file, 10, b"damage").unwrap();
    }
    let error = install(&stores, incoming).unwrap_err();
    assert!(
        matches!(error, InstallError::Verify(VerifyError::Checksum { .. })),
        "{error}"
    );
    assert_eq!(stores.state.digest_now().unwrap(), old);
    assert!(stores.fault().get().is_none(), "the node goes on");

    // What was damaged, and only that, is asked for again.
    let incoming = stores
        .state
        .begin_install(checkpoint.manifest().clone())
        .unwrap();
    assert_eq!(incoming.needs().unwrap(), damaged.map(|file| (file, 0)));
    drop(incoming);
    let incoming = transfer(&stores, &checkpoint);
    install(&stores, incoming).unwrap();
    assert_eq!(
        stores.state.digest_now().unwrap(),
        donor.state.digest_now().unwrap()
    );
}

#[test]
fn a_checkpoint_that_is_doubted_is_proven_or_a_fault() {
    let directory = tempfile::tempdir().unwrap();
    let (stores, checkpoint) = donor(directory.path());
    checkpoint.prove().unwrap();
    // A later one of the same files, whose checksums are known by now; one of them rots.
    let next = StateEntry {
        position: Position {
            term: checkpoint.manifest().term,
            index: 121,
        },
        kind: EntryKind::Blank,
    };
    run(&stores, &[next]);
    let later = stores.state.checkpoint().wait().unwrap();
    let table = |file: &&CheckpointFile| file.name.ends_with(".sst");
    let name = &later.manifest().files.iter().find(table).unwrap().name;
    let path = later.directory().join(name);
    let mut bytes = fs::read(&path).unwrap();
    bytes[10] ^= 1;
    // Not through the link: the state's own file stays as it is.
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    let fault = later.prove().unwrap_err();
    assert!(
        fault.to_string().contains("does not match its checksum"),
        "{fault}"
    );
    assert_eq!(stores.fault().get().unwrap().cause, fault.cause);

    // Nothing of this would be found when the directory is opened: the finding itself refuses it.
    drop((checkpoint, later));
    let closed = stores.closed();
    drop(stores);
    assert!(closed.wait(Duration::from_secs(60)));
    let error = try_open(directory.path()).unwrap_err();
    assert!(
        matches!(&error, OpenError::FoundDamaged { what, .. } if *what == fault.to_string()),
        "{error}"
    );
}

#[test]
fn a_transfer_that_was_given_up_goes_when_another_begins() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (donor, first) = donor(one.path());
    let stores = receiver(two.path());
    drop(transfer(&stores, &first));
    assert_eq!(incoming_names(two.path()).len(), 1, "it may resume");

    let mut workload = Workload::new(42);
    let entries: Vec<_> = (0..130).map(|_| workload.entry(6).0).collect();
    run(&donor, &entries[120..]);
    let second = donor.state.checkpoint().wait().unwrap();
    assert_ne!(first.manifest().index, second.manifest().index);
    let before = incoming_names(two.path());
    let incoming = transfer(&stores, &second);
    let after = incoming_names(two.path());
    assert_eq!(after.len(), 1, "{after:?}");
    assert_ne!(before, after, "the first one is gone, not the second");
    install(&stores, incoming).unwrap();
    assert_eq!(
        stores.state.digest_now().unwrap(),
        donor.state.digest_now().unwrap()
    );
    assert!(incoming_names(two.path()).is_empty());
}

#[test]
fn while_one_checkpoint_is_worked_on_no_other_is_begun() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_donor, checkpoint) = donor(one.path());
    let stores = receiver(two.path());
    let other = CheckpointManifest {
        index: 7,
        ..checkpoint.manifest().clone()
    };
    let refused = || {
        for manifest in [&other, checkpoint.manifest()] {
            let error = stores.state.begin_install(manifest.clone()).unwrap_err();
            assert!(matches!(error, InstallError::Busy), "{error}");
        }
    };
    let incoming = transfer(&stores, &checkpoint);
    refused();
    let verified = incoming.verified().unwrap();
    refused();
    stores.state.install(verified).wait().unwrap();
    drop(stores.state.begin_install(other.clone()).unwrap());
}

#[test]
fn what_was_received_goes_when_the_state_has_come_as_far_without_it() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let stores = receiver(one.path());
    let checkpoint = stores.state.checkpoint().wait().unwrap();
    let follower = open(two.path());
    let mut workload = Workload::new(7);
    let entries: Vec<_> = (0..20).map(|_| workload.entry(3).0).collect();
    run(&follower, &entries[..19]);
    let incoming = transfer(&follower, &checkpoint);
    run(&follower, &entries[19..]);
    // Somebody works on it still. The upkeep thread has looked when it answers the second time.
    for _ in 0..2 {
        follower.state.flush().wait().unwrap();
    }
    assert_eq!(incoming_names(two.path()).len(), 1);
    drop(incoming);
    until_incoming_is_empty(two.path());
}

/// The directories in which checkpoints are received.
fn incoming_names(directory: &Path) -> Vec<std::ffi::OsString> {
    fs::read_dir(directory.join("incoming"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect()
}

fn until_incoming_is_empty(directory: &Path) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !incoming_names(directory).is_empty() {
        assert!(
            Instant::now() < deadline,
            "what was received is still there"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn names_that_lead_outside_are_refused() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_donor, checkpoint) = donor(one.path());
    let stores = receiver(two.path());
    for name in [
        "../x.sst",
        "/etc/x.sst",
        "a/b.sst",
        "",
        ".sst",
        "LOG",
        "x.sst\0",
        "CURRENT",
    ] {
        let mut manifest = checkpoint.manifest().clone();
        manifest.files[1].name = name.to_owned();
        if name == "CURRENT" {
            manifest.files[0].name = name.to_owned();
        }
        assert!(stores.state.begin_install(manifest).is_err(), "{name:?}");
    }
    for format in [FORMAT_VERSION - 1, FORMAT_VERSION + 1] {
        let mut manifest = checkpoint.manifest().clone();
        manifest.format = format;
        let error = stores.state.begin_install(manifest).unwrap_err();
        let text =
            format!("checkpoint has format {format}, this program reads format {FORMAT_VERSION}");
        assert!(error.to_string().contains(&text), "{error}");
    }
}

#[test]
fn an_older_checkpoint_is_refused() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (donor, checkpoint) = donor(one.path());
    let older = {
        let stores = receiver(two.path());
        stores.state.checkpoint().wait().unwrap()
    };
    let incoming = transfer(&donor, &older);
    let error = install(&donor, incoming).unwrap_err();
    assert!(
        matches!(
            error,
            InstallError::Older {
                offered: 20,
                applied: 120
            }
        ),
        "{error}"
    );
    drop(checkpoint);
    until_incoming_is_empty(one.path());
}

#[test]
fn checkpoints_are_kept_while_held_and_old_ones_go() {
    let directory = tempfile::tempdir().unwrap();
    let stores = open(directory.path());
    assert!(
        stores.state.checkpoint().wait().is_err(),
        "nothing is applied yet"
    );
    assert!(stores.fault().get().is_none());
    let mut workload = Workload::new(3);
    let mut held = None;
    for _ in 0..5 {
        run(&stores, &[workload.entry(5).0]);
        let checkpoint = stores.state.checkpoint().wait().unwrap();
        let again = stores.state.checkpoint().wait().unwrap();
        assert_eq!(
            checkpoint.directory(),
            again.directory(),
            "the same position, the same checkpoint"
        );
        held.get_or_insert(checkpoint);
    }
    let names = |path: &Path| fs::read_dir(path.join("checkpoints")).unwrap().count();
    assert_eq!(
        names(directory.path()),
        3,
        "two newest and the one that is held"
    );
    held.unwrap().verify().unwrap();
    drop(stores);
    // What an interrupted checkpoint has left goes at open.
    fs::create_dir(directory.path().join("checkpoints/new")).unwrap();
    fs::create_dir(directory.path().join("checkpoints/77")).unwrap();
    let stores = open(directory.path());
    assert_eq!(names(directory.path()), 3);
    assert_eq!(
        stores.state.newest_checkpoint().unwrap().manifest().index,
        5
    );
}
