//! Writes of the log: handed to the store's one flusher in the order in which openraft makes them.

use std::{fmt, io, marker::PhantomData};

use banyan_domain::seeded_bugs::{SeededBug, planted};
use banyan_storage::{LogDone, LogRecord, Stores};
use banyan_wire::internal_v1 as wire;
use bytes::Bytes;
use openraft::{
    LogState, OptionalSend, RaftTypeConfig,
    storage::{IOFlushed, RaftLogStorage},
};
use openraft_rt::AsyncRuntime;
use prost::Message as _;
use tokio::sync::oneshot;

use super::{LogDisk, LogSize, reader::LogReader};
use crate::{
    network::messages::{ballot_to_wire, log_id_from_wire, log_id_to_wire},
    payload,
    types::{LogId, TypeConfig, Vote},
};

/// openraft's log storage over the log of a data directory, or over another [`LogDisk`].
///
/// `append` returns once the entries can be read, and reports when they are durable; the vote is durable on return; both
/// go through one queue, so that their order on disk is the order of the calls.
pub struct LogAdapter<R, D = Stores> {
    disk: D,
    size: LogSize,
    runtime: PhantomData<fn() -> R>,
}

impl<R, D: Clone> Clone for LogAdapter<R, D> {
    fn clone(&self) -> Self {
        Self {
            disk: self.disk.clone(),
            size: self.size.clone(),
            runtime: PhantomData,
        }
    }
}

impl<R, D> fmt::Debug for LogAdapter<R, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogAdapter")
    }
}

impl<R, D: LogDisk> LogAdapter<R, D> {
    /// Over the disk of this node.
    pub fn new(disk: D) -> Self {
        Self {
            disk,
            size: LogSize::default(),
            runtime: PhantomData,
        }
    }

    /// How large the log is: this counts as it appends.
    #[must_use]
    pub fn size(&self) -> LogSize {
        self.size.clone()
    }

    /// The last log id that was purged.
    fn purged(&self) -> Result<Option<LogId>, io::Error> {
        let Some(marker) = self.disk.bounds().purged_marker else {
            return Ok(None);
        };
        let position =
            wire::LogPosition::decode(marker).map_err(|error| damaged("purge marker", &error))?;
        Ok(Some(log_id_from_wire(position)))
    }
}

pub(super) fn damaged(what: &str, error: &prost::DecodeError) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the stored {what} cannot be decoded: {error}"),
    )
}

/// A callback for the flusher and the future that it resolves.
fn waiter() -> (LogDone, impl Future<Output = io::Result<()>>) {
    let (done, waiting) = oneshot::channel();
    let callback: LogDone = Box::new(move |result| {
        let _ = done.send(result);
    });
    let future = async move {
        waiting
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the log store has stopped")))
    };
    (callback, future)
}

impl<R: AsyncRuntime, D: LogDisk> RaftLogStorage<TypeConfig<R>> for LogAdapter<R, D> {
    type LogReader = LogReader<R, D>;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig<R>>, io::Error> {
        let last_purged_log_id = self.purged()?;
        let last_log_id = match self.disk.bounds().last {
            Some(last) => self
                .disk
                .read(last..last + 1, 1)?
                .first()
                .map(|record| LogId::new_term_index(record.term, record.index)),
            None => last_purged_log_id,
        };
        Ok(LogState {
            last_purged_log_id,
            last_log_id,
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        LogReader::new(self.disk.clone())
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let (done, saved) = waiter();
        self.disk
            .save_vote(ballot_to_wire(vote).encode_to_vec().into(), done)?;
        if planted(SeededBug::VoteNotSynced) {
            return Ok(());
        }
        saved.await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let committed = if planted(SeededBug::CommittedTooFar) {
            self.get_log_state().await?.last_log_id
        } else {
            committed
        };
        let bytes = committed.map(|log_id| log_id_to_wire(&log_id).encode_to_vec());
        // Queued and not synced: it only saves re-learning the commit position after a restart.
        self.disk
            .save_committed(bytes.map_or_else(Bytes::new, Bytes::from))
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        let Some(bytes) = self.disk.read_committed().filter(|bytes| !bytes.is_empty()) else {
            return Ok(None);
        };
        let position =
            wire::LogPosition::decode(bytes).map_err(|error| damaged("commit position", &error))?;
        Ok(Some(log_id_from_wire(position)))
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: IOFlushed<TypeConfig<R>>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = <TypeConfig<R> as RaftTypeConfig>::Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let records: Vec<LogRecord> = entries
            .into_iter()
            .map(|entry| LogRecord {
                index: entry.log_id.index,
                term: entry.log_id.leader_id.term,
                bytes: payload::body_to_bytes(entry.payload),
            })
            .collect();
        for record in &records {
            self.size.appended(record.index, record.bytes.len());
        }
        if planted(SeededBug::AnswerBeforeSync) {
            self.disk.append(records, Box::new(|_| {}))?;
            callback.io_completed(Ok(()));
            return Ok(());
        }
        self.disk.append(
            records,
            Box::new(move |result| callback.io_completed(result)),
        )
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let index = last_log_id.map(|log_id| log_id.index);
        self.size.truncated_after(index);
        if planted(SeededBug::TruncationForgotten) {
            return Ok(());
        }
        let (done, truncated) = waiter();
        self.disk.truncate_after(index, done)?;
        // Durable on return although openraft does not ask for it: rare, and one thing less to reason about after a crash.
        truncated.await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        self.size.purged_through(log_id.index);
        let (done, purged) = waiter();
        self.disk.purge(
            log_id.index,
            log_id_to_wire(&log_id).encode_to_vec().into(),
            done,
        )?;
        // Nobody needs to wait: the order of the queue is what counts.
        drop(purged);
        Ok(())
    }
}
