//! The personal identification number (PIN): 12 digits, what they say, and how the next one is chosen.
//!
//! ```text
//!   0 4 0   2   1 7   5 8 3 1 0 9
//!   |       |   |     random, 000000 to 999999
//!   |       |   last two digits of the birth year
//!   |       century and sex: 2 male, 3 female of the 2000s
//!   province (000 to 096) or country code of the place of birth registration
//! ```
//! Decree 137/2015/ND-CP Art. 13; Circular 59/2021/TT-BCA. There is no check digit. The first six digits are the
//! *bucket*, which holds a million numbers.

use std::fmt;

use crate::codes::Sex;
use crate::date::BirthDate;
use crate::faults::ValueFault;
use crate::limits::BUCKET_NUMBERS;
use crate::places::ProvinceCode;
use crate::units::Units;

/// A personal identification number: 12 digits of the legal form. Its `Debug` hides it and it has no `Display`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pin([u8; 12]);

/// The first six digits of a PIN: place code, century and sex, year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PinBucket {
    code: u16,
    century_sex: u8,
    year: u8,
}

/// Why a PIN cannot belong to a person with that birth date and sex. Says what, not which value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Contradiction {
    /// The number says another year or century of birth.
    BirthYear,
    /// The number says the other sex.
    Sex,
    /// Both.
    BirthYearAndSex,
    /// The number opens with a code that is none of the 63 provinces nor a country's.
    PlaceCode,
}

impl Contradiction {
    /// Words for an answer.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::BirthYear => "birth year",
            Self::Sex => "sex",
            Self::BirthYearAndSex => "birth year and sex",
            Self::PlaceCode => "place code",
        }
    }
}

/// What the digits of a PIN say. Its `Debug` hides it: the parts together are the number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PinExplanation {
    /// The three digits of the place of birth registration.
    pub place_code: u16,
    /// The province, where the code is one of the 63.
    pub province: Option<&'static str>,
    /// Whether the code is a country's (100 and above): birth registered abroad.
    pub abroad: bool,
    /// Sex.
    pub sex: Sex,
    /// Year of birth, 1900 to 2399.
    pub birth_year: u16,
    /// The six random digits, 0 to 999,999.
    pub serial: u32,
}

impl Pin {
    /// Reads 12 ASCII digits.
    ///
    /// # Errors
    /// Another length or another character. Any 12 digits have the legal form; see [`Pin::contradicts`].
    pub fn parse(text: &str) -> Result<Self, ValueFault> {
        let rule = || ValueFault::new("a personal identification number must be 12 digits");
        let digits: [u8; 12] = text.as_bytes().try_into().map_err(|_| rule())?;
        if digits.iter().all(u8::is_ascii_digit) {
            Ok(Self(digits))
        } else {
            Err(rule())
        }
    }

    /// The number of a bucket with that serial, 0 to 999,999.
    ///
    /// # Panics
    /// The serial is a million or more, which no caller may pass.
    #[must_use]
    pub fn in_bucket(bucket: PinBucket, serial: u32) -> Self {
        assert!(serial < BUCKET_NUMBERS, "a serial must be below a million");
        let mut digits = [b'0'; 12];
        put_digits(&mut digits[0..3], u32::from(bucket.code));
        put_digits(&mut digits[3..4], u32::from(bucket.century_sex));
        put_digits(&mut digits[4..6], u32::from(bucket.year));
        put_digits(&mut digits[6..12], serial);
        Self(digits)
    }

    /// The 12 digits, for those who may see them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The digits as bytes, for keys.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 12] {
        &self.0
    }

    /// The bucket that the number stands in.
    #[must_use]
    pub fn bucket(&self) -> PinBucket {
        PinBucket {
            code: number(&self.0[0..3]) as u16,
            century_sex: number(&self.0[3..4]) as u8,
            year: number(&self.0[4..6]) as u8,
        }
    }

    /// The six random digits.
    #[must_use]
    pub fn serial(&self) -> u32 {
        number(&self.0[6..12])
    }

    /// What the digits say.
    #[must_use]
    pub fn explain(&self) -> PinExplanation {
        let bucket = self.bucket();
        PinExplanation {
            place_code: bucket.code,
            province: bucket
                .province()
                .and_then(|code| Units::current().province_name(code)),
            abroad: bucket.code >= 100,
            sex: bucket.sex(),
            birth_year: bucket.birth_year(),
            serial: self.serial(),
        }
    }

    /// Why the number cannot belong to a person with that birth date and sex; `None` where it can.
    ///
    /// The place is compared only with the list of places: people were registered late and elsewhere.
    #[must_use]
    pub fn contradicts(&self, birth_date: BirthDate, sex: Sex) -> Option<Contradiction> {
        let bucket = self.bucket();
        if bucket.code < 100 && bucket.province().is_none() {
            return Some(Contradiction::PlaceCode);
        }
        match (
            bucket.birth_year() == birth_date.year(),
            bucket.sex() == sex,
        ) {
            (true, true) => None,
            (false, true) => Some(Contradiction::BirthYear),
            (true, false) => Some(Contradiction::Sex),
            (false, false) => Some(Contradiction::BirthYearAndSex),
        }
    }
}

/// So is what it says.
impl fmt::Debug for PinExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<pin explanation>")
    }
}

/// A number is personal data.
impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<pin>")
    }
}

impl PinBucket {
    /// The bucket of a person whose birth was registered in a province.
    ///
    /// # Errors
    /// The birth year is before 1900, for which no century digit exists.
    pub fn for_person(
        province: ProvinceCode,
        birth_date: BirthDate,
        sex: Sex,
    ) -> Result<Self, ValueFault> {
        let year = birth_date.year();
        let century = year
            .checked_sub(1900)
            .map(|years| years / 100)
            .filter(|century| *century < 5)
            .ok_or_else(|| ValueFault::new("numbers exist for births from 1900 to 2399 only"))?;
        let code = number(province.as_str().as_bytes()) as u16;
        let century_sex = (century * 2) as u8 + u8::from(sex == Sex::Female);
        Ok(Self {
            code,
            century_sex,
            year: (year % 100) as u8,
        })
    }

    /// The six digits as bytes of ASCII, for keys.
    #[must_use]
    pub fn digits(&self) -> [u8; 6] {
        let pin = Pin::in_bucket(*self, 0);
        let mut digits = [0; 6];
        digits.copy_from_slice(&pin.0[..6]);
        digits
    }

    /// Sex that the century digit says.
    #[must_use]
    pub const fn sex(&self) -> Sex {
        if self.century_sex.is_multiple_of(2) {
            Sex::Male
        } else {
            Sex::Female
        }
    }

    /// Birth year that the digits say, 1900 to 2399.
    #[must_use]
    pub const fn birth_year(&self) -> u16 {
        1900 + (self.century_sex as u16 / 2) * 100 + self.year as u16
    }

    /// The province, where the code is one of the 63.
    #[must_use]
    pub fn province(&self) -> Option<ProvinceCode> {
        if self.code >= 100 {
            return None;
        }
        let code = ProvinceCode::new(&format!("{:02}", self.code)).ok()?;
        Units::current().has_province(code).then_some(code)
    }

    /// All million serials of the bucket in an order that looks random and is the same on every replica.
    ///
    /// A permutation keyed by BLAKE3 over salt and bucket (a four-round Feistel network over 20 bits whose values of a
    /// million and more are walked past: J. Black and P. Rogaway, "Ciphers with Arbitrary Finite Domains", 2002).
    pub fn serials(&self, salt: u64) -> impl Iterator<Item = u32> + use<> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"banyan pin serials 1");
        hasher.update(&salt.to_be_bytes());
        hasher.update(&self.digits());
        let hash = hasher.finalize();
        let mut keys = [0_u32; 4];
        for (key, bytes) in keys.iter_mut().zip(hash.as_bytes().chunks_exact(4)) {
            *key = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        (0..BUCKET_NUMBERS).map(move |index| permute(index, &keys))
    }
}

/// The place of `index` in the permutation of 0..1,000,000 that the keys make.
fn permute(index: u32, keys: &[u32; 4]) -> u32 {
    let mut value = index;
    loop {
        value = feistel(value, keys);
        if value < BUCKET_NUMBERS {
            return value;
        }
    }
}

/// A permutation of 0..2^20: two halves of ten bits.
fn feistel(value: u32, keys: &[u32; 4]) -> u32 {
    let (mut left, mut right) = (value >> 10, value & 0x3ff);
    for key in keys {
        let mut mixed = (right ^ *key).wrapping_mul(0x9e37_79b1);
        mixed ^= mixed >> 15;
        mixed = mixed.wrapping_mul(0x85eb_ca77) ^ key.rotate_left(13);
        (left, right) = (right, left ^ ((mixed >> 11) & 0x3ff));
    }
    (left << 10) | right
}

fn put_digits(digits: &mut [u8], mut value: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn number(digits: &[u8]) -> u32 {
    digits
        .iter()
        .fold(0, |value, digit| value * 10 + u32::from(digit - b'0'))
}

/// The number of the 9-digit identity card that came before the PIN. Its `Debug` hides it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cmnd([u8; 9]);

impl Cmnd {
    /// Reads 9 ASCII digits.
    ///
    /// # Errors
    /// Another length or another character.
    pub fn parse(text: &str) -> Result<Self, ValueFault> {
        let rule = || ValueFault::new("an identity card number must be 9 digits");
        let digits: [u8; 9] = text.as_bytes().try_into().map_err(|_| rule())?;
        if digits.iter().all(u8::is_ascii_digit) {
            Ok(Self(digits))
        } else {
            Err(rule())
        }
    }

    /// The 9 digits, for those who may see them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The digits as bytes, for keys.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 9] {
        &self.0
    }
}

impl fmt::Debug for Cmnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<cmnd>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::date::CalendarDate;

    fn bucket(province: &str, year: u16, sex: Sex) -> PinBucket {
        PinBucket::for_person(
            ProvinceCode::new(province).unwrap(),
            BirthDate::YearOnly(year),
            sex,
        )
        .unwrap()
    }

    #[test]
    fn digits_say_province_century_sex_and_year() {
        let pin = Pin::parse("040217583109").unwrap();
        let said = pin.explain();
        assert_eq!(
            (said.province, said.sex, said.birth_year, said.serial),
            (Some("Nghệ An"), Sex::Male, 2017, 583_109)
        );
        assert_eq!(Pin::in_bucket(pin.bucket(), pin.serial()), pin);
        assert_eq!(format!("{pin:?}"), "<pin>");
    }

    #[test]
    fn each_century_and_sex_has_its_digit() {
        for (year, male) in [
            (1900, 0),
            (1999, 0),
            (2000, 2),
            (2100, 4),
            (2200, 6),
            (2399, 8),
        ] {
            assert_eq!(bucket("01", year, Sex::Male).century_sex, male);
            assert_eq!(bucket("01", year, Sex::Female).century_sex, male + 1);
            assert_eq!(bucket("01", year, Sex::Female).birth_year(), year);
        }
        let old = BirthDate::YearOnly(1899);
        assert!(PinBucket::for_person(ProvinceCode::new("01").unwrap(), old, Sex::Male).is_err());
    }

    #[test]
    fn contradictions_are_named() {
        let pin = Pin::parse("040217583109").unwrap();
        let born = |year| BirthDate::Full(CalendarDate::new(year, 5, 1).unwrap());
        assert_eq!(pin.contradicts(born(2017), Sex::Male), None);
        assert_eq!(
            pin.contradicts(born(1917), Sex::Male),
            Some(Contradiction::BirthYear)
        );
        assert_eq!(
            pin.contradicts(born(2017), Sex::Female),
            Some(Contradiction::Sex)
        );
        assert_eq!(
            pin.contradicts(born(1990), Sex::Female),
            Some(Contradiction::BirthYearAndSex)
        );
        assert_eq!(
            Pin::parse("003217583109")
                .unwrap()
                .contradicts(born(2017), Sex::Male),
            Some(Contradiction::PlaceCode)
        );
        assert_eq!(
            Pin::parse("120217583109")
                .unwrap()
                .contradicts(born(2017), Sex::Male),
            None
        );
    }

    #[test]
    fn the_salted_sequence_visits_every_number_of_the_bucket_once() {
        let mut seen = vec![false; BUCKET_NUMBERS as usize];
        let mut count = 0;
        for serial in bucket("40", 2026, Sex::Female).serials(42) {
            assert!(!std::mem::replace(&mut seen[serial as usize], true));
            count += 1;
        }
        assert_eq!(count, BUCKET_NUMBERS);
    }

    #[test]
    fn another_salt_or_bucket_gives_another_sequence() {
        let first = |bucket: PinBucket, salt| bucket.serials(salt).take(8).collect::<Vec<_>>();
        let base = first(bucket("40", 2026, Sex::Female), 1);
        assert_ne!(base, first(bucket("40", 2026, Sex::Female), 2));
        assert_ne!(base, first(bucket("40", 2026, Sex::Male), 1));
        assert_eq!(base, first(bucket("40", 2026, Sex::Female), 1));
    }

    #[test]
    fn serials_are_spread_evenly() {
        // First serials of many salts fall into ten equal ranges within a tenth of the mean.
        let mut ranges = [0_u32; 10];
        for salt in 0..20_000 {
            let serial = bucket("79", 2026, Sex::Male).serials(salt).next().unwrap();
            ranges[(serial / 100_000) as usize] += 1;
        }
        assert!(
            ranges.iter().all(|count| (1_800..=2_200).contains(count)),
            "{ranges:?}"
        );
    }
}
