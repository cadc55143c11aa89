//! The words of a story: how its lines become an envelope, and how what came of it is told.
//!
//! ```text
//! command: RegisterPerson | RegisterBirth | CorrectPerson | RecordDeath
//! as: centre | operator | registrar AREA     who acts; centre if nothing is said
//! today: yyyy-mm-dd                          the leader's stamp, noon in Viet Nam; 2026-11-22 if nothing is said
//! key: WORD                                  idempotency key; one of its own if nothing is said
//! salt: NUMBER                               for the allotment; 7 if nothing is said
//! office: CODE  basis: LABEL  document: KIND NUMBER  issued: yyyy-mm-dd
//! name: born: sex: cmnd: nationality:        items of the record; a correction keeps what it does not name
//! registered-at: native: lives-at: now-at: temporarily-at:     places: 40/412/16663, 40, -/-/16663, or a country, FR
//! pin: 12 digits, or `of person 1`           whose record
//! died: KIND DATE [at PLACE]
//! expects: VERSION  reason: WORDS            of a correction
//!
//! given: bucket 040326 full but for N        binds all serials from 0 but the last N, without persons
//! ```

use std::fmt::Write as _;

use banyan_domain::{
    Actor, ApplyContext, AreaCode, AuditRecord, BirthDate, CalendarDate, Cmnd, Command,
    CommandHead, CommandName, CorrectPerson, CountryCode, Death, DeathKind, Decision, DistrictCode,
    DocumentKind, DocumentNumber, Envelope, Event, Fingerprint, IdempotencyKey, LegalBasis,
    MemoryView, Mutation, Nationalities, Office, Outcome, PersonData, PersonId, PersonName,
    PersonVersion, Pin, PinBucket, Place, Position, ProvinceCode, RecordDeath, RegisterBirth,
    RegisterPerson, Role, Sex, SourceDocument, TemporaryStay, Text, Timestamp, VersionNumber,
    View as _, WardCode, apply,
};

use crate::fixtures::{actor, given_out, person, usual};

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
            .filter(|(key, _)| !["as", "today", "key", "salt"].contains(key))
        {
            hasher.update(format!("{key}: {value}\n").as_bytes());
        }
        Fingerprint::from_slice(&hasher.finalize().as_bytes()[..16]).unwrap()
    }
}

impl Registry {
    /// Carries out one block and tells what came of it.
    pub(crate) fn tell(&mut self, fields: &[(&str, &str)]) -> String {
        const WORDS: [&str; 24] = [
            "command",
            "as",
            "today",
            "key",
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
        let envelope = self.envelope(&given);
        let day = CalendarDate::parse(given.get("today").unwrap_or("2026-11-22")).unwrap();
        let position = Position {
            term: 1,
            index: self.blocks,
        };
        let context = ApplyContext {
            position,
            ordinal: 0,
            time: noon(day),
        };
        let transition = apply(&self.view, &context, &envelope).unwrap();
        let mut lines = vec![outcome(&transition.outcome)];
        lines.extend(told(&transition.mutations));
        self.view.absorb(transition.mutations);
        lines.join("\n")
    }

    fn fill(&mut self, words: &str) -> String {
        let words: Vec<&str> = words.split(' ').collect();
        let ["bucket", digits, "full", "but", "for", free] = words[..] else {
            panic!("what is given?")
        };
        let bucket: PinBucket = Pin::parse(&format!("{digits}000000")).unwrap().bucket();
        let taken = 1_000_000 - free.parse::<u32>().unwrap();
        self.view.absorb(given_out(bucket, 0..taken));
        format!("{taken} numbers are given out")
    }

    fn envelope(&self, given: &Given<'_>) -> Envelope {
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
        let own_key = format!("block {}", self.blocks);
        Envelope {
            actor: who(given.get("as").unwrap_or("centre")),
            key: key(given.get("key").unwrap_or(&own_key)),
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
        Some(("registrar", area)) => actor(
            &format!("registrar@{area}"),
            Role::Registrar {
                area: AreaCode::parse(area).unwrap(),
            },
        ),
        _ => panic!("who is {words}?"),
    }
}

/// A word as a key: its first 16 bytes.
fn key(word: &str) -> IdempotencyKey {
    let mut bytes = [0; 16];
    for (byte, letter) in bytes.iter_mut().zip(word.bytes()) {
        *byte = letter;
    }
    IdempotencyKey(bytes)
}

fn noon(day: CalendarDate) -> Timestamp {
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

fn outcome(outcome: &Outcome) -> String {
    let replayed = if outcome.replayed {
        ", the first answer again"
    } else {
        ""
    };
    let decided = format!(
        "decided at {} on {}{replayed}",
        outcome.position,
        CalendarDate::in_viet_nam(outcome.time)
    );
    match &outcome.result {
        Ok(accepted) => {
            let (person, version, pin) = (accepted.person, accepted.version, accepted.pin.as_str());
            let mut line = format!(
                "outcome: accepted, person {person} version {version}, number {pin}, {decided}"
            );
            for finding in &accepted.findings {
                write!(
                    line,
                    "\nfinding: {} {}",
                    finding.code.label(),
                    finding.field
                )
                .unwrap();
            }
            line
        }
        Err(rejection) => format!("outcome: {}: {rejection}, {decided}", rejection.name()),
    }
}

/// The mutations as lines, but the counters and counts, which follow from the rest.
fn told(mutations: &[Mutation]) -> Vec<String> {
    let mut indexes = Vec::new();
    let mut lines = Vec::new();
    for mutation in mutations {
        match mutation {
            Mutation::PutVersion(version) => lines.extend(told_record(version)),
            Mutation::AppendEvent(event) => lines.push(told_event(event)),
            Mutation::AppendAudit(audit) => lines.push(told_audit(audit)),
            Mutation::BindPin { .. } => indexes.push("+number"),
            Mutation::BindCmnd { .. } => indexes.push("+card"),
            Mutation::UnbindCmnd { .. } => indexes.push("-card"),
            Mutation::BindForm { .. } => indexes.push("+document"),
            Mutation::IndexName { .. } => indexes.push("+name"),
            Mutation::UnindexName { .. } => indexes.push("-name"),
            Mutation::PutOutcome { .. } => indexes.push("+answer"),
            Mutation::CountFullPages { .. } => indexes.push("+full page"),
            Mutation::CountPage { .. } | Mutation::PutCounters(_) => {}
        }
    }
    if !indexes.is_empty() {
        lines.push(format!("indexes: {}", indexes.join(" ")));
    }
    lines
}

fn told_record(version: &PersonVersion) -> Vec<String> {
    let data = &version.data;
    let mut items = vec![
        data.name.full(),
        format!("born {}", data.birth_date),
        data.sex.label().to_owned(),
    ];
    if let Some(cmnd) = &data.cmnd {
        items.push(format!("card {}", cmnd.as_str()));
    }
    let stay = data.temporary_residence.as_ref().map(TemporaryStay::place);
    for (word, place) in [
        ("registered at", Some(&data.birth_registration_place)),
        ("native of", Some(&data.native_place)),
        ("lives at", Some(&data.permanent_residence)),
        ("now at", Some(&data.current_residence)),
        ("temporarily at", stay),
    ] {
        if let Some(place) = place.filter(|place| !place.is_empty()) {
            items.push(format!("{word} {}", told_place(place)));
        }
    }
    if let Some(death) = &version.death {
        items.push(format!("{} {}", death.kind.label(), death.date));
    }
    let from = &version.provenance;
    vec![
        format!("record: {}", items.join(", ")),
        format!(
            "source: {}, {}, {} {}, office {}, by {}{}",
            from.command,
            from.legal_basis.label(),
            from.document.kind.label(),
            from.document.number.as_str(),
            from.office.as_str(),
            from.actor.principal.as_str(),
            from.reason
                .as_ref()
                .map(|reason| format!(", because: {}", reason.as_str()))
                .unwrap_or_default()
        ),
    ]
}

fn told_place(place: &Place) -> String {
    if let Some(country) = place.country {
        return country.as_str().to_owned();
    }
    let codes = [
        place.province.as_ref().map(ProvinceCode::as_str),
        place.district.as_ref().map(DistrictCode::as_str),
        place.ward.as_ref().map(WardCode::as_str),
    ];
    let last = codes.iter().rposition(Option::is_some).unwrap_or_default();
    codes[..=last]
        .iter()
        .map(|code| code.unwrap_or("-"))
        .collect::<Vec<_>>()
        .join("/")
}

fn told_event(event: &Event) -> String {
    let (sequence, kind) = (event.sequence, event.kind.label());
    format!(
        "event: {sequence} {kind}, person {} version {}, log {}",
        event.person, event.version, event.log_index
    )
}

fn told_audit(audit: &AuditRecord) -> String {
    let decision = match &audit.decision {
        Decision::Accepted => "accepted",
        Decision::Replayed => "replayed",
        Decision::Rejected(name) => name,
    };
    let whose = match (audit.person, audit.version) {
        (Some(person), Some(version)) => format!(", person {person} version {version}"),
        (Some(person), None) => format!(", about person {person}"),
        (None, _) => String::new(),
    };
    let (principal, role) = (audit.actor.principal.as_str(), audit.actor.role.word());
    let at = format!("{}/{}", audit.position, audit.ordinal);
    format!(
        "audit: {at} {principal} ({role}) of {}: {} {decision}{whose}",
        audit.office.as_str(),
        audit.command
    )
}
