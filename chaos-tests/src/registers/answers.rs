//! What nodes answer, as values of registers.

use banyan_client::CallError;
use banyan_wire::errors::Code;
use banyan_wire::v1;

use super::clients::MARK;
use super::record::{Answer, Value};

/// What an outcome means; `None`: a rejection that has no reason here.
pub(super) fn answer_of(outcome: &v1::Outcome) -> Option<Answer> {
    match outcome.result.as_ref()? {
        v1::outcome::Result::Accepted(accepted) => Some(Answer::Accepted {
            version: accepted.version,
        }),
        v1::outcome::Result::Rejected(rejected) => {
            let code = rejected.code.parse::<Code>();
            matches!(code, Ok(Code::VersionConflict)).then_some(Answer::Conflict)
        }
    }
}

/// The value of a record. Its content and its document must be of the same write.
pub(super) fn value_of(person: Option<&v1::PersonVersion>) -> Result<Value, String> {
    let Some(person) = person else {
        return Ok(Value {
            version: 0,
            writing: 0,
        });
    };
    let place = person
        .data
        .as_ref()
        .and_then(|data| data.native_place.as_ref());
    let detail = place.map_or("", |place| place.detail.as_str());
    let version = person.version;
    if detail.is_empty() && version == Value::BIRTH.version {
        return Ok(Value::BIRTH);
    }
    let writing = detail.strip_prefix(MARK).and_then(|text| text.parse().ok());
    let Some(writing) = writing else {
        return Err(format!("version {version} says nothing of its write"));
    };
    let document = person
        .provenance
        .as_ref()
        .and_then(|provenance| provenance.document.as_ref());
    let number = document.map_or("", |document| document.number.as_str());
    if !number.ends_with(&format!("-{writing:08}")) {
        return Err(format!(
            "version {version} has the content of write {writing} and the document {number:?}"
        ));
    }
    Ok(Value { version, writing })
}

/// The code of a failure, or what else is short and the same for all of its kind.
pub(super) fn reason(error: &CallError) -> String {
    error
        .code()
        .map_or_else(|| "no answer".to_owned(), |code| format!("{code:?}"))
}
