//! Why a proposal has no outcome.

use std::time::Duration;

use openraft::errors::{ClientWriteError, ForwardReason, ForwardToLeader};
use openraft_rt::AsyncRuntime;

use crate::{
    member::Member,
    proposer::{ENTRY_BYTES_MAX, ENTRY_COMMANDS_MAX},
    types::TypeConfig,
};

/// What a caller may be told to wait before it tries again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Why a proposal has no outcome. Only [`ProposeError::OutcomeUnknown`] leaves open whether the commands are, or will be,
/// applied: retry those with the same idempotency keys.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProposeError {
    /// Another node leads. Not proposed.
    #[error("this node does not lead the cluster")]
    NotLeader {
        /// Who leads, or is about to, as far as this node knows.
        leader: Option<Member>,
    },
    /// No leader is known, or this leader has lost touch with a majority. Not proposed.
    #[error("no leader with a quorum is known")]
    NoQuorum {
        /// When to try again.
        retry_after: Duration,
    },
    /// This node leads, and its wall clock is further than [`OFFSET_MAX`](crate::OFFSET_MAX) from most voters' clocks, or from as many as it agrees
    /// with, or it has not heard half of them. Not proposed: one wrong clock would move the registry's time for good.
    #[error(
        "the clock of this leader is far from other voters' clocks, or too few of them were heard"
    )]
    ClockSkewed {
        /// When to try again.
        retry_after: Duration,
    },
    /// Too many proposals wait, or these waited too long. Not proposed.
    #[error("too many proposals are waiting")]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// More than fits into one entry. Not proposed.
    #[error(
        "{commands} commands of {bytes} bytes exceed one entry: maximum {ENTRY_COMMANDS_MAX} commands and {ENTRY_BYTES_MAX} bytes"
    )]
    TooLarge {
        /// Commands given.
        commands: usize,
        /// Their encoded size.
        bytes: usize,
    },
    /// Proposed, but the outcome did not come back: it may be applied, now, later or never.
    #[error("the outcome of the proposal is unknown")]
    OutcomeUnknown,
    /// This node is stopping. Not proposed.
    #[error("this node is stopping")]
    ShuttingDown,
    /// Raw values, which this node does not carry. Not proposed.
    #[error("this node carries no raw values")]
    RawValuesRefused,
    /// This node has failed and must stop. Not proposed by it.
    #[error("this node has failed")]
    Fault,
}

/// What openraft's refusal means. `ForwardToLeader` is the one definite failure: the entry was not appended.
pub(crate) fn refusal<R: AsyncRuntime>(error: ClientWriteError<TypeConfig<R>>) -> ProposeError {
    match error {
        ClientWriteError::ForwardToLeader(forward) => forwarded(forward),
        ClientWriteError::LogEntryDiscarded(_) => ProposeError::OutcomeUnknown,
        // These belong to membership changes and preconditions, which no proposal here carries.
        ClientWriteError::ChangeMembershipError(_) | ClientWriteError::PreconditionFailed(_) => {
            ProposeError::Fault
        }
    }
}

fn forwarded<R: AsyncRuntime>(forward: ForwardToLeader<TypeConfig<R>>) -> ProposeError {
    match (forward.reason, forward.leader_node) {
        // A leader whose quorum has not answered for a lease refuses new entries without stepping down: try again shortly.
        (ForwardReason::LeaseExpired, _) | (_, None) => ProposeError::NoQuorum {
            retry_after: RETRY_AFTER,
        },
        (ForwardReason::NotLeader | ForwardReason::LeadershipTransfer, leader) => {
            ProposeError::NotLeader { leader }
        }
    }
}
