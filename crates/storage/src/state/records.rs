//! What a view of the state reads from: stored keys and values as of one moment, wherever they lie.
//!
//! A node reads from a snapshot of RocksDB. The simulation reads from memory, through the same views, the same keys and the same codec.

use std::sync::Arc;

use banyan_domain::ViewFault;
use rocksdb::{DBPinnableSlice, ReadOptions};

use super::generation::{Generation, OwnedReader, Reader};
use super::schema::Family;
use crate::codec::{self, Kind};
use crate::fault::Fault;

/// Stored keys and values as of one moment.
pub trait Records {
    /// The plain value under a key, decoded; none if there is no such key.
    ///
    /// # Errors
    /// [`ViewFault`]: the value cannot be read or opened, or `decode` refuses it.
    fn get<T>(
        &self,
        family: Family,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, ViewFault>,
    ) -> Result<Option<T>, ViewFault>;

    /// Calls `visit` with keys and plain values from `from` to before `until`, in the order of the keys, until it returns false.
    ///
    /// # Errors
    /// [`ViewFault`]: a value cannot be read or opened, or `visit` refuses it.
    fn scan(
        &self,
        family: Family,
        from: &[u8],
        until: &[u8],
        visit: impl FnMut(&[u8], &[u8]) -> Result<bool, ViewFault>,
    ) -> Result<(), ViewFault>;
}

/// A snapshot of RocksDB.
pub struct Snapshot(OwnedReader);

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

impl Snapshot {
    pub(super) fn of(generation: Arc<Generation>) -> Result<Self, Fault> {
        OwnedReader::of(generation).map(Self)
    }

    pub(super) fn reader(&self) -> &Reader<'_> {
        self.0.borrow_dependent()
    }
}

impl Records for Snapshot {
    fn get<T>(
        &self,
        family: Family,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, ViewFault>,
    ) -> Result<Option<T>, ViewFault> {
        let reader = self.reader();
        let found: Option<DBPinnableSlice<'_>> = reader
            .db
            .get_pinned_cf_opt(reader.family(family), key, &reader.options)
            .map_err(|error| ViewFault(error.to_string()))?;
        found.map(|value| decode(open(key, &value)?)).transpose()
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        until: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool, ViewFault>,
    ) -> Result<(), ViewFault> {
        let reader = self.reader();
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(until);
        let mut iterator = reader
            .snapshot
            .raw_iterator_cf_opt(reader.family(family), options);
        iterator.seek(from);
        while let Some((key, value)) = iterator.item() {
            if !visit(key, open(key, value)?)? {
                return Ok(());
            }
            iterator.next();
        }
        iterator
            .status()
            .map_err(|error| ViewFault(error.to_string()))
    }
}

/// The plain value that was stored under `key`.
///
/// # Errors
/// [`ViewFault`]: it was stored under another key, or is damaged.
pub fn open<'a>(key: &[u8], value: &'a [u8]) -> Result<&'a [u8], ViewFault> {
    codec::open(Kind::StateValue, key, value).map_err(|error| {
        // The tag says which record it is; the rest of the key may be a person's number.
        ViewFault(format!(
            "record with tag {:#04x}: {error}",
            key.first().copied().unwrap_or_default()
        ))
    })
}
