//! The wire between peers: gRPC over mutual TLS, with every call checked against (cluster, node id, role).
//!
//! * `client`: what openraft calls; one connection each for the log, for heartbeats and for snapshots, so that a
//!   heartbeat never queues behind bulk data.
//! * `server`: what peers call, over the connections of `incoming`; `admission` decides who may say what.
//! * `barriers`: read barriers, which every member may ask for.
//! * `forwards`: clients' calls that a node sends on to the leader.
//! * `tls`: version 1.3 only, the peers' own authority, on both sides; the client side also compares the node id in the certificate
//!   with the node that it meant to reach.
//! * `snapshot_send`, `snapshot_receive`: checkpoint files, streamed from disk to disk.

pub(crate) mod admission;
pub(crate) mod barriers;
pub(crate) mod client;
pub(crate) mod forwards;
pub(crate) mod incoming;
pub(crate) mod links;
pub(crate) mod messages;
pub(crate) mod pings;
pub(crate) mod pipeline;
pub(crate) mod server;
pub(crate) mod snapshot_receive;
pub(crate) mod snapshot_send;
pub(crate) mod tls;

pub use admission::{Admission, Refusals};
pub use client::PeerNetwork;
pub use forwards::{ForwardError, ForwardHandler};
pub use links::Links;
pub use server::{PeerService, ServeError};
pub use tls::{PeerTls, TlsError, identity_of_certificate};

/// Largest message between peers, in bytes. An append carries at most `READ_BYTES_MAX` of entries, or one entry, whose
/// bound is `ENTRY_BYTES_MAX`.
pub(crate) const FRAME_BYTES_MAX: usize = 8 << 20;

/// Streams that a peer may have open on one connection. Each purpose has a connection of its own; Raft's need two or three, each
/// forwarded call one.
pub(crate) const STREAMS_MAX: u32 = 256;

/// HTTP/2 windows: what may be under way on one stream and on one connection before the receiver has read it.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 4 << 20;
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

const _: () =
    assert!(crate::proposer::ENTRY_BYTES_MAX + crate::log::READ_BYTES_MAX < FRAME_BYTES_MAX);
