//! Installing a received checkpoint: a new generation, verified and synced, then one rename.
//!
//! | step | a crash after it leaves |
//! |---|---|
//! | `Verified`: files match the manifest and are synced | the old state; the received files are removed at open |
//! | `LogDurable`: everything queued for the log is synced | the same |
//! | `Moved`: the directory is a generation, unused | the old state; the new generation is removed at open |
//! | `Opened`: RocksDB has opened it and the position agrees | the same |
//! | `Switched`: `CURRENT` names it, durably | the new state; the old generation is removed at open |
//! | `Swapped`: readers get it | the same |

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::checkpoint::{CheckpointManifest, ManifestError};
use super::core::Core;
use super::generation::{Generation, generation_directory, write_pointer};
use super::inbox::InboxHold;
use super::verify::{VerifyError, verify_file};
use super::view::{Applied, ReadView};
use crate::fault::{Fault, FaultCell};
use crate::files;

/// How far an installation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstallStep {
    /// The files match the manifest and are synced.
    Verified,
    /// Everything queued for the log is synced.
    LogDurable,
    /// The directory has become an unused generation.
    Moved,
    /// RocksDB has opened it.
    Opened,
    /// The pointer names it, durably.
    Switched,
    /// Readers get it.
    Swapped,
}

/// Why a checkpoint was not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// What was received does not match its manifest, and was removed. Receive it again.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The checkpoint is older than the state.
    #[error("checkpoint at index {offered} is older than the state at index {applied}")]
    Older {
        /// Index of the checkpoint.
        offered: u64,
        /// Index of the state.
        applied: u64,
    },
    /// RocksDB cannot open it, or it holds another position than its manifest says.
    #[error("checkpoint cannot be used: {0}")]
    Unusable(String),
    /// Another one is being received, verified or installed: there is one at a time. Try again when it has ended.
    #[error("another checkpoint is being received or installed")]
    Busy,
    /// A file of the checkpoint could not be received.
    #[error("checkpoint file could not be received")]
    Receive(#[source] io::Error),
    /// The node must stop.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<ManifestError> for InstallError {
    fn from(error: ManifestError) -> Self {
        Self::Verify(error.into())
    }
}

/// A checkpoint that is being received into a directory of its own. What is there already stays when receiving begins again
/// with the same manifest, so that a broken transfer resumes. It goes when another checkpoint is begun, when the state has come as far
/// without it, or when the store is opened.
#[derive(Debug)]
pub struct Incoming {
    directory: PathBuf,
    manifest: CheckpointManifest,
    fault: FaultCell,
    hold: InboxHold,
}

/// A checkpoint that was received whole, compared with its manifest and synced: what
/// [`StateStore::install`](super::StateStore::install) takes, so that its thread only switches.
#[derive(Debug)]
pub struct VerifiedCheckpoint {
    directory: PathBuf,
    manifest: CheckpointManifest,
    _hold: InboxHold,
}

impl VerifiedCheckpoint {
    /// What it holds.
    #[must_use]
    pub fn manifest(&self) -> &CheckpointManifest {
        &self.manifest
    }
}

impl Incoming {
    pub(super) fn begin(core: &Core, manifest: CheckpointManifest) -> Result<Self, InstallError> {
        manifest.check()?;
        let name = blake3::hash(&manifest.encode()).to_hex();
        let (directory, hold) = core
            .inbox()
            .begin(name.get(..32).unwrap_or_default(), manifest.index)
            .map_err(InstallError::Receive)?
            .ok_or(InstallError::Busy)?;
        Ok(Self {
            directory,
            manifest,
            fault: core.fault.clone(),
            hold,
        })
    }

    /// What is to be received.
    #[must_use]
    pub fn manifest(&self) -> &CheckpointManifest {
        &self.manifest
    }

    /// What is still needed: (number of the file in the manifest, offset from which on), in order. Blocks.
    ///
    /// # Errors
    /// [`InstallError::Receive`].
    pub fn needs(&self) -> Result<Vec<(usize, u64)>, InstallError> {
        let mut needs = Vec::new();
        for (number, file) in self.manifest.files.iter().enumerate() {
            match fs::metadata(self.directory.join(&file.name)) {
                Ok(found) if found.len() == file.size => {}
                Ok(found) if found.len() < file.size => needs.push((number, found.len())),
                Ok(_) => {
                    fs::remove_file(self.directory.join(&file.name))
                        .map_err(InstallError::Receive)?;
                    needs.push((number, 0));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => needs.push((number, 0)),
                Err(error) => return Err(InstallError::Receive(error)),
            }
        }
        Ok(needs)
    }

    /// Writes `data` at `offset` of file number `file`. A file is received in order. Blocks.
    ///
    /// # Errors
    /// [`InstallError::Receive`]: no such file, a gap, more bytes than the manifest says, or an error of the system.
    pub fn write(&self, file: usize, offset: u64, data: &[u8]) -> Result<(), InstallError> {
        let refuse =
            |text: String| InstallError::Receive(io::Error::new(io::ErrorKind::InvalidInput, text));
        let Some(entry) = self.manifest.files.get(file) else {
            return Err(refuse(format!(
                "no file {file} among {}",
                self.manifest.files.len()
            )));
        };
        let end = offset.saturating_add(data.len() as u64);
        if end > entry.size {
            return Err(refuse(format!(
                "file {file} of {} bytes cannot take byte {end}",
                entry.size
            )));
        }
        let target = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.directory.join(&entry.name))
            .map_err(InstallError::Receive)?;
        let length = target.metadata().map_err(InstallError::Receive)?.len();
        if offset > length {
            return Err(refuse(format!(
                "file {file} has {length} bytes, offset {offset} leaves a gap"
            )));
        }
        target
            .write_all_at(data, offset)
            .map_err(InstallError::Receive)
    }

    /// Compares what was received with the manifest, so that a damaged transfer is found before anyone relies on it, and makes it
    /// durable. Files that differ are removed: [`needs`](Self::needs) names them again when the same checkpoint is begun again. Reads and syncs everything; blocks, for as long as the disk takes, and so belongs on a thread that nobody waits for.
    ///
    /// # Errors
    /// [`InstallError::Verify`] for the first file that differs; [`InstallError::Receive`] if one could not be removed;
    /// [`InstallError::Fault`] if a sync failed: the node must stop, as after every failed sync.
    pub fn verified(self) -> Result<VerifiedCheckpoint, InstallError> {
        self.fault.check()?;
        self.remove_damaged()?;
        files::sync_all_in(&self.directory).map_err(|error| {
            let cause = format!("sync of a received checkpoint: {error}");
            self.fault.set(Fault::new("state", cause))
        })?;
        Ok(VerifiedCheckpoint {
            directory: self.directory,
            manifest: self.manifest,
            _hold: self.hold,
        })
    }

    /// Removes every file that differs from the manifest, and returns the first difference as the error. Left in place they would have their full
    /// length, would not be asked for again, and the same checkpoint would be refused for ever.
    fn remove_damaged(&self) -> Result<(), InstallError> {
        let mut first = None;
        for file in &self.manifest.files {
            let Err(error) = verify_file(&self.directory, file) else {
                continue;
            };
            tracing::warn!(%error, "removing a received file that does not match the manifest");
            match fs::remove_file(self.directory.join(&file.name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(InstallError::Receive(error));
                }
                _ => {}
            }
            first.get_or_insert(error);
        }
        first.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Installs what was received, verified and synced. Runs on the apply thread: nothing is applied meanwhile. Takes it by value, so that the
/// next one can be received as soon as whoever asked is answered; what is too old is removed by the upkeep thread.
pub(super) fn install(core: &Core, verified: VerifiedCheckpoint) -> Result<Applied, InstallError> {
    core.fault.check()?;
    let manifest = &verified.manifest;
    let root = &core.paths.state;
    let io_fault = |error: io::Error| {
        InstallError::Fault(
            core.fault
                .set(Fault::new("state", format!("install: {error}"))),
        )
    };
    let reached = |step: InstallStep| {
        if let Some(observe) = core.options.install_observer {
            observe(step);
        }
    };
    if let Some(applied) = core.applied()
        && applied.position.index > manifest.index
    {
        return Err(InstallError::Older {
            offered: manifest.index,
            applied: applied.position.index,
        });
    }
    reached(InstallStep::Verified);

    // The state must not get ahead of what this node has promised in its log.
    core.log.barrier().wait()?;
    reached(InstallStep::LogDurable);

    let number = core.current().number + 1;
    let target = generation_directory(root, number);
    files::remove_directory(&target).map_err(io_fault)?;
    fs::rename(&verified.directory, &target).map_err(io_fault)?;
    files::sync_directory(&core.paths.incoming).map_err(io_fault)?;
    files::sync_directory(root).map_err(io_fault)?;
    reached(InstallStep::Moved);

    let (generation, applied, membership) = match open(core, number, manifest) {
        Ok(opened) => opened,
        Err(error) => {
            files::remove_directory(&target).map_err(io_fault)?;
            return Err(error);
        }
    };
    reached(InstallStep::Opened);

    // RocksDB syncs what it writes while opening; the names of those files are synced here.
    files::sync_directory(&target).map_err(io_fault)?;
    write_pointer(root, number).map_err(io_fault)?;
    reached(InstallStep::Switched);

    core.replace(generation, applied, membership, &manifest.files);
    reached(InstallStep::Swapped);
    Ok(applied)
}

fn open(
    core: &Core,
    number: u64,
    manifest: &CheckpointManifest,
) -> Result<(Arc<Generation>, Applied, Option<bytes::Bytes>), InstallError> {
    let generation = Generation::open(&core.paths.state, number, &core.options, &core.shared)
        .map_err(|error| InstallError::Unusable(error.to_string()))?;
    let generation = Arc::new(generation);
    let view = ReadView::of(Arc::clone(&generation))?;
    let (applied, membership) = view
        .applied()
        .and_then(|applied| Ok((applied, view.membership()?)))
        .map_err(|error| InstallError::Unusable(error.0))?;
    match applied {
        Some(applied)
            if applied.position == manifest.position()
                && membership.as_deref().unwrap_or_default() == manifest.membership =>
        {
            Ok((generation, applied, membership))
        }
        _ => Err(InstallError::Unusable(format!(
            "its position is not the one of its manifest ({}, {})",
            manifest.term, manifest.index
        ))),
    }
}
