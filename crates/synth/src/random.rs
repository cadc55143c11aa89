//! Seeded chance whose results stay the same for ever.
//!
//! Only the raw words of ChaCha8 are used. The ready-made distributions of the `rand` crates may change what they draw
//! from the same words between releases; those here may not.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A stream of chance, one for each (seed, purpose, number).
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream `number` of a purpose under a seed. Streams do not overlap and do not depend on one another.
    pub(crate) fn new(seed: u64, purpose: &[u8; 8], number: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..16].copy_from_slice(purpose);
        bytes[16..24].copy_from_slice(b"banyan-1");
        let mut words = ChaCha8Rng::from_seed(bytes);
        words.set_stream(number);
        Self(words)
    }

    /// A number below `bound`, which must not be zero. The bias is below `bound` / 2^32.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(bound)) >> 32) as u32
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    /// True with a chance of `per_mille` in a thousand.
    pub(crate) fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < per_mille
    }

    /// True with a chance of `per_million` in a million.
    pub(crate) fn rare(&mut self, per_million: u32) -> bool {
        self.below(1_000_000) < per_million
    }

    /// One of the items, each as likely as the others. The list must not be empty.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u32) as usize]
    }

    /// One of the items, as likely as its weight. The weights must not all be zero.
    pub(crate) fn weighted<T: Copy>(&mut self, items: &[(T, u32)]) -> T {
        let total: u32 = items.iter().map(|(_, weight)| *weight).sum();
        let mut point = self.below(total);
        for (item, weight) in items {
            if point < *weight {
                return *item;
            }
            point -= weight;
        }
        items[items.len() - 1].0
    }

    /// A bell-shaped number around `mean`, at most `spread` away from it.
    pub(crate) fn around(&mut self, mean: i32, spread: u32) -> i32 {
        let sum = (0..4).map(|_| self.below(2 * spread + 1)).sum::<u32>();
        mean + (sum / 4) as i32 - spread as i32
    }
}
