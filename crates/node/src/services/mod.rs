//! The services behind the gate: persons and the cluster; raw values at nodes of the bench.

mod admin;
mod calls;
mod consistency;
mod context;
mod faults;
mod forward;
mod many;
mod members;
mod outcomes;
mod raw_values;
mod read;
mod registry;
mod scan;
mod scans;
mod shown;
mod submit;

pub use admin::AdminService;
pub use context::{NodeFacts, ServiceParts};
pub use forward::Forwarded;
pub use raw_values::RawValuesService;
pub use registry::RegistryService;
pub use scan::HeldScans;
