//! Calendar dates, and birth dates that may be a year alone.

use std::fmt;

use crate::faults::ValueFault;
use crate::ids::Timestamp;
use crate::limits::{YEAR_MAX, YEAR_MIN};

/// Viet Nam keeps UTC+7 all year; legal days are counted there.
const LOCAL_OFFSET_MS: i64 = 7 * 3_600 * 1_000;
const DAY_MS: i64 = 86_400_000;

/// A day of the proleptic Gregorian calendar, years 1800 to 2399.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CalendarDate {
    year: u16,
    month: u8,
    day: u8,
}

impl CalendarDate {
    /// A date that exists.
    ///
    /// # Errors
    /// The year is outside 1800 to 2399, the month outside 1 to 12, or the month has no such day.
    pub fn new(year: u16, month: u8, day: u8) -> Result<Self, ValueFault> {
        year_in_range(year)?;
        if !(1..=12).contains(&month) {
            return Err(ValueFault::new("month must be 1 to 12"));
        }
        let last = days_in_month(year, month);
        if day == 0 || day > last {
            return Err(ValueFault::new(format!(
                "day must be 1 to {last} in that month"
            )));
        }
        Ok(Self { year, month, day })
    }

    /// Reads `yyyy-mm-dd` or `yyyymmdd`.
    ///
    /// # Errors
    /// The text has another form, or there is no such day.
    pub fn parse(text: &str) -> Result<Self, ValueFault> {
        match BirthDate::parse(text)? {
            BirthDate::Full(date) => Ok(date),
            BirthDate::YearOnly(_) => Err(ValueFault::new("a full date is needed, yyyy-mm-dd")),
        }
    }

    /// Year, 1800 to 2399.
    #[must_use]
    pub const fn year(self) -> u16 {
        self.year
    }

    /// Month, 1 to 12.
    #[must_use]
    pub const fn month(self) -> u8 {
        self.month
    }

    /// Day of the month, 1 to 31.
    #[must_use]
    pub const fn day(self) -> u8 {
        self.day
    }

    /// The day that it is in Viet Nam (UTC+7) at an instant; clamped to the first and last day of the calendar.
    #[must_use]
    pub fn in_viet_nam(at: Timestamp) -> Self {
        let days = at.0.saturating_add(LOCAL_OFFSET_MS).div_euclid(DAY_MS);
        civil_from_days(days)
    }

    /// The following day; the last day of the calendar is its own successor.
    #[must_use]
    pub fn next(self) -> Self {
        Self::new(self.year, self.month, self.day + 1)
            .or_else(|_| Self::new(self.year, self.month + 1, 1))
            .or_else(|_| Self::new(self.year + 1, 1, 1))
            .unwrap_or(self)
    }
}

impl fmt::Display for CalendarDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// Dates in records are personal data.
impl fmt::Debug for CalendarDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<date>")
    }
}

/// A date of birth or death: a full date, or a year alone where no more is known (QCVN 109:2017/BTTTT allows it).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BirthDate {
    /// The day is known.
    Full(CalendarDate),
    /// Only the year is known, 1800 to 2399.
    YearOnly(u16),
}

/// A date of death or of being declared missing has the same two forms.
pub type DeathDate = BirthDate;

impl BirthDate {
    /// A year alone.
    ///
    /// # Errors
    /// The year is outside 1800 to 2399.
    pub fn year_only(year: u16) -> Result<Self, ValueFault> {
        year_in_range(year).map(|()| Self::YearOnly(year))
    }

    /// From three numbers; month and day both zero mean a year alone.
    ///
    /// # Errors
    /// There is no such date, or only one of month and day is zero.
    pub fn from_parts(year: u32, month: u32, day: u32) -> Result<Self, ValueFault> {
        let year = u16::try_from(year).map_err(|_| year_fault())?;
        if month == 0 && day == 0 {
            return Self::year_only(year);
        }
        let month = u8::try_from(month).map_err(|_| ValueFault::new("month must be 1 to 12"))?;
        let day = u8::try_from(day).map_err(|_| ValueFault::new("day must be 1 to 31"))?;
        if month == 0 || day == 0 {
            return Err(ValueFault::new(
                "month and day must both be given, or neither",
            ));
        }
        CalendarDate::new(year, month, day).map(Self::Full)
    }

    /// Reads `yyyy-mm-dd`, `yyyymmdd` or `yyyy`.
    ///
    /// # Errors
    /// The text has another form, or there is no such date.
    pub fn parse(text: &str) -> Result<Self, ValueFault> {
        let form = || ValueFault::new("a date must read yyyy-mm-dd, yyyymmdd or yyyy");
        if !text.is_ascii() {
            return Err(form());
        }
        let number = |part: &str| -> Result<u32, ValueFault> {
            if part.bytes().all(|byte| byte.is_ascii_digit()) {
                part.parse().map_err(|_| form())
            } else {
                Err(form())
            }
        };
        let (year, month, day) = match (text.len(), text.as_bytes()) {
            (4, _) => return Self::from_parts(number(text)?, 0, 0),
            (8, _) => (&text[..4], &text[4..6], &text[6..]),
            (10, [_, _, _, _, b'-', _, _, b'-', _, _]) => (&text[..4], &text[5..7], &text[8..]),
            _ => return Err(form()),
        };
        let (month, day) = (number(month)?, number(day)?);
        if month == 0 || day == 0 {
            return Err(ValueFault::new(
                "month and day must not be zero; give the year alone where no more is known",
            ));
        }
        Self::from_parts(number(year)?, month, day)
    }

    /// The year, 1800 to 2399.
    #[must_use]
    pub const fn year(self) -> u16 {
        match self {
            Self::Full(date) => date.year,
            Self::YearOnly(year) => year,
        }
    }

    /// The day, where it is known.
    #[must_use]
    pub const fn day(self) -> Option<CalendarDate> {
        match self {
            Self::Full(date) => Some(date),
            Self::YearOnly(_) => None,
        }
    }

    /// Whether this date is certainly before the other: years decide where a day is not known.
    #[must_use]
    pub fn certainly_before(self, other: Self) -> bool {
        match (self, other) {
            (Self::Full(left), Self::Full(right)) => left < right,
            _ => self.year() < other.year(),
        }
    }

    /// Whether this date is certainly after a day.
    #[must_use]
    pub fn certainly_after(self, day: CalendarDate) -> bool {
        Self::Full(day).certainly_before(self)
    }
}

impl fmt::Display for BirthDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(date) => date.fmt(f),
            Self::YearOnly(year) => write!(f, "{year:04}"),
        }
    }
}

impl fmt::Debug for BirthDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<date>")
    }
}

fn year_fault() -> ValueFault {
    ValueFault::new(format!("year must be {YEAR_MIN} to {YEAR_MAX}"))
}

fn year_in_range(year: u16) -> Result<(), ValueFault> {
    if (YEAR_MIN..=YEAR_MAX).contains(&year) {
        Ok(())
    } else {
        Err(year_fault())
    }
}

const fn is_leap(year: u16) -> bool {
    (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400)
}

const fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The day that lies `days` after 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms").
fn civil_from_days(days: i64) -> CalendarDate {
    // 2399-12-31 and 1800-01-01 in days from the epoch.
    let days = days.clamp(-62_091, 157_053);
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    CalendarDate {
        year: year as u16,
        month: month as u8,
        day: day as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_that_do_not_exist_are_refused_with_the_bound() {
        assert_eq!(
            CalendarDate::new(2023, 2, 29).unwrap_err().0,
            "day must be 1 to 28 in that month"
        );
        assert!(CalendarDate::new(2024, 2, 29).is_ok());
        assert_eq!(
            CalendarDate::new(2024, 13, 1).unwrap_err().0,
            "month must be 1 to 12"
        );
        assert_eq!(
            BirthDate::parse("20201301").unwrap_err().0,
            "month must be 1 to 12"
        );
        assert!(BirthDate::parse("2020-00-00").is_err());
        assert!(BirthDate::from_parts(1990, 0, 3).is_err());
        assert!(BirthDate::parse("１９９０").is_err());
        assert!(BirthDate::parse("+199").is_err());
    }

    #[test]
    fn a_year_alone_is_a_birth_date() {
        assert_eq!(BirthDate::parse("1931").unwrap(), BirthDate::YearOnly(1931));
        assert_eq!(BirthDate::parse("1931").unwrap().to_string(), "1931");
        assert!(CalendarDate::parse("1931").is_err());
    }

    #[test]
    fn the_day_in_viet_nam_starts_at_17_hours_utc() {
        // 2026-11-22T16:59:59Z and one second later.
        assert_eq!(
            CalendarDate::in_viet_nam(Timestamp(1_795_366_799_000)).to_string(),
            "2026-11-22"
        );
        assert_eq!(
            CalendarDate::in_viet_nam(Timestamp(1_795_366_800_000)).to_string(),
            "2026-11-23"
        );
        assert_eq!(
            CalendarDate::in_viet_nam(Timestamp(0)).to_string(),
            "1970-01-01"
        );
        assert_eq!(
            CalendarDate::in_viet_nam(Timestamp(i64::MIN)).to_string(),
            "1800-01-01"
        );
        assert_eq!(
            CalendarDate::in_viet_nam(Timestamp(i64::MAX)).to_string(),
            "2399-12-31"
        );
    }

    #[test]
    fn every_day_is_the_successor_of_the_day_before() {
        let mut day = CalendarDate::new(1999, 12, 1).unwrap();
        for index in 0..1_500 {
            let expected = civil_from_days(10_926 + index);
            assert_eq!(day, expected, "{day} {expected}");
            day = day.next();
        }
    }
}
