//! What the scripts of a test must have come to, so that equal answers mean something.

use std::collections::BTreeMap;

use banyan_storage::LogBounds;

use crate::drive::Answer;
use crate::script::{Op, Script};

/// How often each thing worth reaching was reached.
#[derive(Default)]
pub(crate) struct Reached(BTreeMap<&'static str, u32>);

impl Reached {
    /// Counts what one side answered.
    pub(crate) fn count(&mut self, script: &Script, answers: &[Vec<Answer>]) {
        let mut before = vec![LogBounds::default(); script.nodes];
        for (step, answers) in script.steps.iter().zip(answers) {
            for answer in answers {
                for what in of(&step.op, answer, &before[step.node]) {
                    *self.0.entry(what).or_default() += 1;
                }
                if let Answer::Bounds(bounds) = answer {
                    before[step.node].clone_from(bounds);
                }
            }
        }
    }

    /// # Panics
    /// When one of these was never reached.
    pub(crate) fn must(&self, all: &[&'static str]) {
        for what in all {
            assert!(self.0.contains_key(what), "never: {what}; {:?}", self.0);
        }
    }
}

fn of(op: &Op, answer: &Answer, before: &LogBounds) -> Vec<&'static str> {
    match (op, answer) {
        (Op::Read { .. }, Answer::Read(records)) => match records.as_slice() {
            [] => vec!["a read that finds nothing"],
            [first, ..] if Some(first.index) == before.first => vec!["a read from the first entry"],
            [.., last] if Some(last.index) == before.last => vec!["a read to the last entry"],
            [_] => vec!["a read of one entry"],
            _ => vec!["a read of entries in the middle"],
        },
        (_, Answer::Bounds(after)) => moved(op, before, after),
        (_, Answer::Outcomes(outcomes)) => {
            let all = || outcomes.iter().flat_map(|(_, outcomes)| outcomes);
            let found = [
                (all().any(|outcome| outcome.result.is_ok()), "accepted"),
                (all().any(|outcome| outcome.result.is_err()), "rejected"),
                (all().any(|outcome| outcome.replayed), "replayed"),
            ];
            let found = found.into_iter().filter(|(found, _)| *found);
            found.map(|(_, what)| what).collect()
        }
        (_, Answer::Said(said)) => told(op, said),
        _ => Vec::new(),
    }
}

fn moved(op: &Op, before: &LogBounds, after: &LogBounds) -> Vec<&'static str> {
    match op {
        Op::Truncate(_) if after.last.is_none() && before.last.is_some() => {
            vec!["a truncation of everything"]
        }
        Op::Truncate(_) if after.last < before.last => vec!["a truncation"],
        Op::Truncate(_) => vec!["a truncation past the end"],
        Op::Purge(_) if after.purged == before.purged => vec!["a purge without effect"],
        Op::Purge(_) if after.purged > before.last.or(before.purged) => {
            vec!["a purge past the last entry"]
        }
        Op::Purge(_) => vec!["a purge"],
        _ => Vec::new(),
    }
}

fn told(op: &Op, said: &str) -> Vec<&'static str> {
    let table = [
        ("refused: entry", "entries that do not follow"),
        ("refused: log purge", "a purge too early"),
        ("checkpoint at index", "an older snapshot"),
        ("checkpoint with", "a checkpoint"),
        ("installed", "an installation"),
        ("a fault", "a fault"),
    ];
    let mut found: Vec<_> = table
        .into_iter()
        .filter(|(begin, _)| said.starts_with(begin))
        .map(|(_, what)| what)
        .collect();
    match op {
        Op::Reopen { .. } if said.starts_with("ran") => found.push("a start of a process"),
        Op::ApplyAhead(_) if said.starts_with("applied") => found.push("a state that waits"),
        _ => {}
    }
    found
}
