//! Exit codes: what a script may tell apart without reading text. Documented in `docs/cli.md`.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// This program or a node is at fault, or a promise that was checked did not hold.
    Fault = 1,
    /// The request is at fault: arguments, files, values.
    Usage = 2,
    /// The registry decided "no".
    Rejected = 3,
    /// There is no such person, node or file.
    NotFound = 4,
    /// Not possible now; the same command may be tried again.
    Unavailable = 5,
    /// The command may or may not have taken effect; retry with the same key.
    OutcomeUnknown = 6,
    /// Not known, or not allowed.
    Denied = 7,
    /// Done in part: an import with refused rows, a digest that some nodes could not give.
    Partial = 8,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
