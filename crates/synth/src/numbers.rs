//! Numbers that are unique by construction: a counter sent through a full-period walk, nothing remembered but counts.

use std::collections::BTreeMap;

use crate::names::Gender;

/// Numbers in one bucket of personal identification numbers (Circular 59/2021/TT-BCA: six free digits).
const BUCKET_NUMBERS: u64 = 1_000_000;

/// Hands out personal identification numbers, each once for a given order of calls.
pub(crate) struct PinAllotter {
    seed: u64,
    used: BTreeMap<(u16, u8, u8), u32>,
}

impl PinAllotter {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            used: BTreeMap::new(),
        }
    }

    /// The next number for a birth registered in `province`, or none once the bucket's million is used up.
    pub(crate) fn next(
        &mut self,
        province: u16,
        gender: Gender,
        birth_year: u16,
    ) -> Option<String> {
        let century = birth_year.checked_sub(1900)? / 100;
        let century_sex = u8::try_from(century * 2).ok()? + u8::from(gender == Gender::Female);
        let year = (birth_year % 100) as u8;
        let count = self.used.entry((province, century_sex, year)).or_insert(0);
        if u64::from(*count) >= BUCKET_NUMBERS {
            return None;
        }
        let bucket = u64::from(province) << 16 | u64::from(century_sex) << 8 | u64::from(year);
        let serial = walk(
            mix(self.seed ^ bucket.rotate_left(24)),
            u64::from(*count),
            BUCKET_NUMBERS,
        );
        *count += 1;
        Some(format!("{province:03}{century_sex}{year:02}{serial:06}"))
    }
}

/// The old nine-digit identity card number of the person with that index; distinct for distinct indices.
pub(crate) fn cmnd(seed: u64, index: u64) -> String {
    const NUMBERS: u64 = 1_000_000_000;
    format!(
        "{:09}",
        walk(mix(seed ^ 0x636d_6e64), index % NUMBERS, NUMBERS)
    )
}

/// The place of `count` in a walk that visits each number below `period` (a power of ten) once.
fn walk(key: u64, count: u64, period: u64) -> u64 {
    // A factor that ends in 1, 3, 7 or 9 shares no divisor with a power of ten, so that the walk has full period.
    let factor = (key % (period / 10)) * 10 + [1, 3, 7, 9][(key >> 62) as usize];
    let start = mix(key) % period;
    ((u128::from(factor) * u128::from(count) + u128::from(start)) % u128::from(period)) as u64
}

/// The mixing function of SplitMix64.
fn mix(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_bucket_gives_each_number_once_and_then_no_more() {
        let mut allotter = PinAllotter::new(7);
        let mut seen = BTreeSet::new();
        for _ in 0..BUCKET_NUMBERS {
            let pin = allotter.next(40, Gender::Female, 1987).unwrap();
            assert!(pin.starts_with("040187"));
            assert!(seen.insert(pin));
        }
        assert_eq!(allotter.next(40, Gender::Female, 1987), None);
    }

    #[test]
    fn card_numbers_are_distinct() {
        let numbers: BTreeSet<String> = (0..100_000).map(|index| cmnd(3, index)).collect();
        assert_eq!(numbers.len(), 100_000);
        assert!(numbers.iter().all(|number| number.len() == 9));
    }
}
