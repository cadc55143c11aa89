//! Configuration: what stands in the file, checked once, handed on as a type that cannot be wrong.
//!
//! Raw text becomes `raw::RawNodeConfig` (serde), which becomes [`NodeConfig`] (private fields). Every fault is
//! reported, not the first. A wrong value always refuses; an unknown key refuses in `config check` and only
//! warns at start, so that a rollback in a distant province is not blocked by a newer file.

mod check;
mod fault;
mod node_config;
mod raw;
mod read;
mod sections;
mod show;

pub use check::{CheckReport, check_file};
pub use fault::{ConfigFault, ConfigFaults, LoadError};
pub use node_config::{Loaded, NodeConfig};
pub use read::ByteCount;
pub use sections::{
    Endpoints, Limits, LogFormat, LogSettings, RuntimeSettings, SnapshotSettings, StorageSettings,
    TlsFiles,
};
