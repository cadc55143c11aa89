//! Who holds a data directory, and when nobody does any more.
//!
//! The last handle of a store may go on any thread, and databases then close there: flushing what is in memory takes a moment. Until the
//! last of them has closed, the directory stays locked, and a process that returned from `main` would tear down RocksDB under
//! their feet: [`Closed`] is what it waits for.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::stores::OpenError;

/// Keeps the directory locked. Every open database has one, as its last field.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    lock: Arc<Lock>,
}

#[derive(Debug)]
struct Lock {
    file: Option<File>,
    closed: Closed,
}

/// Tells when a data directory has been given up.
#[derive(Clone, Debug, Default)]
pub struct Closed(Arc<(Mutex<bool>, Condvar)>);

impl Closed {
    /// Waits until every database of the directory is closed and its lock is free, at most `within`. True if that came to pass.
    #[must_use]
    pub fn wait(&self, within: Duration) -> bool {
        let (closed, changed) = &*self.0;
        let closed = closed.lock().unwrap_or_else(PoisonError::into_inner);
        let (closed, _) = changed
            .wait_timeout_while(closed, within, |closed| !*closed)
            .unwrap_or_else(PoisonError::into_inner);
        *closed
    }

    fn set(&self) {
        let (closed, changed) = &*self.0;
        *closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
    }
}

impl Hold {
    /// Takes the directory for this process. RocksDB has locks of its own; this one covers what lies beside its databases.
    pub(crate) fn take(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join("lock");
        let io_error = |source| OpenError::Io {
            path: path.clone(),
            source,
        };
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io_error)?;
        match file.try_lock() {
            Ok(()) => Ok(Self {
                lock: Arc::new(Lock {
                    file: Some(file),
                    closed: Closed::default(),
                }),
            }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked {
                path: directory.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(io_error(source)),
        }
    }

    pub(crate) fn closed(&self) -> Closed {
        self.lock.closed.clone()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Unlocked first: whoever waits may open the directory again at once.
        drop(self.file.take());
        self.closed.set();
    }
}
