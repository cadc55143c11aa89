//! The words of a story: how its lines become an envelope, and how what came of it is told.
//!
//! ```text
//! command: RegisterPerson | RegisterBirth | CorrectPerson | RecordDeath
//! as: centre | operator | registrar AREA [named NAME]     who acts; centre if nothing is said
//! today: yyyy-mm-dd                          the leader's stamp, noon in Viet Nam; 2026-11-22 if nothing is said
//! key: WORD  made: yyyy-mm-dd[ +MINUTES]     idempotency key, made at noon of 2026-11-22 if nothing is said; without a word, one
//!                                            of its own, made when the leader stamps it
//! salt: NUMBER                               for the allotment; 7 if nothing is said
//! office: CODE  basis: LABEL  document: KIND NUMBER  issued: yyyy-mm-dd
//! name: born: sex: cmnd: nationality:        items of the record; a correction keeps what it does not name
//! registered-at: native: lives-at: now-at: temporarily-at:     places: 40/412/16663, 40, -/-/16663, or a country, FR
//! pin: 12 digits, or `of person 1`           whose record
//! died: KIND DATE [at PLACE]
//! expects: VERSION  reason: WORDS            of a correction
//!
//! given: bucket 040326 full but for N        binds all serials from 0 but the last N, without persons
//! given: keys at the bound | keys below the bound         as if so many outcomes were stored
//! ```

use banyan_domain::{
    Actor, ApplyContext, AreaCode, BirthDate, CalendarDate, Cmnd, Command, CommandHead,
    CommandName, CorrectPerson, CountryCode, Death, DeathKind, DistrictCode, DocumentKind,
    DocumentNumber, Envelope, Fingerprint, IdempotencyKey, LegalBasis, MemoryView, Mutation,
    Nationalities, Office, PersonData, PersonId, PersonName, Pin, PinBucket, Place, Position,
    ProvinceCode, RecordDeath, RegisterBirth, RegisterPerson, Role, Sex, SourceDocument,
    TemporaryStay, Text, Timestamp, VersionNumber, View as _, WardCode, apply, expire,
};

use banyan_domain::limits::KEYS_STORED_MAX;

use crate::fixtures::{actor, given_out, person, usual};
use crate::told::{outcome, told};

/// When a story plays if nothing is said.
const TODAY: &str = "2026-11-22";

/// The registry as far as the story has come.
#[derive(Default)]
pub(crate) struct Registry {
    view: MemoryView,
    blocks: u64,
}

/// The lines of one block.
struct Given<'a>(&'a [(&'a str, &'a str)]);

impl<'a> Given<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        self.0
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| *value)
    }

    /// What the client would send: the same lines give the same fingerprint, whoever sends them and when.
    fn fingerprint(&self) -> Fingerprint {
        let mut hasher = blake3::Hasher::new();
        for (key, value) in self
            .0
            .iter()
            .filter(|(key, _)| !["as", "today", "key", "made", "salt"].contains(key))
        {
            hasher.update(format!("{key}: {value}\n").as_bytes());
        }
        Fingerprint::from_slice(&hasher.finalize().as_bytes()[..16]).unwrap()
    }
}

impl Registry {
    /// Carries out one block and tells what came of it.
    pub(crate) fn tell(&mut self, fields: &[(&str, &str)]) -> String {
        const WORDS: [&str; 25] = [
            "command",
            "as",
            "today",
            "key",
            "made",
            "salt",
            "office",
            "basis",
            "document",
            "issued",
            "name",
            "born",
            "sex",
            "cmnd",
            "nationality",
            "registered-at",
            "native",
            "lives-at",
            "now-at",
            "temporarily-at",
            "pin",
            "died",
            "expects",
            "reason",
            "given",
        ];
        if let Some((key, _)) = fields.iter().find(|(key, _)| !WORDS.contains(key)) {
            panic!("a story has no word `{key}`");
        }
        let given = Given(fields);
        if let Some(words) = given.get("given") {
            return self.fill(words);
        }
        self.blocks += 1;
        let time = noon(given.get("today").unwrap_or(TODAY));
        let envelope = self.envelope(&given, time);
        let position = Position {
            term: 1,
            index: self.blocks,
        };
        let context = ApplyContext {
            position,
            ordinal: 0,
            time,
        };
        let dropped = expire(&self.view, time, 1).unwrap();
        self.view.absorb(dropped.clone());
        let transition = apply(&self.view, &context, &envelope).unwrap();
        let mut lines = vec![outcome(&transition.outcome)];
        lines.extend(told(&[dropped, transition.mutations.clone()].concat()));
        self.view.absorb(transition.mutations);
        lines.join("\n")
    }

    fn fill(&mut self, words: &str) -> String {
        if let Some(room) = words.strip_prefix("keys ") {
            let mut counters = self.view.counters().unwrap();
            counters.keys = KEYS_STORED_MAX - u64::from(room == "below the bound");
            self.view.absorb([Mutation::PutCounters(counters)]);
            return format!("{} outcomes are stored", counters.keys);
        }
        let words: Vec<&str> = words.split(' ').collect();
        let ["bucket", digits, "full", "but", "for", free] = words[..] else {
            panic!("what is given?")
        };
        let bucket: PinBucket = Pin::parse(&format!("{digits}000000")).unwrap().bucket();
        let taken = 1_000_000 - free.parse::<u32>().unwrap();
        self.view.absorb(given_out(bucket, 0..taken));
        format!("{taken} numbers are given out")
    }

    fn envelope(&self, given: &Given<'_>, time: Timestamp) -> Envelope {
        let command = self.command(given);
        let (usual_basis, usual_kind) = usual(command.name());
        let document = match given
            .get("document")
            .and_then(|words| words.split_once(' '))
        {
            Some((kind, number)) => (
                labelled(DocumentKind::ALL, DocumentKind::label, kind),
                number.to_owned(),
            ),
            None => (usual_kind, self.blocks.to_string()),
        };
        let document = SourceDocument {
            kind: document.0,
            number: DocumentNumber::new(&document.1).unwrap(),
            issued: given
                .get("issued")
                .map(|day| CalendarDate::parse(day).unwrap()),
        };
        let basis = given
            .get("basis")
            .map(|word| labelled(LegalBasis::ALL, LegalBasis::label, word));
        let key = match given.get("key") {
            Some(word) => key(word, given.get("made").map_or(noon(TODAY), moment)),
            None => key(&format!("b{}", self.blocks), time),
        };
        Envelope {
            actor: who(given.get("as").unwrap_or("centre")),
            key,
            fingerprint: given.fingerprint(),
            salt: given.get("salt").map_or(7, |salt| salt.parse().unwrap()),
            head: CommandHead {
                office: Office::new(given.get("office").unwrap_or("040-TP")).unwrap(),
                legal_basis: basis.unwrap_or(usual_basis),
                document,
            },
            command,
        }
    }

    fn command(&self, given: &Given<'_>) -> Command {
        let name = labelled(
            CommandName::ALL,
            CommandName::label,
            given.get("command").expect("a command"),
        );
        let birth_place = place(given.get("registered-at").unwrap_or("40"));
        let somebody = person(
            "Nguyễn Thị Minh Khai",
            "2026-11-20",
            Sex::Female,
            &birth_place,
        );
        match name {
            CommandName::RegisterPerson => Command::RegisterPerson(Box::new(RegisterPerson {
                data: record(given, somebody),
                pin: given.get("pin").map(|digits| Pin::parse(digits).unwrap()),
                death: given.get("died").map(death),
            })),
            CommandName::RegisterBirth => {
                let data = record(given, somebody);
                Command::RegisterBirth(Box::new(RegisterBirth {
                    name: data.name,
                    birth_date: data.birth_date.day().expect("a birth has a day"),
                    sex: data.sex,
                    birth_registration_place: data.birth_registration_place,
                    native_place: data.native_place,
                    ethnicity: None,
                    nationalities: data.nationalities,
                    father: None,
                    mother: None,
                    legal_representative: None,
                }))
            }
            CommandName::CorrectPerson => {
                let pin = self.whose(given);
                let known = self
                    .view
                    .person_by_pin(&pin)
                    .unwrap()
                    .and_then(|id| self.view.version(id).unwrap());
                let (data, version) =
                    known.map_or((somebody, 1), |known| (known.data, known.version.get()));
                Command::CorrectPerson(Box::new(CorrectPerson {
                    pin,
                    expected_version: VersionNumber(
                        given
                            .get("expects")
                            .map_or(version, |text| text.parse().unwrap()),
                    ),
                    data: record(given, data),
                    reason: Text::new(given.get("reason").unwrap_or("wrongly entered")).unwrap(),
                }))
            }
            CommandName::RecordDeath => Command::RecordDeath(Box::new(RecordDeath {
                pin: self.whose(given),
                death: death(given.get("died").expect("died")),
            })),
        }
    }

    fn whose(&self, given: &Given<'_>) -> Pin {
        let words = given.get("pin").expect("pin");
        match words.strip_prefix("of person ") {
            Some(id) => {
                self.view
                    .version(PersonId(id.parse().unwrap()))
                    .unwrap()
                    .expect("that person")
                    .pin
            }
            None => Pin::parse(words).unwrap(),
        }
    }
}

fn labelled<T: Copy>(all: &[T], label: fn(T) -> &'static str, word: &str) -> T {
    *all.iter()
        .find(|value| label(**value) == word)
        .unwrap_or_else(|| panic!("no such word: {word}"))
}

fn who(words: &str) -> Actor {
    match words.split_once(' ') {
        None if words == "centre" => actor("centre@central", Role::Centre),
        None if words == "operator" => actor("operator@central", Role::Operator),
        Some(("registrar", area)) => {
            let usual = format!("registrar@{area}");
            let (area, name) = area.split_once(" named ").unwrap_or((area, &usual));
            let area = AreaCode::parse(area).unwrap();
            actor(name, Role::Registrar { area })
        }
        _ => panic!("who is {words}?"),
    }
}

/// A word as a key: its first nine letters stand where randomness would.
fn key(word: &str, made: Timestamp) -> IdempotencyKey {
    let mut letters = [0; 10];
    for (place, letter) in letters[1..].iter_mut().zip(word.bytes()) {
        *place = letter;
    }
    IdempotencyKey::new(made, letters)
}

/// Noon of a day, and so many minutes on.
fn moment(words: &str) -> Timestamp {
    let (day, minutes) = words.split_once(" +").unwrap_or((words, "0"));
    Timestamp(noon(day).get() + minutes.parse::<i64>().unwrap() * 60_000)
}

fn noon(day: &str) -> Timestamp {
    let day = CalendarDate::parse(day).unwrap();
    // Days from 1970-01-01 after H. Hinnant; 12:00 in Viet Nam is 05:00 UTC.
    let (year, month) = (
        i64::from(day.year()) - i64::from(day.month() <= 2),
        (i64::from(day.month()) + 9) % 12,
    );
    let day_of_era = year.rem_euclid(400) * 365 + year.rem_euclid(400) / 4
        - year.rem_euclid(400) / 100
        + (153 * month + 2) / 5
        + i64::from(day.day())
        - 1;
    let days = year.div_euclid(400) * 146_097 + day_of_era - 719_468;
    Timestamp(days * 86_400_000 + 5 * 3_600_000)
}

fn place(words: &str) -> Place {
    if let Ok(country) = CountryCode::new(words) {
        return Place {
            country: Some(country),
            ..Place::default()
        };
    }
    let mut codes = words
        .split('/')
        .map(|code| Some(code).filter(|code| *code != "-"));
    let mut next = || codes.next().flatten();
    Place {
        province: next().map(|code| ProvinceCode::new(code).unwrap()),
        district: next().map(|code| DistrictCode::new(code).unwrap()),
        ward: next().map(|code| WardCode::new(code).unwrap()),
        ..Place::default()
    }
}

fn death(words: &str) -> Death {
    let (what, at) = words.split_once(" at ").unwrap_or((words, "-"));
    let (kind, date) = what.split_once(' ').expect("KIND DATE");
    let kind = labelled(DeathKind::ALL, DeathKind::label, kind);
    Death {
        kind,
        date: BirthDate::parse(date).unwrap(),
        place: place(at),
    }
}

/// The record with the lines given laid over it.
fn record(given: &Given<'_>, mut data: PersonData) -> PersonData {
    if let Some(name) = given.get("name") {
        data.name = PersonName::parse(name).unwrap();
    }
    if let Some(born) = given.get("born") {
        data.birth_date = BirthDate::parse(born).unwrap();
    }
    if let Some(sex) = given.get("sex") {
        data.sex = labelled(Sex::ALL, Sex::label, sex);
    }
    if let Some(cmnd) = given.get("cmnd") {
        data.cmnd = (cmnd != "-").then(|| Cmnd::parse(cmnd).unwrap());
    }
    if let Some(country) = given.get("nationality") {
        data.nationalities = Nationalities::new(vec![CountryCode::new(country).unwrap()]).unwrap();
    }
    if let Some(words) = given.get("temporarily-at") {
        data.temporary_residence = Some(TemporaryStay::new(place(words), None, None).unwrap());
    }
    for (word, field) in [
        ("registered-at", &mut data.birth_registration_place),
        ("native", &mut data.native_place),
        ("lives-at", &mut data.permanent_residence),
        ("now-at", &mut data.current_residence),
    ] {
        if let Some(words) = given.get(word) {
            *field = place(words);
        }
    }
    data
}
