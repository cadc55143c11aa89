//! The log store as openraft wants it: entries, vote and commit position over `banyan_storage`.

mod disk;
mod reader;
mod size;
mod store;

pub use disk::LogDisk;
pub use reader::LogReader;
pub use size::LogSize;
pub use store::LogAdapter;

/// Payload bytes that one read returns at most, unless its first entry is larger: what one append carries, and what
/// one step of applying holds in memory.
pub(crate) const READ_BYTES_MAX: usize = 1 << 20;
