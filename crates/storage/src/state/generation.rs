//! Generations: each installed snapshot is a new directory, and `CURRENT` names the one in use.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::{ColumnFamily, ColumnFamilyDescriptor, DB, ReadOptions, Snapshot};
use self_cell::self_cell;

use super::schema::Family;
use crate::fault::Fault;
use crate::files;
use crate::lock::Hold;
use crate::options::{Shared, StoreOptions};
use crate::stores::OpenError;

const POINTER: &str = "CURRENT";

/// Seconds; RocksDB's name for it. It has no setter in Rust.
const REWRITE_DELAY: &str = "bottommost_file_compaction_delay";

/// One opened state database.
pub(crate) struct Generation {
    pub(super) db: DB,
    pub(super) number: u64,
    pub(super) directory: PathBuf,
    /// Last: the database closes before.
    pub(super) _hold: Hold,
}

impl Generation {
    /// Opens, or makes, generation `number` under `root`.
    pub(super) fn open(
        root: &Path,
        number: u64,
        options: &StoreOptions,
        shared: &Shared,
    ) -> Result<Self, rocksdb::Error> {
        let directory = generation_directory(root, number);
        let db = DB::open_cf_descriptors(
            &options.state_database(shared),
            &directory,
            families(options, shared),
        )?;
        for family in [Family::Versions, Family::Events, Family::Audit] {
            if let Some(handle) = db.cf_handle(family.name()) {
                // By default RocksDB writes every file that has reached the last level once more as soon as no snapshot needs the sequence
                // numbers in it, for the sake of what was overwritten or deleted. Here nothing is. The longest delay there is: 136 years.
                db.set_options_cf(handle, &[(REWRITE_DELAY, "4294967295")])?;
            }
        }
        Ok(Self {
            db,
            number,
            directory,
            _hold: shared.hold(),
        })
    }

    pub(super) fn family(&self, family: Family) -> Result<&ColumnFamily, Fault> {
        self.db
            .cf_handle(family.name())
            .ok_or_else(|| Fault::new("state", "a column family is missing"))
    }
}

/// The column families with their options. `default` stays empty.
pub(super) fn families(options: &StoreOptions, shared: &Shared) -> Vec<ColumnFamilyDescriptor> {
    let default = ColumnFamilyDescriptor::new("default", options.state_database(shared));
    let own = Family::ALL.into_iter().map(|family| {
        ColumnFamilyDescriptor::new(family.name(), options.state_family(family, shared))
    });
    std::iter::once(default).chain(own).collect()
}

/// Where generation `number` lies.
pub(super) fn generation_directory(root: &Path, number: u64) -> PathBuf {
    root.join(number.to_string())
}

/// Reads which generation is in use; none if there is no pointer.
pub(super) fn read_pointer(root: &Path) -> Result<Option<u64>, OpenError> {
    let path = root.join(POINTER);
    match fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(OpenError::Damaged(Fault::new(
                "state",
                "CURRENT does not hold a number",
            ))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OpenError::Io { path, source }),
    }
}

/// Makes `number` the generation in use, durably. A crash leaves the old or the new one, never neither.
pub(super) fn write_pointer(root: &Path, number: u64) -> io::Result<()> {
    files::write_atomically(&root.join(POINTER), format!("{number}\n").as_bytes())
}

/// Removes every generation but `number`: what an interrupted installation, or one that finished just before a crash, has left.
pub(super) fn remove_others(root: &Path, number: u64) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let stale = entry.file_type()?.is_dir()
            && entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<u64>().ok())
                != Some(number);
        if stale {
            tracing::info!(directory = %entry.path().display(), "removing a stale generation of the state");
            files::remove_directory(&entry.path())?;
        }
    }
    Ok(())
}

/// A RocksDB snapshot with what is needed to read from it.
pub(super) struct Reader<'a> {
    /// Carries the snapshot for point look-ups, so that none of them makes options of its own. Dropped before the snapshot.
    pub(super) options: ReadOptions,
    pub(super) snapshot: Snapshot<'a>,
    pub(super) db: &'a DB,
    markers: &'a ColumnFamily,
    pub(super) versions: &'a ColumnFamily,
    events: &'a ColumnFamily,
    audit: &'a ColumnFamily,
    pub(super) indexes: &'a ColumnFamily,
}

impl<'a> Reader<'a> {
    fn new(generation: &'a Arc<Generation>) -> Result<Self, Fault> {
        let db = &generation.db;
        let snapshot = db.snapshot();
        let mut options = ReadOptions::default();
        options.set_snapshot(&snapshot);
        Ok(Self {
            options,
            snapshot,
            db,
            markers: generation.family(Family::Markers)?,
            versions: generation.family(Family::Versions)?,
            events: generation.family(Family::Events)?,
            audit: generation.family(Family::Audit)?,
            indexes: generation.family(Family::Indexes)?,
        })
    }

    pub(super) fn family(&self, family: Family) -> &'a ColumnFamily {
        match family {
            Family::Markers => self.markers,
            Family::Versions => self.versions,
            Family::Events => self.events,
            Family::Audit => self.audit,
            Family::Indexes => self.indexes,
        }
    }
}

self_cell! {
    /// A snapshot that keeps its generation alive.
    pub(super) struct OwnedReader {
        owner: Arc<Generation>,
        #[covariant]
        dependent: Reader,
    }
}

impl OwnedReader {
    pub(super) fn of(generation: Arc<Generation>) -> Result<Self, Fault> {
        Self::try_new(generation, |generation| Reader::new(generation))
    }
}
