//! One registry node: configuration, start-up order, edges, authentication, services, orderly stop.
//!
//! Start-up: configuration → identity and data directory → stores → consensus → edges → ready. Raft and its peers
//! run on a runtime of their own, which neither clients nor storage can block. [`node::Node`] puts the parts together;
//! [`program`] adds signals and exit codes, and the binary `banyand` the command line.
//!
//! What is deliberately absent: forwarding of writes to the leader (a node that does not lead answers with the leader's
//! endpoint), consistency levels above `local` without a bound (refused with a code), REST, subscriptions.

pub mod clock;
pub mod config;
pub mod edge;
pub mod hardening;
pub mod logging;
pub mod metrics;
pub mod node;
pub mod program;
pub mod readiness;
pub mod services;

/// Version of this program, as it shows in metrics, in the cluster's status and in `banyand --version`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
