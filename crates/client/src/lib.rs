//! The typed client: endpoints, leader hints, retries, idempotency keys.
//!
//! ```no_run
//! # async fn example(command: banyan_wire::v1::Command) -> Result<(), Box<dyn std::error::Error>> {
//! use banyan_client::{Client, Contexts, new_key};
//!
//! let contexts = Contexts::load("contexts.toml".as_ref())?;
//! let client = Client::connect(contexts.context("registrar@nghe-an")?)?;
//! let submitted = client.submit(new_key(), command).await?;
//! println!("decided at {} after {} tries", submitted.outcome.position, submitted.stats.tries);
//! # Ok(()) }
//! ```
//!
//! What a caller can rely on:
//! - A write is sent again under the same key until it has an outcome or its deadline passes. The registry answers a
//!   retry with the first outcome, so a write takes effect at most once, however often it is sent.
//! - A write whose fate is not known is never reported as failed: it ends as [`CallError::OutcomeUnknown`] with its
//!   key, and sending it again with that key settles it. Every other error means that it had no effect.
//! - A key is made once for each command ([`new_key`]) and is good for 30 days: within them every retry gets the first outcome,
//!   after them it is refused. A key refused for its age after a try whose fate is not known leaves that fate unknown.
//! - Writes go to the node that led last and follow leader hints; reads go to the home endpoints first.
//! - Calls about one node ([`Client::status`], [`Client::get_digest`], [`Client::take_snapshot`]) go to that node only.

#![deny(missing_docs)]

mod admin;
mod batch;
mod channels;
mod client;
mod context;
mod error;
mod journey;
mod key;
mod link;
mod options;
mod reads;
mod scan;
mod streams;
mod target;
mod trouble;

pub use batch::{BatchSubmitted, Submission};
pub use client::{Client, Submitted};
pub use context::{Context, ContextError, ContextFault, ContextParts, Contexts};
pub use error::{CallError, ConnectError};
pub use key::new_key;
pub use options::{Options, Stats, SubmitOptions, Transport};
pub use reads::Read;
pub use scan::Scan;
pub use target::{Target, UrlFault};
