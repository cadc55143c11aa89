//! The bytes of one file: what processes see, what is durable, and which part of the first the second lacks.

use std::ops::Range;

#[derive(Debug, Default)]
pub(super) struct FileBody {
    pub(super) view: Vec<u8>,
    /// How much of the file is durable.
    synced: usize,
    /// Bytes below `synced` that the view has lost since the last sync, each with its place, the newest last. The rest is the view's own: nearly all
    /// files only grow, and a run of an hour would hold each of them twice.
    overwritten: Vec<(usize, Vec<u8>)>,
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

    /// To be called before this part of the view changes.
    fn remember(&mut self, range: Range<usize>) {
        let end = range.end.min(self.synced).min(self.view.len());
        if range.start < end {
            let bytes = self.view[range.start..end].to_vec();
            self.overwritten.push((range.start, bytes));
        }
    }

    pub(super) fn resize(&mut self, size: usize) {
        let before = self.view.len();
        self.remember(size..before);
        self.view.resize(size, 0);
        if size > before {
            self.mark(before..size);
        }
    }

    pub(super) fn write(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        if end > self.view.len() {
            self.resize(end);
        }
        self.remember(offset..end);
        self.view[offset..end].copy_from_slice(data);
        self.mark(offset..end);
    }

    pub(super) fn sync(&mut self) {
        self.overwritten.clear();
        self.dirty.clear();
        self.synced = self.view.len();
        // Growing doubles the room that is reserved; most of what is synced is done growing, or grows little.
        if self.view.capacity() > self.view.len() + self.view.len() / 4 {
            self.view.shrink_to(self.view.len() + self.view.len() / 8);
        }
    }

    /// Bytes in the view that the durable part lacks.
    pub(super) fn unsynced(&self) -> u64 {
        let end = self.view.len();
        self.dirty
            .iter()
            .map(|range| range.end.min(end).saturating_sub(range.start) as u64)
            .sum()
    }

    /// Whether a loss of power would change the file.
    pub(super) fn has_unsynced(&self) -> bool {
        self.unsynced() > 0 || !self.overwritten.is_empty()
    }

    pub(super) fn lose_power(&mut self, tail: impl FnOnce(usize) -> usize) {
        let grown = self.view.len().saturating_sub(self.synced);
        let torn = self.overwritten.is_empty() && grown > 0;
        let kept = if torn { tail(grown) } else { 0 };
        self.view.resize(self.view.len().max(self.synced), 0);
        for (offset, bytes) in self.overwritten.drain(..).rev() {
            self.view[offset..offset + bytes.len()].copy_from_slice(&bytes);
        }
        self.view.truncate(self.synced + kept);
        self.synced = self.view.len();
        self.dirty.clear();
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Written over, cut, grown and synced in any order, a file falls back to exactly what it held at its last sync; if it only grew since, perhaps
    /// with part of that.
    #[test]
    fn a_file_falls_back_to_its_last_sync() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let (mut fell_back, mut torn) = (0, 0);
        for _ in 0..2_000 {
            let mut file = FileBody::default();
            let mut synced = Vec::new();
            let mut only_grown = true;
            for _ in 0..rng.random_range(1..12) {
                match rng.random_range(0..5) {
                    0 => {
                        file.sync();
                        synced.clone_from(&file.view);
                        only_grown = true;
                    }
                    1 => {
                        let size = rng.random_range(0..40);
                        only_grown &= size >= synced.len();
                        file.resize(size);
                    }
                    _ => {
                        let offset = rng.random_range(0..30);
                        let data: Vec<u8> =
                            (0..rng.random_range(0..10)).map(|_| rng.random()).collect();
                        only_grown &= data.is_empty() || offset >= synced.len();
                        file.write(offset, &data);
                    }
                }
            }
            let view = file.view.clone();
            let share: f64 = rng.random();
            file.lose_power(|tail| (share * tail as f64) as usize);
            assert!(file.view.starts_with(&synced));
            if only_grown {
                assert!(view.starts_with(&file.view));
                torn += u32::from(file.view.len() > synced.len());
            } else {
                assert_eq!(file.view, synced);
                fell_back += u32::from(view != synced);
            }
            assert_eq!((file.unsynced(), file.has_unsynced()), (0, false));
        }
        assert!(fell_back > 200 && torn > 50, "{fell_back} {torn}");
    }
}
