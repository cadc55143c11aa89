//! Generated protobuf, conversions to and from the domain, public error codes, certificate identities.
//!
//! - [`v1`] and [`internal_v1`] are generated from `proto/`; [`FILE_DESCRIPTOR_SET`] describes them for reflection.
//!   `Debug` of messages about people shows nothing of them.
//! - [`person`], [`command`] and [`outcome`] convert between messages and the domain's types; reading gathers every fault
//!   with its dotted path.
//! - [`record`] encodes what the store and the journal hold.
//! - [`bounded`] is the codec of the services: it refuses requests that would grow beyond their bounds when decoded.
//! - [`token`] and [`cursor`] are the bytes that clients carry from one answer to the next request.
//! - [`errors`] is the table of public error codes and how they travel.
//! - [`identity`] is the URI by which a certificate says whom it speaks for.
#![deny(missing_docs)]

pub mod bounded;
pub mod command;
pub mod cursor;
pub mod errors;
mod gather;
mod generated;
pub mod identity;
pub mod outcome;
pub mod person;
pub mod record;
pub mod token;

pub use generated::FILE_DESCRIPTOR_SET;
pub use generated::banyan::internal::v1 as internal_v1;
pub use generated::banyan::v1;
