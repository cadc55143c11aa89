//! Raft over the stores: the only crate that names openraft.
//!
//! * [`Consensus`]: the handle of one node: propose, status, bootstrap, transfer, stop. `Consensus::start` wires the real
//!   stores and peers, `Consensus::start_with` takes any log, state machine and network of openraft's traits.
//! * [`settings`]: every setting of openraft that differs from its default, with the reason.
//! * [`LogAdapter`], [`StateMachine`]: openraft's storage traits over `banyan_storage`.
//! * [`network`]: peers over mutual TLS, and who is admitted.
//! * `proposer`, `queue`, `load`: concurrent proposals become few log entries; how many may wait.
//! * `barrier`: read barriers, and how fresh this node is.
//! * `reading`: how fresh a read must be, and a snapshot that is.
//! * `leadership`, `transfer`: bootstrap, the graceful stop, and leadership that moves on purpose.
//! * `steward`: leadership that moves by itself, away from a stalled disk and home to a preferred site.
//! * `peers`: the service that peers call, and what is forwarded to the leader.
//! * `pings`, `voter_clocks`: voters keep their connections to each other open, and compare clocks.
//! * `keeper`: snapshots and purges, by bytes.
//!
//! Not here: membership changes beyond bootstrap.
#![deny(missing_docs)]

mod barrier;
pub mod clock;
mod consensus;
mod first_answer;
mod freshness;
mod keeper;
mod leadership;
mod load;
mod log;
mod member;
mod membership;
pub mod network;
mod parts;
mod payload;
mod peers;
mod pings;
mod propose_error;
mod proposer;
mod queue;
mod reading;
mod retry_hint;
pub mod settings;
mod state;
mod status;
mod steward;
mod transfer;
mod types;
mod voter_clocks;

pub use barrier::{Barrier, BarrierError, BarrierWire, FreshAsOf, Urgency};
pub use clock::{Clock, SystemClock};
pub use consensus::{Consensus, Failure, NotRecovered, StartError};
pub use leadership::BootstrapError;
pub use log::{LogAdapter, LogDisk, LogReader, LogSize};
pub use member::Member;
pub use membership::{MemberChange, MemberChangeError};
pub use network::PeerTls;
pub use parts::{Parts, RawValues, StartOptions};
pub use payload::PayloadFault;
pub use pings::PingWire;
pub use propose_error::ProposeError;
pub use proposer::{ENTRY_BYTES_MAX, ENTRY_COMMANDS_MAX};
pub use reading::{ReadLevel, ReadRefusal, Reading, Snapshots, TooStale};
pub use retry_hint::RetryHint;
pub use settings::{LogPolicy, Timing};
pub use state::{
    Retired, SnapshotBuilder, SnapshotHandle, StateDisk, StateMachine, members_of, voter_sets_of,
};
pub use status::{MemberStatus, Role, Status};
pub use steward::{BusyFor, Preference};
pub use transfer::TransferError;
pub use types::{Payload, Response, TypeConfig};
pub use voter_clocks::{ClockVerdict, OFFSET_MAX};

// Tests outside of this crate name the runtime that production uses.
pub use openraft_rt_tokio::TokioRuntime;
