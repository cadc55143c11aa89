//! Why the file system could not be mounted.

use std::io;
use std::path::PathBuf;

/// Why the file system could not be mounted here.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    #[error(
        "/dev/fuse is missing: load the fuse module (modprobe fuse) or give the container the device"
    )]
    NoDevice,
    #[error(
        "mounting a FUSE file system at {path} was refused: run as root, or install fusermount3 (package fuse3)"
    )]
    Refused {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}
