//! The newest entries of the log, in memory: everything that is not written yet, and more as far as the bound allows.

use std::collections::VecDeque;

use super::store::LogRecord;

/// Contiguous entries up to the last one of the log.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    records: VecDeque<LogRecord>,
    bytes: usize,
    bytes_max: usize,
}

/// What an entry costs beyond its payload.
const RECORD_OVERHEAD: usize = 64;

impl Tail {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            records: VecDeque::new(),
            bytes: 0,
            bytes_max,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The first index that is here, if any is.
    pub(crate) fn first(&self) -> Option<u64> {
        self.records.front().map(|record| record.index)
    }

    pub(crate) fn push(&mut self, record: LogRecord) {
        self.bytes += record.bytes.len() + RECORD_OVERHEAD;
        self.records.push_back(record);
    }

    /// Drops the oldest entries beyond the bound, but none after `written`: the database does not have those yet.
    pub(crate) fn evict(&mut self, written: Option<u64>) {
        while self.bytes > self.bytes_max
            && self
                .records
                .front()
                .is_some_and(|record| Some(record.index) <= written)
        {
            self.pop_front();
        }
    }

    /// Drops every entry after `index`.
    pub(crate) fn truncate_after(&mut self, index: Option<u64>) {
        while self
            .records
            .back()
            .is_some_and(|record| index.is_none_or(|index| record.index > index))
        {
            if let Some(record) = self.records.pop_back() {
                self.bytes -= record.bytes.len() + RECORD_OVERHEAD;
            }
        }
    }

    /// Drops every entry through `index`.
    pub(crate) fn purge(&mut self, index: u64) {
        while self
            .records
            .front()
            .is_some_and(|record| record.index <= index)
        {
            self.pop_front();
        }
    }

    /// The entries from `from` (which is not before the first) to before `until`, as far as `bytes_max` allows, at least one.
    pub(crate) fn read(&self, from: u64, until: u64, bytes_max: usize, into: &mut Vec<LogRecord>) {
        let Some(first) = self.first() else { return };
        let skip = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        let mut bytes: usize = into.iter().map(|record| record.bytes.len()).sum();
        for record in self
            .records
            .iter()
            .skip(skip)
            .take_while(|record| record.index < until)
        {
            if !into.is_empty() && bytes + record.bytes.len() > bytes_max {
                return;
            }
            bytes += record.bytes.len();
            into.push(record.clone());
        }
    }

    fn pop_front(&mut self) {
        if let Some(record) = self.records.pop_front() {
            self.bytes -= record.bytes.len() + RECORD_OVERHEAD;
        }
    }
}
