//! What must hold of a history of registers.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use porcupine_rs::{CheckResult, LinearizationInfo};

use super::model::{self, Register};
use super::record::{Act, Answer, Level, Operation, Read, Value};

#[cfg(test)]
mod tests;

/// How long the checker may look at one register. It needs milliseconds where the history fits.
const JUDGED_WITHIN: Duration = Duration::from_secs(20);

/// A promise that the history breaks.
#[derive(Debug, Clone)]
pub enum Finding {
    /// No order of the writes and the linearizable reads explains their answers.
    NotLinearizable {
        person: usize,
        /// How far the checker came, for its drawing.
        info: Box<LinearizationInfo<Register>>,
    },
    /// The checker had not enough time.
    Undecided { person: usize },
    /// One version was read with two contents, or acknowledged as one write's and read as another's.
    TwoContents {
        person: usize,
        version: u32,
        writings: [u64; 2],
    },
    /// A session read something older than what its client had seen before.
    WentBack {
        read: Box<Operation>,
        /// The version that the client had seen.
        seen: u32,
        /// The position that the client had seen, of whatever register.
        position: u64,
    },
    /// An answer did not hold something acknowledged longer ago than the answer said.
    PastBound {
        read: Box<Operation>,
        /// The acknowledged version that was missing.
        missing: u32,
        acknowledged: Duration,
    },
    /// An answer said that it was older than the read allowed, or nothing about its age.
    BoundNotTold { read: Box<Operation> },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::NotLinearizable { person, .. } => {
                write!(f, "person {person}: not linearizable")
            }
            Finding::Undecided { person } => {
                write!(
                    f,
                    "person {person}: not decided in {} s",
                    JUDGED_WITHIN.as_secs()
                )
            }
            Finding::TwoContents {
                person,
                version,
                writings: [one, other],
            } => {
                write!(
                    f,
                    "person {person}: version {version} is of write {one} and of write {other}"
                )
            }
            Finding::WentBack {
                read,
                seen,
                position,
            } => {
                write!(
                    f,
                    "session went back from version {seen}, position {position}: {read:?}"
                )
            }
            Finding::PastBound {
                read,
                missing,
                acknowledged,
            } => write!(
                f,
                "version {missing}, acknowledged at {} µs, is missing: {read:?}",
                acknowledged.as_micros()
            ),
            Finding::BoundNotTold { read } => {
                write!(f, "the answer is outside its bound: {read:?}")
            }
        }
    }
}

/// Holds a history against all promises.
pub fn check(operations: &[Operation]) -> Vec<Finding> {
    let mut findings = contents(operations);
    findings.extend(linearizable(operations));
    findings.extend(sessions(operations));
    findings.extend(bounds(operations));
    findings
}

/// The writes and the linearizable reads of every register have an order that explains them. Registers are independent of each other, and
/// linearizability is local (Herlihy and Wing 1990), so that each is judged alone.
fn linearizable(operations: &[Operation]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (person, operations) in by_person(operations) {
        match model::judge(&operations, JUDGED_WITHIN) {
            (CheckResult::Ok, _) => {}
            (CheckResult::Illegal, info) => findings.push(Finding::NotLinearizable {
                person,
                info: Box::new(info),
            }),
            (CheckResult::Unknown, _) => findings.push(Finding::Undecided { person }),
        }
    }
    findings
}

/// A version has one content, at whatever level and node it is read.
fn contents(operations: &[Operation]) -> Vec<Finding> {
    let mut known: BTreeMap<(usize, u32), u64> = BTreeMap::new();
    let mut findings = Vec::new();
    for operation in operations {
        let value = match operation.act {
            Act::Read(read) => read.value,
            Act::Write(write) => match write.answer {
                Answer::Accepted { version } => Value {
                    version,
                    writing: write.writing,
                },
                Answer::Conflict | Answer::Unknown => continue,
            },
        };
        let before = *known
            .entry((operation.person, value.version))
            .or_insert(value.writing);
        if before != value.writing {
            findings.push(Finding::TwoContents {
                person: operation.person,
                version: value.version,
                writings: [before, value.writing],
            });
        }
    }
    findings
}

/// No session read is older than what its client has seen: neither its version, nor its position, which covers all registers.
fn sessions(operations: &[Operation]) -> Vec<Finding> {
    let mut versions: BTreeMap<(usize, usize), u32> = BTreeMap::new();
    let mut positions: BTreeMap<usize, u64> = BTreeMap::new();
    let mut findings = Vec::new();
    for operation in operations {
        let seen = versions
            .entry((operation.client, operation.person))
            .or_default();
        match operation.act {
            Act::Write(write) => {
                *seen = (*seen).max(operation.acknowledged().unwrap_or(0));
                let furthest = positions.entry(operation.client).or_default();
                *furthest = (*furthest).max(write.place.map_or(0, |place| place.position));
            }
            Act::Read(Read {
                level: Level::Session,
                value,
                position,
                ..
            }) => {
                let furthest = positions.entry(operation.client).or_default();
                if value.version < *seen || position < *furthest {
                    findings.push(Finding::WentBack {
                        read: Box::new(operation.clone()),
                        seen: *seen,
                        position: *furthest,
                    });
                }
                *seen = (*seen).max(value.version);
                *furthest = (*furthest).max(position);
            }
            Act::Read(_) => {}
        }
    }
    findings
}

/// Every answer that tells its staleness holds all that was acknowledged longer ago, and what was asked with a bound is within it.
///
/// An answer leaves after its read was called, and a write was acknowledged before its client had the answer: both times are taken on the
/// side that makes the rule weaker, by at most what the messages took, so that it never blames a correct registry.
fn bounds(operations: &[Operation]) -> Vec<Finding> {
    let acknowledged = acknowledged(operations);
    let mut findings = Vec::new();
    for operation in operations {
        let Act::Read(read) = operation.act else {
            continue;
        };
        if let Level::Local { bound: Some(bound) } = read.level
            && read.staleness.is_none_or(|staleness| staleness > bound)
        {
            findings.push(Finding::BoundNotTold {
                read: Box::new(operation.clone()),
            });
        }
        let Some(since) = read
            .staleness
            .and_then(|staleness| operation.called.checked_sub(staleness))
        else {
            continue;
        };
        let writes = acknowledged
            .get(&operation.person)
            .map_or(&[][..], Vec::as_slice);
        let old = writes.partition_point(|write| write.at < since);
        if let Some(last) = old.checked_sub(1).and_then(|last| writes.get(last))
            && last.highest > read.value.version
        {
            findings.push(Finding::PastBound {
                read: Box::new(operation.clone()),
                missing: last.highest,
                acknowledged: last.at,
            });
        }
    }
    findings
}

/// A moment at which a write was acknowledged.
struct Acknowledged {
    at: Duration,
    /// The highest version acknowledged by then.
    highest: u32,
}

/// The acknowledged writes of every register, in the order of their times.
fn acknowledged(operations: &[Operation]) -> BTreeMap<usize, Vec<Acknowledged>> {
    let mut all: BTreeMap<usize, Vec<Acknowledged>> = BTreeMap::new();
    for operation in operations {
        if let (Some(at), Some(highest)) = (operation.returned, operation.acknowledged()) {
            let one = Acknowledged { at, highest };
            all.entry(operation.person).or_default().push(one);
        }
    }
    for writes in all.values_mut() {
        writes.sort_by_key(|write| write.at);
        let mut highest = 0;
        for write in writes {
            highest = highest.max(write.highest);
            write.highest = highest;
        }
    }
    all
}

/// The operations of each register.
pub fn by_person(operations: &[Operation]) -> BTreeMap<usize, Vec<&Operation>> {
    let mut people: BTreeMap<usize, Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        people.entry(operation.person).or_default().push(operation);
    }
    people
}
