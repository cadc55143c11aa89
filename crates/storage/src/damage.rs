//! The mark in a data directory in which stored content was found damaged.
//!
//! Most damage is found whenever the directory is opened, and refused then. What is found in a table later is not: restarted on it, a node would
//! run, and lead, until somebody asks for the damaged part again. So the finding is written down, and the directory is refused from then on.

use std::fs;
use std::io;
use std::path::Path;

use crate::fault::Fault;
use crate::files;

const FILE: &str = "damaged.txt";

/// What was found damaged in the directory; nothing as a rule.
pub(crate) fn found(directory: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(directory.join(FILE)) {
        Ok(what) => Ok(Some(what.trim_end().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Marks the directory, durably. That this fails changes nothing for the running node, which stops on the fault in any case.
pub(crate) fn mark(directory: &Path, fault: &Fault) {
    if let Err(error) =
        files::write_atomically(&directory.join(FILE), format!("{fault}\n").as_bytes())
    {
        tracing::error!(%error, "the data directory could not be marked as damaged");
    }
}
