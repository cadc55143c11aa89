//! A person's name in the Vietnamese order: family, middle, given.

use std::fmt;

use crate::date::BirthDate;
use crate::faults::{FieldFault, ValueFault};
use crate::letters::{is_letter, lower};
use crate::limits::{NAME_CHARS_MAX, NAME_PART_CHARS_MAX};
use crate::text::normalise;

/// Family, middle and given name, NFC. Family and middle may be empty (some ethnic groups use a single name); the given
/// name is never empty. At most [`NAME_CHARS_MAX`] characters with the spaces between.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonName {
    family: String,
    middle: String,
    given: String,
}

impl PersonName {
    /// Normalises and checks the three parts.
    ///
    /// # Errors
    /// Every fault: an empty given name, a part of more than [`NAME_PART_CHARS_MAX`] characters, a whole of more than
    /// [`NAME_CHARS_MAX`], a digit or another character that no name holds, a part without any letter. Fields are `family`, `middle`, `given`.
    pub fn new(family: &str, middle: &str, given: &str) -> Result<Self, Vec<FieldFault>> {
        let mut faults = Vec::new();
        let mut part = |field: &str, raw: &str| match part(raw) {
            Ok(text) => text,
            Err(fault) => {
                faults.push(fault.at(field));
                String::new()
            }
        };
        let name = Self {
            family: part("family", family),
            middle: part("middle", middle),
            given: part("given", given),
        };
        if name.given.is_empty() && !faults.iter().any(|fault| fault.field == "given") {
            faults.push(FieldFault::new("given", "must not be empty"));
        }
        if faults.is_empty()
            && name.family.len() + name.middle.len() + name.given.len() + 2 > NAME_CHARS_MAX
        {
            let chars = name.full().chars().count();
            if chars > NAME_CHARS_MAX {
                faults.push(FieldFault::new(
                    "",
                    format!("has {chars} characters, the maximum is {NAME_CHARS_MAX}"),
                ));
            }
        }
        if faults.is_empty() {
            Ok(name)
        } else {
            Err(faults)
        }
    }

    /// Splits a whole name as it is written: first word family, last word given, the rest middle.
    ///
    /// # Errors
    /// As [`PersonName::new`].
    pub fn parse(full: &str) -> Result<Self, Vec<FieldFault>> {
        let full = normalise(full, NAME_CHARS_MAX).map_err(|fault| vec![fault.at("")])?;
        match full.split_once(' ') {
            None => Self::new("", "", &full),
            Some((family, rest)) => match rest.rsplit_once(' ') {
                None => Self::new(family, "", rest),
                Some((middle, given)) => Self::new(family, middle, given),
            },
        }
    }

    /// Family name, possibly empty.
    #[must_use]
    pub fn family(&self) -> &str {
        &self.family
    }

    /// Middle name, possibly empty.
    #[must_use]
    pub fn middle(&self) -> &str {
        &self.middle
    }

    /// Given name, never empty.
    #[must_use]
    pub fn given(&self) -> &str {
        &self.given
    }

    /// The parts that are there, in order, with single spaces.
    #[must_use]
    pub fn full(&self) -> String {
        let mut full =
            String::with_capacity(self.family.len() + self.middle.len() + self.given.len() + 2);
        for part in [&self.family, &self.middle, &self.given] {
            if !part.is_empty() {
                if !full.is_empty() {
                    full.push(' ');
                }
                full.push_str(part);
            }
        }
        full
    }

    /// What two spellings of one name share: the whole name in lower case, letter by letter. The tables are part of the state
    /// format: see `letters.rs`.
    #[must_use]
    pub fn search_key(&self) -> String {
        self.full().chars().map(lower).collect()
    }
}

/// Names are personal data.
impl fmt::Debug for PersonName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<name>")
    }
}

fn part(raw: &str) -> Result<String, ValueFault> {
    let text = normalise(raw, NAME_PART_CHARS_MAX)?;
    let foreign = |character: char| {
        !(is_letter(character)
            || unicode_normalization::char::is_combining_mark(character)
            || matches!(character, ' ' | '\'' | '’' | '-' | '.' | ','))
    };
    if text.chars().any(foreign) {
        return Err(ValueFault::new(
            "must hold letters, spaces, apostrophes, hyphens, full stops and commas only",
        ));
    }
    if !text.is_empty() && !text.chars().any(is_letter) {
        return Err(ValueFault::new("must hold a letter"));
    }
    Ok(text)
}

/// Key of the index on name and birth date: 8 bytes of BLAKE3 over the search key and the date.
///
/// A hash, so that keys are short and of one length; a look-up checks the record itself afterwards.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameKey(pub [u8; 8]);

/// Who knows a name and tries birth dates finds the key: it is personal data.
impl fmt::Debug for NameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<name key>")
    }
}

impl NameKey {
    /// The key of a name with a birth date. A year alone is a key of its own.
    #[must_use]
    pub fn of(name: &PersonName, birth_date: BirthDate) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(name.search_key().as_bytes());
        hasher.update(b"\0");
        let (month, day) = birth_date
            .day()
            .map_or((0, 0), |date| (date.month(), date.day()));
        hasher.update(&[
            (birth_date.year() >> 8) as u8,
            birth_date.year() as u8,
            month,
            day,
        ]);
        let mut key = [0; 8];
        key.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        Self(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_name_splits_in_vietnamese_order() {
        let name = PersonName::parse("Nguyễn Thị Minh Khai").unwrap();
        assert_eq!(
            (name.family(), name.middle(), name.given()),
            ("Nguyễn", "Thị Minh", "Khai")
        );
        assert_eq!(name.full(), "Nguyễn Thị Minh Khai");
        assert_eq!(PersonName::parse("Siu").unwrap().given(), "Siu");
        assert_eq!(format!("{name:?}"), "<name>");
    }

    #[test]
    fn composed_and_decomposed_names_are_equal() {
        let composed = PersonName::new("Trần", "Văn", "Đức").unwrap();
        let decomposed =
            PersonName::new("Tra\u{302}\u{300}n", "Va\u{306}n", "Đu\u{31b}\u{301}c").unwrap();
        assert_eq!(composed, decomposed);
    }

    #[test]
    fn all_faults_of_a_name_come_at_once_and_hold_none_of_it() {
        let long = "x".repeat(61);
        let faults = PersonName::new("Ngu7en", &long, "").unwrap_err();
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["family", "middle", "given"]);
        assert!(
            faults
                .iter()
                .all(|fault| !fault.message.contains("xxx") && !fault.message.contains("Ngu"))
        );
        let part = "x".repeat(50);
        assert_eq!(
            PersonName::new(&part, &part, "An").unwrap_err()[0].message,
            "has 104 characters, the maximum is 100"
        );
    }
}
