//! Bounds of a call, and what a call took.

use std::num::NonZeroU32;
use std::time::Duration;

/// How long a client waits and how it spaces its tries.
///
/// The pause before a further try starts at `backoff_first`, doubles with each try and stops growing at `backoff_max`;
/// the pause taken is drawn evenly from its upper half. A hint of the node to wait longer is honoured. There is no pause
/// before the first two leader hints in a row, nor before an endpoint that the call has not tried yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Time for a whole call with all its tries. 30 s by default.
    pub deadline: Duration,
    /// Tries of one call at most; past them it ends as at its deadline, without the rest of the time being waited for. `None`, the default: as
    /// many as the deadline has room for. For callers that see to refusals and leader hints themselves.
    pub tries_max: Option<NonZeroU32>,
    /// Time for one try; the node is told it as `grpc-timeout`. 5 s by default.
    pub try_timeout: Duration,
    /// Time for a connection to be made, the TLS handshake included. 2 s by default.
    pub connect_timeout: Duration,
    /// The first pause. 10 ms by default.
    pub backoff_first: Duration,
    /// The longest pause. 500 ms by default.
    pub backoff_max: Duration,
    /// How calls travel. [`Transport::Streams`] by default.
    pub transport: Transport,
    /// Whether a node that does not lead is asked to send writes on to the leader. `false` by default: it says where the leader is, and
    /// the client goes there. `true` is for callers that reach a part of the nodes only.
    pub forward: bool,
}

/// How calls to the registry travel. Batches of writes and calls about the cluster are unary in either case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transport {
    /// All calls to a node share one stream: a fraction of the CPU of unary calls, on both sides.
    #[default]
    Streams,
    /// Each call is an HTTP/2 request of its own.
    Unary,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            tries_max: None,
            try_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
            backoff_first: Duration::from_millis(10),
            backoff_max: Duration::from_millis(500),
            transport: Transport::default(),
            forward: false,
        }
    }
}

/// What may differ from write to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubmitOptions {
    /// Only ask whether it would be accepted: nothing is proposed and no number is allotted.
    pub dry_run: bool,
    /// Name or URL of the endpoint to go to first. Default: the node that led last, then the order of the context.
    pub first: Option<String>,
    /// Time for the whole call. Default: [`Options::deadline`].
    pub deadline: Option<Duration>,
}

/// What a call took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// How often the request was sent or its sending was tried; at least 1 once a call was made.
    pub tries: u32,
    /// How often a leader hint was followed.
    pub redirects: u32,
    /// Name of the endpoint that was called last: the one that answered, where there is an answer.
    pub endpoint: String,
}

impl Stats {
    /// Tries after the first.
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.tries.saturating_sub(1)
    }
}
