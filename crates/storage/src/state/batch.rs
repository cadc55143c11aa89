//! The pending changes of one write group, gathered in one buffer and written in key order.
//!
//! Key order matters for speed: RocksDB's memtable remembers where it inserted last, so that neighbours (versions, events,
//! audit records of one group) are inserted without a search. It does not matter for the result: where a key was changed
//! twice, the later change wins.

use std::ops::Range;

use rocksdb::WriteBatch;

use super::generation::Reader;
use super::schema::Family;
use crate::codec::{self, Kind};

/// Changes that are not written yet. Prints nothing of what it holds.
#[derive(Default)]
pub struct Changes {
    buffer: Vec<u8>,
    slots: Vec<Slot>,
}

impl std::fmt::Debug for Changes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Changes")
            .field("keys", &self.slots.len())
            .finish_non_exhaustive()
    }
}

struct Slot {
    family: Family,
    key: Range<usize>,
    /// None: the key is deleted.
    value: Option<Range<usize>>,
}

impl Changes {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self {
            buffer: Vec::with_capacity(bytes),
            slots: Vec::with_capacity(bytes / 128),
        }
    }

    /// Bytes gathered so far.
    pub(super) fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Stores `plain`, sealed, under `key`.
    pub(super) fn put(&mut self, family: Family, key: &[u8], plain: &[u8]) {
        let key_at = self.push(key);
        let start = self.buffer.len();
        codec::seal_into(Kind::StateValue, key, plain, &mut self.buffer);
        self.slots.push(Slot {
            family,
            key: key_at,
            value: Some(start..self.buffer.len()),
        });
    }

    pub(super) fn delete(&mut self, family: Family, key: &[u8]) {
        let key = self.push(key);
        self.slots.push(Slot {
            family,
            key,
            value: None,
        });
    }

    /// The last change of each key, in the order of families and keys: the stored value, or none if the key is deleted.
    pub fn visit(mut self, mut visit: impl FnMut(Family, &[u8], Option<&[u8]>)) {
        let buffer = &self.buffer;
        // A stable sort keeps the changes of one key in the order in which they were made.
        self.slots.sort_by(|left, right| {
            left.family
                .cmp(&right.family)
                .then_with(|| buffer[left.key.clone()].cmp(&buffer[right.key.clone()]))
        });
        let mut slots = self.slots.iter().peekable();
        while let Some(slot) = slots.next() {
            let key = &buffer[slot.key.clone()];
            if slots
                .peek()
                .is_some_and(|next| next.family == slot.family && &buffer[next.key.clone()] == key)
            {
                continue;
            }
            let value = slot.value.as_ref().map(|value| &buffer[value.clone()]);
            visit(slot.family, key, value);
        }
    }

    /// Everything as one atomic batch.
    pub(super) fn into_batch(self, reader: &Reader<'_>) -> WriteBatch {
        let bytes = self.buffer.len() + 12 * self.slots.len() + 64;
        let mut batch = WriteBatch::with_capacity_bytes(bytes);
        self.visit(|family, key, value| match value {
            Some(value) => batch.put_cf(reader.family(family), key, value),
            None => batch.delete_cf(reader.family(family), key),
        });
        batch
    }

    fn push(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        start..self.buffer.len()
    }
}
