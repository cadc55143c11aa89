//! Stores in a temporary directory, and a log that is filled before it is applied.

use std::path::Path;
use std::sync::mpsc;

use banyan_storage::{
    EntryResult, FirstStart, Identity, LogRecord, OpenError, StateEntry, StoreOptions, Stores,
};
use bytes::Bytes;

pub(crate) fn identity() -> Identity {
    Identity {
        cluster: "test".to_owned(),
        node: 1,
    }
}

/// Small buffers, so that flushes and compactions happen in a test.
pub(crate) fn options() -> StoreOptions {
    StoreOptions {
        block_cache_bytes: 4 << 20,
        state_write_buffer_bytes: 256 << 10,
        log_write_buffer_bytes: 256 << 10,
        log_tail_bytes: 64 << 10,
        journal_budget_bytes: 16 << 20,
        ..StoreOptions::default()
    }
}

pub(crate) fn open(directory: &Path) -> Stores {
    try_open(directory).unwrap()
}

pub(crate) fn try_open(directory: &Path) -> Result<Stores, OpenError> {
    open_with(directory, &options())
}

/// Opens a directory, forming it if need be.
pub(crate) fn open_with(directory: &Path, options: &StoreOptions) -> Result<Stores, OpenError> {
    Stores::open(directory, &identity(), FirstStart::Permitted, options)
}

/// Opens a directory as every start but the first does.
pub(crate) fn open_again(directory: &Path) -> Result<Stores, OpenError> {
    Stores::open(directory, &identity(), FirstStart::Refused, &options())
}

/// A callback, and the channel on which it reports.
pub(crate) fn done() -> (banyan_storage::LogDone, mpsc::Receiver<std::io::Result<()>>) {
    let (sender, receiver) = mpsc::channel();
    (Box::new(move |result| drop(sender.send(result))), receiver)
}

/// What the log carries for an entry in these tests: bytes that only depend on the index.
pub(crate) fn payload(index: u64) -> Bytes {
    let length = 20 + (index * 7919 % 700) as usize;
    let mut bytes = vec![0; length];
    blake3::Hasher::new()
        .update(&index.to_be_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes.into()
}

pub(crate) fn record(index: u64, term: u64) -> LogRecord {
    LogRecord {
        index,
        term,
        bytes: payload(index),
    }
}

/// Appends records for the entries and waits until they are durable.
pub(crate) fn append(stores: &Stores, entries: &[StateEntry]) {
    let records = entries
        .iter()
        .map(|entry| record(entry.position.index, entry.position.term))
        .collect();
    let (done, finished) = done();
    stores.log.append(records, done).unwrap();
    finished.recv().unwrap().unwrap();
}

/// Appends and applies.
pub(crate) fn run(stores: &Stores, entries: &[StateEntry]) -> Vec<EntryResult> {
    append(stores, entries);
    stores.state.apply(entries.to_vec()).wait().unwrap()
}
