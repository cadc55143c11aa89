//! From what consensus and storage say to what a caller is told.

use std::time::Duration;

use banyan_consensus::{Member, ProposeError};
use banyan_domain::{Outcome, Rejection, ViewFault};
use banyan_storage::{AppendError, Fault};
use banyan_wire::errors::Code;
use banyan_wire::v1::ErrorDetail;

/// After "no leader" a caller should wait about an election.
const NO_LEADER_RETRY: Duration = Duration::from_millis(200);

/// Room for idempotency keys comes back as the oldest expire, which takes its time.
const KEYS_FULL_RETRY: Duration = Duration::from_secs(60);

/// Whether an outcome is one to answer with. "Not now" is none: nothing is kept of it, and a later try may be accepted.
pub(super) fn settled(outcome: &Outcome) -> Result<(), ErrorDetail> {
    match &outcome.result {
        Err(rejection @ Rejection::KeysFull) => {
            Err(ErrorDetail::new(Code::KeysFull, rejection.to_string())
                .with_retry_after(KEYS_FULL_RETRY))
        }
        _ => Ok(()),
    }
}

/// The URL of a member's client port.
pub(super) fn client_url(member: &Member) -> String {
    format!("https://{}", member.client_endpoint)
}

pub(super) fn no_leader() -> ErrorDetail {
    ErrorDetail::new(Code::NoLeader, "no leader is known at the moment")
        .with_retry_after(NO_LEADER_RETRY)
}

/// Why a proposal has no outcome, in public words.
pub(super) fn propose_detail(error: &ProposeError) -> ErrorDetail {
    let text = error.to_string();
    match error {
        ProposeError::NotLeader {
            leader: Some(leader),
        } => ErrorDetail::new(Code::NotLeader, text).with_leader(client_url(leader)),
        ProposeError::NotLeader { leader: None } => no_leader(),
        ProposeError::NoQuorum { retry_after } => {
            ErrorDetail::new(Code::NoQuorum, text).with_retry_after(*retry_after)
        }
        ProposeError::ClockSkewed { retry_after } => {
            ErrorDetail::new(Code::ClockSkewed, text).with_retry_after(*retry_after)
        }
        ProposeError::Overloaded { retry_after } => {
            ErrorDetail::new(Code::Overloaded, text).with_retry_after(*retry_after)
        }
        ProposeError::TooLarge { .. } => ErrorDetail::new(Code::MessageTooLarge, text),
        ProposeError::OutcomeUnknown => ErrorDetail::new(Code::OutcomeUnknown, text),
        ProposeError::ShuttingDown => ErrorDetail::new(Code::ShuttingDown, text),
        ProposeError::RawValuesRefused => ErrorDetail::new(Code::MethodUnknown, text),
        ProposeError::Fault => ErrorDetail::new(Code::NodeFault, text),
    }
}

/// A store of this node has failed. The cause stays in the log: it is for operators, not for callers.
pub(super) fn storage_detail(fault: &Fault) -> ErrorDetail {
    let text = format!("the {} store of this node has failed", fault.store);
    ErrorDetail::new(Code::StorageFault, text)
}

/// An access record could not be put on disk, so the answer that it is about must not leave.
pub(super) fn append_detail(error: &AppendError) -> ErrorDetail {
    match error {
        AppendError::Full { .. } => ErrorDetail::new(
            Code::JournalFull,
            "the journal of access records on this node has no room: an operator must give it more",
        ),
        AppendError::Fault(fault) => storage_detail(fault),
    }
}

/// A stored record could not be read.
pub(super) fn view_detail(fault: &ViewFault) -> ErrorDetail {
    tracing::error!(cause = %fault, "a read of the state failed");
    ErrorDetail::new(
        Code::StorageFault,
        "the state store of this node cannot be read",
    )
}
