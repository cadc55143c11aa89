//! The public error codes, and how they travel: `ErrorDetail` in the details of a gRPC status.
//!
//! A code is stable: its number and name are never given to another meaning, and each has a page in `docs/errors`.
//! Numbers are grouped: 01xx the request is at fault, 02xx the caller may not, 03xx the registry decided "no" (the
//! outcome is replicated and the same on every retry), 04xx not possible now, 05xx the node is at fault.
//!
//! On the wire the details are a `google.rpc.Status` with one `banyan.v1.ErrorDetail` in it, the form that gRPC tools
//! know how to show. The text of an error never holds data about a person.

mod rejections;
mod table;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use banyan_domain::FieldFault;
use prost::Message;
use prost_types::Any;
use tonic::Status;

pub use rejections::{code_of_rejection, rejected_to_wire};
pub use table::{Code, Kind, Row};

use crate::v1::{self, ErrorDetail};

/// Name of [`ErrorDetail`] inside a `google.protobuf.Any`.
const DETAIL_TYPE_URL: &str = "type.googleapis.com/banyan.v1.ErrorDetail";

/// The text is not a code: codes read `BNY-` and four digits, and only those in the table exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a known error code: `{0}`")]
pub struct UnknownCode(pub String);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.label() == text)
            .ok_or_else(|| UnknownCode(text.chars().take(32).collect()))
    }
}

impl Code {
    /// `BNY-nnnn`.
    #[must_use]
    pub fn label(self) -> &'static str {
        self.row().label
    }

    /// The name that programs compare, for instance `NOT_LEADER`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Which of the kinds of error it is.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.row().kind
    }

    /// Path of its page inside the repository.
    #[must_use]
    pub fn page(self) -> String {
        format!("docs/errors/{}.md", self.label())
    }
}

impl ErrorDetail {
    /// A detail with a code and a text. The text says what was found and what the bound is, and nothing about a person.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code: code.label().to_owned(),
            name: code.name().to_owned(),
            message: message.into(),
            faults: Vec::new(),
            leader_endpoint: String::new(),
            retry_after_ms: 0,
            outcome_unknown: code == Code::OutcomeUnknown,
        }
    }

    /// [`Code::InvalidFields`] with every fault of the request.
    #[must_use]
    pub fn invalid_fields(faults: &[FieldFault]) -> Self {
        let message = match faults {
            [only] => format!("{}: {}", only.field, only.message),
            [first, rest @ ..] => {
                format!(
                    "{}: {}; and {} more",
                    first.field,
                    first.message,
                    rest.len()
                )
            }
            [] => String::from("the request has faults"),
        };
        let mut detail = Self::new(Code::InvalidFields, message);
        detail.faults = faults_to_wire(faults);
        detail
    }

    /// Adds the URL of the leader's client port, so that the caller can go there next.
    #[must_use]
    pub fn with_leader(mut self, endpoint: impl Into<String>) -> Self {
        self.leader_endpoint = endpoint.into();
        self
    }

    /// Adds how long the caller should wait before trying again. Whole milliseconds, at least one.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        self
    }

    /// Says that the command may or may not take effect.
    #[must_use]
    pub fn with_outcome_unknown(mut self) -> Self {
        self.outcome_unknown = true;
        self
    }

    /// Its code, or `None` where a newer node sent one that this program does not know.
    #[must_use]
    pub fn known_code(&self) -> Option<Code> {
        self.code.parse().ok()
    }

    /// How long to wait before the next try, where the node said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        (self.retry_after_ms > 0).then(|| Duration::from_millis(self.retry_after_ms))
    }
}

/// Faults of a request as the wire carries them.
#[must_use]
pub fn faults_to_wire(faults: &[FieldFault]) -> Vec<v1::FieldFault> {
    faults
        .iter()
        .map(|fault| v1::FieldFault {
            field: fault.field.clone(),
            message: fault.message.clone(),
        })
        .collect()
}

/// A status that carries the detail. The gRPC code comes from the row of the detail's code, `UNKNOWN` if it has none.
#[must_use]
pub fn to_status(detail: &ErrorDetail) -> Status {
    let grpc = detail
        .known_code()
        .map_or(tonic::Code::Unknown, |code| code.row().grpc);
    let text = format!("{} {}: {}", detail.code, detail.name, detail.message);
    let details = tonic_types::Status {
        code: grpc as i32,
        message: text.clone(),
        details: vec![Any {
            type_url: DETAIL_TYPE_URL.to_owned(),
            value: detail.encode_to_vec(),
        }],
    };
    Status::with_details(grpc, text, details.encode_to_vec().into())
}

/// A status with a code and a text; short for [`ErrorDetail::new`] and [`to_status`].
#[must_use]
pub fn status(code: Code, message: impl Into<String>) -> Status {
    to_status(&ErrorDetail::new(code, message))
}

/// The detail that a status carries, or `None` for a status that another program made (a proxy, tonic itself).
#[must_use]
pub fn from_status(status: &Status) -> Option<ErrorDetail> {
    let details = tonic_types::Status::decode(status.details()).ok()?;
    let any = details
        .details
        .iter()
        .find(|any| any.type_url == DETAIL_TYPE_URL)?;
    ErrorDetail::decode(any.value.as_slice())
        .ok()
        .filter(|detail| !detail.code.is_empty())
}
