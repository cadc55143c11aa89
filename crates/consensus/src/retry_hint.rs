//! After which time callers that are refused for load are asked to come back.
//!
//! With a fixed time they come back together, at once and as many as before, and being refused again takes the time of the work. So the time
//! grows until no more of them come back in a second than are answered in one, and no two callers are told quite the same.

use std::time::Duration;

/// A hint is never shorter than this, and its growth ends here; it is told with up to half of it added.
const MIN: Duration = Duration::from_millis(20);
const MAX: Duration = Duration::from_millis(MAX_MILLIS);
const MAX_MILLIS: u64 = 2_000;
/// What is told at most: the longest hint and the half of it.
const LONGEST: Duration = Duration::from_millis(MAX_MILLIS + MAX_MILLIS / 2);
/// The fraction of the golden ratio: its multiples, taken modulo one, lie as evenly as numbers can, however many there are.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// The time to tell, and how it follows the load. Starts at the shortest.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryHint {
    time: Duration,
    /// Between 0 and 1: where in its spread the next hint lies.
    place: f64,
}

impl Default for RetryHint {
    fn default() -> Self {
        Self {
            time: MIN,
            place: 0.0,
        }
    }
}

impl RetryHint {
    /// The shortest and the longest time that a caller is ever told.
    pub const BOUNDS: [Duration; 2] = [MIN, LONGEST];

    /// So many callers were refused, and so many answered, in the same time: at most doubles or halves the hint.
    pub fn adjust(&mut self, refused: usize, answered: usize) {
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
        let change = (refused as f64 / answered.max(1) as f64).clamp(0.5, 2.0);
        self.time = self.time.mul_f64(change).clamp(MIN, MAX);
    }

    /// What the next caller is told: the hint, and up to half of it more.
    pub fn draw(&mut self) -> Duration {
        self.place = (self.place + GOLDEN).fract();
        self.time.mul_f64(1.0 + self.place / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hint_grows_while_more_are_refused_than_answered_and_is_bounded() {
        let mut hint = RetryHint::default();
        let mut before = hint.draw();
        assert!(before <= MIN * 3 / 2);
        for _ in 0..3 {
            hint.adjust(4_000, 1_000);
            assert!(hint.time > before.mul_f64(1.2), "{hint:?}");
            before = hint.time;
        }
        for _ in 0..20 {
            hint.adjust(4_000, 0);
        }
        assert_eq!(hint.time, MAX);
        for _ in 0..20 {
            hint.adjust(10, 1_000);
        }
        assert_eq!(hint.time, MIN);
        let steady = RetryHint {
            time: MIN * 8,
            ..hint
        };
        hint = steady.clone();
        hint.adjust(1_000, 1_000);
        assert_eq!(hint.time, steady.time, "as many come back as are answered");
    }

    #[test]
    fn callers_are_spread_over_half_of_the_hint() {
        let mut hint = RetryHint {
            time: MAX,
            ..RetryHint::default()
        };
        let mut told: Vec<Duration> = (0..1_000).map(|_| hint.draw()).collect();
        told.sort_unstable();
        let [min, max] = RetryHint::BOUNDS;
        assert!(told.iter().all(|told| (min..=max).contains(told)));
        assert!(told.iter().all(|told| *told >= MAX));
        // A thousand callers over a second: no two within the same half of a millisecond, no gap of three.
        for pair in told.windows(2) {
            let gap = pair[1] - pair[0];
            assert!(gap >= Duration::from_micros(300), "{gap:?}");
            assert!(gap <= Duration::from_millis(3), "{gap:?}");
        }
    }
}
