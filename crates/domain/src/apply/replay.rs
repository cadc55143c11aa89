//! What a command's idempotency key says before the command is decided: a retry gets the first outcome, a key that is too old,
//! too new or used for something else gets a refusal, and nothing is stored for any of them (ADR 0022).
//!
//! A retry is authorised again, for its actor may have another role or area by now: judged is what policy judged the first
//! time, so that an actor who was allowed then and is the same today gets the same answer for the whole window.

use super::Work;
use crate::command::Command;
use crate::idempotency::Standing;
use crate::ids::{PersonId, VersionNumber};
use crate::limits::KEYS_STORED_MAX;
use crate::outcome::{Accepted, Judged, Outcome, StoredOutcome, Verdict};
use crate::person::PersonVersion;
use crate::policy::Resource;
use crate::rejection::Rejection;
use crate::view::{View, ViewFault};

/// What a key says.
pub(super) enum Known {
    /// Nothing was decided under it: decide, and keep the outcome.
    Nothing,
    /// It answers without a decision that is kept.
    Refused(Rejection),
    /// The first outcome.
    Decided(Outcome),
}

pub(super) fn look_up<V: View>(work: &Work<'_, V>) -> Result<Known, ViewFault> {
    let (principal, key) = (&work.envelope.actor.principal, &work.envelope.key);
    // By the key's own age, not by what is stored: how far dropping has come changes no answer.
    match key.standing(work.time) {
        Standing::Expired => return Ok(Known::Refused(Rejection::KeyExpired)),
        Standing::Ahead => return Ok(Known::Refused(Rejection::KeyAhead)),
        Standing::Current => {}
    }
    let Some(stored) = work.view.outcome(principal, key)? else {
        return Ok(if work.counters.keys < KEYS_STORED_MAX {
            Known::Nothing
        } else {
            Known::Refused(Rejection::KeysFull)
        });
    };
    if stored.fingerprint != work.envelope.fingerprint {
        return Ok(Known::Refused(Rejection::IdempotencyKeyReused));
    }
    let (outcome, judged) = first_outcome(work, stored)?;
    Ok(match allowed_again(work, judged)? {
        Ok(()) => Known::Decided(outcome),
        Err(rejection) => Known::Refused(rejection),
    })
}

/// The first outcome, put together from what is stored, and what policy judged then.
fn first_outcome<V: View>(
    work: &Work<'_, V>,
    stored: StoredOutcome,
) -> Result<(Outcome, Judged), ViewFault> {
    match stored.verdict {
        Verdict::Rejected {
            rejection,
            judged,
            position,
            time,
        } => {
            let outcome = Outcome {
                result: Err(rejection),
                position,
                time,
                replayed: true,
            };
            Ok((outcome, judged))
        }
        Verdict::Accepted { person, version } => {
            let made = version_at(work, person, version)?;
            let envelope = work.envelope;
            if made.key != envelope.key
                || made.provenance.actor.principal != envelope.actor.principal
            {
                return Err(ViewFault(format!(
                    "a key leads to version {version} of record {person}, which another request made"
                )));
            }
            let judged = match version.get() {
                0 | 1 => Judged::Command,
                later => Judged::Record {
                    person,
                    version: VersionNumber(later - 1),
                },
            };
            let outcome = Outcome {
                position: made.provenance.position,
                time: made.provenance.time,
                result: Ok(Accepted {
                    person,
                    pin: made.pin,
                    version,
                    findings: made.findings,
                }),
                replayed: true,
            };
            Ok((outcome, judged))
        }
    }
}

/// Policy on the actor as it is now, and on what was judged the first time.
fn allowed_again<V: View>(
    work: &Work<'_, V>,
    judged: Judged,
) -> Result<Result<(), Rejection>, ViewFault> {
    let data = match judged {
        Judged::Nothing => return Ok(Ok(())),
        Judged::Command => None,
        Judged::Record { person, version } => Some(version_at(work, person, version)?.data),
    };
    let resource = match (&work.envelope.command, &data) {
        (Command::RegisterPerson(command), _) => Resource::Registration {
            data: &command.data,
            pin: command.pin.as_ref(),
        },
        (Command::RegisterBirth(command), _) => {
            Resource::BirthPlace(&command.birth_registration_place)
        }
        (Command::CorrectPerson(_), Some(data)) => Resource::Record(data),
        (Command::RecordDeath(command), Some(data)) => Resource::Death {
            data,
            death: &command.death,
            document: work.envelope.head.document.kind,
        },
        (Command::CorrectPerson(_) | Command::RecordDeath(_), None) => Resource::UnreadRecord,
    };
    Ok(work.allowed(&resource))
}

/// A version that an outcome leads to. Versions are never removed.
fn version_at<V: View>(
    work: &Work<'_, V>,
    person: PersonId,
    version: VersionNumber,
) -> Result<PersonVersion, ViewFault> {
    work.view.version_at(person, version)?.ok_or_else(|| {
        ViewFault(format!(
            "a key leads to version {version} of record {person}, which is not there"
        ))
    })
}
