//! Reads of the log: from memory near its end, from disk on a thread of their own further back.

use std::{
    fmt::{self, Debug, Formatter},
    io,
    marker::PhantomData,
    ops::{Bound, Range, RangeBounds},
};

use banyan_storage::LogStore;
use banyan_wire::internal_v1 as wire;
use futures::Stream;
use openraft::{OptionalSend, RaftLogReader};
use openraft_rt::AsyncRuntime;
use prost::Message as _;

use super::{READ_BYTES_MAX, store::damaged};
use crate::{
    network::messages::ballot_from_wire,
    payload,
    types::{Entry, TypeConfig, Vote},
};

/// A read that starts this many entries before the end of the log is taken to come from memory. Entries are at most a few
/// mebibytes and mostly far less, and the store keeps 64 MiB.
const NEAR_ENTRIES: u64 = 32;

/// Reads entries and the vote.
pub struct LogReader<R> {
    log: LogStore,
    runtime: PhantomData<fn() -> R>,
}

impl<R> Clone for LogReader<R> {
    fn clone(&self) -> Self {
        Self {
            log: self.log.clone(),
            runtime: PhantomData,
        }
    }
}

impl<R> Debug for LogReader<R> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("LogReader")
    }
}

impl<R: AsyncRuntime> LogReader<R> {
    pub(super) fn new(log: LogStore) -> Self {
        Self {
            log,
            runtime: PhantomData,
        }
    }

    /// The first entries of the range, about [`READ_BYTES_MAX`] of them.
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

impl<R: AsyncRuntime> RaftLogReader<TypeConfig<R>> for LogReader<R> {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let mut range = bounds(&range);
        let mut entries = Vec::new();
        while range.start < range.end {
            let read = self.read(range.clone()).await?;
            let Some(last) = read.last() else { break };
            range.start = last.log_id.index + 1;
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
        let state = (reader, bounds(&range), Vec::new().into_iter());
        futures::stream::unfold(Some(state), |state| async move {
            let (reader, mut range, mut read): (Self, Range<u64>, std::vec::IntoIter<Entry>) =
                state?;
            loop {
                if let Some(entry) = read.next() {
                    return Some((Ok(entry), Some((reader, range, read))));
                }
                if range.start >= range.end {
                    return None;
                }
                match reader.read(range.clone()).await {
                    Ok(entries) => {
                        range.start = entries.last()?.log_id.index + 1;
                        read = entries.into_iter();
                    }
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
        self.read(start..end).await
    }
}
