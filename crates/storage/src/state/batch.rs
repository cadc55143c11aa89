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

/// Changes that are not written yet.
#[derive(Debug, Default)]
pub(super) struct Changes {
    buffer: Vec<u8>,
    slots: Vec<Slot>,
}

#[derive(Debug)]
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

    /// Everything as one atomic batch, the last change of each key only.
    pub(super) fn into_batch(mut self, reader: &Reader<'_>) -> WriteBatch {
        let buffer = &self.buffer;
        // A stable sort keeps the changes of one key in the order in which they were made.
        self.slots.sort_by(|left, right| {
            left.family
                .cmp(&right.family)
                .then_with(|| buffer[left.key.clone()].cmp(&buffer[right.key.clone()]))
        });
        let mut batch =
            WriteBatch::with_capacity_bytes(self.buffer.len() + 12 * self.slots.len() + 64);
        let mut slots = self.slots.iter().peekable();
        while let Some(slot) = slots.next() {
            let key = &buffer[slot.key.clone()];
            if slots
                .peek()
                .is_some_and(|next| next.family == slot.family && &buffer[next.key.clone()] == key)
            {
                continue;
            }
            let family = reader.family(slot.family);
            match &slot.value {
                Some(value) => batch.put_cf(family, key, &buffer[value.clone()]),
                None => batch.delete_cf(family, key),
            }
        }
        batch
    }

    fn push(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        start..self.buffer.len()
    }
}
