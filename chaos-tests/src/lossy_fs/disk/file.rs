//! The bytes of one file: what processes see, what is durable, and which part of the first the second lacks.

use std::ops::Range;

#[derive(Debug, Default)]
pub(super) struct FileBody {
    pub(super) view: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// The shortest the view has been since the last sync.
    pub(super) shrunk_to: usize,
    /// Ranges of the view that changed since the last sync; joined where they touch.
    dirty: Vec<Range<usize>>,
}

impl FileBody {
    fn mark(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        // Appends are the rule: they extend the last range instead of adding one.
        if let Some(last) = self.dirty.last_mut()
            && range.start <= last.end
            && range.start >= last.start
        {
            last.end = last.end.max(range.end);
            return;
        }
        self.dirty.push(range);
    }

    pub(super) fn resize(&mut self, size: usize) {
        let before = self.view.len();
        self.view.resize(size, 0);
        if size < before {
            self.shrunk_to = self.shrunk_to.min(size);
        } else {
            self.mark(before..size);
        }
    }

    pub(super) fn write(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        if end > self.view.len() {
            self.resize(end);
        }
        self.view[offset..end].copy_from_slice(data);
        self.mark(offset..end);
    }

    pub(super) fn sync(&mut self) {
        self.durable.truncate(self.shrunk_to);
        self.durable.resize(self.view.len(), 0);
        for range in std::mem::take(&mut self.dirty) {
            let end = range.end.min(self.view.len());
            if range.start < end {
                self.durable[range.start..end].copy_from_slice(&self.view[range.start..end]);
            }
        }
        self.shrunk_to = self.view.len();
    }

    /// Bytes in the view that the durable part lacks.
    pub(super) fn unsynced(&self) -> u64 {
        let end = self.view.len();
        self.dirty
            .iter()
            .map(|range| range.end.min(end).saturating_sub(range.start) as u64)
            .sum()
    }

    fn appended_only(&self) -> bool {
        self.shrunk_to >= self.durable.len()
            && self
                .dirty
                .iter()
                .all(|range| range.start >= self.durable.len())
    }

    pub(super) fn lose_power(&mut self, tail: impl FnOnce(usize) -> usize) {
        if self.appended_only() && self.view.len() > self.durable.len() {
            let kept = self.durable.len() + tail(self.view.len() - self.durable.len());
            self.view.truncate(kept);
            self.durable.clone_from(&self.view);
        } else {
            self.view.clone_from(&self.durable);
        }
        self.shrunk_to = self.view.len();
        self.dirty.clear();
    }
}
