//! People, actors and envelopes that the tests are made of. All of them are invented.

use std::collections::BTreeMap;

use banyan_domain::{
    Actor, ApplyContext, BirthDate, Command, CommandHead, CommandName, CountryCode, DocumentKind,
    DocumentNumber, Envelope, Fingerprint, IdempotencyKey, LegalBasis, Mutation, Nationalities,
    NodeId, Office, PersonData, PersonId, PersonName, Pin, PinBucket, PinPage, Place, Position,
    Principal, ProvinceCode, RegisterPerson, Role, Sex, SourceDocument, Timestamp,
};

/// 2026-11-22 12:00 in Viet Nam.
pub(crate) const NOON: Timestamp = Timestamp(1_795_323_600_000);

pub(crate) fn province(code: &str) -> Place {
    Place {
        province: Some(ProvinceCode::new(code).unwrap()),
        ..Place::default()
    }
}

pub(crate) fn person(name: &str, born: &str, sex: Sex, registered: &Place) -> PersonData {
    PersonData {
        name: PersonName::parse(name).unwrap(),
        birth_date: BirthDate::parse(born).unwrap(),
        sex,
        birth_registration_place: registered.clone(),
        native_place: Place::default(),
        ethnicity: None,
        religion: None,
        nationalities: Nationalities::new(vec![CountryCode::VN]).unwrap(),
        marital_status: None,
        permanent_residence: Place::default(),
        temporary_residence: None,
        temporary_absence: None,
        current_residence: Place::default(),
        blood_group: None,
        father: None,
        mother: None,
        spouse: None,
        legal_representative: None,
        household: None,
        cmnd: None,
    }
}

pub(crate) fn actor(principal: &str, role: Role) -> Actor {
    Actor {
        principal: Principal::new(principal).unwrap(),
        role,
        admitted_by: NodeId(1),
    }
}

pub(crate) fn centre() -> Actor {
    actor("centre@central", Role::Centre)
}

/// What usually carries a command: the law, and the kind of paper.
pub(crate) const fn usual(command: CommandName) -> (LegalBasis, DocumentKind) {
    match command {
        CommandName::RegisterPerson => (LegalBasis::Collection, DocumentKind::CollectionForm),
        CommandName::RegisterBirth => (
            LegalBasis::BirthRegistration,
            DocumentKind::BirthCertificate,
        ),
        CommandName::CorrectPerson => (LegalBasis::Correction, DocumentKind::UpdateForm),
        CommandName::RecordDeath => (LegalBasis::CivilStatus, DocumentKind::DeathCertificate),
    }
}

/// An envelope of the centre under the key, fingerprint and document that a number names.
pub(crate) fn envelope(number: u64, salt: u64, command: Command) -> Envelope {
    let (legal_basis, kind) = usual(command.name());
    let document = SourceDocument {
        kind,
        number: DocumentNumber::new(&number.to_string()).unwrap(),
        issued: None,
    };
    Envelope {
        actor: centre(),
        key: key(number),
        fingerprint: Fingerprint(*key(number).as_bytes()),
        salt,
        head: CommandHead {
            office: Office::new("040-TP").unwrap(),
            legal_basis,
            document,
        },
        command,
    }
}

/// The key of a number, made at [`NOON`].
pub(crate) fn key(number: u64) -> IdempotencyKey {
    let mut bytes = [0; 10];
    bytes[3..].copy_from_slice(&number.to_be_bytes()[1..]);
    IdempotencyKey::new(NOON, bytes)
}

pub(crate) fn registration(number: u64, salt: u64, data: PersonData) -> Envelope {
    let command = RegisterPerson {
        data,
        pin: None,
        death: None,
    };
    envelope(number, salt, Command::RegisterPerson(Box::new(command)))
}

/// The mutations that give out these numbers of a bucket, in an empty registry, with their counts.
pub(crate) fn given_out(
    bucket: PinBucket,
    serials: impl IntoIterator<Item = u32>,
) -> Vec<Mutation> {
    let person = PersonId(u64::MAX);
    let mut used: BTreeMap<PinPage, u16> = BTreeMap::new();
    let mut mutations = Vec::new();
    for serial in serials {
        let pin = Pin::in_bucket(bucket, serial);
        mutations.push(Mutation::BindPin { pin, person });
        *used.entry(PinPage::of(&pin)).or_default() += 1;
    }
    let full = used.iter().filter(|(page, used)| **used == page.capacity());
    let pages = u16::try_from(full.count()).unwrap();
    mutations.extend(
        used.into_iter()
            .map(|(page, used)| Mutation::CountPage { page, used }),
    );
    mutations.push(Mutation::CountFullPages { bucket, pages });
    mutations
}

pub(crate) const fn context(index: u64, ordinal: u32) -> ApplyContext {
    ApplyContext {
        position: Position { term: 1, index },
        ordinal,
        time: NOON,
    }
}
