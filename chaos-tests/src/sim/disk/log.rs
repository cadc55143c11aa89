//! The log on a simulated disk: what readers see, what is queued, and what a power cut leaves.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    ops::Range,
};

use banyan_storage::{LogBounds, LogDone, LogRecord};
use bytes::Bytes;
use rand::Rng;

/// A log with its markers.
#[derive(Clone, Debug, Default)]
pub struct LogImage {
    pub(super) entries: BTreeMap<u64, LogRecord>,
    pub(super) purged: Option<(u64, Bytes)>,
    pub(super) vote: Option<Bytes>,
    pub(super) committed: Option<Bytes>,
}

/// A write that is queued.
#[derive(Clone, Debug)]
pub(super) enum Work {
    Append(Vec<LogRecord>),
    Vote(Bytes),
    Committed(Bytes),
    Truncate(Option<u64>),
    Purge(u64, Bytes),
    Barrier,
}

pub(super) struct Job {
    pub(super) work: Work,
    pub(super) done: Option<LogDone>,
}

/// What one machine knows of its log.
#[derive(Default)]
pub(super) struct Log {
    /// What a power cut leaves at least.
    pub(super) durable: LogImage,
    /// What readers see: the durable log and every write since.
    pub(super) view: LogImage,
    /// Writes that are not synced, in their order.
    pub(super) queue: VecDeque<Job>,
}

impl LogImage {
    pub(super) fn carry_out(&mut self, work: &Work) {
        match work {
            Work::Append(records) => {
                for record in records {
                    self.entries.insert(record.index, record.clone());
                }
            }
            Work::Vote(vote) => self.vote = Some(vote.clone()),
            Work::Committed(committed) => self.committed = Some(committed.clone()),
            Work::Truncate(index) => {
                let from = index.map_or(0, |index| index + 1);
                self.entries.split_off(&from);
            }
            Work::Purge(index, marker) if self.purged() <= Some(*index) => {
                self.entries = self.entries.split_off(&(index + 1));
                self.purged = Some((*index, marker.clone()));
            }
            // Purging never goes back.
            Work::Purge(..) | Work::Barrier => {}
        }
    }

    pub(super) fn bounds(&self) -> LogBounds {
        LogBounds {
            first: self.entries.keys().next().copied(),
            last: self.entries.keys().next_back().copied(),
            purged: self.purged.as_ref().map(|(index, _)| *index),
            purged_marker: self.purged.as_ref().map(|(_, marker)| marker.clone()),
        }
    }

    /// Index of the last entry that it has, or had before it was purged.
    pub fn last(&self) -> Option<u64> {
        let bounds = self.bounds();
        bounds.last.or(bounds.purged)
    }

    /// Index through which it was purged.
    pub fn purged(&self) -> Option<u64> {
        self.purged.as_ref().map(|(index, _)| *index)
    }

    /// The entry at an index.
    pub fn entry(&self, index: u64) -> Option<&LogRecord> {
        self.entries.get(&index)
    }

    /// All entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = &LogRecord> {
        self.entries.values()
    }

    /// The vote.
    pub fn vote(&self) -> Option<&Bytes> {
        self.vote.as_ref()
    }

    /// Whether entries stand one after another behind the purge point, as the store's recovery demands.
    pub(super) fn gapless(&self) -> bool {
        let mut next = self.purged().map(|purged| purged + 1);
        self.entries.keys().all(|index| {
            let fits = next.is_none_or(|next| next == *index);
            next = Some(index + 1);
            fits
        })
    }
}

impl Log {
    pub(super) fn submit(&mut self, work: Work, done: Option<LogDone>) {
        self.view.carry_out(&work);
        self.queue.push_back(Job { work, done });
    }

    /// Whether the entry at `index`, as readers see it, would survive a power cut.
    pub(super) fn is_durable(&self, index: u64) -> bool {
        if self.durable.purged().is_some_and(|purged| purged >= index) {
            return true;
        }
        let truncated = self.queue.iter().any(
            |job| matches!(job.work, Work::Truncate(kept) if kept.is_none_or(|kept| kept < index)),
        );
        !truncated
            && matches!(
                (self.durable.entry(index), self.view.entry(index)),
                (Some(durable), Some(seen)) if durable.term == seen.term
            )
    }

    pub(super) fn check_follows(&self, records: &[LogRecord]) -> io::Result<()> {
        let mut next = self.view.last().map(|last| last + 1);
        for record in records {
            if next.is_some_and(|next| next != record.index) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("entry {} appended where {next:?} is next", record.index),
                ));
            }
            next = Some(record.index + 1);
        }
        Ok(())
    }

    pub(super) fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<LogRecord>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let bounds = self.view.bounds();
        let (Some(first), Some(last)) = (bounds.first, bounds.last) else {
            return Ok(Vec::new());
        };
        let purged = bounds.purged.is_some_and(|purged| first == purged + 1);
        if range.start < first && !purged {
            return Err(io::Error::other(format!(
                "entry {} is missing: the log begins at {first} and was purged through {:?}",
                range.start, bounds.purged
            )));
        }
        let (from, until) = (range.start.max(first), range.end.min(last + 1));
        if from >= until {
            return Ok(Vec::new());
        }
        let mut records: Vec<LogRecord> = Vec::new();
        let mut bytes = 0;
        for record in self
            .view
            .entries
            .range(from..until)
            .map(|(_, record)| record)
        {
            if !records.is_empty() && bytes + record.bytes.len() > bytes_max {
                break;
            }
            bytes += record.bytes.len();
            records.push(record.clone());
        }
        Ok(records)
    }

    /// The power goes: of the writes that were not synced the first few are there all the same, the last of them perhaps in part. Returns how
    /// many were lost, and whether one was torn.
    pub(super) fn cut(&mut self, rng: &mut impl Rng) -> (usize, bool) {
        let kept = super::part(rng, self.queue.len());
        let mut torn = false;
        for (place, job) in self.queue.iter().enumerate().take(kept) {
            match &job.work {
                Work::Append(records) if place + 1 == kept && records.len() > 1 => {
                    let part = rng.random_range(1..=records.len());
                    torn = part < records.len();
                    let part = records.iter().take(part).cloned().collect();
                    self.durable.carry_out(&Work::Append(part));
                }
                work => self.durable.carry_out(work),
            }
        }
        let lost = self.queue.len() - kept;
        self.queue.clear();
        self.view = self.durable.clone();
        (lost, torn)
    }
}
