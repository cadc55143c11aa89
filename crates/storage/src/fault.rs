//! The sticky error of a data directory: after the first one, nothing works any more.

use std::future::{Future as _, poll_fn};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use tokio::sync::watch;

use crate::damage;

/// This node must stop: a write, a sync or a stored record has failed.
///
/// Never retried. After a failed `fsync` the page cache may hold data as clean that never reached the disk, so that a
/// second try would report success for lost data (Rebello et al., "Can Applications Recover from fsync Failures?",
/// USENIX ATC 2020).
#[derive(Clone, Debug, thiserror::Error)]
#[error("{store} store has failed: {cause}")]
pub struct Fault {
    /// Which store: `log`, `state` or `journal`.
    pub store: &'static str,
    /// What was attempted and what came back. Holds no personal data.
    pub cause: Arc<str>,
}

impl Fault {
    /// A fault of `store` with its cause, in words.
    pub fn new(store: &'static str, cause: impl Into<Arc<str>>) -> Self {
        Self {
            store,
            cause: cause.into(),
        }
    }

    pub(crate) fn stopped(store: &'static str) -> Self {
        Self::new(store, "the store has been closed")
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        io::Error::other(fault)
    }
}

/// The first fault of a data directory, shared by its three stores: when one fails, all refuse.
#[derive(Clone, Debug, Default)]
pub struct FaultCell(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    first: OnceLock<Fault>,
    changed: watch::Sender<bool>,
    /// Where damage is written down.
    directory: Option<PathBuf>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            first: OnceLock::new(),
            changed: watch::Sender::new(false),
            directory: None,
        }
    }
}

impl FaultCell {
    pub(crate) fn of(directory: &Path) -> Self {
        Self(Arc::new(Inner {
            directory: Some(directory.to_owned()),
            ..Inner::default()
        }))
    }

    /// The first fault, if there has been one.
    #[must_use]
    pub fn get(&self) -> Option<Fault> {
        self.0.first.get().cloned()
    }

    /// Refuses if there has been a fault.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&self) -> Result<(), Fault> {
        match self.0.first.get() {
            None => Ok(()),
            Some(fault) => Err(fault.clone()),
        }
    }

    /// Resolves with the first fault; pends for ever if there is none.
    pub async fn occurred(&self) -> Fault {
        let mut changed = self.0.changed.subscribe();
        loop {
            if let Some(fault) = self.get() {
                return fault;
            }
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// As [`FaultCell::set`], for stored content that is not what was written: the data directory is refused from then on.
    pub(crate) fn set_damaged(&self, fault: Fault) -> Fault {
        if let Some(directory) = &self.0.directory {
            damage::mark(directory, &fault);
        }
        self.set(fault)
    }

    /// Records `fault` unless an earlier one stands, and returns the one that stands.
    pub(crate) fn set(&self, fault: Fault) -> Fault {
        let mut new = false;
        let standing = self
            .0
            .first
            .get_or_init(|| {
                new = true;
                fault
            })
            .clone();
        if new {
            tracing::error!(store = standing.store, cause = %standing.cause, "storage fault: this node must stop");
            self.0.changed.send_replace(true);
        }
        standing
    }
}

/// Resolves when the watched value changes or a fault stands, whichever is first: whoever waits for progress looks at both then. The
/// value's sender must outlive the call.
pub(crate) async fn changed_or_fault<T>(watch: &mut watch::Receiver<T>, fault: &FaultCell) {
    let (mut changed, mut occurred) = (pin!(watch.changed()), pin!(fault.occurred()));
    poll_fn(|context| {
        let woken =
            changed.as_mut().poll(context).is_ready() || occurred.as_mut().poll(context).is_ready();
        if woken {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}
