//! One node put together: start-up order, what it watches, orderly stop.

mod assembly;
mod error;
mod listeners;
mod members;
mod opening;
mod readings;
mod watch;

pub use assembly::{Node, NodeConsensus};
pub use banyan_consensus::RawValues;
pub use error::{Ended, StartError};
pub use listeners::Listeners;
pub use members::planned_members;
