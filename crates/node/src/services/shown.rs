//! What leaves the node of a person: the fields that policy shows, within the bound on the bytes of one answer.

use banyan_domain::policy::{Action, Denial, Fields, Resource, decide};
use banyan_domain::{Actor, PersonVersion};
use banyan_wire::errors::Code;
use banyan_wire::person;
use banyan_wire::v1::{self, ErrorDetail};
use prost::Message;

use crate::edge::grpc::MESSAGE_BYTES_MAX;

/// Bytes that the persons of one answer may take. What is left of the largest message is far more than the rest of an answer and one
/// more person need.
const PERSONS_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 4 * 3;
/// Bytes around each element of an answer: tags and lengths of the element and of a person inside it, five at most for each.
const FRAME_BYTES: usize = 10;

/// The room that an answer has for persons.
///
/// The first always fits, so that a caller who asks for the rest again and again comes to an end: the domain bounds every text and
/// list of a record, the largest is below 100 KiB.
#[derive(Debug, Default)]
pub(super) struct Room {
    bytes: usize,
}

impl Room {
    /// Whether one more element fits; takes its room if so.
    pub(super) fn takes(&mut self, element: &impl Message) -> bool {
        let bytes = self.bytes + element.encoded_len() + FRAME_BYTES;
        let fits = self.bytes == 0 || bytes <= PERSONS_BYTES_MAX;
        if fits {
            self.bytes = bytes;
        }
        fits
    }
}

/// Which fields this caller may see of a person and of its history, judged by the record as it stands.
pub(super) fn judge(
    actor: &Actor,
    action: Action,
    newest: &PersonVersion,
) -> Result<Fields, ErrorDetail> {
    decide(actor, action, &Resource::Record(&newest.data)).map_err(|denial| denied(actor, denial))
}

/// What a reader is told whom policy refuses.
pub(super) fn denied(actor: &Actor, denial: Denial) -> ErrorDetail {
    let principal = actor.principal.as_str();
    tracing::warn!(principal, reason = denial.reason(), "read denied");
    ErrorDetail::new(Code::NotAuthorised, denial.reason())
}

/// A person as this caller may see it.
pub(super) fn show(
    actor: &Actor,
    action: Action,
    person: &PersonVersion,
) -> Result<v1::PersonVersion, ErrorDetail> {
    judge(actor, action, person).map(|fields| with_fields(person, fields))
}

/// A version with the fields that may be seen.
pub(super) fn with_fields(version: &PersonVersion, fields: Fields) -> v1::PersonVersion {
    let whole = person::person_version_to_wire(version);
    match fields {
        Fields::All => whole,
        Fields::Identity => identity_only(whole, fields),
    }
}

/// The identity fields, and the names of all others. Made of what may be seen, so that a field added later is withheld.
fn identity_only(whole: v1::PersonVersion, fields: Fields) -> v1::PersonVersion {
    let data = whole.data.map(|data| v1::PersonData {
        name: data.name,
        birth_date: data.birth_date,
        sex: data.sex,
        nationalities: data.nationalities,
        ..v1::PersonData::default()
    });
    v1::PersonVersion {
        person_id: whole.person_id,
        version: whole.version,
        pin: whole.pin,
        data,
        life_status: whole.life_status,
        withheld: fields
            .withheld()
            .iter()
            .map(|field| (*field).to_owned())
            .collect(),
        ..v1::PersonVersion::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person_of(bytes: usize) -> v1::PersonVersion {
        v1::PersonVersion {
            pin: "0".repeat(bytes),
            ..v1::PersonVersion::default()
        }
    }

    #[test]
    fn an_answer_takes_the_first_and_then_what_fits() {
        let mut room = Room::default();
        assert!(room.takes(&person_of(MESSAGE_BYTES_MAX)), "the first fits");
        assert!(!room.takes(&person_of(0)));

        let mut room = Room::default();
        let mut answer = v1::GetHistoryResponse::default();
        while room.takes(&person_of(600)) {
            answer.versions.push(person_of(600));
        }
        let bytes = answer.encoded_len();
        assert!(bytes <= PERSONS_BYTES_MAX, "{bytes}");
        assert!(bytes > PERSONS_BYTES_MAX / 100 * 98, "{bytes}");
    }
}
