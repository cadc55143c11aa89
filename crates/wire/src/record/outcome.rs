//! What is kept under an idempotency key, as bytes.

use banyan_domain::{
    FieldFault, Fingerprint, Judged, PersonId, Position, StoredOutcome, Timestamp, Verdict,
    VersionNumber,
};
use bytes::Bytes;
use prost::Message;

use super::{DecodeError, decode, rejection};
use crate::gather::Gather;
use crate::internal_v1;

/// The value of an idempotency outcome. Principal and key stand in the key.
#[must_use]
pub fn encode_outcome(stored: &StoredOutcome) -> Vec<u8> {
    let fingerprint = Bytes::copy_from_slice(stored.fingerprint.as_bytes());
    match &stored.verdict {
        Verdict::Accepted { person, version } => internal_v1::StoredOutcome {
            fingerprint,
            person_id: person.get(),
            version: version.get(),
            ..internal_v1::StoredOutcome::default()
        },
        Verdict::Rejected {
            rejection,
            judged,
            position,
            time,
        } => {
            let (person_id, version) = match judged {
                Judged::Record { person, version } => (person.get(), version.get()),
                Judged::Nothing | Judged::Command => (0, 0),
            };
            internal_v1::StoredOutcome {
                fingerprint,
                rejection: Some(rejection::to_stored(rejection)),
                person_id,
                version,
                judged: *judged != Judged::Nothing,
                position: position.index,
                term: position.term,
                time_ms: time.get(),
            }
        }
    }
    .encode_to_vec()
}

/// An idempotency outcome from its value.
///
/// # Errors
/// [`DecodeError`]: the node must stop.
pub fn decode_outcome(bytes: &[u8]) -> Result<StoredOutcome, DecodeError> {
    decode("outcome", bytes, |stored: internal_v1::StoredOutcome| {
        read_outcome(&stored)
    })
}

fn read_outcome(stored: &internal_v1::StoredOutcome) -> Result<StoredOutcome, Vec<FieldFault>> {
    let mut gather = Gather::default();
    let fingerprint = Fingerprint::from_slice(&stored.fingerprint);
    if fingerprint.is_none() {
        gather.add("fingerprint", "must be 16 bytes");
    }
    let (person, version) = (PersonId(stored.person_id), VersionNumber(stored.version));
    let named = stored.person_id != 0 && stored.version != 0;
    if !named && (stored.person_id, stored.version) != (0, 0) {
        gather.add("version", "must go with a person");
    }
    let verdict = match &stored.rejection {
        None if named => Some(Verdict::Accepted { person, version }),
        None => {
            gather.add("rejection", "must be there where no version is named");
            None
        }
        Some(rejection) => {
            let judged = match (stored.judged, named) {
                (false, false) => Some(Judged::Nothing),
                (true, false) => Some(Judged::Command),
                (true, true) => Some(Judged::Record { person, version }),
                (false, true) => {
                    gather.add("judged", "must be set where a version is named");
                    None
                }
            };
            let rejection = gather.nested("rejection", rejection::from_stored(rejection));
            rejection
                .zip(judged)
                .map(|(rejection, judged)| Verdict::Rejected {
                    rejection,
                    judged,
                    position: Position {
                        term: stored.term,
                        index: stored.position,
                    },
                    time: Timestamp(stored.time_ms),
                })
        }
    };
    let whole = fingerprint
        .zip(verdict)
        .map(|(fingerprint, verdict)| StoredOutcome {
            fingerprint,
            verdict,
        });
    gather.finish(whole)
}
