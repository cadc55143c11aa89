//! Which sites and nodes a cluster consists of, and which losses it survives.
//!
//! A topology is data: a TOML file under `cluster/` that the nodes, the drills and the command line read alike.
//! [`Topology::parse`] turns its text into a value that cannot be wrong; every fault of the file is reported at
//! once, with its key and its value. Reading the file is the caller's work: nothing here touches a disk, a clock
//! or a network. What is deliberately absent: the membership in force, which the replicated log alone knows.

mod check;
mod error;
mod model;
pub mod name;
mod raw;
mod render;
pub mod survival;

pub use error::{Fault, TopologyError};
pub use model::{Node, NodeId, NodeRole, Parsed, Ports, Site, SiteRole, Timing, Topology};
pub use survival::{Survival, SurvivalGoal};
