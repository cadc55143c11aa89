//! What the clients of a run saw: every operation with its key, its times and its outcome, on one monotonic clock.
//!
//! The history is the only source of the figures in a report. Numbers of persons stay inside the process: [`Pin`] never prints.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use banyan_domain::IdempotencyKey;
use banyan_wire::v1;

/// A client of a run, from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientIndex(pub usize);

/// The idempotency key of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub IdempotencyKey);

/// A personal identification number as the registry told it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pin(pub String);

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(…)")
    }
}

/// What kind of command a write was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WriteKind {
    Birth,
    Death,
    Correction,
}

impl WriteKind {
    /// The name of the command as a version's provenance tells it.
    pub fn command_name(self) -> &'static str {
        match self {
            WriteKind::Birth => "RegisterBirth",
            WriteKind::Death => "RecordDeath",
            WriteKind::Correction => "CorrectPerson",
        }
    }
}

/// What the registry said when it accepted a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    pub person: u64,
    pub pin: Pin,
    pub version: u32,
    pub position: u64,
    pub term: u64,
    pub time_ms: i64,
    pub replayed: bool,
}

impl Acknowledgement {
    /// Whether two answers tell of the same effect; only `replayed` may differ.
    pub fn same_effect(&self, other: &Acknowledgement) -> bool {
        (
            self.person,
            &self.pin,
            self.version,
            self.position,
            self.term,
            self.time_ms,
        ) == (
            other.person,
            &other.pin,
            other.version,
            other.position,
            other.term,
            other.time_ms,
        )
    }
}

/// What became of a write, as far as its client knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOutcome {
    Acknowledged(Acknowledgement),
    /// A replicated "no", with its code.
    Rejected {
        code: String,
        position: u64,
    },
    /// It may or may not have had its effect.
    Unknown {
        reason: String,
    },
    /// It never reached the registry, or the registry refused it before proposing.
    NotSent {
        reason: String,
    },
}

impl WriteOutcome {
    /// Reads the registry's answer.
    pub fn of(outcome: &v1::Outcome) -> WriteOutcome {
        match &outcome.result {
            Some(v1::outcome::Result::Accepted(accepted)) => {
                WriteOutcome::Acknowledged(Acknowledgement {
                    person: accepted.person_id,
                    pin: Pin(accepted.pin.clone()),
                    version: accepted.version,
                    position: outcome.position,
                    term: outcome.term,
                    time_ms: outcome.time_ms,
                    replayed: outcome.replayed,
                })
            }
            Some(v1::outcome::Result::Rejected(rejected)) => WriteOutcome::Rejected {
                code: rejected.code.clone(),
                position: outcome.position,
            },
            None => WriteOutcome::Unknown {
                reason: "the answer held no outcome".to_owned(),
            },
        }
    }
}

/// One write from the first try to the last answer.
#[derive(Debug, Clone)]
pub struct Write {
    pub client: ClientIndex,
    pub kind: WriteKind,
    pub key: Key,
    /// What was sent; a replay sends the same.
    pub command: v1::Command,
    /// Since the history's start.
    pub started: Duration,
    pub ended: Duration,
    /// Times that it was sent, the deliberate second asking included.
    pub tries: u32,
    /// The node that was asked first.
    pub node: String,
    pub outcome: WriteOutcome,
    /// The second answer, where the client threw the first away and asked another node with the same key.
    pub discarded: Option<Discarded>,
}

/// An answer that was thrown away and asked for again.
#[derive(Debug, Clone)]
pub struct Discarded {
    /// The other node.
    pub node: String,
    pub again: WriteOutcome,
    /// Times that it was asked for.
    pub tries: u32,
}

impl Write {
    /// Whether the write was sent again because an answer did not come, the deliberate second asking apart.
    pub fn was_retried(&self) -> bool {
        let deliberate = self
            .discarded
            .as_ref()
            .map_or(0, |discarded| discarded.tries);
        self.tries.saturating_sub(deliberate) > 1
    }

    pub fn acknowledgement(&self) -> Option<&Acknowledgement> {
        match &self.outcome {
            WriteOutcome::Acknowledged(acknowledgement) => Some(acknowledgement),
            _ => None,
        }
    }
}

/// One read.
#[derive(Debug, Clone)]
pub struct Read {
    pub client: ClientIndex,
    pub started: Duration,
    pub ended: Duration,
    pub node: String,
    /// Whether the person was found; `None`: no answer.
    pub found: Option<bool>,
}

#[derive(Debug, Default)]
struct Records {
    writes: Vec<Write>,
    reads: Vec<Read>,
}

/// A shared recorder.
#[derive(Debug, Clone)]
pub struct History {
    start: Instant,
    records: Arc<Mutex<Records>>,
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

impl History {
    /// An empty history that starts now.
    pub fn new() -> History {
        History {
            start: Instant::now(),
            records: Arc::default(),
        }
    }

    /// Time since the start, on the clock of all operations.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub fn record_write(&self, write: Write) {
        self.records().writes.push(write);
    }

    pub fn record_read(&self, read: Read) {
        self.records().reads.push(read);
    }

    /// All writes so far, in the order in which they ended.
    pub fn writes(&self) -> Vec<Write> {
        self.records().writes.clone()
    }

    /// All reads so far, in the order in which they ended.
    pub fn reads(&self) -> Vec<Read> {
        self.records().reads.clone()
    }

    /// How many writes were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.records()
            .writes
            .iter()
            .filter(|write| write.acknowledgement().is_some())
            .count()
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From a fault to the first acknowledgement of a write that was first sent after it; `None`: there was none.
///
/// `fault_from` is just before the first signal was sent, `fault_until` just after the last: only writes that started after
/// `fault_until` count, and the time runs from `fault_from`, so that the figure errs on the long side.
pub fn recovery_time(
    writes: &[Write],
    fault_from: Duration,
    fault_until: Duration,
) -> Option<Duration> {
    writes
        .iter()
        .filter(|write| write.started > fault_until && write.acknowledgement().is_some())
        .map(|write| write.ended.saturating_sub(fault_from))
        .min()
}

/// The longest time that any single client went without an acknowledged write, between two moments of the run.
///
/// A client's time runs from `from` to its first acknowledgement, between its acknowledgements, and from its last to `until`.
pub fn longest_gap(writes: &[Write], clients: usize, from: Duration, until: Duration) -> Duration {
    (0..clients)
        .map(|client| {
            let mut acknowledged: Vec<Duration> = writes
                .iter()
                .filter(|write| write.client == ClientIndex(client))
                .filter(|write| write.acknowledgement().is_some())
                .map(|write| write.ended)
                .filter(|ended| (from..=until).contains(ended))
                .collect();
            acknowledged.sort_unstable();
            acknowledged.push(until);
            let mut last = from;
            let mut longest = Duration::ZERO;
            for ended in acknowledged {
                longest = longest.max(ended.saturating_sub(last));
                last = ended;
            }
            longest
        })
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use banyan_domain::Timestamp;

    use super::*;

    pub(crate) fn acknowledgement(person: u64, pin: &str, position: u64) -> Acknowledgement {
        Acknowledgement {
            person,
            pin: Pin(pin.to_owned()),
            version: 1,
            position,
            term: 1,
            time_ms: 0,
            replayed: false,
        }
    }

    pub(crate) fn write(
        client: usize,
        key: u8,
        from: u64,
        to: u64,
        outcome: WriteOutcome,
    ) -> Write {
        Write {
            client: ClientIndex(client),
            kind: WriteKind::Birth,
            key: Key(IdempotencyKey::new(Timestamp(0), [key; 10])),
            command: v1::Command::default(),
            started: Duration::from_millis(from),
            ended: Duration::from_millis(to),
            tries: 1,
            node: "central-1".to_owned(),
            outcome,
            discarded: None,
        }
    }

    fn acknowledged(client: usize, key: u8, from: u64, to: u64) -> Write {
        let ack = acknowledgement(u64::from(key), "001", u64::from(key));
        write(client, key, from, to, WriteOutcome::Acknowledged(ack))
    }

    #[test]
    fn recovery_counts_only_writes_that_started_after_the_fault() {
        let unknown = WriteOutcome::Unknown {
            reason: String::new(),
        };
        let writes = [
            acknowledged(0, 1, 0, 10),
            acknowledged(0, 2, 95, 400), // sent before the fault, answered after it
            write(1, 3, 110, 300, unknown),
            acknowledged(1, 4, 310, 720),
            acknowledged(0, 5, 410, 800),
        ];
        let at = Duration::from_millis;
        assert_eq!(recovery_time(&writes, at(100), at(102)), Some(at(620)));
        assert_eq!(recovery_time(&writes, at(900), at(902)), None);
    }

    #[test]
    fn gap_is_of_the_worst_single_client_and_counts_both_ends() {
        let writes = [
            acknowledged(0, 1, 0, 100),
            acknowledged(0, 2, 100, 700),
            acknowledged(1, 3, 0, 300),
            acknowledged(1, 4, 300, 500),
        ];
        let at = Duration::from_millis;
        assert_eq!(longest_gap(&writes, 2, at(0), at(1000)), at(600));
        assert_eq!(longest_gap(&writes, 2, at(0), at(1400)), at(900));
        assert_eq!(longest_gap(&writes, 3, at(0), at(1400)), at(1400));
    }

    #[test]
    fn numbers_never_print() {
        assert_eq!(format!("{:?}", Pin("001200000001".to_owned())), "Pin(…)");
    }
}
