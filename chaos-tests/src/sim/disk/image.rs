//! The state on a simulated disk: stored keys and values, as RocksDB would hold them, and a hash that follows every change.

use std::{ops::Bound, sync::Arc};

use banyan_domain::{
    ViewFault,
    seeded_bugs::{SeededBug, planted},
};
use banyan_storage::{
    Applied, Changes, Records, StateView, open,
    schema::{self, Family},
};
use bytes::Bytes;
use std::collections::BTreeMap;

/// One group of changes: all of it is there after a crash, or none.
#[derive(Clone, Debug, Default)]
pub struct Group {
    pub(super) writes: Vec<(Bytes, Option<Bytes>)>,
    pub(super) applied: Option<Applied>,
    pub(super) membership: Option<Bytes>,
}

impl Group {
    /// The last change of each key.
    pub(super) fn of(
        changes: Changes,
        applied: Option<Applied>,
        membership: Option<Bytes>,
    ) -> Self {
        let mut writes = Vec::new();
        changes.visit(|_, key, value| {
            writes.push((
                Bytes::copy_from_slice(key),
                value.map(Bytes::copy_from_slice),
            ));
        });
        Self {
            writes,
            applied,
            membership,
        }
    }

    /// One group, unless a seeded bug writes the position apart from what stands there.
    pub(super) fn split(self) -> Vec<Self> {
        if !planted(SeededBug::PositionApart) {
            return vec![self];
        }
        let (position, changes) = self
            .writes
            .into_iter()
            .partition(|(key, _)| key[..] == schema::APPLIED_KEY[..]);
        let changes = Self {
            writes: changes,
            ..Self::default()
        };
        let position = Self {
            writes: position,
            applied: self.applied,
            membership: self.membership,
        };
        vec![changes, position]
    }
}

/// The state at one position. Tags of keys name their family, so that one map holds all families in their order.
#[derive(Clone, Default)]
pub struct Image {
    map: Arc<BTreeMap<Bytes, Bytes>>,
    pub(super) applied: Option<Applied>,
    pub(super) membership: Option<Bytes>,
    hash: u128,
    /// A bit was flipped: whoever reads all of it finds that.
    damaged: bool,
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image")
            .field("applied", &self.applied)
            .field("keys", &self.map.len())
            .finish_non_exhaustive()
    }
}

impl Image {
    /// Carries a group out.
    pub(super) fn write(&mut self, group: &Group) {
        let map = Arc::make_mut(&mut self.map);
        for (key, value) in &group.writes {
            let before = match value {
                Some(value) => map.insert(key.clone(), value.clone()),
                None => map.remove(key),
            };
            if let Some(before) = before {
                self.hash = self.hash.wrapping_sub(hash_of(key, &before));
            }
            if let Some(value) = value {
                self.hash = self.hash.wrapping_add(hash_of(key, value));
            }
        }
        self.applied = group.applied.or(self.applied);
        if group.membership.is_some() {
            self.membership.clone_from(&group.membership);
        }
    }

    /// What the records of this state are seen through.
    pub fn view(&self) -> StateView<Memory> {
        StateView::over(Memory(Arc::clone(&self.map)))
    }

    /// All keys with a tag, in order.
    pub fn keys_with_tag(&self, tag: u8) -> impl Iterator<Item = Vec<u8>> + '_ {
        let (from, until) = (
            Bytes::copy_from_slice(&[tag]),
            Bytes::copy_from_slice(&[tag + 1]),
        );
        self.map.range(from..until).map(|(key, _)| key.to_vec())
    }

    /// A sum over all keys and values: equal states have equal ones, in whatever groups they came about.
    pub fn hash(&self) -> u128 {
        self.hash
    }

    /// BLAKE3 over every key and plain value, and the number of keys, as [`banyan_storage::ReadView::digest`] has them. The tags of keys
    /// stand in the order of the families, so that this map's order is that one.
    ///
    /// # Errors
    /// A value that is damaged, or was stored under another key.
    pub fn digest(&self) -> Result<([u8; 32], u64), ViewFault> {
        let mut hasher = blake3::Hasher::new();
        for (key, value) in self.map.iter() {
            for part in [key, open(key, value)?] {
                let length = u32::try_from(part.len())
                    .map_err(|_| ViewFault("a stored value exceeds 4 GiB".to_owned()))?;
                hasher.update(&length.to_le_bytes());
                hasher.update(part);
            }
        }
        Ok((*hasher.finalize().as_bytes(), self.map.len() as u64))
    }

    /// Whether a file of it fails its checksum.
    pub fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// Bytes that it takes on a disk or on the wire.
    pub fn size(&self) -> usize {
        // Counting what is there would cost a walk over it for each transfer.
        256 * self.map.len()
    }

    /// How far it has come; none before the first entry.
    pub fn applied(&self) -> Option<Applied> {
        self.applied
    }

    /// Index of the last applied entry; zero before the first.
    pub fn index(&self) -> u64 {
        self.applied.map_or(0, |applied| applied.position.index)
    }

    /// Flips a bit of the value under the key that stands at `place` of all keys.
    pub(super) fn flip(&mut self, place: usize) -> bool {
        let map = Arc::make_mut(&mut self.map);
        let count = map.len().max(1);
        let Some((_, value)) = map.iter_mut().nth(place % count) else {
            return false;
        };
        let mut bytes = value.to_vec();
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        *value = bytes.into();
        self.damaged = true;
        true
    }
}

fn hash_of(key: &[u8], value: &[u8]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    let mut first = [0; 16];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_le_bytes(first)
}

/// Records as of one moment.
#[derive(Clone, Debug)]
pub struct Memory(Arc<BTreeMap<Bytes, Bytes>>);

impl Records for Memory {
    fn get<T>(
        &self,
        _: Family,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, ViewFault>,
    ) -> Result<Option<T>, ViewFault> {
        let found = self.0.get(key);
        found.map(|value| decode(open(key, value)?)).transpose()
    }

    fn scan(
        &self,
        _: Family,
        from: &[u8],
        until: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool, ViewFault>,
    ) -> Result<(), ViewFault> {
        if from >= until {
            return Ok(());
        }
        let range = (Bound::Included(from), Bound::Excluded(until));
        for (key, value) in self.0.range::<[u8], _>(range) {
            if !visit(key, open(key, value)?)? {
                break;
            }
        }
        Ok(())
    }
}
