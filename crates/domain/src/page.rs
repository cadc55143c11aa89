//! Pages of a bucket: how a free number is found without a walk through a million.
//!
//! ```text
//!   bucket 040326:  page 0: 000000 to 004095   page 1: 004096 to 008191   ...   page 244: 999424 to 999999
//! ```
//! The state counts for each page how many of its numbers are given out, and for each bucket how many of its pages are full.
//! Both change in the transition that gives out a number, so that they agree with the index on numbers at every position.

use std::ops::Range;

use crate::limits::{BUCKET_NUMBERS, BUCKET_PAGES, PAGE_NUMBERS};
use crate::pin::{Pin, PinBucket};

/// One page of a bucket: 4,096 neighbouring numbers, 576 on the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PinPage {
    bucket: PinBucket,
    index: u8,
}

impl PinPage {
    /// The page that a number stands on.
    #[must_use]
    pub fn of(pin: &Pin) -> Self {
        Self::holding(pin.bucket(), pin.serial())
    }

    /// The page of a bucket that holds a serial, 0 to 999,999.
    #[must_use]
    pub fn holding(bucket: PinBucket, serial: u32) -> Self {
        Self {
            bucket,
            // 244 at most, for a serial below a million; of a larger one it would be the last page.
            index: u8::try_from(serial / PAGE_NUMBERS)
                .unwrap_or(u8::MAX)
                .min((BUCKET_PAGES - 1) as u8),
        }
    }

    /// The other pages of the bucket, from the next one upwards and then from the first.
    pub fn others(self) -> impl Iterator<Item = Self> {
        (1..BUCKET_PAGES).map(move |step| Self {
            bucket: self.bucket,
            index: ((u16::from(self.index) + step) % BUCKET_PAGES) as u8,
        })
    }

    /// The bucket.
    #[must_use]
    pub const fn bucket(&self) -> PinBucket {
        self.bucket
    }

    /// Place in the bucket, 0 to 244.
    #[must_use]
    pub const fn index(&self) -> u8 {
        self.index
    }

    /// The serials of the page.
    #[must_use]
    pub fn serials(&self) -> Range<u32> {
        let first = u32::from(self.index) * PAGE_NUMBERS;
        first..(first + PAGE_NUMBERS).min(BUCKET_NUMBERS)
    }

    /// How many numbers the page has.
    #[must_use]
    pub fn capacity(&self) -> u16 {
        let serials = self.serials();
        (serials.end - serials.start) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_of_a_bucket_hold_each_serial_once() {
        let bucket = Pin::parse("040326000000").unwrap().bucket();
        let first = PinPage::holding(bucket, 0);
        let mut next = 0;
        for page in std::iter::once(first).chain(first.others()) {
            assert_eq!(page.serials().start, next);
            next = page.serials().end;
            for serial in [page.serials().start, next - 1] {
                assert_eq!(PinPage::of(&Pin::in_bucket(bucket, serial)), page);
            }
        }
        assert_eq!(next, BUCKET_NUMBERS);
        let last = PinPage::holding(bucket, BUCKET_NUMBERS - 1);
        assert_eq!((last.index(), last.capacity()), (244, 576));
        assert_eq!(last.others().next(), Some(first), "the pages go round");
        assert_eq!(last.others().count(), 244);
    }
}
