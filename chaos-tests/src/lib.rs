//! Real processes under real faults: what the process tests of this crate share.
//!
//! The tests need the node's program beside them: `cargo build -p banyan-node` first, or `BANYAND_BIN`.

pub mod harness;
pub mod lossy_fs;
pub mod process;
pub mod registers;
pub mod sim;
