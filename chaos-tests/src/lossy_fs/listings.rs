//! Directories that are being read. Whoever empties a directory removes what it has read and reads on: a place in the listing must stay what it
//! was (POSIX, readdir), or every other batch of names is skipped, and the directory cannot be removed.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    sync::{Arc, Mutex, PoisonError},
};

/// Name, inode, and whether it is a directory.
pub(super) type Listing = Arc<Vec<(OsString, u64, bool)>>;

/// The listings of open directories, by handle.
#[derive(Default)]
pub(super) struct Listings(Mutex<Open>);

#[derive(Default)]
struct Open {
    last: u64,
    listings: BTreeMap<u64, Listing>,
}

impl Listings {
    /// A handle that no other directory has.
    pub(super) fn open(&self) -> u64 {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.last += 1;
        open.last
    }

    /// What is read under a handle: from its begin on anew, and the same again after that.
    pub(super) fn read<E>(
        &self,
        handle: u64,
        from_begin: bool,
        list: impl FnOnce() -> Result<Vec<(OsString, u64, bool)>, E>,
    ) -> Result<Listing, E> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = open.listings.get(&handle).filter(|_| !from_begin) {
            return Ok(Arc::clone(known));
        }
        let listing = Arc::new(list()?);
        open.listings.insert(handle, Arc::clone(&listing));
        Ok(listing)
    }

    pub(super) fn close(&self, handle: u64) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.listings.remove(&handle);
    }
}
