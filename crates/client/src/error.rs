//! How a call can fail, and how making a client can.

use banyan_domain::IdempotencyKey;
use banyan_wire::errors::Code;
use banyan_wire::v1::ErrorDetail;

use crate::options::Stats;
use crate::target::UrlFault;

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Certificate, key or authority of the context are not usable.
    #[error("the certificate, key or authority of context `{context}` cannot be used")]
    Tls {
        /// Name of the context.
        context: String,
        /// What the TLS library said.
        #[source]
        source: tonic::transport::Error,
    },
    /// A bound of the options is zero.
    #[error("option `{0}` must be longer than zero")]
    ZeroOption(&'static str),
}

/// Why a call has no answer.
///
/// Only [`CallError::OutcomeUnknown`] leaves open whether a write took effect; every other variant means that it
/// did not.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// A node refused the request: it is at fault, or the caller may not. The same request gets the same answer.
    #[error("{} {}: {}", detail.code, detail.name, detail.message)]
    Refused {
        /// Code, text, faulty fields.
        detail: Box<ErrorDetail>,
        /// What the call took.
        stats: Stats,
    },
    /// No node could serve the call before its deadline. A write had no effect.
    #[error("no node served the call: {reason}")]
    Unavailable {
        /// The trouble of the last try.
        reason: String,
        /// What the node said, if it was a node that said it.
        detail: Option<Box<ErrorDetail>>,
        /// What the call took.
        stats: Stats,
    },
    /// The deadline passed after the write may have been proposed. Sending it again with this key settles it.
    #[error("the outcome of the write with key {key} is not known: {reason}")]
    OutcomeUnknown {
        /// The key to send it again with.
        key: IdempotencyKey,
        /// The trouble of the last try.
        reason: String,
        /// What the call took.
        stats: Stats,
    },
    /// No endpoint could be trusted, or none trusted the caller: a certificate does not fit its authority.
    #[error("no endpoint accepts the connection, at last `{}`: {reason}", stats.endpoint)]
    Untrusted {
        /// What the TLS library said.
        reason: String,
        /// What the call took.
        stats: Stats,
    },
    /// The context has no endpoint of this name.
    #[error("no endpoint is named `{name}`; there are: {}", known.join(", "))]
    UnknownEndpoint {
        /// The name asked for.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// A node answered with a message that has no meaning in the protocol. Only calls without effect end so.
    #[error("endpoint `{}` gave an answer without meaning: {what}", stats.endpoint)]
    BadAnswer {
        /// What was wrong with it.
        what: &'static str,
        /// What the call took.
        stats: Stats,
    },
    /// A leader hint or an endpoint is not a URL.
    #[error(transparent)]
    Url(#[from] UrlFault),
}

impl CallError {
    /// The public error code, where the error has one.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { detail, .. } => detail.known_code(),
            Self::Unavailable { detail, .. } => detail.as_ref()?.known_code(),
            Self::OutcomeUnknown { .. } => Some(Code::OutcomeUnknown),
            Self::Untrusted { .. }
            | Self::UnknownEndpoint { .. }
            | Self::BadAnswer { .. }
            | Self::Url(_) => None,
        }
    }

    /// What a node said about it, where a node did.
    #[must_use]
    pub fn detail(&self) -> Option<&ErrorDetail> {
        match self {
            Self::Refused { detail, .. } => Some(detail),
            Self::Unavailable { detail, .. } => detail.as_deref(),
            _ => None,
        }
    }

    /// What the call took. `None` where nothing was sent.
    #[must_use]
    pub fn stats(&self) -> Option<&Stats> {
        match self {
            Self::Refused { stats, .. }
            | Self::Unavailable { stats, .. }
            | Self::OutcomeUnknown { stats, .. }
            | Self::Untrusted { stats, .. }
            | Self::BadAnswer { stats, .. } => Some(stats),
            Self::UnknownEndpoint { .. } | Self::Url(_) => None,
        }
    }

    /// Whether a write may have taken effect although there is no answer.
    #[must_use]
    pub fn outcome_is_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { .. })
    }
}
