//! One direction between two endpoints: how long a message takes, and whether it arrives.

use std::time::Duration;

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

/// No message is faster: what takes no time cannot be interleaved with anything.
const DELAY_FLOOR: Duration = Duration::from_micros(1);

/// How one direction between two endpoints behaves. The default is a good local network without loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// The shortest delay; below a microsecond it is a microsecond.
    pub delay_min: Duration,
    /// The longest usual delay, at least `delay_min`; delays between are equally likely.
    pub delay_max: Duration,
    /// How likely a message is in the long tail, from 0 to 1.
    pub tail: f64,
    /// The longest delay in the long tail, at least `delay_max`.
    pub tail_max: Duration,
    /// How many bytes of one lane go onto the wire in a second, at least 1. The next message of the lane waits until this one is on it.
    pub bytes_per_second: u64,
    /// How likely a message is lost, from 0 to 1.
    pub loss: f64,
    /// The shortest time until the sender learns that its connection broke.
    pub notice_min: Duration,
    /// The longest time until it learns that, at least `notice_min`.
    pub notice_max: Duration,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay_min: Duration::from_micros(100),
            delay_max: Duration::from_millis(2),
            tail: 0.001,
            tail_max: Duration::from_millis(200),
            bytes_per_second: 100_000_000,
            loss: 0.0,
            notice_min: Duration::from_millis(5),
            notice_max: Duration::from_millis(500),
        }
    }
}

impl Link {
    /// # Panics
    /// When a value is out of its bounds.
    pub(super) fn check(&self) {
        assert!(
            self.delay_min <= self.delay_max && self.delay_max <= self.tail_max,
            "the delays of a link are ordered: {self:?}"
        );
        assert!(
            self.notice_min <= self.notice_max,
            "the times of notice of a link are ordered: {self:?}"
        );
        assert!(
            (0.0..=1.0).contains(&self.tail) && (0.0..=1.0).contains(&self.loss),
            "likelihoods are from 0 to 1: {self:?}"
        );
        assert!(self.bytes_per_second > 0, "a link carries something");
    }

    /// The time that `bytes` take to get onto the wire.
    pub(super) fn transmission(&self, bytes: usize) -> Duration {
        let nanoseconds = bytes as u128 * 1_000_000_000 / u128::from(self.bytes_per_second);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// The time of a message on the wire.
    pub(super) fn delay(&self, random: &mut ChaCha8Rng) -> Duration {
        let delay = if random.random_bool(self.tail) {
            random.random_range(self.delay_max..=self.tail_max)
        } else {
            random.random_range(self.delay_min..=self.delay_max)
        };
        delay.max(DELAY_FLOOR)
    }

    pub(super) fn loses(&self, random: &mut ChaCha8Rng) -> bool {
        random.random_bool(self.loss)
    }

    /// The time until the sender learns that its connection broke.
    pub(super) fn notice(&self, random: &mut ChaCha8Rng) -> Duration {
        random
            .random_range(self.notice_min..=self.notice_max)
            .max(DELAY_FLOOR)
    }
}
