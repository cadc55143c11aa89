//! The stores of a node, in a directory of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banyan_storage::{FirstStart, Identity, StateStore, StoreOptions, Stores};

use crate::shown::shown;
use crate::side::Side;

/// How long a directory may take to close.
const PATIENCE: Duration = Duration::from_secs(30);

/// The stores of one node.
pub(crate) struct Real {
    directory: PathBuf,
    stores: Stores,
}

/// Runs `main` with a folder of its own, on this thread.
pub(crate) fn run<T>(main: impl AsyncFnOnce(&Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(main(folder.path()))
}

/// A log of which little stays in memory, so that reads go to the database; a state that is flushed when a test says so.
fn options() -> StoreOptions {
    StoreOptions {
        block_cache_bytes: 4 << 20,
        log_write_buffer_bytes: 256 << 10,
        log_tail_bytes: 2 << 10,
        journal_budget_bytes: 16 << 20,
        ..StoreOptions::default()
    }
}

fn open(directory: &Path, first_start: FirstStart) -> Stores {
    let identity = Identity {
        cluster: "stores".to_owned(),
        node: 1,
    };
    Stores::open(directory, &identity, first_start, &options()).unwrap()
}

impl Real {
    /// Empty ones, in directories under `folder`.
    pub(crate) fn nodes(folder: &Path, count: usize) -> Vec<Self> {
        (0..count)
            .map(|number| {
                let directory = folder.join(number.to_string());
                let stores = open(&directory, FirstStart::Permitted);
                Self { directory, stores }
            })
            .collect()
    }

    /// The stores as they open on a copy of the files, while these are open.
    pub(crate) fn killed(&self) -> Self {
        let directory = self.directory.with_extension("killed");
        copy(&self.directory, &directory);
        let stores = open(&directory, FirstStart::Refused);
        Self { directory, stores }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl Side for Real {
    type Log = Stores;
    type State = StateStore;

    fn log(&self) -> &Stores {
        &self.stores
    }

    fn state(&self) -> &StateStore {
        &self.stores.state
    }

    async fn pause(&self, _: Duration) {}

    async fn reopened(self) -> Self {
        let Self { directory, stores } = self;
        let closed = stores.closed();
        drop(stores);
        assert!(closed.wait(PATIENCE), "the stores do not close");
        let stores = open(&directory, FirstStart::Refused);
        Self { directory, stores }
    }

    fn digest(&self) -> ([u8; 32], u64) {
        self.stores.state.digest_now().unwrap()
    }

    fn shown(&self) -> Vec<String> {
        shown(&self.stores.state.view().unwrap()).unwrap()
    }
}
