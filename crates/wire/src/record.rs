//! Stored values between the store and the domain.
//!
//! What stands in a record's key is not stored again in its value: the caller gives it back when decoding. Encoding is
//! deterministic (no maps, default values left out), and decoding gives back exactly what was encoded: replicas hold
//! equal bytes, and a digest over them is a digest over the state. No text that a later release may reword is stored;
//! rejections are kept as numbers and parameters.
//!
//! A value that does not decode is damage or comes from a newer program: the node must stop ([`DecodeError`]).

mod outcome;
mod rejection;

use banyan_domain::{
    AuditRecord, CommandName, Decision, Event, EventKind, EventSequence, FieldFault, Finding,
    FindingCode, LegalBasis, NodeId, Office, PersonId, PersonVersion, Pin, Position, Principal,
    Provenance, Reason, Role, Timestamp, VersionNumber,
};
use bytes::Bytes;
use prost::Message;

use crate::command::{actor_to_wire, key_from_wire, read_actor};
use crate::gather::Gather;
use crate::internal_v1::{self, StoredAccess, StoredAudit, StoredEvent, StoredVersion};
use crate::person::{
    death_to_wire, document_to_wire, finding_to_wire, person_data_to_wire, read_death,
    read_document, read_person_data, reason_to_wire, role_to_wire,
};
use crate::v1;

pub use outcome::{decode_outcome, encode_outcome};

/// Why a stored value is not a record.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not the message.
    #[error("stored {record} is not a protobuf message")]
    Message {
        /// Which record.
        record: &'static str,
        /// What protobuf found.
        #[source]
        source: prost::DecodeError,
    },
    /// The message breaks rules that every stored record keeps. Names fields, never values.
    #[error("stored {record} breaks {} rule(s): {}", faults.len(), listed(faults))]
    Rules {
        /// Which record.
        record: &'static str,
        /// The fields at fault.
        faults: Vec<FieldFault>,
    },
}

/// The faults on one line.
fn listed(faults: &[FieldFault]) -> String {
    faults
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Decodes a message and reads it.
fn decode<M: Message + Default, T>(
    record: &'static str,
    bytes: &[u8],
    read: impl FnOnce(M) -> Result<T, Vec<FieldFault>>,
) -> Result<T, DecodeError> {
    let message = M::decode(bytes).map_err(|source| DecodeError::Message { record, source })?;
    read(message).map_err(|faults| DecodeError::Rules { record, faults })
}

/// The value of a version. Person and version number stand in the key.
#[must_use]
pub fn encode_version(version: &PersonVersion) -> Vec<u8> {
    let provenance = &version.provenance;
    StoredVersion {
        version: Some(v1::PersonVersion {
            person_id: 0,
            version: 0,
            pin: version.pin.as_str().to_owned(),
            data: Some(person_data_to_wire(&version.data)),
            death: version.death.as_ref().map(death_to_wire),
            life_status: 0,
            findings: version.findings.iter().map(finding_to_wire).collect(),
            provenance: Some(v1::Provenance {
                time_ms: provenance.time.get(),
                principal: String::new(),
                role: String::new(),
                area: String::new(),
                office: provenance.office.as_str().to_owned(),
                legal_basis: provenance.legal_basis.code(),
                document: Some(document_to_wire(&provenance.document)),
                command: provenance.command.label().to_owned(),
                position: provenance.position.index,
                reason: reason_to_wire(provenance),
            }),
            withheld: Vec::new(),
        }),
        idempotency_key: Bytes::copy_from_slice(version.key.as_bytes()),
        actor: Some(actor_to_wire(&provenance.actor)),
        term: provenance.position.term,
    }
    .encode_to_vec()
}

/// A version from its key and its value.
///
/// # Errors
/// [`DecodeError`]: the node must stop.
pub fn decode_version(
    person: PersonId,
    version: VersionNumber,
    bytes: &[u8],
) -> Result<PersonVersion, DecodeError> {
    decode("version", bytes, |stored: StoredVersion| {
        read_version(person, version, &stored)
    })
}

fn read_version(
    person: PersonId,
    version: VersionNumber,
    stored: &StoredVersion,
) -> Result<PersonVersion, Vec<FieldFault>> {
    let mut gather = Gather::default();
    let key = gather.nested(
        "",
        key_from_wire(&stored.idempotency_key).map_err(|fault| vec![fault]),
    );
    let actor = gather.required("actor", stored.actor.as_ref(), read_actor);
    let absent = v1::PersonVersion::default();
    let inner = stored.version.as_ref().unwrap_or(&absent);
    let pin = gather.value("pin", Pin::parse(&inner.pin));
    let data = gather.required("data", inner.data.as_ref(), read_person_data);
    let death = gather.maybe("death", inner.death.as_ref(), read_death);
    let findings = read_findings(&mut gather, &inner.findings);
    let provenance = gather.required("provenance", inner.provenance.as_ref(), |provenance| {
        let actor = actor.ok_or_else(Vec::new)?;
        read_provenance(provenance, actor, stored.term)
    });
    let whole = move || {
        Some(PersonVersion {
            person,
            version,
            pin: pin?,
            data: data?,
            death,
            findings,
            provenance: provenance?,
            key: key?,
        })
    };
    gather.finish(whole())
}

fn read_provenance(
    provenance: &v1::Provenance,
    actor: banyan_domain::Actor,
    term: u64,
) -> Result<Provenance, Vec<FieldFault>> {
    let mut gather = Gather::default();
    let office = gather.value("office", Office::new(&provenance.office));
    let legal_basis = gather.code("legal_basis", provenance.legal_basis, LegalBasis::from_code);
    let document = gather.required("document", provenance.document.as_ref(), read_document);
    let command = read_label(
        &mut gather,
        "command",
        CommandName::ALL,
        CommandName::label,
        &provenance.command,
    );
    let reason = gather.optional("reason", &provenance.reason, Reason::new);
    let whole = move || {
        Some(Provenance {
            time: Timestamp(provenance.time_ms),
            actor,
            office: office?,
            legal_basis: legal_basis?,
            document: document?,
            command: command?,
            reason,
            position: Position {
                term,
                index: provenance.position,
            },
        })
    };
    gather.finish(whole())
}

fn read_findings(gather: &mut Gather, findings: &[v1::Finding]) -> Vec<Finding> {
    let mut read = Vec::with_capacity(findings.len());
    for finding in findings {
        let code = read_label(
            gather,
            "findings.code",
            FindingCode::ALL,
            FindingCode::label,
            &finding.code,
        );
        if let Some(code) = code {
            read.push(Finding {
                code,
                field: finding.field.clone(),
            });
        }
    }
    read
}

/// The value whose label a text is.
fn read_label<T: Copy>(
    gather: &mut Gather,
    field: &str,
    all: &[T],
    label: impl Fn(T) -> &'static str,
    text: &str,
) -> Option<T> {
    let found = all.iter().copied().find(|value| label(*value) == text);
    if found.is_none() {
        gather.add(field, "is a word that this version does not know");
    }
    found
}

/// The value of an event. Its sequence stands in the key.
#[must_use]
pub fn encode_event(event: &Event) -> Vec<u8> {
    StoredEvent {
        kind: event.kind.label().to_owned(),
        person_id: event.person.get(),
        version: event.version.get(),
        position: event.log_index,
        time_ms: event.time.get(),
    }
    .encode_to_vec()
}

/// An event from its key and its value.
///
/// # Errors
/// [`DecodeError`]: the node must stop.
pub fn decode_event(sequence: EventSequence, bytes: &[u8]) -> Result<Event, DecodeError> {
    decode("event", bytes, |stored: StoredEvent| {
        let mut gather = Gather::default();
        let kind = read_label(
            &mut gather,
            "kind",
            EventKind::ALL,
            EventKind::label,
            &stored.kind,
        );
        gather.finish(kind.map(|kind| Event {
            sequence,
            kind,
            person: PersonId(stored.person_id),
            version: VersionNumber(stored.version),
            log_index: stored.position,
            time: Timestamp(stored.time_ms),
        }))
    })
}

/// How an audit record spells the decisions that are no rejections.
const ACCEPTED: &str = "accepted";
const REPLAYED: &str = "replayed";

/// The value of an audit record. Log index and ordinal stand in the key.
#[must_use]
pub fn encode_audit(audit: &AuditRecord) -> Vec<u8> {
    let decision = match &audit.decision {
        Decision::Accepted => ACCEPTED,
        Decision::Replayed => REPLAYED,
        Decision::Rejected(name) => name,
    };
    StoredAudit {
        actor: Some(actor_to_wire(&audit.actor)),
        command: audit.command.label().to_owned(),
        decision: decision.to_owned(),
        person_id: audit.person.map_or(0, PersonId::get),
        version: audit.version.map_or(0, VersionNumber::get),
        office: audit.office.as_str().to_owned(),
        idempotency_key: Bytes::copy_from_slice(audit.key.as_bytes()),
        time_ms: audit.time.get(),
        term: audit.position.term,
    }
    .encode_to_vec()
}

/// An audit record from its key and its value.
///
/// # Errors
/// [`DecodeError`]: the node must stop.
pub fn decode_audit(index: u64, ordinal: u32, bytes: &[u8]) -> Result<AuditRecord, DecodeError> {
    decode("audit record", bytes, |stored: StoredAudit| {
        read_audit(index, ordinal, &stored)
    })
}

fn read_audit(
    index: u64,
    ordinal: u32,
    stored: &StoredAudit,
) -> Result<AuditRecord, Vec<FieldFault>> {
    let mut gather = Gather::default();
    let actor = gather.required("actor", stored.actor.as_ref(), read_actor);
    let office = gather.value("office", Office::new(&stored.office));
    let command = read_label(
        &mut gather,
        "command",
        CommandName::ALL,
        CommandName::label,
        &stored.command,
    );
    let key = gather.nested(
        "",
        key_from_wire(&stored.idempotency_key).map_err(|fault| vec![fault]),
    );
    let decision = match stored.decision.as_str() {
        "" => {
            gather.missing("decision");
            Decision::Accepted
        }
        ACCEPTED => Decision::Accepted,
        REPLAYED => Decision::Replayed,
        name => Decision::Rejected(name.to_owned()),
    };
    let whole = move || {
        Some(AuditRecord {
            position: Position {
                term: stored.term,
                index,
            },
            ordinal,
            actor: actor?,
            office: office?,
            command: command?,
            decision,
            person: (stored.person_id != 0).then_some(PersonId(stored.person_id)),
            version: (stored.version != 0).then_some(VersionNumber(stored.version)),
            key: key?,
            time: Timestamp(stored.time_ms),
        })
    };
    gather.finish(whole())
}

/// Who read whom, where and why: kept in the serving node's journal for every read of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// When, by the node's clock.
    pub time: Timestamp,
    /// Who.
    pub principal: Principal,
    /// In which role.
    pub role: Role,
    /// By which method, for instance `GetPerson`.
    pub method: String,
    /// Whose records were shown; empty where nothing was found.
    pub persons: Vec<PersonId>,
    /// Why, in the reader's words; at most 100 characters.
    pub purpose: String,
    /// Index of the newest entry that the answer is based on.
    pub position: u64,
    /// Numbers asked for, by a method that takes several; 0 for others.
    pub asked: u32,
}

/// The value of an access record.
#[must_use]
pub fn encode_access(access: &Access) -> Vec<u8> {
    let (role, area) = role_to_wire(&access.role);
    StoredAccess {
        time_ms: access.time.get(),
        principal: access.principal.as_str().to_owned(),
        role: role.to_owned(),
        area: area.to_owned(),
        method: access.method.clone(),
        person_ids: access.persons.iter().map(|person| person.get()).collect(),
        purpose: access.purpose.clone(),
        position: access.position,
        asked: access.asked,
    }
    .encode_to_vec()
}

/// An access record from its value.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_access(bytes: &[u8]) -> Result<Access, DecodeError> {
    decode("access record", bytes, |stored: StoredAccess| {
        let actor = internal_v1::Actor {
            principal: stored.principal,
            role: stored.role,
            area: stored.area,
            admitted_by: 0,
        };
        let actor = read_actor(&actor)?;
        debug_assert_eq!(
            actor.admitted_by,
            NodeId(0),
            "an access record names no admitting node"
        );
        Ok(Access {
            time: Timestamp(stored.time_ms),
            principal: actor.principal,
            role: actor.role,
            method: stored.method,
            persons: stored.person_ids.into_iter().map(PersonId).collect(),
            purpose: stored.purpose,
            position: stored.position,
            asked: stored.asked,
        })
    })
}

#[cfg(test)]
pub(crate) mod tests;
