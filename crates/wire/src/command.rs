//! Commands between the wire, the log and the domain.

use banyan_domain::{
    Actor, COMMAND_VERSION, Command, CommandHead, CorrectPerson, Envelope, Ethnicity, FieldFault,
    Fingerprint, IdempotencyKey, LegalBasis, NodeId, Office, Pin, Principal, RecordDeath,
    RegisterBirth, RegisterPerson, Role, Sex, Text, VersionNumber,
};
use bytes::Bytes;
use prost::Message;

use crate::gather::Gather;
use crate::internal_v1::{self, CommandEnvelope};
use crate::person::{
    date_to_wire, death_to_wire, document_to_wire, name_to_wire, nationalities_to_wire,
    person_data_to_wire, place_to_wire, read_date, read_death, read_document, read_name,
    read_nationalities, read_person_data, read_place_or_none, read_related, related_to_wire,
    role_to_wire,
};
use crate::v1::{self, command::Kind};

/// Faults of a message, with paths relative to it.
type Faults = Vec<FieldFault>;

/// Hash of a command as the client sent it: the first 16 bytes of BLAKE3 over its canonical encoding. Fields that this
/// version does not know are not part of it.
#[must_use]
pub fn fingerprint(command: &v1::Command) -> Fingerprint {
    let hash = blake3::hash(&command.encode_to_vec());
    let mut first = [0_u8; 16];
    first.copy_from_slice(&hash.as_bytes()[..16]);
    Fingerprint(first)
}

/// Reads an idempotency key.
///
/// # Errors
/// The key is not 16 bytes, or no UUID of version 7.
pub fn key_from_wire(bytes: &[u8]) -> Result<IdempotencyKey, FieldFault> {
    IdempotencyKey::parse(bytes).map_err(|fault| fault.at("idempotency_key"))
}

/// Reads a command. Paths of the four kinds begin inside the kind, for instance `data.birth_date.month`.
///
/// # Errors
/// Every fault, each with its dotted path; `kind` where no command is set.
pub fn command_from_wire(command: &v1::Command) -> Result<(CommandHead, Command), Faults> {
    let mut gather = Gather::default();
    let office = gather.value("office", Office::new(&command.office));
    let legal_basis = gather.code("legal_basis", command.legal_basis, LegalBasis::from_code);
    let document = gather.required("document", command.document.as_ref(), read_document);
    let kind = gather.required("kind", command.kind.as_ref(), |_| Ok(()));
    let read = command
        .kind
        .as_ref()
        .filter(|_| kind.is_some())
        .and_then(|kind| {
            let read = match kind {
                Kind::RegisterPerson(register) => read_register_person(register),
                Kind::RegisterBirth(register) => read_register_birth(register),
                Kind::CorrectPerson(correct) => read_correct_person(correct),
                Kind::RecordDeath(record) => read_record_death(record),
            };
            gather.nested("", read)
        });
    let whole = move || {
        let head = CommandHead {
            office: office?,
            legal_basis: legal_basis?,
            document: document?,
        };
        Some((head, read?))
    };
    gather.finish(whole())
}

fn read_register_person(register: &v1::RegisterPerson) -> Result<Command, Faults> {
    let mut gather = Gather::default();
    let data = gather.required("data", register.data.as_ref(), read_person_data);
    let pin = gather.optional("pin", &register.pin, Pin::parse);
    let death = gather.maybe("death", register.death.as_ref(), read_death);
    let whole =
        data.map(|data| Command::RegisterPerson(Box::new(RegisterPerson { data, pin, death })));
    gather.finish(whole)
}

fn read_register_birth(register: &v1::RegisterBirth) -> Result<Command, Faults> {
    let mut gather = Gather::default();
    let name = gather.required("name", register.name.as_ref(), read_name);
    let birth_date = gather.required("birth_date", register.birth_date.as_ref(), read_date);
    let sex = gather.code("sex", register.sex, Sex::from_code);
    let birth_registration_place = read_place_or_none(
        &mut gather,
        "birth_registration_place",
        register.birth_registration_place.as_ref(),
    );
    let native_place =
        read_place_or_none(&mut gather, "native_place", register.native_place.as_ref());
    let ethnicity = gather.optional("ethnicity", &register.ethnicity, Ethnicity::new);
    let nationalities = read_nationalities(&mut gather, &register.nationalities);
    let father = gather.maybe("father", register.father.as_ref(), read_related);
    let mother = gather.maybe("mother", register.mother.as_ref(), read_related);
    let legal_representative = gather.maybe(
        "legal_representative",
        register.legal_representative.as_ref(),
        read_related,
    );
    let whole = move || {
        Some(Command::RegisterBirth(Box::new(RegisterBirth {
            name: name?,
            birth_date: birth_date?,
            sex: sex?,
            birth_registration_place,
            native_place,
            ethnicity,
            nationalities: nationalities?,
            father,
            mother,
            legal_representative,
        })))
    };
    gather.finish(whole())
}

fn read_correct_person(correct: &v1::CorrectPerson) -> Result<Command, Faults> {
    let mut gather = Gather::default();
    let pin = gather.value("pin", Pin::parse(&correct.pin));
    if correct.expected_version == 0 {
        gather.missing("expected_version");
    }
    let data = gather.required("data", correct.data.as_ref(), read_person_data);
    let reason = gather.value("reason", Text::new(&correct.reason));
    let expected_version = VersionNumber(correct.expected_version);
    let whole = move || {
        Some(Command::CorrectPerson(Box::new(CorrectPerson {
            pin: pin?,
            expected_version,
            data: data?,
            reason: reason?,
        })))
    };
    gather.finish(whole())
}

fn read_record_death(record: &v1::RecordDeath) -> Result<Command, Faults> {
    let mut gather = Gather::default();
    let pin = gather.value("pin", Pin::parse(&record.pin));
    let death = gather.required("death", record.death.as_ref(), read_death);
    let whole = move || {
        Some(Command::RecordDeath(Box::new(RecordDeath {
            pin: pin?,
            death: death?,
        })))
    };
    gather.finish(whole())
}

/// A command for the wire.
#[must_use]
pub fn command_to_wire(head: &CommandHead, command: &Command) -> v1::Command {
    v1::Command {
        office: head.office.as_str().to_owned(),
        legal_basis: head.legal_basis.code(),
        document: Some(document_to_wire(&head.document)),
        kind: Some(kind_to_wire(command)),
    }
}

fn kind_to_wire(command: &Command) -> Kind {
    match command {
        Command::RegisterPerson(register) => Kind::RegisterPerson(Box::new(v1::RegisterPerson {
            data: Some(person_data_to_wire(&register.data)),
            pin: register
                .pin
                .as_ref()
                .map(|pin| pin.as_str().to_owned())
                .unwrap_or_default(),
            death: register.death.as_ref().map(death_to_wire),
        })),
        Command::RegisterBirth(register) => Kind::RegisterBirth(Box::new(v1::RegisterBirth {
            name: Some(name_to_wire(&register.name)),
            birth_date: Some(date_to_wire(register.birth_date)),
            sex: register.sex.code(),
            birth_registration_place: place_to_wire(&register.birth_registration_place),
            native_place: place_to_wire(&register.native_place),
            ethnicity: register.ethnicity.map(Ethnicity::text).unwrap_or_default(),
            nationalities: nationalities_to_wire(&register.nationalities),
            father: register.father.as_ref().map(related_to_wire),
            mother: register.mother.as_ref().map(related_to_wire),
            legal_representative: register.legal_representative.as_ref().map(related_to_wire),
        })),
        Command::CorrectPerson(correct) => Kind::CorrectPerson(Box::new(v1::CorrectPerson {
            pin: correct.pin.as_str().to_owned(),
            expected_version: correct.expected_version.get(),
            data: Some(person_data_to_wire(&correct.data)),
            reason: correct.reason.as_str().to_owned(),
        })),
        Command::RecordDeath(record) => Kind::RecordDeath(Box::new(v1::RecordDeath {
            pin: record.pin.as_str().to_owned(),
            death: Some(death_to_wire(&record.death)),
        })),
    }
}

/// Reads an envelope of the log.
///
/// # Errors
/// Every fault. The log holds only what was read once before, so a fault here means damage or a newer version.
pub fn envelope_from_wire(envelope: &CommandEnvelope) -> Result<Envelope, Faults> {
    let mut gather = Gather::default();
    if envelope.command_version != COMMAND_VERSION {
        let text = format!(
            "is {}, this program applies {COMMAND_VERSION}",
            envelope.command_version
        );
        gather.add("command_version", text);
    }
    let actor = gather.required("actor", envelope.actor.as_ref(), read_actor);
    let key = gather.nested(
        "",
        key_from_wire(&envelope.idempotency_key).map_err(|fault| vec![fault]),
    );
    let fingerprint = Fingerprint::from_slice(&envelope.fingerprint);
    if fingerprint.is_none() {
        gather.add(
            "fingerprint",
            format!("must be 16 bytes, got {}", envelope.fingerprint.len()),
        );
    }
    let command = gather.required("command", envelope.command.as_ref(), command_from_wire);
    let salt = envelope.salt;
    let whole = move || {
        let (head, command) = command?;
        Some(Envelope {
            actor: actor?,
            key: key?,
            fingerprint: fingerprint?,
            salt,
            head,
            command,
        })
    };
    gather.finish(whole())
}

/// An envelope for the log.
#[must_use]
pub fn envelope_to_wire(envelope: &Envelope) -> CommandEnvelope {
    CommandEnvelope {
        command_version: COMMAND_VERSION,
        actor: Some(actor_to_wire(&envelope.actor)),
        idempotency_key: Bytes::copy_from_slice(envelope.key.as_bytes()),
        fingerprint: Bytes::copy_from_slice(envelope.fingerprint.as_bytes()),
        salt: envelope.salt,
        command: Some(command_to_wire(&envelope.head, &envelope.command)),
    }
}

/// An actor for the log and the store.
#[must_use]
pub fn actor_to_wire(actor: &Actor) -> internal_v1::Actor {
    let (role, area) = role_to_wire(&actor.role);
    internal_v1::Actor {
        principal: actor.principal.as_str().to_owned(),
        role: role.to_owned(),
        area: area.to_owned(),
        admitted_by: actor.admitted_by.get(),
    }
}

pub(crate) fn read_actor(actor: &internal_v1::Actor) -> Result<Actor, Faults> {
    let mut gather = Gather::default();
    let principal = gather.value("principal", Principal::new(&actor.principal));
    let role = gather.value("role", Role::parse(&actor.role, &actor.area));
    let admitted_by = NodeId(actor.admitted_by);
    let whole = move || {
        Some(Actor {
            principal: principal?,
            role: role?,
            admitted_by,
        })
    };
    gather.finish(whole())
}
