//! What a failed try means for the next one.

use std::error::Error;
use std::time::Duration;

use banyan_wire::errors::{self, Code, Kind};
use banyan_wire::v1::ErrorDetail;
use rustls::AlertDescription;
use tonic::{ConnectError, Status};

/// A try without an answer, sorted by what to do next.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    /// What to do next.
    pub(crate) next: Next,
    /// One line about what happened; holds no personal data.
    pub(crate) reason: String,
    /// What the node said, where a node said something.
    pub(crate) detail: Option<Box<ErrorDetail>>,
    /// Whether a write may take effect although there was no answer.
    pub(crate) maybe_applied: bool,
}

/// What to do after a failed try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Give up: the same request gets the same answer.
    Refused,
    /// Go to this URL, where the leader is said to be.
    Leader(String),
    /// Stay at this endpoint and wait.
    Wait(Duration),
    /// Try another endpoint, after a wait if the node asked for one.
    Other(Option<Duration>),
    /// Try another endpoint; this one and the caller do not trust each other.
    Untrusted,
}

impl Trouble {
    /// Sorts the status of a failed try.
    pub(crate) fn of_status(status: &Status) -> Self {
        if let Some(detail) = errors::from_status(status) {
            return Self::of_detail(detail);
        }
        if let Some(reason) = distrust(status) {
            return Self {
                next: Next::Untrusted,
                reason,
                detail: None,
                maybe_applied: false,
            };
        }
        if status.code() == tonic::Code::OutOfRange {
            return Self::answer_lost(status);
        }
        if let Some(code) = refused_without_detail(status.code()) {
            let detail = ErrorDetail::new(code, status.message());
            return Self::of_detail(detail);
        }
        Self {
            next: Next::Other(None),
            reason: chain(status),
            detail: None,
            maybe_applied: !never_sent(status),
        }
    }

    /// Sorts what a node said.
    pub(crate) fn of_detail(detail: ErrorDetail) -> Self {
        let reason = format!("{} {}: {}", detail.code, detail.name, detail.message);
        let code = detail.known_code();
        let next = match code.map(Code::kind) {
            _ if !detail.leader_endpoint.is_empty() => Next::Leader(detail.leader_endpoint.clone()),
            Some(Kind::Request | Kind::Denied | Kind::Rejection) => Next::Refused,
            // All nodes would say the same.
            Some(Kind::Unavailable) if matches!(code, Some(Code::Overloaded | Code::KeysFull)) => {
                Next::Wait(detail.retry_after().unwrap_or_default())
            }
            // A code of a newer node is taken as transient: the deadline bounds the tries.
            Some(Kind::Unavailable | Kind::Fault) | None => Next::Other(detail.retry_after()),
        };
        // A node that stops may have proposed before, whatever it says.
        let maybe_applied =
            detail.outcome_unknown || matches!(code.map(Code::kind), Some(Kind::Fault) | None);
        Self {
            next,
            reason,
            detail: Some(Box::new(detail)),
            maybe_applied,
        }
    }

    /// An answer that is larger than the node may send or this client takes. The request has been served: a node that refuses
    /// a request for its size says so in our details. The same request would get the same answer.
    fn answer_lost(status: &Status) -> Self {
        let detail = ErrorDetail::new(Code::MessageTooLarge, status.message());
        Self {
            maybe_applied: true,
            ..Self::of_detail(detail)
        }
    }

    /// Whether the request was served and only its answer was too large. A part of the request may get an answer.
    pub(crate) fn is_answer_lost(&self) -> bool {
        let code = self.detail.as_deref().and_then(ErrorDetail::known_code);
        self.maybe_applied && code == Some(Code::MessageTooLarge)
    }

    /// A try that was not answered within its time.
    pub(crate) fn silence(timeout: Duration) -> Self {
        Self {
            next: Next::Other(None),
            reason: format!("no answer within {} ms", timeout.as_millis()),
            detail: None,
            maybe_applied: true,
        }
    }
}

/// Codes for refusals that tonic or a proxy made without our details.
fn refused_without_detail(code: tonic::Code) -> Option<Code> {
    match code {
        tonic::Code::InvalidArgument => Some(Code::InvalidFields),
        tonic::Code::Unimplemented => Some(Code::MethodUnknown),
        tonic::Code::Unauthenticated => Some(Code::IdentityMissing),
        tonic::Code::PermissionDenied => Some(Code::NotAuthorised),
        _ => None,
    }
}

/// Walks an error and its sources.
fn sources<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        (*error).source()
    })
}

/// Whether the connection was never made, so that no node can have seen the request.
fn never_sent(status: &Status) -> bool {
    sources(status).any(|error| error.is::<ConnectError>())
}

/// Alerts by which a node says that it does not accept the caller's certificate.
const DISTRUSTING_ALERTS: [AlertDescription; 9] = [
    AlertDescription::BadCertificate,
    AlertDescription::UnsupportedCertificate,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateUnknown,
    AlertDescription::UnknownCA,
    AlertDescription::AccessDenied,
    AlertDescription::DecryptError,
    AlertDescription::CertificateRequired,
];

/// The TLS fault behind a failure, if it says that one side does not accept the other's certificate.
fn distrust(status: &Status) -> Option<String> {
    sources(status).find_map(|error| {
        let fault = error.downcast_ref::<rustls::Error>().or_else(|| {
            let io = error.downcast_ref::<std::io::Error>()?;
            io.get_ref()?.downcast_ref::<rustls::Error>()
        });
        match fault {
            Some(fault) => is_distrust(fault).then(|| fault.to_string()),
            None => distrusting_text(&error.to_string()),
        }
    })
}

/// Certificate faults of either side. Other TLS faults (a peer that vanished during the handshake) are transient.
fn is_distrust(fault: &rustls::Error) -> bool {
    match fault {
        rustls::Error::InvalidCertificate(_)
        | rustls::Error::NoCertificatesPresented
        | rustls::Error::UnsupportedNameType
        | rustls::Error::InvalidCertRevocationList(_) => true,
        rustls::Error::AlertReceived(alert) => DISTRUSTING_ALERTS.contains(alert),
        _ => false,
    }
}

/// With TLS 1.3 a node's "no" to the caller's certificate arrives after the handshake, as an error of the HTTP/2
/// connection, and h2 keeps only the text of such errors. So this one is told by its text; a test holds the wording.
fn distrusting_text(text: &str) -> Option<String> {
    let found = DISTRUSTING_ALERTS
        .iter()
        .map(|alert| rustls::Error::AlertReceived(*alert).to_string())
        .find(|alert| text.ends_with(alert.as_str()))?;
    Some(found)
}

/// The text of a status and of its sources, on one line.
fn chain(status: &Status) -> String {
    let mut text = format!("{:?}: {}", status.code(), status.message());
    for error in sources(status).skip(1) {
        let part = error.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
    }
    text
}
