//! Reads of entries: from memory as far as it goes back, from the database before that, and never with a hole.

use std::io;
use std::ops::Range;

use rocksdb::ReadOptions;

use super::recovery::decode_entry;
use super::schema::{entry_key, index_of};
use super::store::{LogBounds, LogRecord, LogStore};

impl LogStore {
    /// Reads entries of `range`, in order and without gaps, as many as `bytes_max` payload bytes allow, but at least one
    /// if there is one. What lies after the last entry is left out, and so is what was purged: a range that begins at or before the
    /// purge point is read from the first entry on.
    ///
    /// # Errors
    /// The sticky fault; a damaged or missing entry is one, at the start of the range too.
    pub fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<LogRecord>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        'again: loop {
            let mut records: Vec<LogRecord> = Vec::new();
            let mut bytes = 0;
            let mut epoch = None;
            loop {
                let (from, until) = {
                    let memory = self.0.core.memory();
                    let (Some(first), Some(last)) = (memory.bounds.first, memory.bounds.last)
                    else {
                        return Ok(records);
                    };
                    let from = match records.last() {
                        None => match self.start(range.start, first, &memory.bounds) {
                            Ok(start) => start,
                            Err(cause) => {
                                drop(memory);
                                return Err(self.fail(cause).into());
                            }
                        },
                        Some(record) => record.index + 1,
                    };
                    if *epoch.get_or_insert(memory.epoch) != memory.epoch || from < first {
                        // Truncated or purged meanwhile: what was read so far may be of the past.
                        continue 'again;
                    }
                    let until = range.end.min(last + 1);
                    if from >= until || (bytes >= bytes_max && !records.is_empty()) {
                        return Ok(records);
                    }
                    match memory.tail.first() {
                        Some(tail) if from >= tail => {
                            memory.tail.read(from, until, bytes_max, &mut records);
                            return Ok(records);
                        }
                        Some(tail) => (from, until.min(tail)),
                        None => (from, until),
                    }
                };
                let before = records.len();
                let read =
                    self.read_stored(from..until, bytes_max - bytes.min(bytes_max), &mut records)?;
                if !read {
                    // Nothing at `from`: it was purged or truncated meanwhile, or it is lost.
                    let memory = self.0.core.memory();
                    if epoch == Some(memory.epoch)
                        && memory.bounds.first.is_some_and(|first| first <= from)
                    {
                        drop(memory);
                        return Err(self.fail(format!("entry {from} is missing")).into());
                    }
                    continue 'again;
                }
                if records.len() == before {
                    // The next one would not fit.
                    return Ok(records);
                }
                bytes = records.iter().map(|record| record.bytes.len()).sum();
            }
        }
    }

    /// Where to begin when `asked` is the start of the range: there, or at the first entry if everything before that was purged.
    fn start(&self, asked: u64, first: u64, bounds: &LogBounds) -> Result<u64, String> {
        let purged = bounds.purged.is_some_and(|purged| first == purged + 1);
        if asked >= first || purged || self.0.core.relaxed {
            return Ok(asked.max(first));
        }
        Err(format!(
            "entry {asked} is missing: the log begins at {first} and was purged through {:?}",
            bounds.purged
        ))
    }

    /// Reads what the database has of `range`; false if its first entry is not there.
    fn read_stored(
        &self,
        range: Range<u64>,
        bytes_max: usize,
        into: &mut Vec<LogRecord>,
    ) -> io::Result<bool> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(entry_key(range.end).to_vec());
        let mut iterator = self.0.core.db.raw_iterator_opt(options);
        iterator.seek(entry_key(range.start));
        let mut expected = range.start;
        let mut bytes = 0;
        while let Some((key, value)) = iterator.item() {
            if index_of(key) != Some(expected) {
                break;
            }
            let record = decode_entry(key, value).map_err(|text| self.fail(text))?;
            if !into.is_empty() && bytes + record.bytes.len() > bytes_max {
                return Ok(true);
            }
            bytes += record.bytes.len();
            into.push(record);
            expected += 1;
            iterator.next();
        }
        iterator
            .status()
            .map_err(|error| self.fail(error.to_string()))?;
        Ok(expected > range.start)
    }
}
