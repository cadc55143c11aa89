//! What the log database holds, read once at open; and the bytes of an entry.

use std::sync::Arc;

use bytes::Bytes;
use rocksdb::{DB, ReadOptions};

use super::core::Memory;
use super::schema::{ENTRIES_END, Marker, entry_key, index_of, marker_key};
use super::store::{LogBounds, LogRecord};
use super::tail::Tail;
use crate::codec::{self, Kind};
use crate::fault::Fault;
use crate::stores::OpenError;

/// The value of an entry under `key`.
pub(super) fn encode_entry(key: &[u8], record: &LogRecord) -> Vec<u8> {
    let mut plain = Vec::with_capacity(8 + record.bytes.len());
    plain.extend_from_slice(&record.term.to_be_bytes());
    plain.extend_from_slice(&record.bytes);
    codec::seal(Kind::LogEntry, key, &plain)
}

pub(super) fn decode_entry(key: &[u8], value: &[u8]) -> Result<LogRecord, String> {
    let index = index_of(key).ok_or_else(|| "key of an entry has a wrong length".to_owned())?;
    let plain = codec::open(Kind::LogEntry, key, value)
        .map_err(|error| format!("entry {index}: {error}"))?;
    let Some((term, payload)) = plain.split_first_chunk::<8>() else {
        return Err(format!("entry {index} is shorter than its term"));
    };
    Ok(LogRecord {
        index,
        term: u64::from_be_bytes(*term),
        bytes: Bytes::copy_from_slice(payload),
    })
}

pub(super) fn damaged(cause: impl Into<Arc<str>>) -> OpenError {
    OpenError::Damaged(Fault::new("log", cause))
}

pub(super) fn decode_u64(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

pub(super) fn read_marker(db: &DB, marker: Marker) -> Result<Option<Bytes>, OpenError> {
    let key = marker_key(marker);
    let Some(value) = db.get(key).map_err(|source| OpenError::Database {
        store: "log",
        source,
    })?
    else {
        return Ok(None);
    };
    let plain = codec::open(Kind::LogMarker, &key, &value)
        .map_err(|error| damaged(format!("marker {marker:?}: {error}")))?;
    Ok(Some(Bytes::copy_from_slice(plain)))
}

/// Reads the whole log once: every entry must be there and whole, and the newest stay in memory.
pub(super) fn recover(db: &DB, tail_bytes: usize) -> Result<Memory, OpenError> {
    let mut bounds = LogBounds::default();
    if let Some(bytes) = read_marker(db, Marker::Purged)? {
        let (index, marker) = bytes
            .split_at_checked(8)
            .ok_or_else(|| damaged("purge marker has a wrong length"))?;
        bounds.purged = decode_u64(index);
        bounds.purged_marker = Some(Bytes::copy_from_slice(marker));
    }
    let mut tail = Tail::new(tail_bytes);
    let mut options = ReadOptions::default();
    options.set_iterate_upper_bound(ENTRIES_END.to_vec());
    options.fill_cache(false);
    options.set_readahead_size(2 << 20);
    let mut iterator = db.raw_iterator_opt(options);
    iterator.seek(entry_key(bounds.purged.map_or(0, |purged| purged + 1)));
    let mut next = bounds.purged.map(|purged| purged + 1);
    while let Some((key, value)) = iterator.item() {
        let record = decode_entry(key, value).map_err(damaged)?;
        if let Some(next) = next
            && next != record.index
        {
            return Err(damaged(format!(
                "entry {next} is missing, {} is there",
                record.index
            )));
        }
        next = Some(record.index + 1);
        bounds.first.get_or_insert(record.index);
        bounds.last = Some(record.index);
        tail.push(record);
        tail.evict(Some(u64::MAX));
        iterator.next();
    }
    iterator.status().map_err(|source| OpenError::Database {
        store: "log",
        source,
    })?;
    Ok(Memory {
        tail,
        written: bounds.last.or(bounds.purged),
        bounds,
        vote: read_marker(db, Marker::Vote)?,
        committed: read_marker(db, Marker::Committed)?,
        epoch: 0,
    })
}
