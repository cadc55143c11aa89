//! The commands, one noun to a file.

pub(crate) mod birth;
pub(crate) mod cluster;
pub(crate) mod completions;
pub(crate) mod death;
pub(crate) mod demo;
pub(crate) mod digest;
pub(crate) mod drill;
pub(crate) mod import;
pub(crate) mod leader;
pub(crate) mod member;
pub(crate) mod person;
pub(crate) mod pin;
pub(crate) mod pki;
pub(crate) mod synth;
pub(crate) mod write;
