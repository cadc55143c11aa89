//! The services behind the gate: persons and the cluster.

mod admin;
mod calls;
mod consistency;
mod context;
mod faults;
mod forward;
mod many;
mod outcomes;
mod read;
mod registry;
mod scan;
mod scans;
mod shown;
mod submit;

pub use admin::AdminService;
pub use context::{NodeFacts, ServiceParts};
pub use forward::Forwarded;
pub use registry::RegistryService;
pub use scan::HeldScans;
