//! The loss of power: what it leaves of the disk, and what it took.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Body, Disk, Names, ROOT};

/// What survives a loss of power besides what was synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerCut {
    /// Nothing: every byte and every name that was not synced is gone.
    DropUnsynced,
    /// Of bytes appended since the last sync, a prefix of random length may have reached the disk.
    TornTails { seed: u64 },
}

/// What a loss of power took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// Files whose content went back.
    pub files: u64,
    /// Bytes that had been written and not synced.
    pub bytes: u64,
    /// Names that had been made, renamed or removed and not synced.
    pub names: u64,
}

impl Disk {
    /// The power goes: every view falls back to what is durable. No process may have a file open.
    pub fn lose_power(&mut self, cut: PowerCut) -> Losses {
        let mut rng = match cut {
            PowerCut::DropUnsynced => None,
            PowerCut::TornTails { seed } => Some(ChaCha8Rng::seed_from_u64(seed)),
        };
        let mut losses = Losses::default();
        for inode in self.inodes.values_mut() {
            inode.opens = 0;
            match &mut inode.body {
                Body::File(file) => {
                    let unsynced = file.unsynced();
                    if file.has_unsynced() {
                        losses.files += 1;
                        losses.bytes += unsynced;
                    }
                    file.lose_power(|tail| {
                        rng.as_mut().map_or(0, |rng| rng.random_range(0..=tail))
                    });
                }
                Body::Directory(names) => {
                    losses.names += names_differing(&names.view, &names.durable);
                    names.view.clone_from(&names.durable);
                }
            }
        }
        self.recount();
        losses
    }

    /// Counts links anew from the root: what no durable name reaches is gone.
    fn recount(&mut self) {
        let mut links: BTreeMap<u64, u32> = BTreeMap::from([(ROOT, 1)]);
        let mut pending = vec![ROOT];
        while let Some(inode) = pending.pop() {
            if let Some(Body::Directory(names)) = self.inodes.get(&inode).map(|found| &found.body) {
                for child in names.view.values() {
                    let count = links.entry(*child).or_default();
                    *count += 1;
                    if *count == 1 {
                        pending.push(*child);
                    }
                }
            }
        }
        self.inodes.retain(|inode, found| {
            let count = links.get(inode).copied().unwrap_or(0);
            found.links = count;
            found.durable_links = count;
            count > 0
        });
    }
}

fn names_differing(view: &Names, durable: &Names) -> u64 {
    let made = view
        .iter()
        .filter(|(name, inode)| durable.get(*name) != Some(inode))
        .count();
    let removed = durable
        .keys()
        .filter(|name| !view.contains_key(*name))
        .count();
    (made + removed) as u64
}
