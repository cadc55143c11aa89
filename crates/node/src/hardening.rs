//! Keeps personal data out of core files and away from debuggers of the same user.

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// Why the process could not be hardened.
#[derive(Debug, thiserror::Error)]
pub enum HardenError {
    /// The limit on core files could not be set.
    #[error("cannot set the size limit of core files to 0")]
    CoreLimit(#[source] nix::Error),
    /// The dumpable attribute could not be cleared.
    #[error("cannot mark the process as not dumpable")]
    Dumpable(#[source] nix::Error),
}

/// Forbids core dumps of this process, and with them attaching by another process of the same user.
///
/// The memory of a node holds records of persons; a core file would be an unlogged copy of them.
///
/// # Errors
/// [`HardenError`] when the system refuses; the node then must not start.
pub fn forbid_core_dumps() -> Result<(), HardenError> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(HardenError::CoreLimit)?;
    prctl::set_dumpable(false).map_err(HardenError::Dumpable)
}

#[cfg(test)]
mod tests {
    use nix::sys::resource::getrlimit;

    use super::*;

    #[test]
    fn after_hardening_the_process_leaves_no_core_file() {
        forbid_core_dumps().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0));
        assert!(!prctl::get_dumpable().unwrap());
    }
}
