//! Compares the files of a checkpoint with its manifest.

use std::fs;
use std::io;
use std::path::Path;

use super::checkpoint::{CheckpointFile, CheckpointManifest, ManifestError};
use crate::files;

/// Why the files of a checkpoint do not match its manifest.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The manifest itself is refused.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file could not be read.
    #[error("checkpoint file {name:?} could not be read")]
    Io {
        /// The file's name.
        name: String,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// A file has another size.
    #[error("checkpoint file {name:?} has {found} bytes instead of {expected}")]
    Size {
        /// The file's name.
        name: String,
        /// Bytes found.
        found: u64,
        /// Bytes in the manifest.
        expected: u64,
    },
    /// A file has other content.
    #[error("checkpoint file {name:?} does not match its checksum")]
    Checksum {
        /// The file's name.
        name: String,
    },
}

/// Compares the files in `directory` with `manifest`, up to the first that differs. Reads everything; blocks.
pub(super) fn verify(directory: &Path, manifest: &CheckpointManifest) -> Result<(), VerifyError> {
    manifest.check()?;
    manifest
        .files
        .iter()
        .try_for_each(|file| verify_file(directory, file))
}

/// Compares one file in `directory` with its entry in a manifest. Reads it whole; blocks.
pub(super) fn verify_file(directory: &Path, file: &CheckpointFile) -> Result<(), VerifyError> {
    let path = directory.join(&file.name);
    let io_error = |source| VerifyError::Io {
        name: file.name.clone(),
        source,
    };
    let found = fs::metadata(&path).map_err(io_error)?.len();
    if found != file.size {
        return Err(VerifyError::Size {
            name: file.name.clone(),
            found,
            expected: file.size,
        });
    }
    if *files::hash_file(&path).map_err(io_error)?.as_bytes() != file.blake3 {
        return Err(VerifyError::Checksum {
            name: file.name.clone(),
        });
    }
    Ok(())
}
