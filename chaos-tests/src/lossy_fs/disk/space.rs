//! A disk without space: what it refuses, and the account of it.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::{Body, Disk};

impl Disk {
    /// From now on files and directories do not grow, or may again.
    pub fn set_full(&mut self, full: bool) {
        if full {
            self.refused.clear();
        }
        self.full = full;
    }

    /// How often something was refused for want of space since the disk was last made full, by the file's name in its directory.
    pub fn refused(&self) -> &BTreeMap<OsString, u64> {
        &self.refused
    }

    /// Whether a file would need space that there is not; it is counted then.
    pub(super) fn lacks_space(&mut self, inode: u64, size: usize) -> bool {
        let grows = matches!(
            self.inodes.get(&inode).map(|found| &found.body),
            Some(Body::File(file)) if size > file.view.len()
        );
        if self.full && grows {
            let name = self.name_of(inode);
            *self.refused.entry(name).or_default() += 1;
        }
        self.full && grows
    }

    /// A name of an inode; empty: it has none any more.
    fn name_of(&self, inode: u64) -> OsString {
        let directories = self.inodes.values().filter_map(|found| match &found.body {
            Body::Directory(names) => Some(&names.view),
            Body::File(_) => None,
        });
        directories
            .flatten()
            .find_map(|(name, named)| (*named == inode).then(|| name.clone()))
            .unwrap_or_default()
    }

    pub fn is_full(&self) -> bool {
        self.full
    }
}
