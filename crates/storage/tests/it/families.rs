//! What each kind of key that grows gains from a family of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use banyan_storage::Checkpoint;
use rocksdb::{DB, LiveFile, Options};

use crate::fixture::{open, run};
use crate::workload::Workload;

/// Twice what compaction of level 0 waits for, and some.
const FLUSHES: usize = 20;

#[test]
fn files_of_registrations_move_down_and_are_never_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let stores = open(directory.path());
    let mut workload = Workload::import(1);
    let mut flushed: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for _ in 0..FLUSHES {
        run(&stores, &[workload.entry(20).0]);
        let checkpoint = stores.state.checkpoint().wait().unwrap();
        for family in ["versions", "events", "audit"] {
            let files = files(&checkpoint, family).into_iter();
            flushed
                .entry(family)
                .or_default()
                .extend(files.map(|file| file.name));
        }
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    for (family, flushed) in flushed {
        // A file that was written again would have a new name, and be one more than the flushes.
        assert_eq!(flushed.len(), FLUSHES, "{family}: {flushed:?}");
        loop {
            // An entry without commands: a checkpoint at another position.
            run(&stores, &[workload.entry(0).0]);
            let files = files(&stores.state.checkpoint().wait().unwrap(), family);
            let names: BTreeSet<_> = files.iter().map(|file| file.name.clone()).collect();
            assert_eq!(names, flushed, "{family}: files were written again");
            if files.iter().any(|file| file.level > 0) {
                break;
            }
            assert!(Instant::now() < deadline, "{family}: nothing moved down");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn files(checkpoint: &Checkpoint, family: &str) -> Vec<LiveFile> {
    let options = Options::default();
    let families = DB::list_cf(&options, checkpoint.directory()).unwrap();
    let db = DB::open_cf_for_read_only(&options, checkpoint.directory(), families, false).unwrap();
    let mut files = db.live_files().unwrap();
    files.retain(|file| file.column_family_name == family);
    files
}
