//! Sees everything that happens in a run, and holds it against the promises.

mod entries;
mod hashes;
mod seen;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    hash::Hasher as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use banyan_domain::{IdempotencyKey, Outcome, PersonId, Pin, Position, Timestamp, VersionNumber};
use banyan_storage::{EntryResult, LogRecord, StateEntry};

use self::hashes::hash_of;
pub use self::seen::{Seen, Violation};
use super::{disk::Image, invariants::Invariant, runtime::now};

/// Voters that a membership has at least: one may be lost, and the rest decides.
pub const VOTERS_MIN: usize = 3;
/// Violations that are kept: the first ones say most.
const VIOLATIONS_KEPT: usize = 8;

/// What an entry did, as the first node that applied it said.
#[derive(Clone, Debug)]
struct Entry {
    term: u64,
    /// Hash of its results.
    results: u64,
}

/// An entry as its leader appended it.
#[derive(Clone, Copy, Debug)]
struct Payload {
    hash: u64,
    at: Duration,
    /// Whether time could be true then.
    clocks_settled: bool,
}

#[derive(Default)]
struct Inner {
    hash: std::hash::DefaultHasher,
    events: u64,
    lines: Option<Vec<String>>,
    sometimes: BTreeMap<&'static str, u64>,
    faults: BTreeMap<&'static str, u64>,
    violations: Vec<Violation>,
    violations_seen: u64,
    /// By index and term.
    payloads: BTreeMap<(u64, u64), Payload>,
    applied: BTreeMap<u64, Entry>,
    /// Where each node's process stands.
    stands: BTreeMap<u64, u64>,
    states: BTreeMap<u64, u128>,
    numbers: BTreeMap<Pin, PersonId>,
    versions: BTreeMap<PersonId, Vec<(u64, VersionNumber)>>,
    effects: BTreeMap<IdempotencyKey, (Position, PersonId, VersionNumber)>,
    last_time: Timestamp,
    /// Since when most voters' clocks are true; none while they are not.
    clocks_true_since: Option<Duration>,
    leaders: BTreeMap<u64, u64>,
    promised: BTreeMap<u64, (u64, u64)>,
    followed: BTreeMap<u64, u64>,
    /// Who is a member by the last membership that was applied anywhere, and who was one before.
    members: BTreeSet<u64>,
    taken_out: BTreeSet<u64>,
    /// When the leader answered, and the highest index that was answered by then.
    answered: Vec<(Duration, u64)>,
    /// The highest index that any client has seen of a linearizable read or an acknowledged write.
    shown: u64,
}

/// Clones are one.
#[derive(Clone, Default)]
pub struct Observer(Arc<Mutex<Inner>>);

impl Observer {
    /// With readable lines of everything that happens, if `lines`.
    pub fn new(lines: bool) -> Self {
        let observer = Self::default();
        {
            let mut inner = observer.inner();
            inner.lines = lines.then(Vec::new);
            inner.clocks_true_since = Some(Duration::ZERO);
        }
        observer
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more event: into the hash that two runs of one seed must agree on.
    pub fn event(&self, kind: &'static str, numbers: &[u64]) {
        self.inner().event(kind, numbers);
    }

    /// A remark for people, if lines are kept.
    pub fn line(&self, text: &str) {
        if let Some(lines) = &mut self.inner().lines {
            lines.push(format!("{:>12.6} {text}", now().as_secs_f64()));
        }
    }

    /// A state worth reaching was reached.
    pub fn sometimes(&self, what: &'static str) {
        *self.inner().sometimes.entry(what).or_default() += 1;
    }

    /// A fault was made.
    pub fn fault(&self, kind: &'static str, numbers: &[u64]) {
        let mut inner = self.inner();
        *inner.faults.entry(kind).or_default() += 1;
        inner.event(kind, numbers);
    }

    /// A promise was broken.
    pub fn violated(&self, invariant: Invariant, what: String) {
        self.inner().violated(invariant, what);
    }

    /// A node appends to its log.
    pub fn appended(&self, node: u64, records: &[LogRecord]) {
        let mut inner = self.inner();
        for record in records {
            let hash = hash_of(&record.bytes);
            let key = (record.index, record.term);
            let first = Payload {
                hash,
                at: now(),
                clocks_settled: inner.clocks_settled(),
            };
            if inner.payloads.entry(key).or_insert(first).hash != hash {
                let what = format!(
                    "node {node} appends other bytes at index {}, term {}",
                    record.index, record.term
                );
                inner.violated(Invariant::LogMatching, what);
            }
            inner.event("append", &[node, record.index, record.term]);
        }
    }

    /// A process starts with the state that its disk has.
    pub fn started(&self, node: u64, state: &Image, log_end: u64) {
        let mut inner = self.inner();
        inner.event("start", &[node, state.index()]);
        inner.stands.insert(node, state.index());
        if state.index() > log_end {
            let what = format!(
                "node {node} starts with its state at {} and its log at {log_end}",
                state.index()
            );
            inner.violated(Invariant::StateNotAheadOfLog, what);
        }
    }

    /// A snapshot became the state of a node.
    pub fn installed(&self, node: u64, image: &Image) {
        let mut inner = self.inner();
        inner.event("install", &[node, image.index()]);
        *inner
            .sometimes
            .entry("a snapshot was installed")
            .or_default() += 1;
        inner.stands.insert(node, image.index());
        inner.check_state(node, image);
    }

    /// A group entered the state of a node.
    pub fn applied(
        &self,
        node: u64,
        entries: &[StateEntry],
        results: &[EntryResult],
        image: &Image,
    ) {
        let mut inner = self.inner();
        for (entry, result) in entries.iter().zip(results) {
            inner.apply(node, entry, result);
        }
        if entries.len() > 1 {
            *inner
                .sometimes
                .entry("a group of several entries was applied")
                .or_default() += 1;
        }
        inner.check_state(node, image);
    }

    /// Whether most voters' clocks are true at the moment: only then can time be.
    pub fn clocks(&self, most_true: bool) {
        let mut inner = self.inner();
        inner.clocks_true_since = if most_true {
            inner.clocks_true_since.or(Some(now()))
        } else {
            None
        };
    }

    /// A node says that it leads a term.
    pub fn leads(&self, node: u64, term: u64) {
        let mut inner = self.inner();
        let leader = *inner.leaders.entry(term).or_insert(node);
        if leader != node {
            let what = format!("nodes {leader} and {node} lead in term {term}");
            inner.violated(Invariant::OneLeaderPerTerm, what);
        }
    }

    /// Terms that were led.
    pub fn terms(&self) -> usize {
        self.inner().leaders.len()
    }

    /// A node has given its vote.
    pub fn promised(&self, node: u64, vote: (u64, u64)) {
        let mut inner = self.inner();
        let promised = inner.promised.entry(node).or_default();
        let before = *promised;
        *promised = before.max(vote);
        if vote.0 == before.0 && vote.1 != before.1 {
            let what = format!("node {node} gives vote {vote:?} after {before:?}");
            inner.violated(Invariant::VotesNeverGoBack, what);
        }
        inner.event("gives vote", &[node, vote.0, vote.1]);
    }

    /// A node follows the leader of a term: for whom it had voted is another matter.
    pub fn follows(&self, node: u64, term: u64) {
        let mut inner = self.inner();
        let followed = inner.followed.entry(node).or_default();
        *followed = (*followed).max(term);
    }

    /// A node starts with this vote on its disk.
    pub fn remembers(&self, node: u64, vote: (u64, u64, bool)) {
        let mut inner = self.inner();
        let promised = inner.promised.get(&node).copied().unwrap_or_default();
        // Whoever was elected in that term has taken the place of whom this node had voted for.
        let other = vote.0 == promised.0 && vote.1 != promised.1 && !vote.2;
        let followed = inner.followed.get(&node).copied().unwrap_or_default();
        if vote.0 < promised.0.max(followed) || other {
            let what = format!(
                "node {node} gave vote {promised:?}, followed in term {followed}, and starts with {vote:?}"
            );
            inner.violated(Invariant::VotesNeverGoBack, what);
        }
    }

    /// The leader answers that what is at this index is done.
    pub fn answered(&self, index: u64) {
        let mut inner = self.inner();
        if inner.answered.last().is_none_or(|(_, last)| *last < index) {
            inner.answered.push((now(), index));
        }
    }

    /// The highest index that a leader had answered before this moment.
    pub fn answered_before(&self, moment: Duration) -> u64 {
        let inner = self.inner();
        let later = inner.answered.partition_point(|(at, _)| *at < moment);
        later
            .checked_sub(1)
            .and_then(|last| inner.answered.get(last))
            .map_or(0, |(_, index)| *index)
    }

    /// The highest index that a client has been shown as certain.
    pub fn shown(&self) -> u64 {
        self.inner().shown
    }

    /// A client has seen an acknowledged write or a linearizable read at this index.
    pub fn show(&self, index: u64) {
        let mut inner = self.inner();
        inner.shown = inner.shown.max(index);
    }

    /// The version of a person that stood at an index: none if the person was not there.
    pub fn version_at(&self, person: PersonId, index: u64) -> Option<VersionNumber> {
        let inner = self.inner();
        let versions = inner.versions.get(&person)?;
        let until = versions.partition_point(|(at, _)| *at <= index);
        versions
            .get(until.checked_sub(1)?)
            .map(|(_, version)| *version)
    }

    /// A client has got this outcome of a request, whichever try it came from.
    pub fn told(&self, key: IdempotencyKey, outcome: &Outcome) {
        let mut inner = self.inner();
        let Ok(accepted) = &outcome.result else {
            return;
        };
        let told = (outcome.position, accepted.person, accepted.version);
        match inner.effects.get(&key).copied() {
            Some(effect) if effect == told => {}
            effect => {
                let what = format!(
                    "a client is told of {:?} and the effect of its request is {:?}",
                    told.0,
                    effect.map(|effect| effect.0)
                );
                inner.violated(Invariant::EveryEffectOnce, what);
            }
        }
    }

    /// The effects of all requests so far.
    pub fn effects(&self) -> usize {
        self.inner().effects.len()
    }

    /// What was seen.
    pub fn seen(&self) -> Seen {
        let inner = self.inner();
        Seen {
            hash: inner.hash.finish(),
            events: inner.events,
            lines: inner.lines.clone().unwrap_or_default(),
            sometimes: inner.sometimes.clone(),
            faults: inner.faults.clone(),
            violations: inner.violations.clone(),
            violations_seen: inner.violations_seen,
            entries: inner.applied.len() as u64,
            effects: inner.effects.len() as u64,
            terms: inner.leaders.len() as u64,
        }
    }

    /// Whether a node was a member and is none any more.
    pub fn was_taken_out(&self, node: u64) -> bool {
        self.inner().taken_out.contains(&node)
    }

    /// Whether a promise has been broken.
    pub fn broken(&self) -> bool {
        self.inner().violations_seen > 0
    }
}

impl Inner {
    fn event(&mut self, kind: &'static str, numbers: &[u64]) {
        self.events += 1;
        let at = now();
        self.hash.write_u128(at.as_nanos());
        self.hash.write(kind.as_bytes());
        for number in numbers {
            self.hash.write_u64(*number);
        }
        if let Some(lines) = &mut self.lines {
            let mut line = format!("{:>12.6} {kind}", at.as_secs_f64());
            for number in numbers {
                // Writing to a string does not fail.
                let _ = write!(line, " {number}");
            }
            lines.push(line);
        }
    }

    fn violated(&mut self, invariant: Invariant, what: String) {
        self.violations_seen += 1;
        let known = |violation: &Violation| violation.invariant == invariant;
        if self.violations.len() < VIOLATIONS_KEPT
            && self.violations.iter().filter(|one| known(one)).count() < 2
        {
            if let Some(lines) = &mut self.lines {
                lines.push(format!(
                    "{:>12.6} VIOLATED {}: {what}",
                    now().as_secs_f64(),
                    invariant.name()
                ));
            }
            let at = now();
            self.violations.push(Violation {
                invariant,
                at,
                what,
            });
        }
    }
}
