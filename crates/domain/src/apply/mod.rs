//! How a committed command changes the registry: pure and total.
//!
//! `apply` runs on every node for every committed command and must give the same bytes on each. It reads nothing but the
//! view, the context and the envelope; it never panics on any of them; a business "no" is a [`Rejection`] inside the
//! outcome; the only error is that the state could not be read, and then the node stops.
//!
//! One file a command family.

mod allotment;
mod birth;
mod correction;
mod death;
mod expiry;
mod registration;
mod replay;

pub use expiry::expire;

use crate::audit::{AuditRecord, Decision};
use crate::command::{Command, Envelope};
use crate::date::CalendarDate;
use crate::event::{Event, EventKind};
use crate::ids::{EventSequence, PersonId, Position, Timestamp, VersionNumber};
use crate::name::NameKey;
use crate::outcome::{Accepted, Judged, Outcome, StoredOutcome, Verdict};
use crate::person::{Finding, PersonData, PersonVersion};
use crate::pin::Pin;
use crate::policy::{Action, Resource, decide};
use crate::provenance::{FormKey, Provenance};
use crate::rejection::Rejection;
use crate::seeded_bugs::{SeededBug, planted};
use crate::transition::{Mutation, Transition};
use crate::view::{Counters, View, ViewFault};
use replay::Known;

/// Where in the log a command stands, and when its leader proposed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApplyContext {
    /// Position of the entry.
    pub position: Position,
    /// Place in the entry's batch, from 0.
    pub ordinal: u32,
    /// The leader's stamp. The later of it and the newest decision's time counts, so that time never goes back.
    pub time: Timestamp,
}

/// A command family's decision: the reasons for "no" and the failure to read are kept apart.
type Decided = Result<Result<Change, Rejection>, ViewFault>;

/// What an accepted command does to one person.
struct Change {
    accepted: Accepted,
    event: EventKind,
    mutations: Vec<Mutation>,
    /// Persons added: 1 for a registration.
    added: u64,
}

/// What the families work with.
struct Work<'a, V> {
    view: &'a V,
    envelope: &'a Envelope,
    position: Position,
    time: Timestamp,
    counters: Counters,
}

/// Applies one command.
///
/// # Errors
/// The state could not be read; the node must stop.
pub fn apply(
    view: &impl View,
    context: &ApplyContext,
    envelope: &Envelope,
) -> Result<Transition, ViewFault> {
    let mut counters = view.counters()?;
    let time = if planted(SeededBug::TimeGoesBack) {
        context.time
    } else {
        counters.last_time.max(context.time)
    };
    counters.last_time = time;
    let work = Work {
        view,
        envelope,
        position: context.position,
        time,
        counters,
    };
    let (answer, decision) = match replay::look_up(&work)? {
        Known::Nothing => return decide_new(&work, context),
        Known::Refused(rejection) => {
            let decision = Decision::Rejected(rejection.name().to_owned());
            (outcome(&work, Err(rejection)), decision)
        }
        Known::Decided(first) => (first, Decision::Replayed),
    };
    let person = concerned(view, envelope, &answer)?;
    let audit = audit(context, envelope, decision, &answer, person, time);
    Ok(Transition {
        mutations: vec![audit, Mutation::PutCounters(counters)],
        outcome: answer,
    })
}

/// Decides a command under a key that is not known yet, and keeps what was decided.
fn decide_new<V: View>(
    work: &Work<'_, V>,
    context: &ApplyContext,
) -> Result<Transition, ViewFault> {
    let &Work {
        view,
        envelope,
        time,
        mut counters,
        ..
    } = work;
    let carried = carried(envelope, time);
    let asked = carried.is_ok();
    let decided = match carried {
        Err(rejection) => Err(rejection),
        Ok(()) => match &envelope.command {
            Command::RegisterPerson(command) => registration::decide(work, command)?,
            Command::RegisterBirth(command) => birth::decide(work, command)?,
            Command::CorrectPerson(command) => correction::decide(work, command)?,
            Command::RecordDeath(command) => death::decide(work, command)?,
        },
    };
    let (mut mutations, outcome, decision) = match decided {
        Err(rejection) => {
            let decision = Decision::Rejected(rejection.name().to_owned());
            (
                Vec::with_capacity(3),
                outcome(work, Err(rejection)),
                decision,
            )
        }
        Ok(change) => {
            let mut mutations = change.mutations;
            mutations.push(Mutation::AppendEvent(Event {
                sequence: EventSequence(counters.next_event),
                kind: change.event,
                person: change.accepted.person,
                version: change.accepted.version,
                log_index: context.position.index,
                time,
            }));
            counters.next_event += 1;
            counters.next_person += change.added;
            counters.persons += change.added;
            (
                mutations,
                outcome(work, Ok(change.accepted)),
                Decision::Accepted,
            )
        }
    };
    let person = concerned(view, envelope, &outcome)?;
    mutations.push(audit(context, envelope, decision, &outcome, person, time));
    mutations.push(Mutation::PutOutcome {
        principal: envelope.actor.principal.clone(),
        key: envelope.key,
        stored: Box::new(StoredOutcome {
            fingerprint: envelope.fingerprint,
            verdict: verdict(work, &outcome, asked)?,
        }),
    });
    counters.keys += 1;
    counters.first_key = Some(
        counters
            .first_key
            .map_or(envelope.key, |first| first.min(envelope.key)),
    );
    mutations.push(Mutation::PutCounters(counters));
    Ok(Transition { mutations, outcome })
}

/// An outcome decided here and now.
fn outcome<V>(work: &Work<'_, V>, result: Result<Accepted, Rejection>) -> Outcome {
    Outcome {
        result,
        position: work.position,
        time: work.time,
        replayed: false,
    }
}

/// What is kept of an outcome. `asked`: law and document carried the command, so that policy was asked.
fn verdict<V: View>(
    work: &Work<'_, V>,
    outcome: &Outcome,
    asked: bool,
) -> Result<Verdict, ViewFault> {
    let rejection = match &outcome.result {
        Ok(accepted) => {
            return Ok(Verdict::Accepted {
                person: accepted.person,
                version: accepted.version,
            });
        }
        Err(rejection) => rejection.clone(),
    };
    let judged = match (&work.envelope.command, &rejection) {
        (_, Rejection::NotAllowed { .. } | Rejection::PersonNotFound) => Judged::Nothing,
        _ if !asked => Judged::Nothing,
        (Command::RegisterPerson(_) | Command::RegisterBirth(_), _) => Judged::Command,
        (Command::CorrectPerson(command), _) => judged_record(work.person(&command.pin)?),
        (Command::RecordDeath(command), _) => judged_record(work.person(&command.pin)?),
    };
    Ok(Verdict::Rejected {
        rejection,
        judged,
        position: outcome.position,
        time: outcome.time,
    })
}

fn judged_record(current: Option<PersonVersion>) -> Judged {
    current.map_or(Judged::Nothing, |current| Judged::Record {
        person: current.person,
        version: current.version,
    })
}

/// Whether law and document carry the command.
fn carried(envelope: &Envelope, time: Timestamp) -> Result<(), Rejection> {
    carried_by_law(envelope)?;
    let document = &envelope.head.document;
    let death = match &envelope.command {
        Command::RegisterPerson(register) => register.death.as_ref(),
        Command::RecordDeath(record) => Some(&record.death),
        Command::RegisterBirth(_) | Command::CorrectPerson(_) => None,
    };
    if let Some(death) = death
        && !document
            .kind
            .carries_death(death.kind, envelope.command.name())
    {
        return Err(Rejection::DocumentMismatch {
            document: document.kind,
            death: death.kind,
        });
    }
    match document.issued {
        Some(issued) if issued > CalendarDate::in_viet_nam(time) => Err(Rejection::DateInFuture {
            field: String::from("document.issued"),
        }),
        _ => Ok(()),
    }
}

fn carried_by_law(envelope: &Envelope) -> Result<(), Rejection> {
    let (basis, command) = (envelope.head.legal_basis, envelope.command.name());
    let carried = command.legal_bases().contains(&basis)
        && match &envelope.command {
            Command::RecordDeath(death) => basis.carries_death(death.death.kind),
            _ => true,
        };
    if carried {
        Ok(())
    } else {
        Err(Rejection::LegalBasisMismatch { basis, command })
    }
}

/// The person whom a command was about, refused or not: whose number it names, or who holds what it asks for.
fn concerned(
    view: &impl View,
    envelope: &Envelope,
    outcome: &Outcome,
) -> Result<Option<PersonId>, ViewFault> {
    let rejection = match &outcome.result {
        Ok(accepted) => return Ok(Some(accepted.person)),
        Err(rejection) => rejection,
    };
    match &envelope.command {
        Command::CorrectPerson(correct) => view.person_by_pin(&correct.pin),
        Command::RecordDeath(record) => view.person_by_pin(&record.pin),
        Command::RegisterPerson(_) | Command::RegisterBirth(_)
            if *rejection == Rejection::FormAlreadyRegistered =>
        {
            person_of_form(view, envelope)
        }
        Command::RegisterPerson(register) => {
            match (rejection, &register.pin, &register.data.cmnd) {
                (Rejection::PinAlreadyRegistered, Some(pin), _) => view.person_by_pin(pin),
                (Rejection::CmndAlreadyRegistered, _, Some(cmnd)) => view.person_by_cmnd(cmnd),
                _ => Ok(None),
            }
        }
        Command::RegisterBirth(_) => Ok(None),
    }
}

/// The key under which the document of a first registration is kept.
fn form_key(envelope: &Envelope) -> FormKey {
    envelope.head.form_key(envelope.actor.role.area())
}

/// The person whom the document registered already: by somebody of the same area, or by the centre.
fn person_of_form(view: &impl View, envelope: &Envelope) -> Result<Option<PersonId>, ViewFault> {
    let own = form_key(envelope);
    if let Some(person) = view.person_by_form(&own)? {
        return Ok(Some(person));
    }
    if own.area.is_none() {
        return Ok(None);
    }
    view.person_by_form(&FormKey { area: None, ..own })
}

fn audit(
    context: &ApplyContext,
    envelope: &Envelope,
    decision: Decision,
    outcome: &Outcome,
    person: Option<PersonId>,
    time: Timestamp,
) -> Mutation {
    let accepted = outcome.result.as_ref().ok();
    Mutation::AppendAudit(Box::new(AuditRecord {
        position: context.position,
        ordinal: context.ordinal,
        actor: envelope.actor.clone(),
        office: envelope.head.office.clone(),
        command: envelope.command.name(),
        decision,
        person,
        version: accepted.map(|accepted| accepted.version),
        key: envelope.key,
        time,
    }))
}

impl<V: View> Work<'_, V> {
    /// Policy against the record as it stands.
    fn allowed(&self, resource: &Resource<'_>) -> Result<(), Rejection> {
        decide(
            &self.envelope.actor,
            Action::Submit(self.envelope.command.name()),
            resource,
        )
        .map(|_| ())
        .map_err(|denial| Rejection::NotAllowed { denial })
    }

    /// The newest version of the person with a number.
    fn person(&self, pin: &Pin) -> Result<Option<PersonVersion>, ViewFault> {
        match self.view.person_by_pin(pin)? {
            None => Ok(None),
            Some(person) => match self.view.version(person)? {
                Some(version) => Ok(Some(version)),
                None => Err(ViewFault(format!(
                    "record {person} is bound to a number and has no version"
                ))),
            },
        }
    }

    fn provenance(&self) -> Provenance {
        let head = &self.envelope.head;
        let reason = match &self.envelope.command {
            Command::CorrectPerson(correct) => Some(correct.reason.clone()),
            _ => None,
        };
        Provenance {
            time: self.time,
            actor: self.envelope.actor.clone(),
            office: head.office.clone(),
            legal_basis: head.legal_basis,
            document: head.document.clone(),
            command: self.envelope.command.name(),
            reason,
            position: self.position,
        }
    }

    /// The version that follows another of the same person.
    fn successor(
        &self,
        current: &PersonVersion,
        data: PersonData,
        findings: Vec<Finding>,
    ) -> PersonVersion {
        PersonVersion {
            person: current.person,
            version: VersionNumber(current.version.0.saturating_add(1)),
            pin: current.pin,
            data,
            death: current.death.clone(),
            findings,
            provenance: self.provenance(),
            key: self.envelope.key,
        }
    }

    /// The first version of the next person.
    fn first_version(&self, pin: Pin, data: PersonData, findings: Vec<Finding>) -> PersonVersion {
        PersonVersion {
            person: PersonId(self.counters.next_person),
            version: VersionNumber(1),
            pin,
            data,
            death: None,
            findings,
            provenance: self.provenance(),
            key: self.envelope.key,
        }
    }

    /// A change that adds this version; `mutations` are what goes with it.
    fn change(
        &self,
        version: PersonVersion,
        event: EventKind,
        mut mutations: Vec<Mutation>,
        added: u64,
    ) -> Change {
        let accepted = Accepted {
            person: version.person,
            pin: version.pin,
            version: version.version,
            findings: version.findings.clone(),
        };
        mutations.push(Mutation::PutVersion(Box::new(version)));
        Change {
            accepted,
            event,
            mutations,
            added,
        }
    }
}

/// What the index on name and birth date says about a record.
fn index_name(data: &PersonData, person: PersonId) -> Mutation {
    Mutation::IndexName {
        key: NameKey::of(&data.name, data.birth_date),
        person,
    }
}
