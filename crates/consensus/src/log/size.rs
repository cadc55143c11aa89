//! How large the log is, by index, sampled as entries are appended.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Bytes between two samples: coarse, since it only decides when to take a snapshot and how far to purge.
const SAMPLE_BYTES: u64 = 1 << 20;

/// Counts bytes appended since the start of the process, and remembers at which index how many there were. What was in the log
/// before the start counts as nothing: it is purged with the first megabytes that push it over the bound.
#[derive(Clone, Debug, Default)]
pub struct LogSize(Arc<Mutex<Samples>>);

#[derive(Debug, Default)]
struct Samples {
    total: u64,
    /// (index, bytes appended up to and with it), growing in both.
    samples: VecDeque<(u64, u64)>,
}

impl LogSize {
    fn lock(&self) -> MutexGuard<'_, Samples> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an appended entry.
    pub fn appended(&self, index: u64, bytes: usize) {
        let mut samples = self.lock();
        samples.total += bytes as u64;
        let total = samples.total;
        if samples
            .samples
            .back()
            .is_none_or(|(_, before)| total - before >= SAMPLE_BYTES)
        {
            samples.samples.push_back((index, total));
        }
    }

    /// Forgets entries that are gone from the end of the log; their bytes stay counted, since nothing depends on being exact.
    pub fn truncated_after(&self, index: Option<u64>) {
        let mut samples = self.lock();
        while samples
            .samples
            .back()
            .is_some_and(|(at, _)| index.is_none_or(|index| *at > index))
        {
            samples.samples.pop_back();
        }
    }

    /// Forgets samples of entries that are gone from the front of the log.
    pub fn purged_through(&self, index: u64) {
        let mut samples = self.lock();
        while samples.samples.front().is_some_and(|(at, _)| *at <= index) {
            samples.samples.pop_front();
        }
    }

    /// Bytes appended after this index, as far as is known.
    pub fn bytes_after(&self, index: Option<u64>) -> u64 {
        let samples = self.lock();
        let before = samples
            .samples
            .iter()
            .take_while(|(at, _)| Some(*at) <= index)
            .last();
        samples.total - before.map_or_else(|| samples.base(), |(_, bytes)| *bytes)
    }

    /// The last index to purge so that about `keep` bytes of log remain; none if that much is not there.
    pub fn purge_to_keep(&self, keep: u64) -> Option<u64> {
        let samples = self.lock();
        let surplus = samples.total.checked_sub(keep)?;
        samples
            .samples
            .iter()
            .take_while(|(_, bytes)| *bytes <= surplus)
            .last()
            .map(|(index, _)| *index)
    }
}

impl Samples {
    /// Bytes before the first sample: nothing, or what was purged.
    fn base(&self) -> u64 {
        self.samples
            .front()
            .map_or(self.total, |(_, bytes)| bytes.saturating_sub(SAMPLE_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn bytes_are_counted_from_an_index_on() {
        let size = LogSize::default();
        for index in 0..10 {
            size.appended(index, MIB);
        }
        assert_eq!(size.bytes_after(Some(9)), 0);
        assert_eq!(size.bytes_after(Some(4)), 5 * MIB as u64);
        assert_eq!(size.bytes_after(None), 10 * MIB as u64);
    }

    #[test]
    fn purging_keeps_what_was_asked_for() {
        let size = LogSize::default();
        for index in 0..10 {
            size.appended(index, MIB);
        }
        assert_eq!(size.purge_to_keep(20 * MIB as u64), None);
        assert_eq!(size.purge_to_keep(3 * MIB as u64), Some(6));
        size.purged_through(6);
        assert_eq!(size.bytes_after(Some(6)), 3 * MIB as u64);
        size.truncated_after(Some(8));
        assert_eq!(size.purge_to_keep(MIB as u64), Some(8));
    }
}
