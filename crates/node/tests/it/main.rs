//! Integration tests of a node: real clusters in this process, driven over TLS with generated clients.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod authorisation;
mod bad_input;
mod calls;
mod certificates;
mod cluster;
mod config;
mod consistency;
mod forwarding;
mod http_edge;
mod keys;
mod lifecycle;
mod many;
mod members;
mod people;
mod privacy;
mod process;
mod raw_values;
mod reads;
mod scan;
mod writes;
