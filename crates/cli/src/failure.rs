//! How a command fails: the code, what was found, its page, and the next command to type.

use std::fmt::Write as _;

use banyan_client::CallError;
use banyan_wire::errors::{Code, Kind};
use banyan_wire::v1;
use serde::Serialize;

use crate::exit::Exit;
use crate::output::{Output, note};

/// One thing that is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    /// Dotted path of the field, or an argument's name.
    pub(crate) field: String,
    /// The rule that does not hold; never the value.
    pub(crate) message: String,
}

/// Why a command did not do what was asked, and what to do next. Holds no personal data.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Failure {
    /// The exit code.
    #[serde(serialize_with = "exit_number")]
    pub(crate) exit: Exit,
    /// `BNY-nnnn`, where the registry gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// The code's name, for instance `NOT_LEADER`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// What was found.
    pub(crate) message: String,
    /// Every fault of the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) faults: Vec<Fault>,
    /// The page that explains the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) page: Option<String>,
    /// What to do, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<String>,
    /// Commands to type next.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) next: Vec<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn exit_number<S: serde::Serializer>(exit: &Exit, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(*exit as u8)
}

/// Where a failure stands in a JSON answer.
#[derive(Serialize)]
struct Envelope<'a> {
    error: &'a Failure,
}

impl Failure {
    /// A failure without a code.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: None,
            name: None,
            message: message.into(),
            faults: Vec::new(),
            page: None,
            advice: None,
            next: Vec::new(),
        }
    }

    /// The request is at fault.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// This program, the machine or a node is at fault.
    pub(crate) fn fault(error: &anyhow::Error) -> Self {
        Self::new(Exit::Fault, chain(error.as_ref()))
    }

    /// An error with its sources, as this kind of ending.
    pub(crate) fn because(exit: Exit, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(exit, chain(error))
    }

    pub(crate) fn with_fault(mut self, field: &str, message: &str) -> Self {
        self.faults.push(Fault {
            field: field.to_owned(),
            message: message.to_owned(),
        });
        self
    }

    pub(crate) fn with_faults(mut self, faults: Vec<Fault>) -> Self {
        self.faults = faults;
        self
    }

    pub(crate) fn with_advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    pub(crate) fn with_next(mut self, command: impl Into<String>) -> Self {
        self.next.push(command.into());
        self
    }

    /// A refusal that carries a code.
    fn coded(exit: Exit, code: &str, name: &str, message: &str, faults: &[v1::FieldFault]) -> Self {
        let known: Option<Code> = code.parse().ok();
        let mut failure = Self::new(exit, message);
        failure.code = Some(code.to_owned());
        failure.name = Some(name.to_owned());
        failure.page = known.map(Code::page);
        failure.advice = known.map(|code| code.row().next.to_owned());
        failure.faults = faults
            .iter()
            .map(|fault| Fault {
                field: fault.field.clone(),
                message: fault.message.clone(),
            })
            .collect();
        if let Some(next) = known.and_then(next_command) {
            failure.next.push(next.to_owned());
        }
        failure
    }

    /// The registry decided "no".
    pub(crate) fn rejected(rejected: &v1::Rejected) -> Self {
        let exit = match rejected.code.parse() {
            Ok(Code::PersonNotFound) => Exit::NotFound,
            Ok(Code::NotAllowedAtDecision) => Exit::Denied,
            _ => Exit::Rejected,
        };
        Self::coded(
            exit,
            &rejected.code,
            &rejected.name,
            &rejected.message,
            &rejected.faults,
        )
    }

    /// A node refused a call.
    pub(crate) fn refused(detail: &v1::ErrorDetail) -> Self {
        let kind = detail.known_code().map(Code::kind);
        let exit = match kind {
            _ if detail.outcome_unknown => Exit::OutcomeUnknown,
            Some(Kind::Request) => Exit::Usage,
            Some(Kind::Denied) => Exit::Denied,
            Some(Kind::Rejection) => Exit::Rejected,
            Some(Kind::Unavailable) => Exit::Unavailable,
            Some(Kind::Fault) | None => Exit::Fault,
        };
        Self::coded(
            exit,
            &detail.code,
            &detail.name,
            &detail.message,
            &detail.faults,
        )
    }

    /// Prints the failure: on standard error for people, as the one JSON document on standard output for programs.
    pub(crate) fn print(&self, output: Output) {
        if output.json {
            output.json(&Envelope { error: self });
        } else {
            note(&self.text());
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = match (&self.code, &self.name) {
            (Some(code), Some(name)) => write!(text, "{code} {name}: {}", self.message),
            _ => write!(text, "error: {}", self.message),
        };
        for fault in &self.faults {
            let _ = write!(text, "\n  {}: {}", fault.field, fault.message);
        }
        if let Some(advice) = &self.advice {
            let _ = write!(text, "\n{advice}");
        }
        if let Some(page) = &self.page {
            let _ = write!(text, "\npage: {page}");
        }
        for command in &self.next {
            let _ = write!(text, "\nnext: {command}");
        }
        text
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        if let Some(detail) = error.detail() {
            let mut failure = Self::refused(detail);
            if matches!(error, CallError::Unavailable { .. }) {
                failure.exit = Exit::Unavailable;
            }
            return failure;
        }
        let (exit, code) = match &error {
            CallError::OutcomeUnknown { .. } => (Exit::OutcomeUnknown, Some(Code::OutcomeUnknown)),
            CallError::Unavailable { .. } => (Exit::Unavailable, None),
            CallError::Untrusted { .. } => (Exit::Denied, None),
            CallError::UnknownEndpoint { .. } => (Exit::Usage, None),
            _ => (Exit::Fault, None),
        };
        let message = chain(&error);
        let mut failure = match code {
            Some(code) => Self::coded(exit, code.label(), code.name(), &message, &[]),
            None => Self::new(exit, message),
        };
        if exit == Exit::Unavailable {
            failure = failure.with_next("banyan cluster status");
        }
        failure
    }
}

/// The command that usually comes next after a code.
fn next_command(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::PinAlreadyRegistered | Code::VersionConflict | Code::PersonAlreadyDeceased => {
            "banyan person get -"
        }
        Code::CmndAlreadyRegistered => "banyan person get --cmnd NUMBER",
        Code::FormAlreadyRegistered | Code::PersonNotFound | Code::QueryIncomplete => {
            "banyan person find --name 'Family Middle Given' --birth-date yyyy-mm-dd"
        }
        Code::PinContradictsRecord => "banyan pin explain -",
        Code::NoLeader
        | Code::NoQuorum
        | Code::ClockSkewed
        | Code::TransferFailed
        | Code::MemberUnknown
        | Code::MemberNotVoter
        | Code::MembershipMismatch
        | Code::MembersNotChanged
        | Code::SurvivalAtRisk => "banyan cluster status",
        Code::NotFormed => "banyan cluster up",
        Code::OperatorOnly => "banyan --as operator@central ...",
        Code::ConsistencyNotServed => "banyan person get - --consistency local",
        Code::TooStale => "banyan cluster status",
        _ => return None,
    })
}

/// An error and its sources, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_refusal_has_its_exit_code() {
        for (code, exit) in [
            (Code::InvalidFields, Exit::Usage),
            (Code::NotAuthorised, Exit::Denied),
            (Code::NoLeader, Exit::Unavailable),
            (Code::OutcomeUnknown, Exit::OutcomeUnknown),
            (Code::NodeFault, Exit::Fault),
        ] {
            let failure = Failure::refused(&v1::ErrorDetail::new(code, "found"));
            assert_eq!(failure.exit, exit, "{code}");
        }
    }

    #[test]
    fn a_refusal_prints_code_finding_page_and_next_command() {
        let mut detail = v1::ErrorDetail::new(Code::NoQuorum, "2 of 5 voters answer");
        detail.faults.push(v1::FieldFault {
            field: "pin".into(),
            message: "must be 12 digits".into(),
        });
        let text = Failure::refused(&detail).text();
        for part in [
            "BNY-0403 NO_QUORUM",
            "2 of 5 voters answer",
            "pin: must be 12 digits",
            "docs/errors/BNY-0403.md",
        ] {
            assert!(text.contains(part), "{part} is missing in: {text}");
        }
        assert!(text.contains("next: banyan cluster status"));
    }

    #[test]
    fn a_rejection_for_a_missing_person_is_not_found() {
        let rejected = v1::Rejected {
            code: Code::PersonNotFound.label().to_owned(),
            name: Code::PersonNotFound.name().to_owned(),
            message: "no such person".to_owned(),
            faults: Vec::new(),
        };
        assert_eq!(Failure::rejected(&rejected).exit, Exit::NotFound);
    }
}
