//! The log store: what is promised at return, at the callback, after a restart and after damage.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banyan_storage::{LogRecord, OpenError, StoreOptions, Stores};
use bytes::Bytes;

use crate::fixture::{done, open, open_with, options, record, try_open};

fn append(stores: &Stores, range: std::ops::RangeInclusive<u64>, term: u64) {
    let (done, finished) = done();
    stores
        .log
        .append(range.map(|index| record(index, term)).collect(), done)
        .unwrap();
    finished.recv().unwrap().unwrap();
}

fn read_all(stores: &Stores) -> Vec<LogRecord> {
    let bounds = stores.log.bounds();
    match (bounds.first, bounds.last) {
        (Some(first), Some(last)) => stores.log.read(first..last + 1, usize::MAX).unwrap(),
        _ => Vec::new(),
    }
}

#[test]
fn appended_entries_are_readable_at_return_and_durable_at_the_callback() {
    let directory = tempfile::tempdir().unwrap();
    let stores = open(directory.path());
    let (done, finished) = done();
    stores
        .log
        .append((1..=40).map(|index| record(index, 1)).collect(), done)
        .unwrap();
    assert_eq!(read_all(&stores).len(), 40);
    finished.recv().unwrap().unwrap();
    assert_eq!(stores.log.durable().index(), Some(40));
    assert!(stores.log.metrics().sync.count >= 1);
}

#[test]
fn callbacks_run_in_the_order_of_the_calls() {
    let directory = tempfile::tempdir().unwrap();
    let stores = open(directory.path());
    let (sender, receiver) = std::sync::mpsc::channel();
    for index in 1..=500_u64 {
        let sender = sender.clone();
        let done = Box::new(move |result: std::io::Result<()>| {
            result.unwrap();
            sender.send(index).unwrap();
        });
        match index % 5 {
            0 => stores
                .log
                .save_vote(Bytes::from(index.to_be_bytes().to_vec()), done)
                .unwrap(),
            _ => {
                let next = stores.log.bounds().last.unwrap_or(0) + 1;
                stores.log.append(vec![record(next, 1)], done).unwrap();
            }
        }
    }
    drop(sender);
    assert!(receiver.iter().eq(1..=500));
    assert!(stores.log.metrics().groups < 500, "groups are coalesced");
}

#[test]
fn everything_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let expected = {
        let stores = open(directory.path());
        append(&stores, 1..=300, 1);
        let (done, finished) = done();
        stores
            .log
            .save_vote(Bytes::from_static(b"vote"), done)
            .unwrap();
        stores
            .log
            .save_committed(Bytes::from_static(b"committed"))
            .unwrap();
        finished.recv().unwrap().unwrap();
        stores.log.barrier().wait().unwrap();
        read_all(&stores)
    };
    let stores = open(directory.path());
    assert_eq!(read_all(&stores), expected);
    assert_eq!(stores.log.read_vote().unwrap(), "vote");
    assert_eq!(stores.log.read_committed().unwrap(), "committed");
    assert_eq!(
        stores.log.durable().index(),
        Some(300),
        "the watermark starts at the last stored entry"
    );
}

#[test]
fn reads_are_the_same_from_the_tail_and_from_the_database() {
    let directory = tempfile::tempdir().unwrap();
    // A tail of nearly nothing: all but the newest entries come from the database.
    let options = StoreOptions {
        log_tail_bytes: 2_000,
        ..options()
    };
    let stores = open_with(directory.path(), &options).unwrap();
    append(&stores, 1..=400, 1);
    for (from, until) in [
        (1, 401),
        (17, 18),
        (390, 401),
        (100, 350),
        (1, 5),
        (395, 900),
        (401, 402),
    ] {
        let got = stores.log.read(from..until, usize::MAX).unwrap();
        let expected: Vec<_> = (from.max(1)..until.min(401))
            .map(|index| record(index, 1))
            .collect();
        assert_eq!(got, expected, "{from}..{until}");
    }
    // Bounded reads: at least one entry, then as many as fit, without gaps.
    let mut next = 1;
    while next <= 400 {
        let got = stores.log.read(next..401, 3_000).unwrap();
        assert!(!got.is_empty());
        for record in &got {
            assert_eq!(record.index, next);
            next += 1;
        }
        let bytes: usize = got.iter().map(|record| record.bytes.len()).sum();
        assert!(got.len() == 1 || bytes <= 3_000);
    }
}

#[test]
fn truncated_entries_are_gone_and_their_indexes_can_be_written_again() {
    let directory = tempfile::tempdir().unwrap();
    {
        let stores = open(directory.path());
        append(&stores, 1..=100, 1);
        let (done_truncating, truncated) = done();
        stores
            .log
            .truncate_after(Some(60), done_truncating)
            .unwrap();
        assert_eq!(stores.log.bounds().last, Some(60));
        assert_eq!(
            stores.log.durable().index(),
            Some(60),
            "what follows is not durable any more"
        );
        append(&stores, 61..=70, 2);
        truncated.recv().unwrap().unwrap();
        assert_eq!(stores.log.durable().index(), Some(70));
        assert_eq!(stores.log.read(60..100, usize::MAX).unwrap().len(), 11);
    }
    let stores = open(directory.path());
    let records = read_all(&stores);
    assert_eq!(records.len(), 70);
    assert!(
        records
            .iter()
            .all(|record| record.term == if record.index <= 60 { 1 } else { 2 })
    );
    let (done, finished) = done();
    stores.log.truncate_after(None, done).unwrap();
    finished.recv().unwrap().unwrap();
    assert_eq!(stores.log.bounds().last, None);
    append(&stores, 1..=3, 3);
}

#[test]
fn gaps_are_refused_and_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let stores = open(directory.path());
    append(&stores, 1..=5, 1);
    let (done, _) = done();
    let error = stores.log.append(vec![record(7, 1)], done).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert_eq!(stores.log.bounds().last, Some(5));
    append(&stores, 6..=6, 1);
}

#[test]
fn purge_needs_a_durable_state() {
    let directory = tempfile::tempdir().unwrap();
    let mut workload = crate::workload::Workload::new(1);
    let entries: Vec<_> = (0..30).map(|_| workload.entry(3).0).collect();
    {
        let stores = open(directory.path());
        crate::fixture::run(&stores, &entries);
        let (refused, _) = done();
        let error = stores
            .purge_log(20, Bytes::from_static(b"20"), refused)
            .unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        let durable = stores.state.flush().wait().unwrap().unwrap();
        assert_eq!(durable.position.index, 30);
        let (done, finished) = done();
        stores
            .purge_log(20, Bytes::from_static(b"20"), done)
            .unwrap();
        assert_eq!(stores.log.bounds().first, Some(21));
        finished.recv().unwrap().unwrap();
        // Asked for again, and with a marker of what is long gone: nothing goes back.
        let (done, finished) = crate::fixture::done();
        stores.purge_log(5, Bytes::from_static(b"5"), done).unwrap();
        finished.recv().unwrap().unwrap();
        assert_eq!(stores.log.bounds().purged_marker.unwrap(), "20");
    }
    let stores = open(directory.path());
    let bounds = stores.log.bounds();
    assert_eq!(
        (bounds.first, bounds.last, bounds.purged),
        (Some(21), Some(30), Some(20))
    );
    assert_eq!(bounds.purged_marker.unwrap(), "20");
    assert_eq!(stores.log.read(0..100, usize::MAX).unwrap().len(), 10);
    assert_eq!(stores.state.durable_applied().unwrap().position.index, 30);
}

#[test]
fn durable_index_can_be_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let stores = open(directory.path());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let watermark = stores.log.durable();
    runtime.block_on(async {
        let early = tokio::time::timeout(Duration::from_millis(50), watermark.reached(10)).await;
        assert!(early.is_err(), "nothing is durable yet");
        let (done, _finished) = done();
        stores
            .log
            .append((1..=10).map(|index| record(index, 1)).collect(), done)
            .unwrap();
        watermark.reached(10).await.unwrap();
    });
    let reached = watermark.reached(11);
    drop(stores);
    assert!(
        runtime.block_on(reached).is_err(),
        "closing the store ends the waiting"
    );
}

#[test]
fn a_record_damaged_before_the_tail_refuses_to_open() {
    let directory = tempfile::tempdir().unwrap();
    {
        let stores = open(directory.path());
        for first in [1, 101, 201] {
            append(&stores, first..=first + 99, 1);
        }
    }
    let wal = newest_wal(directory.path());
    let mut bytes = fs::read(&wal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    fs::write(&wal, bytes).unwrap();
    match try_open(directory.path()) {
        Err(OpenError::RecordsLost { found, synced }) => assert!(found < synced),
        other => panic!("opened a damaged log: {other:?}"),
    }
}

#[test]
fn a_torn_tail_is_cut_off_and_the_rest_opens() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("log.watermark");
    let synced = {
        let stores = open(directory.path());
        append(&stores, 1..=100, 1);
        fs::read(&mark).unwrap()
    };
    // Opening moves what was there into a table; the next group stands alone in the write-ahead log.
    {
        let stores = open(directory.path());
        append(&stores, 101..=200, 1);
    }
    // As if the power had failed while the second group was being written: the mark is old, the group is torn.
    fs::write(&mark, synced).unwrap();
    let wal = newest_wal(directory.path());
    let length = fs::metadata(&wal).unwrap().len();
    fs::File::options()
        .write(true)
        .open(&wal)
        .unwrap()
        .set_len(length - 500)
        .unwrap();
    let stores = open(directory.path());
    assert_eq!(stores.log.bounds().last, Some(100));
    append(&stores, 101..=150, 2);
}

#[test]
fn a_torn_mark_falls_back_to_the_other_slot() {
    let directory = tempfile::tempdir().unwrap();
    {
        let stores = open(directory.path());
        append(&stores, 1..=10, 1);
        append(&stores, 11..=20, 1);
    }
    let mark = directory.path().join("log.watermark");
    let mut bytes = fs::read(&mark).unwrap();
    for byte in &mut bytes[..12] {
        *byte = 0xff;
    }
    fs::write(&mark, bytes).unwrap();
    assert_eq!(open(directory.path()).log.bounds().last, Some(20));
}

#[test]
fn nothing_durable_is_not_durable_through_the_first_entry() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let stores = open(directory.path());
    let watermark = stores.log.durable();
    assert_eq!(watermark.index(), None);
    runtime.block_on(async {
        let early = tokio::time::timeout(Duration::from_millis(50), watermark.reached(0)).await;
        assert!(early.is_err(), "nothing is durable yet");
    });
    append(&stores, 0..=0, 1);
    assert_eq!(watermark.index(), Some(0));
    runtime.block_on(watermark.reached(0)).unwrap();
    let (done_truncating, truncated) = done();
    stores.log.truncate_after(None, done_truncating).unwrap();
    truncated.recv().unwrap().unwrap();
    assert_eq!(watermark.index(), None, "nothing is left");
    append(&stores, 0..=3, 2);
    drop(stores);
    assert_eq!(open(directory.path()).log.durable().index(), Some(3));
}

#[test]
fn a_range_that_begins_before_the_log_is_a_fault_unless_that_was_purged() {
    let directory = tempfile::tempdir().unwrap();
    let stores = open(directory.path());
    append(&stores, 1..=20, 1);
    assert!(stores.log.read(5..5, usize::MAX).unwrap().is_empty());
    assert!(stores.log.read(21..30, usize::MAX).unwrap().is_empty());
    // Entry 0 was never purged, so that it is lost.
    assert!(stores.log.read(0..5, usize::MAX).is_err());
    assert!(stores.fault().get().unwrap().cause.contains("entry 0"));
}

#[test]
fn the_queue_is_bounded_in_bytes() {
    const RECORD: usize = 10_000;
    const BOUND: usize = 4 * RECORD;
    let directory = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        log_queue_bytes: BOUND,
        ..options()
    };
    let stores = open_with(directory.path(), &options).unwrap();
    let large = |index| LogRecord {
        index,
        term: 1,
        bytes: vec![7; RECORD].into(),
    };
    // The flusher stands still in a callback.
    let (held, hold) = std::sync::mpsc::channel::<()>();
    let (reached, flushing) = std::sync::mpsc::channel();
    let stuck = Box::new(move |result: std::io::Result<()>| {
        result.unwrap();
        reached.send(()).unwrap();
        let _ = hold.recv();
    });
    stores.log.append(vec![large(1)], stuck).unwrap();
    flushing.recv().unwrap();

    let writer = std::thread::spawn({
        let log = stores.log.clone();
        move || {
            for index in 2..=20 {
                log.append(vec![large(index)], done().0).unwrap();
            }
        }
    });
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while stores.log.metrics().queued_bytes < 3 * RECORD as u64 {
        assert!(std::time::Instant::now() < deadline, "nothing is queued");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(200));
    let metrics = stores.log.metrics();
    assert!(metrics.queued_bytes <= BOUND as u64, "{metrics:?}");
    assert!(!writer.is_finished(), "the writer has to wait");

    drop(held);
    writer.join().unwrap();
    stores.log.barrier().wait().unwrap();
    assert_eq!(stores.log.durable().index(), Some(20));
    assert_eq!(stores.log.metrics().queued_bytes, 0);
    // What is larger than the bound goes alone.
    let (done, finished) = done();
    let huge = LogRecord {
        bytes: vec![7; 3 * BOUND].into(),
        ..large(21)
    };
    stores.log.append(vec![huge], done).unwrap();
    finished.recv().unwrap().unwrap();
}

/// The write-ahead log that holds the newest groups.
fn newest_wal(directory: &Path) -> PathBuf {
    let mut logs: Vec<PathBuf> = fs::read_dir(directory.join("log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .filter(|path| fs::metadata(path).unwrap().len() > 0)
        .collect();
    logs.sort();
    logs.pop().unwrap()
}
