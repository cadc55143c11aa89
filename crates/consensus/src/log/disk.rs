//! What consensus asks of the log's disk: the stores of a data directory, or the disk of a simulated machine.

use std::{io, ops::Range};

use banyan_storage::{LogBounds, LogDone, LogRecord, Stores};
use bytes::Bytes;

/// The log, the vote and the markers of one node.
///
/// Changes are visible to every reader when the call returns, and durable when their callback runs. They become durable in the order of the
/// calls. An error of any of them is a fault: the node must stop.
pub trait LogDisk: Clone + Send + Sync + 'static {
    /// Where the log begins and ends, queued work included.
    fn bounds(&self) -> LogBounds;

    /// Entries of `range`, in order, as many as `bytes_max` payload bytes allow, but at least one if there is one; what was purged is left out.
    ///
    /// # Errors
    /// The disk's.
    fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<LogRecord>>;

    /// Appends entries.
    ///
    /// # Errors
    /// `InvalidInput` if they do not follow the log; the disk's.
    fn append(&self, records: Vec<LogRecord>, done: LogDone) -> io::Result<()>;

    /// Saves the vote.
    ///
    /// # Errors
    /// The disk's.
    fn save_vote(&self, vote: Bytes, done: LogDone) -> io::Result<()>;

    /// The vote saved last.
    fn read_vote(&self) -> Option<Bytes>;

    /// Saves the committed position, to be durable at the next sync that something else needs.
    ///
    /// # Errors
    /// The disk's.
    fn save_committed(&self, committed: Bytes) -> io::Result<()>;

    /// The committed position saved last; after a crash an older one, or none.
    fn read_committed(&self) -> Option<Bytes>;

    /// Drops every entry after `index` (all, if none).
    ///
    /// # Errors
    /// The disk's.
    fn truncate_after(&self, index: Option<u64>, done: LogDone) -> io::Result<()>;

    /// Forgets every entry through `index`, and stores `marker` beside.
    ///
    /// # Errors
    /// `InvalidInput` while the state is not durable through `index`; the disk's.
    fn purge(&self, index: u64, marker: Bytes, done: LogDone) -> io::Result<()>;
}

impl LogDisk for Stores {
    fn bounds(&self) -> LogBounds {
        self.log.bounds()
    }

    fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<LogRecord>> {
        self.log.read(range, bytes_max)
    }

    fn append(&self, records: Vec<LogRecord>, done: LogDone) -> io::Result<()> {
        self.log.append(records, done)
    }

    fn save_vote(&self, vote: Bytes, done: LogDone) -> io::Result<()> {
        self.log.save_vote(vote, done)
    }

    fn read_vote(&self) -> Option<Bytes> {
        self.log.read_vote()
    }

    fn save_committed(&self, committed: Bytes) -> io::Result<()> {
        self.log.save_committed(committed)
    }

    fn read_committed(&self) -> Option<Bytes> {
        self.log.read_committed()
    }

    fn truncate_after(&self, index: Option<u64>, done: LogDone) -> io::Result<()> {
        self.log.truncate_after(index, done)
    }

    fn purge(&self, index: u64, marker: Bytes, done: LogDone) -> io::Result<()> {
        self.purge_log(index, marker, done)
    }
}
