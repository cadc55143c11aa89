//! A seeded log of commands of every kind, valid and not, with what the domain's reference model makes of it.

use banyan_domain::{
    Actor, ApplyContext, BirthDate, CalendarDate, Cmnd, Command, CommandHead, CorrectPerson,
    CountryCode, Death, DeathDate, DeathKind, DocumentKind, DocumentNumber, Envelope, Fingerprint,
    IdempotencyKey, LegalBasis, MemoryView, Nationalities, NodeId, Office, Outcome, PersonData,
    PersonName, Pin, PinBucket, Place, Position, Principal, ProvinceCode, RecordDeath,
    RegisterBirth, RegisterPerson, Role, Sex, SourceDocument, Text, Timestamp, View, apply, expire,
};
use banyan_storage::{EntryKind, StateEntry};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// 2026-01-01 00:00 UTC.
const START_MS: i64 = 1_767_225_600_000;

const FAMILIES: [&str; 6] = ["Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Võ"];
const MIDDLES: [&str; 5] = ["Văn", "Thị", "Hữu", "Ngọc", ""];
const GIVENS: [&str; 8] = ["An", "Bình", "Châu", "Dũng", "Hạnh", "Lan", "Minh", "Tuấn"];
const PROVINCES: [&str; 4] = ["01", "40", "48", "79"];

/// Makes entries one after the other.
pub(crate) struct Workload {
    rng: ChaCha8Rng,
    /// What the reference model holds after all entries so far.
    pub(crate) model: MemoryView,
    pins: Vec<Pin>,
    sent: Vec<Envelope>,
    serial: u64,
    index: u64,
    time: i64,
    /// Only new persons: what an import is.
    imports_only: bool,
}

impl Workload {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            model: MemoryView::new(),
            pins: Vec::new(),
            sent: Vec::new(),
            serial: 0,
            index: 0,
            time: START_MS,
            imports_only: false,
        }
    }

    /// Registrations only, and no model: for measuring.
    #[allow(dead_code, reason = "used by the example that measures")]
    pub(crate) fn import(seed: u64) -> Self {
        Self {
            imports_only: true,
            ..Self::new(seed)
        }
    }

    /// The next entry, with the outcomes that the model gives.
    pub(crate) fn entry(&mut self, commands: usize) -> (StateEntry, Vec<Outcome>) {
        self.index += 1;
        let position = Position {
            term: 1 + self.index / 50,
            index: self.index,
        };
        let roll = self.rng.random_range(0..20);
        if !self.imports_only && roll < 3 {
            let kind = match roll {
                0 => EntryKind::Blank,
                1 => EntryKind::DigestMark,
                _ => EntryKind::Membership(format!("membership {}", self.index).into()),
            };
            return (StateEntry { position, kind }, Vec::new());
        }
        // Leaders' clocks differ: the stamp sometimes goes back.
        self.time += self.rng.random_range(-200..1_000);
        // Now and then half a month goes by, so that keys expire.
        if !self.imports_only && self.rng.random_range(0..12) == 0 {
            self.time += 16 * 24 * 60 * 60 * 1_000;
        }
        let time = Timestamp(self.time);
        let mut outcomes = Vec::new();
        let mut envelopes = Vec::with_capacity(commands);
        if !self.imports_only {
            let dropped = expire(&self.model, time, commands).unwrap();
            self.model.absorb(dropped);
        }
        for ordinal in 0..commands {
            let envelope = self.envelope();
            if !self.imports_only {
                let context = ApplyContext {
                    position,
                    ordinal: u32::try_from(ordinal).unwrap(),
                    time,
                };
                let transition = apply(&self.model, &context, &envelope).unwrap();
                if let Ok(accepted) = &transition.outcome.result {
                    self.pins.push(accepted.pin);
                }
                self.model.absorb(transition.mutations);
                outcomes.push(transition.outcome);
                self.sent.push(envelope.clone());
            }
            envelopes.push(envelope);
        }
        (
            StateEntry {
                position,
                kind: EntryKind::Commands { time, envelopes },
            },
            outcomes,
        )
    }

    /// An entry of forms with these numbers, of people born in that year.
    #[allow(dead_code, reason = "not used by the example that measures")]
    pub(crate) fn forms_with_numbers(
        &mut self,
        born: BirthDate,
        sex: Sex,
        pins: impl Iterator<Item = Pin>,
    ) -> (StateEntry, Vec<Outcome>) {
        self.index += 1;
        let position = Position {
            term: 1,
            index: self.index,
        };
        let time = Timestamp(self.time);
        let (mut envelopes, mut outcomes) = (Vec::new(), Vec::new());
        for (ordinal, pin) in (0..).zip(pins) {
            let mut data = self.data();
            (data.birth_date, data.sex) = (born, sex);
            let command = RegisterPerson {
                data,
                pin: Some(pin),
                death: None,
            };
            let envelope = self.seal(
                LegalBasis::Collection,
                DocumentKind::CollectionForm,
                Command::RegisterPerson(Box::new(command)),
            );
            let context = ApplyContext {
                position,
                ordinal,
                time,
            };
            let transition = apply(&self.model, &context, &envelope).unwrap();
            self.model.absorb(transition.mutations);
            outcomes.push(transition.outcome);
            envelopes.push(envelope);
        }
        let kind = EntryKind::Commands { time, envelopes };
        (StateEntry { position, kind }, outcomes)
    }

    fn envelope(&mut self) -> Envelope {
        if self.imports_only {
            return self.registration();
        }
        match self.rng.random_range(0..100) {
            // The same request again, or another one under its key.
            0..8 if !self.sent.is_empty() => {
                let mut again = self.sent[self.rng.random_range(0..self.sent.len())].clone();
                if self.rng.random_bool(0.3) {
                    again.fingerprint = Fingerprint(self.rng.random());
                }
                again
            }
            // The same form under a new key.
            8..12 if !self.sent.is_empty() => {
                let mut again = self.sent[self.rng.random_range(0..self.sent.len())].clone();
                again.key = self.key();
                again
            }
            12..45 => self.registration(),
            45..65 => self.birth(),
            65..90 => self.correction(),
            _ => self.death(),
        }
    }

    fn registration(&mut self) -> Envelope {
        let mut data = self.data();
        let bucket =
            PinBucket::for_person(ProvinceCode::new("40").unwrap(), data.birth_date, data.sex)
                .unwrap();
        let pin = if self.imports_only {
            // Numbers that were issued before: pseudo-random and distinct.
            Some(Pin::in_bucket(
                bucket,
                u32::try_from(self.serial * 617_429 % 1_000_003 % 1_000_000).unwrap(),
            ))
            .filter(|_| !self.serial.is_multiple_of(5))
        } else {
            self.rng
                .random_bool(0.4)
                .then(|| Pin::in_bucket(bucket, self.rng.random_range(0..200)))
        };
        if self.rng.random_bool(0.4) {
            let bound = if self.imports_only {
                1_000_000_000
            } else {
                300
            };
            data.cmnd =
                Some(Cmnd::parse(&format!("{:09}", self.rng.random_range(0..bound))).unwrap());
        }
        let command = RegisterPerson {
            data,
            pin,
            death: None,
        };
        self.seal(
            LegalBasis::Collection,
            DocumentKind::CollectionForm,
            Command::RegisterPerson(Box::new(command)),
        )
    }

    fn birth(&mut self) -> Envelope {
        let data = self.data();
        let command = RegisterBirth {
            name: data.name,
            birth_date: CalendarDate::new(
                2025,
                self.rng.random_range(1..=12),
                self.rng.random_range(1..=28),
            )
            .unwrap(),
            sex: data.sex,
            birth_registration_place: data.birth_registration_place,
            native_place: data.native_place,
            ethnicity: None,
            nationalities: data.nationalities,
            father: None,
            mother: None,
            legal_representative: None,
        };
        self.seal(
            LegalBasis::BirthRegistration,
            DocumentKind::BirthCertificate,
            Command::RegisterBirth(Box::new(command)),
        )
    }

    fn correction(&mut self) -> Envelope {
        let Some(pin) = self.some_pin() else {
            return self.registration();
        };
        let person = self.model.person_by_pin(&pin).unwrap().unwrap();
        let current = self.model.version(person).unwrap().unwrap();
        let mut data = current.data.clone();
        let fresh = self.data();
        match self.rng.random_range(0..4) {
            0 => data.name = fresh.name,
            1 => data.current_residence = fresh.current_residence,
            2 => {
                data.cmnd =
                    Some(Cmnd::parse(&format!("{:09}", self.rng.random_range(0..300))).unwrap())
            }
            _ => data.cmnd = None,
        }
        let mut expected_version = current.version;
        if self.rng.random_bool(0.1) {
            expected_version.0 += 1;
        }
        let command = CorrectPerson {
            pin,
            expected_version,
            data,
            reason: Text::new("đính chính theo giấy khai sinh").unwrap(),
        };
        self.seal(
            LegalBasis::Correction,
            DocumentKind::UpdateForm,
            Command::CorrectPerson(Box::new(command)),
        )
    }

    fn death(&mut self) -> Envelope {
        let Some(pin) = self.some_pin() else {
            return self.registration();
        };
        let death = Death {
            kind: DeathKind::Deceased,
            date: DeathDate::parse("2025-12-01").unwrap(),
            place: self.place(),
        };
        let command = Command::RecordDeath(Box::new(RecordDeath { pin, death }));
        self.seal(
            LegalBasis::CivilStatus,
            DocumentKind::DeathCertificate,
            command,
        )
    }

    fn some_pin(&mut self) -> Option<Pin> {
        if self.pins.is_empty() {
            return None;
        }
        let index = self.rng.random_range(0..self.pins.len());
        self.pins.get(index).copied()
    }

    fn data(&mut self) -> PersonData {
        let pick =
            |rng: &mut ChaCha8Rng, from: &[&'static str]| from[rng.random_range(0..from.len())];
        let given = pick(&mut self.rng, &GIVENS);
        let name = PersonName::new(
            pick(&mut self.rng, &FAMILIES),
            pick(&mut self.rng, &MIDDLES),
            given,
        )
        .unwrap();
        let year = self.rng.random_range(1950..2020);
        let birth_date = if self.rng.random_bool(0.05) {
            BirthDate::year_only(year).unwrap()
        } else {
            BirthDate::Full(
                CalendarDate::new(
                    year,
                    self.rng.random_range(1..=12),
                    self.rng.random_range(1..=28),
                )
                .unwrap(),
            )
        };
        PersonData {
            name,
            birth_date,
            sex: if self.rng.random_bool(0.5) {
                Sex::Female
            } else {
                Sex::Male
            },
            birth_registration_place: self.place(),
            native_place: self.place(),
            ethnicity: None,
            religion: None,
            nationalities: Nationalities::new(vec![CountryCode::new("VN").unwrap()]).unwrap(),
            marital_status: None,
            permanent_residence: self.place(),
            temporary_residence: None,
            temporary_absence: None,
            current_residence: self.place(),
            blood_group: None,
            father: None,
            mother: None,
            spouse: None,
            legal_representative: None,
            household: None,
            cmnd: None,
        }
    }

    fn place(&mut self) -> Place {
        let province = PROVINCES[self.rng.random_range(0..PROVINCES.len())];
        Place {
            province: Some(ProvinceCode::new(province).unwrap()),
            district: None,
            ward: None,
            detail: Text::optional(&format!(
                "Số {} đường Lê Lợi",
                self.rng.random_range(1..400)
            ))
            .unwrap(),
            country: None,
        }
    }

    fn key(&mut self) -> IdempotencyKey {
        self.serial += 1;
        // As a UUIDv7 has it: time first, then randomness.
        let mut random: [u8; 10] = self.rng.random();
        random[3..7].copy_from_slice(&self.serial.to_be_bytes()[4..]);
        IdempotencyKey::new(Timestamp(self.time), random)
    }

    fn seal(&mut self, legal_basis: LegalBasis, kind: DocumentKind, command: Command) -> Envelope {
        let key = self.key();
        Envelope {
            actor: Actor {
                principal: Principal::new("centre@central").unwrap(),
                role: Role::Centre,
                admitted_by: NodeId(1),
            },
            key,
            fingerprint: Fingerprint(self.rng.random()),
            salt: self.rng.random(),
            head: CommandHead {
                office: Office::new("G01.001").unwrap(),
                legal_basis,
                document: SourceDocument {
                    kind,
                    number: DocumentNumber::new(&format!("{:08}", self.serial)).unwrap(),
                    issued: None,
                },
            },
            command,
        }
    }
}
