//! What nodes apply, held against what the first of them applied, and against the promises that an entry alone can break.

use std::time::Duration;

use banyan_domain::{Command, PersonId, Position, Timestamp, VersionNumber};
use banyan_storage::{EntryKind, EntryResult, StateEntry};

use super::{Entry, Inner, VOTERS_MIN, hashes::hash_of_results};
use crate::sim::{clock::true_time, disk::Image, invariants::Invariant, runtime::now};

/// Milliseconds that two correct clocks may be apart at most, with what a proposal may wait: what is written as time may be off by so much.
const TIME_OFF_MAX_MS: i64 = 6_000;

impl Inner {
    pub(super) fn apply(&mut self, node: u64, entry: &StateEntry, result: &EntryResult) {
        let Position { term, index } = entry.position;
        self.event("apply", &[node, index, term]);
        let before = self.stands.insert(node, index).unwrap_or(0);
        // The first entry of a log has index zero.
        if index != before + 1 && !(before == 0 && index == 0) {
            let what = format!("node {node} applies {index} after {before}");
            self.violated(Invariant::AppliedPrefixEqual, what);
        }
        let results = hash_of_results(result);
        match self.applied.get(&index) {
            None => {
                self.applied.insert(index, Entry { term, results });
                self.first_time(entry, result);
            }
            Some(first) if first.term == term && first.results == results => {}
            Some(first) => {
                let what = format!(
                    "node {node} applies an entry of term {term} at index {index}, where the first was of term {} (results {})",
                    first.term,
                    if first.results == results {
                        "equal"
                    } else {
                        "differ"
                    }
                );
                self.violated(Invariant::AppliedPrefixEqual, what);
            }
        }
    }

    fn first_time(&mut self, entry: &StateEntry, result: &EntryResult) {
        if let EntryKind::Membership(stored) = &entry.kind {
            self.check_members(entry.position.index, stored);
        }
        let EntryKind::Commands { time, envelopes } = &entry.kind else {
            return;
        };
        self.check_time(entry.position, *time, result);
        if envelopes.len() > 1 {
            *self
                .sometimes
                .entry("an entry held several commands")
                .or_default() += 1;
        }
        for (envelope, outcome) in envelopes.iter().zip(&result.outcomes) {
            let Ok(accepted) = &outcome.result else {
                let name = match &outcome.result {
                    Err(banyan_domain::Rejection::VersionConflict { .. }) => {
                        "a correction met another version"
                    }
                    _ => "a command was rejected",
                };
                *self.sometimes.entry(name).or_default() += 1;
                continue;
            };
            if outcome.replayed {
                *self
                    .sometimes
                    .entry("a retry got its first outcome")
                    .or_default() += 1;
            }
            let effect = (outcome.position, accepted.person, accepted.version);
            match self.effects.get(&envelope.key) {
                Some(first) if *first == effect => {}
                None if !outcome.replayed => {
                    self.effects.insert(envelope.key, effect);
                    if let Command::CorrectPerson(correction) = &envelope.command
                        && accepted.version.get() != correction.expected_version.get() + 1
                    {
                        let what = format!(
                            "a correction of version {} became version {}",
                            correction.expected_version, accepted.version
                        );
                        self.violated(Invariant::CorrectionsCompare, what);
                    }
                    self.check_version(entry.position.index, accepted.person, accepted.version);
                }
                first => {
                    let what = format!(
                        "a request had its effect at {:?} and at {:?}",
                        first.map(|first| first.0),
                        effect.0
                    );
                    self.violated(Invariant::EveryEffectOnce, what);
                }
            }
            let holder = *self.numbers.entry(accepted.pin).or_insert(accepted.person);
            if holder != accepted.person {
                let what = format!(
                    "a number of person {holder} was given to person {} at index {}",
                    accepted.person, entry.position.index
                );
                self.violated(Invariant::OnePersonPerNumber, what);
            }
        }
    }

    fn check_members(&mut self, index: u64, stored: &[u8]) {
        let Some(members) = banyan_consensus::members_of(stored) else {
            let what = format!("the membership of index {index} cannot be read");
            return self.violated(Invariant::TakenOutStaysOut, what);
        };
        let before = std::mem::replace(&mut self.members, members);
        self.taken_out.extend(before.difference(&self.members));
        if let Some(back) = self.members.intersection(&self.taken_out).next() {
            let what = format!("node {back} is a member again at index {index}");
            self.violated(Invariant::TakenOutStaysOut, what);
        }
        let sets = banyan_consensus::voter_sets_of(stored).unwrap_or_default();
        if let Some(few) = sets.iter().find(|set| set.len() < VOTERS_MIN) {
            let what = format!("{few:?} vote from index {index} on");
            self.violated(Invariant::OneVoterToSpare, what);
        }
    }

    fn check_version(&mut self, index: u64, person: PersonId, version: VersionNumber) {
        let versions = self.versions.entry(person).or_default();
        let expected = versions.last().map_or(1, |(_, last)| last.get() + 1);
        versions.push((index, version));
        if version.get() != expected {
            let what = format!("person {person} got version {version} where {expected} was next");
            self.violated(Invariant::HistoryGapless, what);
        }
    }

    /// What a node heard of another clock counts for ten seconds.
    pub(super) fn clocks_settled(&self) -> bool {
        self.clocks_true_since.is_some_and(|since| {
            since.is_zero() || now().saturating_sub(since) > Duration::from_secs(12)
        })
    }

    fn check_time(&mut self, position: Position, stamp: Timestamp, result: &EntryResult) {
        let newest = result.outcomes.iter().filter(|outcome| !outcome.replayed);
        for time in newest.map(|outcome| outcome.time) {
            if time < self.last_time {
                let what = format!("time goes back by {} ms", self.last_time.get() - time.get());
                self.violated(Invariant::TimeNeverGoesBack, what);
            }
            self.last_time = self.last_time.max(time);
        }
        let Some(payload) = self.payloads.get(&(position.index, position.term)).copied() else {
            return;
        };
        let ahead = stamp.get() - true_time(payload.at).get();
        if payload.clocks_settled && ahead.abs() > TIME_OFF_MAX_MS {
            let what = format!("a stamp is {ahead} ms ahead when its leader appends it");
            self.violated(Invariant::TimeIsTrue, what);
        }
    }

    pub(super) fn check_state(&mut self, node: u64, image: &Image) {
        let index = image.index();
        let hash = image.hash();
        if image.is_damaged() {
            return;
        }
        let first = *self.states.entry(index).or_insert(hash);
        if first != hash {
            let what = format!("node {node} holds another state at index {index}");
            self.violated(Invariant::EqualPositionEqualDigest, what);
        }
    }
}
