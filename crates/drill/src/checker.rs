//! The oracle: what the clients were promised, against what the nodes hold.
//!
//! Promises come from the history alone, the state from the nodes' public answers alone. Two sides of one coin are checked: nothing
//! acknowledged is lost or altered (on any node), and nothing happened twice (no number, no key, no version, no person too many).

use std::collections::BTreeMap;
use std::time::Duration;

use banyan_client::Client;
use banyan_wire::v1;
use tokio::task::JoinSet;

use crate::access;
use crate::history::{Acknowledgement, Key, Pin, Write, WriteKind, WriteOutcome};

/// Reads under way at once, over all nodes.
const READS_AT_ONCE: usize = 32;
/// Tries of one read before the checker says that it could not look.
const READ_TRIES: u32 = 5;

/// A broken promise. Persons are told by the log position of the write, never by their number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// An acknowledged write is not there, or not as it was written.
    Lost {
        node: String,
        position: u64,
        why: String,
    },
    /// One effect twice.
    Duplicated { position: u64, why: String },
    /// A write whose outcome could not be settled after the faults were over.
    Unsettled { why: String },
    /// A node did not tell what it holds.
    NotChecked { node: String, why: String },
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Violation::Lost {
                node,
                position,
                why,
            } => {
                write!(
                    f,
                    "acknowledged write at position {position} on {node}: {why}"
                )
            }
            Violation::Duplicated { position, why } => {
                write!(f, "effect twice, position {position}: {why}")
            }
            Violation::Unsettled { why } => write!(f, "a write's outcome stayed open: {why}"),
            Violation::NotChecked { node, why } => write!(f, "{node} could not be checked: {why}"),
        }
    }
}

/// One write that must be there.
#[derive(Debug, Clone)]
pub struct Promise {
    pub kind: WriteKind,
    pub command: v1::Command,
    pub answer: Acknowledgement,
}

/// All that was promised.
#[derive(Debug, Default)]
pub struct Promises {
    /// By number, then by version.
    pub persons: BTreeMap<Pin, BTreeMap<u32, Promise>>,
    /// Effects, once each.
    pub writes: u64,
    /// Births among them: each is a person more.
    pub births: u64,
    /// Writes that were refused for good.
    pub rejected: u64,
    /// The furthest position promised.
    pub position: u64,
    /// What the answers alone show to be wrong.
    pub violations: Vec<Violation>,
}

impl Promises {
    /// Gathers what the answers promise. `resolved` holds what later tries with the same keys brought to light.
    pub fn of(writes: &[Write], resolved: &BTreeMap<Key, WriteOutcome>) -> Promises {
        let mut promises = Promises::default();
        let mut keys: BTreeMap<Key, Acknowledgement> = BTreeMap::new();
        for write in writes {
            let outcome = resolved.get(&write.key).unwrap_or(&write.outcome);
            match outcome {
                WriteOutcome::Acknowledged(answer) => {
                    promises.check_second_answer(write, answer);
                    match keys.insert(write.key, answer.clone()) {
                        None => promises.add(write, answer),
                        Some(before) if before.same_effect(answer) => {}
                        Some(before) => promises.duplicated(
                            answer.position,
                            format!("its key had its effect at {} before", before.position),
                        ),
                    }
                }
                WriteOutcome::Rejected { .. } => promises.rejected += 1,
                WriteOutcome::Unknown { reason } | WriteOutcome::NotSent { reason } => {
                    promises.violations.push(Violation::Unsettled {
                        why: reason.clone(),
                    });
                }
            }
        }
        promises.check_persons();
        promises
    }

    fn add(&mut self, write: &Write, answer: &Acknowledgement) {
        self.writes += 1;
        self.births += u64::from(write.kind == WriteKind::Birth);
        self.position = self.position.max(answer.position);
        let promise = Promise {
            kind: write.kind,
            command: write.command.clone(),
            answer: answer.clone(),
        };
        let versions = self.persons.entry(answer.pin.clone()).or_default();
        if let Some(before) = versions.insert(answer.version, promise) {
            let earlier = before.answer.position;
            let what = match (write.kind, before.kind) {
                (WriteKind::Birth, WriteKind::Birth) => "its number was given before, at",
                _ => "its version of the record was written before, at",
            };
            self.duplicated(answer.position, format!("{what} {earlier}"));
        }
    }

    fn check_second_answer(&mut self, write: &Write, answer: &Acknowledgement) {
        let Some(discarded) = &write.discarded else {
            return;
        };
        match &discarded.again {
            WriteOutcome::Acknowledged(again) if again.same_effect(answer) => {}
            WriteOutcome::Acknowledged(again) => self.duplicated(
                answer.position,
                format!(
                    "asked again with its key, {} answered with position {}",
                    discarded.node, again.position
                ),
            ),
            WriteOutcome::Rejected { code, .. } => self.violations.push(Violation::Lost {
                node: discarded.node.clone(),
                position: answer.position,
                why: format!("asked again with its key, it was rejected with {code}"),
            }),
            // No second answer came: nothing is shown, the read-back decides.
            WriteOutcome::Unknown { .. } | WriteOutcome::NotSent { .. } => {}
        }
    }

    /// One number, one person, and one person, one number.
    fn check_persons(&mut self) {
        let mut numbers: BTreeMap<u64, &Pin> = BTreeMap::new();
        let mut found = Vec::new();
        for (pin, versions) in &self.persons {
            for promise in versions.values() {
                let person = promise.answer.person;
                match numbers.insert(person, pin) {
                    Some(other) if other != pin => found.push((
                        promise.answer.position,
                        "its record has another number already".to_owned(),
                    )),
                    _ => {}
                }
            }
            let people: std::collections::BTreeSet<u64> = versions
                .values()
                .map(|promise| promise.answer.person)
                .collect();
            if people.len() > 1 {
                let position = versions
                    .values()
                    .map(|promise| promise.answer.position)
                    .max();
                found.push((
                    position.unwrap_or(0),
                    "its number has another person".to_owned(),
                ));
            }
        }
        for (position, why) in found {
            self.duplicated(position, why);
        }
    }

    fn duplicated(&mut self, position: u64, why: String) {
        self.violations
            .push(Violation::Duplicated { position, why });
    }
}

/// What a check found.
#[derive(Debug, Default)]
pub struct Verdict {
    pub violations: Vec<Violation>,
    /// Persons times nodes that were read back.
    pub histories_read: u64,
}

impl Verdict {
    /// Acknowledged writes that are missing or altered somewhere.
    pub fn lost(&self) -> u64 {
        self.count(|violation| matches!(violation, Violation::Lost { .. }))
    }

    pub fn duplicated(&self) -> u64 {
        self.count(|violation| matches!(violation, Violation::Duplicated { .. }))
    }

    fn count(&self, of: impl Fn(&Violation) -> bool) -> u64 {
        self.violations
            .iter()
            .filter(|violation| of(violation))
            .count() as u64
    }
}

/// Reads every promised person back from every node, all versions of it, and compares.
///
/// The nodes must have applied [`Promises::position`] before. `reader` must be allowed to read everyone, and know all nodes.
pub async fn read_back(reader: &Client, nodes: &[String], promises: &Promises) -> Verdict {
    let mut verdict = Verdict {
        violations: promises.violations.clone(),
        histories_read: 0,
    };
    let mut under_way: JoinSet<(String, Pin, Result<Vec<v1::PersonVersion>, String>)> =
        JoinSet::new();
    let mut questions = nodes
        .iter()
        .flat_map(|node| promises.persons.keys().map(move |pin| (node, pin)));
    loop {
        while under_way.len() < READS_AT_ONCE {
            let Some((node, pin)) = questions.next() else {
                break;
            };
            let (reader, node, pin) = (reader.clone(), node.clone(), pin.clone());
            under_way.spawn(async move {
                let answer = read_history(&reader, &node, &pin).await;
                (node, pin, answer)
            });
        }
        let Some(joined) = under_way.join_next().await else {
            break;
        };
        match joined {
            Ok((node, pin, Ok(versions))) => {
                verdict.histories_read += 1;
                if let Some(promised) = promises.persons.get(&pin) {
                    compare(&node, &pin, promised, &versions, &mut verdict.violations);
                }
            }
            Ok((node, _, Err(why))) => {
                verdict.violations.push(Violation::NotChecked { node, why });
            }
            Err(error) => verdict.violations.push(Violation::NotChecked {
                node: "a node".to_owned(),
                why: error.to_string(),
            }),
        }
    }
    verdict
}

async fn read_history(
    reader: &Client,
    node: &str,
    pin: &Pin,
) -> Result<Vec<v1::PersonVersion>, String> {
    let mut last = String::new();
    for attempt in 0..READ_TRIES {
        let request = v1::GetHistoryRequest {
            pin: pin.0.clone(),
            purpose: "drill: read back".to_owned(),
            ..v1::GetHistoryRequest::default()
        };
        match reader.history_from(node, request).await {
            Ok(read) => return Ok(read.answer.versions),
            Err(error) => last = access::reason(&error),
        }
        tokio::time::sleep(Duration::from_millis(50 << attempt)).await;
    }
    Err(last)
}

/// Compares what one node holds of one person with what was promised.
fn compare(
    node: &str,
    pin: &Pin,
    promised: &BTreeMap<u32, Promise>,
    found: &[v1::PersonVersion],
    violations: &mut Vec<Violation>,
) {
    let by_version: BTreeMap<u32, &v1::PersonVersion> = found
        .iter()
        .map(|version| (version.version, version))
        .collect();
    for (number, promise) in promised {
        let why = match by_version.get(number) {
            None if found.is_empty() => Some("the person is not there".to_owned()),
            None => Some(format!("version {number} is not there")),
            Some(version) => difference(pin, promise, version),
        };
        if let Some(why) = why {
            let position = promise.answer.position;
            violations.push(Violation::Lost {
                node: node.to_owned(),
                position,
                why,
            });
        }
    }
    let highest = promised.last_key_value();
    if let Some((_, promise)) = highest
        && (found.len() > promised.len() || by_version.len() < found.len())
    {
        violations.push(Violation::Duplicated {
            position: promise.answer.position,
            why: format!(
                "{node} holds {} versions where {} were written",
                found.len(),
                promised.len()
            ),
        });
    }
}

/// What differs between a promise and the version that stands for it; never the values.
pub fn difference(pin: &Pin, promise: &Promise, found: &v1::PersonVersion) -> Option<String> {
    let provenance = found.provenance.clone().unwrap_or_default();
    let data = found.data.clone().unwrap_or_default();
    let mut wrong = Vec::new();
    let mut check = |field: &str, same: bool| {
        if !same {
            wrong.push(field.to_owned());
        }
    };
    check("person", found.person_id == promise.answer.person);
    check("pin", found.pin == pin.0);
    check("position", provenance.position == promise.answer.position);
    check("command", provenance.command == promise.kind.command_name());
    check(
        "document",
        same_document(
            provenance.document.as_ref(),
            promise.command.document.as_ref(),
        ),
    );
    match &promise.command.kind {
        Some(v1::command::Kind::RegisterBirth(birth)) => {
            check("name", data.name == birth.name);
            check("birth_date", data.birth_date == birth.birth_date);
            check("sex", data.sex == birth.sex);
            check(
                "mother",
                same_person(data.mother.as_ref(), birth.mother.as_ref()),
            );
            let ward = |place: Option<&v1::Place>| place.map(|place| place.ward.clone());
            check(
                "birth_registration_place",
                ward(data.birth_registration_place.as_ref())
                    == ward(birth.birth_registration_place.as_ref()),
            );
        }
        Some(v1::command::Kind::CorrectPerson(correction)) => {
            let sent = correction.data.clone().unwrap_or_default();
            check("name", data.name == sent.name);
            check("blood_group", data.blood_group == sent.blood_group);
        }
        Some(v1::command::Kind::RecordDeath(record)) => {
            let date = |death: Option<&v1::Death>| death.and_then(|death| death.date);
            check(
                "death",
                date(found.death.as_ref()) == date(record.death.as_ref()),
            );
            check(
                "life_status",
                found.life_status() == v1::LifeStatus::Deceased,
            );
        }
        Some(v1::command::Kind::RegisterPerson(_)) | None => {}
    }
    if wrong.is_empty() {
        None
    } else {
        Some(format!("other content in {}", wrong.join(", ")))
    }
}

fn same_document(found: Option<&v1::SourceDocument>, sent: Option<&v1::SourceDocument>) -> bool {
    match (found, sent) {
        (Some(found), Some(sent)) => found.number == sent.number && found.kind == sent.kind,
        (found, sent) => found.is_none() && sent.is_none(),
    }
}

fn same_person(found: Option<&v1::RelatedPerson>, sent: Option<&v1::RelatedPerson>) -> bool {
    found.map(|person| &person.name) == sent.map(|person| &person.name)
}

/// Compares the number of persons that every node holds with what was put in. `told` is each node's own count.
pub fn check_counts(told: &BTreeMap<String, Result<u64, String>>, expected: u64) -> Vec<Violation> {
    told.iter()
        .filter_map(|(node, count)| match count {
            Ok(count) if *count == expected => None,
            Ok(count) if *count > expected => Some(Violation::Duplicated {
                position: 0,
                why: format!("{node} holds {count} persons where {expected} were registered"),
            }),
            Ok(count) => Some(Violation::Lost {
                node: node.clone(),
                position: 0,
                why: format!("{count} persons where {expected} were registered"),
            }),
            Err(why) => Some(Violation::NotChecked {
                node: node.clone(),
                why: why.clone(),
            }),
        })
        .collect()
}

#[cfg(test)]
mod tests;
