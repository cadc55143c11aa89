//! Idempotency keys: which request a command is, and until when the registry knows.
//!
//! ```text
//! | milliseconds since 1970, 48 bits | version 7, 4 | random, 12 | variant 0b10, 2 | random, 62 |
//! ```
//!
//! A key carries the time at which it was made, so that the registry can forget what it answered and still never carry out a
//! command twice: a key older than the window is refused for what it is, whether or not anything was ever stored under it
//! (ADR 0022). All is judged by replicated time, which never goes back.

use std::fmt;

use crate::faults::ValueFault;
use crate::ids::Timestamp;
use crate::limits::{KEY_AHEAD_MAX_MS, KEY_WINDOW_MS};

/// The latest time that 48 bits can say, in the year 10889.
const TIME_MAX: i64 = (1 << 48) - 1;

/// Names one request of one principal: a retry carries the same key and gets the first outcome.
/// Made by the client, a UUIDv7 (RFC 9562 §5.7); holds nothing about a person. Keys sort by the time at which they were made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey([u8; 16]);

/// What a key's age says at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Within the window: its first outcome, if there is one, is on record.
    Current,
    /// Older than [`KEY_WINDOW_MS`]: its outcome may be forgotten, and nothing is done under it any more.
    Expired,
    /// More than [`KEY_AHEAD_MAX_MS`] ahead: it would stay for longer than the window.
    Ahead,
}

impl IdempotencyKey {
    /// A key made at a time, from 80 bits of which 74 are used. A time outside the 48 bits is brought to the nearer end.
    #[must_use]
    pub fn new(made: Timestamp, random: [u8; 10]) -> Self {
        let [.., a, b, c, d, e, f] = made.get().clamp(0, TIME_MAX).to_be_bytes();
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&[a, b, c, d, e, f]);
        bytes[6..].copy_from_slice(&random);
        bytes[6] = 0x70 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        Self(bytes)
    }

    /// Reads a key.
    ///
    /// # Errors
    /// Not 16 bytes, not of version 7, or not of the variant of RFC 9562.
    pub fn parse(bytes: &[u8]) -> Result<Self, ValueFault> {
        let Ok(bytes) = <[u8; 16]>::try_from(bytes) else {
            return Err(ValueFault::new(format!(
                "must be 16 bytes, got {}",
                bytes.len()
            )));
        };
        if bytes[8] >> 6 != 0b10 {
            return Err(ValueFault::new(
                "must be a UUID of version 7, this is no UUID of RFC 9562",
            ));
        }
        match bytes[6] >> 4 {
            7 => Ok(Self(bytes)),
            version => Err(ValueFault::new(format!(
                "must be a UUID of version 7, this one is of version {version}"
            ))),
        }
    }

    /// The bytes, for codecs.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// When its client made it, by the client's clock.
    #[must_use]
    pub const fn made(&self) -> Timestamp {
        let [a, b, c, d, e, f, ..] = self.0;
        Timestamp(i64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    /// What its age says at a moment of replicated time.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Standing {
        let made = self.made();
        if made < Self::window_start(now) {
            Standing::Expired
        } else if made.get() > now.get().saturating_add(KEY_AHEAD_MAX_MS) {
            Standing::Ahead
        } else {
            Standing::Current
        }
    }

    /// When the oldest keys that are answered at a moment were made.
    #[must_use]
    pub const fn window_start(now: Timestamp) -> Timestamp {
        Timestamp(now.get().saturating_sub(KEY_WINDOW_MS))
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdempotencyKey({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 9562, appendix A.6: 2022-02-22 19:22:22 UTC.
    const EXAMPLE: [u8; 16] = [
        0x01, 0x7f, 0x22, 0xe2, 0x79, 0xb0, 0x7c, 0xc3, 0x98, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39,
        0x8f,
    ];

    #[test]
    fn example_of_the_rfc_is_read() {
        let key = IdempotencyKey::parse(&EXAMPLE).unwrap();
        assert_eq!(key.made(), Timestamp(1_645_557_742_000));
        let random = EXAMPLE[6..].try_into().unwrap();
        assert_eq!(IdempotencyKey::new(key.made(), random), key);
    }

    #[test]
    fn other_versions_variants_and_lengths_are_refused() {
        let fault = |change: fn(&mut [u8; 16])| {
            let mut bytes = EXAMPLE;
            change(&mut bytes);
            IdempotencyKey::parse(&bytes).unwrap_err().to_string()
        };
        assert!(fault(|bytes| bytes[6] = 0x4c).contains("this one is of version 4"));
        assert!(fault(|bytes| bytes[8] = 0x18).contains("no UUID of RFC 9562"));
        assert!(fault(|bytes| bytes[8] = 0xd8).contains("no UUID of RFC 9562"));
        for length in [0, 15] {
            let fault = IdempotencyKey::parse(&EXAMPLE[..length]).unwrap_err();
            assert!(
                fault
                    .to_string()
                    .contains(&format!("must be 16 bytes, got {length}"))
            );
        }
    }

    #[test]
    fn window_ends_where_it_says_to_the_millisecond() {
        let made = Timestamp(1_700_000_000_000);
        let key = IdempotencyKey::new(made, [9; 10]);
        let after = |ms: i64| key.standing(Timestamp(made.get() + ms));
        assert_eq!(after(0), Standing::Current);
        assert_eq!(after(KEY_WINDOW_MS), Standing::Current);
        assert_eq!(after(KEY_WINDOW_MS + 1), Standing::Expired);
        assert_eq!(after(-KEY_AHEAD_MAX_MS), Standing::Current);
        assert_eq!(after(-KEY_AHEAD_MAX_MS - 1), Standing::Ahead);
    }

    #[test]
    fn extreme_times_are_judged_without_overflow() {
        for random in [[0; 10], [0xff; 10]] {
            let first = IdempotencyKey::new(Timestamp(i64::MIN), random);
            assert_eq!(first.made(), Timestamp(0));
            assert_eq!(first.standing(Timestamp(i64::MAX)), Standing::Expired);
            let last = IdempotencyKey::new(Timestamp(i64::MAX), random);
            assert_eq!(last.made(), Timestamp(TIME_MAX));
            assert_eq!(last.standing(Timestamp(i64::MIN)), Standing::Ahead);
            assert_eq!(last.standing(Timestamp(i64::MAX)), Standing::Expired);
            assert!(first < last);
            for key in [first, last] {
                assert_eq!(IdempotencyKey::parse(key.as_bytes()).unwrap(), key);
            }
        }
    }
}
