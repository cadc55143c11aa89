//! Reads of the log: from memory near its end, from disk on a thread of their own further back.

use std::{
    fmt::{self, Debug, Formatter},
    io,
    marker::PhantomData,
    ops::{Bound, Range, RangeBounds},
};

use banyan_storage::Stores;
use banyan_wire::internal_v1 as wire;
use futures::Stream;
use openraft::{OptionalSend, RaftLogReader};
use openraft_rt::AsyncRuntime;
use prost::Message as _;

use super::{LogDisk, READ_BYTES_MAX, store::damaged};
use crate::{
    network::messages::ballot_from_wire,
    payload,
    types::{Entry, TypeConfig, Vote},
};

/// A read that starts this many entries before the end of the log is taken to come from memory. Entries are at most a few
/// mebibytes and mostly far less, and the store keeps 64 MiB.
const NEAR_ENTRIES: u64 = 32;

/// Reads entries and the vote.
pub struct LogReader<R, D = Stores> {
    log: D,
    runtime: PhantomData<fn() -> R>,
}

impl<R, D: Clone> Clone for LogReader<R, D> {
    fn clone(&self) -> Self {
        Self {
            log: self.log.clone(),
            runtime: PhantomData,
        }
    }
}

impl<R, D> Debug for LogReader<R, D> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("LogReader")
    }
}

impl<R: AsyncRuntime, D: LogDisk> LogReader<R, D> {
    pub(super) fn new(log: D) -> Self {
        Self {
            log,
            runtime: PhantomData,
        }
    }

    /// The first entries of the range, about [`READ_BYTES_MAX`] of them, in the order of the store, which leaves out what was purged.
    async fn read(&self, range: Range<u64>) -> Result<Vec<Entry>, io::Error> {
        let last = self.log.bounds().last.unwrap_or(0);
        let records = if last.saturating_sub(range.start) <= NEAR_ENTRIES {
            self.log.read(range, READ_BYTES_MAX)?
        } else {
            let log = self.log.clone();
            R::spawn_blocking(move || log.read(range, READ_BYTES_MAX)).await??
        };
        records
            .into_iter()
            .map(|record| {
                payload::entry_from_bytes(record.term, record.index, record.bytes)
                    .map_err(io::Error::from)
            })
            .collect()
    }

    fn cursor(&self, range: Range<u64>) -> Cursor {
        Cursor::new(range, self.log.bounds().last)
    }
}

/// A range that is read in pieces, which must fit together.
#[derive(Debug)]
struct Cursor {
    /// What is still to be read.
    range: Range<u64>,
    /// Every entry of the range before this index was in the log when the reading began, so that it must come.
    held_until: u64,
    /// Whether an entry was read: from then on the next one must be there.
    begun: bool,
}

impl Cursor {
    /// To read `range` of a log that ends at `last`.
    fn new(range: Range<u64>, last: Option<u64>) -> Self {
        let held_until = last.map_or(0, |last| last.saturating_add(1)).min(range.end);
        Self {
            range,
            held_until,
            begun: false,
        }
    }

    /// What to read next; none if nothing is left to read.
    fn next(&self) -> Option<Range<u64>> {
        (self.range.start < self.range.end).then(|| self.range.clone())
    }

    /// Goes on behind `entries`, the answer to what [`Cursor::next`] asked for. None at all mean that the log ends before, or that the whole range
    /// was purged. At the start of the range entries may be missing that were purged, which the store vouches for; nowhere else.
    fn advance(&mut self, entries: &[Entry]) -> Result<(), io::Error> {
        if entries.is_empty() {
            if self.begun && self.range.start < self.held_until {
                return Err(hole(self.range.start, None));
            }
            self.range.start = self.range.end;
        }
        for entry in entries {
            let (next, found) = (self.range.start, entry.log_id.index);
            let purged_before = !self.begun && found > next;
            if (found != next && !purged_before) || found >= self.range.end {
                return Err(hole(next, Some(found)));
            }
            self.begun = true;
            self.range.start = found + 1;
        }
        Ok(())
    }
}

fn hole(expected: u64, found: Option<u64>) -> io::Error {
    let found = found.map_or_else(|| "nothing".to_owned(), |found| found.to_string());
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the log has a hole: entry {expected} was to be read, {found} came"),
    )
}

fn bounds(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl<R: AsyncRuntime, D: LogDisk> RaftLogReader<TypeConfig<R>> for LogReader<R, D> {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let mut cursor = self.cursor(bounds(&range));
        let mut entries = Vec::new();
        while let Some(range) = cursor.next() {
            let read = self.read(range).await?;
            cursor.advance(&read)?;
            entries.extend(read);
        }
        Ok(entries)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        let Some(bytes) = self.log.read_vote() else {
            return Ok(None);
        };
        let ballot = wire::Ballot::decode(bytes).map_err(|error| damaged("vote", &error))?;
        ballot_from_wire(Some(ballot))
            .map(Some)
            .map_err(io::Error::other)
    }

    /// Reads on while the consumer reads on, so that a node that has much to apply holds about one read in memory.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let reader = self.clone();
        let cursor = self.cursor(bounds(&range));
        let state = (reader, cursor, Vec::new().into_iter());
        futures::stream::unfold(Some(state), |state| async move {
            let (reader, mut cursor, mut read): (Self, Cursor, std::vec::IntoIter<Entry>) = state?;
            loop {
                if let Some(entry) = read.next() {
                    return Some((Ok(entry), Some((reader, cursor, read))));
                }
                let range = cursor.next()?;
                let entries = reader.read(range).await;
                match entries.and_then(|entries| cursor.advance(&entries).map(|()| entries)) {
                    Ok(entries) => read = entries.into_iter(),
                    Err(error) => return Some((Err(error), None)),
                }
            }
        })
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        let entries = self.read(start..end).await?;
        // What is sent to a peer must begin where it was asked for: the peer appends it right there. If that entry was purged meanwhile (or
        // truncated, by a leader that has just been deposed), nothing is sent, which openraft takes for a heartbeat.
        if entries
            .first()
            .is_none_or(|first| first.log_id.index > start)
        {
            return Ok(Vec::new());
        }
        self.cursor(start..end).advance(&entries).map(|()| entries)
    }
}

#[cfg(test)]
mod tests {
    use openraft::EntryPayload;

    use super::*;
    use crate::types::LogId;

    fn entries(indexes: impl IntoIterator<Item = u64>) -> Vec<Entry> {
        indexes
            .into_iter()
            .map(|index| Entry {
                log_id: LogId::new_term_index(1, index),
                payload: EntryPayload::Blank,
            })
            .collect()
    }

    #[test]
    fn pieces_that_fit_together_are_read_to_the_end_of_the_log() {
        let mut cursor = Cursor::new(3..100, Some(8));
        cursor.advance(&entries(3..6)).unwrap();
        assert_eq!(cursor.next(), Some(6..100));
        cursor.advance(&entries(6..9)).unwrap();
        cursor.advance(&[]).unwrap();
        assert_eq!(cursor.next(), None);
    }

    #[test]
    fn only_the_start_of_a_range_may_be_missing_and_only_before_the_first_entry() {
        Cursor::new(3..9, Some(8)).advance(&entries(5..9)).unwrap();
        let mut cursor = Cursor::new(3..9, Some(8));
        cursor.advance(&entries(3..5)).unwrap();
        assert!(cursor.advance(&entries(6..9)).is_err(), "between two reads");
        let mut cursor = Cursor::new(3..9, Some(8));
        assert!(
            cursor.advance(&entries([3, 4, 6])).is_err(),
            "inside a read"
        );
        let mut cursor = Cursor::new(3..9, Some(8));
        assert!(cursor.advance(&entries([3, 3])).is_err(), "an entry twice");
        let mut cursor = Cursor::new(3..9, Some(12));
        assert!(cursor.advance(&entries(3..10)).is_err(), "past the range");
    }

    #[test]
    fn an_end_before_what_the_log_held_is_a_hole() {
        let mut cursor = Cursor::new(3..100, Some(8));
        cursor.advance(&entries(3..6)).unwrap();
        assert!(cursor.advance(&[]).is_err());
        assert!(Cursor::new(3..100, Some(2)).advance(&[]).is_ok());
        assert!(
            Cursor::new(3..9, Some(20)).advance(&[]).is_ok(),
            "all of it was purged"
        );
    }
}
