//! What the clients of registers saw, on one monotonic clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a person's record reads as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Value {
    /// The record's version; 0: there is no such person.
    pub version: u32,
    /// The number of the write that made it, as its content says; 0: the birth.
    pub writing: u64,
}

impl Value {
    /// The value of every register when its history begins.
    pub const BIRTH: Value = Value {
        version: 1,
        writing: 0,
    };
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It made this version.
    Accepted { version: u32 },
    /// The record had another version than the write expected.
    Conflict,
    /// It takes effect some time after its call, or never.
    Unknown,
}

/// A compare-and-set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write {
    pub expected: u32,
    /// Distinct for every write of a history, from 1.
    pub writing: u64,
    pub answer: Answer,
    /// Whether the client was led from the node that it went to first to another one.
    pub redirected: bool,
    /// Where the log holds it; `None`: it was not accepted, as far as its client knows.
    pub place: Option<Place>,
}

/// Where the log holds a write, as its answer said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub position: u64,
    pub term: u64,
    /// The leader's stamp, in milliseconds since 1970.
    pub time_ms: i64,
}

/// How fresh a read was asked to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Linearizable,
    /// Not older than the client's last answer under this level, or than its last write.
    Session,
    /// `None`: without a bound.
    Local {
        bound: Option<Duration>,
    },
}

impl Level {
    /// What a read of this level is called.
    pub fn name(self) -> &'static str {
        match self {
            Level::Linearizable => "linearizable read",
            Level::Session => "session read",
            Level::Local { .. } => "local read",
        }
    }
}

/// What a write is called.
pub const WRITE: &str = "write";
/// What is done to registers: [`WRITE`], and [`Level::name`] of each level.
pub const KINDS: [&str; 4] = [WRITE, "linearizable read", "session read", "local read"];

/// An answered read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    pub level: Level,
    pub value: Value,
    /// The answer's own bound of its staleness.
    pub staleness: Option<Duration>,
    /// The log position of the state that was read.
    pub position: u64,
}

/// What a client did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Write(Write),
    Read(Read),
}

impl Act {
    /// Which of [`KINDS`] it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Act::Write(_) => WRITE,
            Act::Read(read) => read.level.name(),
        }
    }
}

/// One operation on one register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Has one operation under way at a time.
    pub client: usize,
    /// Which register.
    pub person: usize,
    /// The node that was asked first.
    pub node: String,
    /// Taken before the request was sent, since the start of the record.
    pub called: Duration,
    /// Taken after the answer came; `None`: there was none, and it may take effect at any time from `called` on.
    pub returned: Option<Duration>,
    pub act: Act,
}

impl Operation {
    /// The version that a write made and its client knows of.
    pub fn acknowledged(&self) -> Option<u32> {
        match self.act {
            Act::Write(Write {
                answer: Answer::Accepted { version },
                ..
            }) => Some(version),
            _ => None,
        }
    }
}

/// All that was seen.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// In the order in which they ended. Those of one client are in the order in which it did them.
    pub operations: Vec<Operation>,
    /// Calls that were not served and had no effect, by what was said.
    pub unserved: BTreeMap<String, u64>,
    /// Answers that no correct registry gives, whatever went before.
    pub wrong: Vec<String>,
}

/// A shared recorder.
#[derive(Debug, Clone)]
pub struct Recorder {
    start: Instant,
    seen: Arc<Mutex<Seen>>,
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder {
            start: Instant::now(),
            seen: Arc::default(),
        }
    }
}

impl Recorder {
    /// Time since the start, on the clock of all operations.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub fn record(&self, operation: Operation) {
        self.lock().operations.push(operation);
    }

    pub fn unserved(&self, what: &str, reason: &str) {
        let told = format!("{what}: {reason}");
        *self.lock().unserved.entry(told).or_default() += 1;
    }

    pub fn wrong(&self, what: String) {
        self.lock().wrong.push(what);
    }

    /// How many writes have been acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        let seen = self.lock();
        let acknowledged = |operation: &&Operation| operation.acknowledged().is_some();
        seen.operations.iter().filter(acknowledged).count()
    }

    /// How many operations of each kind have been answered so far, by [`KINDS`].
    pub fn answered(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::from(KINDS.map(|kind| (kind, 0)));
        let seen = self.lock();
        let answered = seen.operations.iter().filter(|one| one.returned.is_some());
        for operation in answered {
            *counts.entry(operation.act.kind()).or_default() += 1;
        }
        counts
    }

    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
