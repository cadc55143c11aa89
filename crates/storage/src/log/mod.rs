//! The log store: entries, vote and markers of one consensus group, durable by one flusher thread.
//!
//! * [`LogStore`]: the handle. An appended entry is readable when `append` returns and durable when its callback runs.
//! * [`Watermark`]: the index through which the log is durable; the apply thread waits on it.
//! * `flusher`: the one thread that writes, a group at a time, one sync for each group.
//! * `tail`: the newest entries in memory.
//! * `read`: entries from memory and from the database, without gaps.
//! * `recovery`: reads the log once at open.
//! * `budget`: the bytes that may wait for the flusher.

mod budget;
mod core;
mod flusher;
mod read;
mod recovery;
mod schema;
mod store;
mod tail;
mod watermark;

pub use store::{LogBounds, LogDone, LogRecord, LogStore};
pub use watermark::Watermark;
