//! Text that was normalised and measured: NFC, trimmed, single spaces, no control characters, bounded.

use std::fmt;

use unicode_normalization::{
    IsNormalized, UnicodeNormalization, char::is_combining_mark, is_nfc_quick,
};

use crate::faults::ValueFault;
use crate::letters::is_space;
use crate::limits::{COMBINING_RUN_MAX, RAW_TEXT_CHARS_MAX};

/// Normalises a text: NFC, white space trimmed and folded to single spaces.
///
/// # Errors
/// More than [`RAW_TEXT_CHARS_MAX`] characters before or `chars_max` after normalisation, a control, invisible or private-use
/// character (white space of any kind counts as a space), or more than [`COMBINING_RUN_MAX`] combining marks in a row.
pub(crate) fn normalise(raw: &str, chars_max: usize) -> Result<String, ValueFault> {
    // Bytes bound characters from above, so that short texts are not counted.
    if raw.len() > RAW_TEXT_CHARS_MAX && raw.chars().count() > RAW_TEXT_CHARS_MAX {
        return Err(ValueFault::new(format!(
            "must not have more than {RAW_TEXT_CHARS_MAX} characters as sent"
        )));
    }
    if is_normal_already(raw) {
        return bounded(raw.to_owned(), chars_max);
    }
    let composed = match is_nfc_quick(raw.chars()) {
        IsNormalized::Yes => fold_spaces(raw.chars(), raw.len())?,
        _ => fold_spaces(raw.nfc(), raw.len())?,
    };
    bounded(composed, chars_max)
}

/// Whether nothing is left to do, told without tables: single spaces inside, and otherwise printable ASCII and the blocks
/// that Vietnamese is written in. All of those are starters that NFC leaves alone (`NFC_Quick_Check=Yes`, class 0), and none
/// is white space, a control or a mark. Nearly every text of a record is of this kind, on every node, for every command.
fn is_normal_already(raw: &str) -> bool {
    let mut after_space = true;
    for character in raw.chars() {
        match character {
            ' ' if after_space => return false,
            ' ' => after_space = true,
            '!'..='~' | '\u{C0}'..='\u{24F}' | '\u{1E00}'..='\u{1EFF}' => after_space = false,
            _ => return false,
        }
    }
    !after_space || raw.is_empty()
}

fn bounded(text: String, chars_max: usize) -> Result<String, ValueFault> {
    if text.len() > chars_max {
        let count = text.chars().count();
        if count > chars_max {
            return Err(ValueFault::new(format!(
                "has {count} characters, the maximum is {chars_max}"
            )));
        }
    }
    Ok(text)
}

fn fold_spaces(
    characters: impl Iterator<Item = char>,
    capacity: usize,
) -> Result<String, ValueFault> {
    let mut text = String::with_capacity(capacity);
    let mut marks = 0;
    for character in characters {
        if is_space(character) {
            if !text.is_empty() && !text.ends_with(' ') {
                text.push(' ');
            }
            marks = 0;
            continue;
        }
        if character.is_control() || is_invisible_or_private(character) {
            return Err(ValueFault::new(format!(
                "must not hold control, invisible or private-use characters (U+{:04X})",
                u32::from(character)
            )));
        }
        marks = if is_combining_mark(character) {
            marks + 1
        } else {
            0
        };
        if marks > COMBINING_RUN_MAX {
            return Err(ValueFault::new(format!(
                "must not have more than {COMBINING_RUN_MAX} combining marks on one letter"
            )));
        }
        text.push(character);
    }
    if text.ends_with(' ') {
        text.pop();
    }
    Ok(text)
}

const fn is_invisible_or_private(character: char) -> bool {
    // What nobody sees (Default_Ignorable_Code_Point of Unicode: zero-width, bidirectional, fillers, selectors, tags) makes
    // two different records look alike.
    matches!(
        character,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{FFFE}'..='\u{FFFF}'
            | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E000}'..='\u{F8FF}'
            | '\u{E0000}'..='\u{E0FFF}' | '\u{F0000}'..='\u{10FFFF}'
    )
}

/// A text of at most `MAX` characters, NFC, trimmed, never empty. Its `Debug` hides it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// Normalises and measures a text.
    ///
    /// # Errors
    /// Nothing is left after trimming, more than `MAX` characters, or a character that records do not hold.
    pub fn new(raw: &str) -> Result<Self, ValueFault> {
        Self::optional(raw)?.ok_or_else(|| ValueFault::new("must not be empty"))
    }

    /// The same, but an empty text is no text.
    ///
    /// # Errors
    /// As [`Text::new`], but for the empty text.
    pub fn optional(raw: &str) -> Result<Option<Self>, ValueFault> {
        if raw.is_empty() {
            return Ok(None);
        }
        let text = normalise(raw, MAX)?;
        Ok((!text.is_empty()).then_some(Self(text)))
    }

    /// The text, for those who may see it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<text>")
    }
}

/// A code of printable ASCII without spaces around it (offices, principals), at most `MAX` characters.
///
/// Codes name offices and accounts, not citizens, and may be logged.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AsciiCode<const MAX: usize>(String);

impl<const MAX: usize> AsciiCode<MAX> {
    /// A code that is not empty.
    ///
    /// # Errors
    /// Empty, longer than `MAX`, or with a character outside printable ASCII.
    pub fn new(raw: &str) -> Result<Self, ValueFault> {
        if raw.is_empty() {
            return Err(ValueFault::new("must not be empty"));
        }
        if raw.len() > MAX {
            return Err(ValueFault::new(format!(
                "has {} bytes, the maximum is {MAX}",
                raw.len()
            )));
        }
        if !raw
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ')
            || raw.trim() != raw
        {
            return Err(ValueFault::new(
                "must be printable ASCII without spaces around it",
            ));
        }
        Ok(Self(raw.to_owned()))
    }

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for AsciiCode<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decomposed_text_is_composed() {
        let text = Text::<20>::new("  Nguye\u{302}\u{303}n   Thi\u{323} ").unwrap();
        assert_eq!(text.as_str(), "Nguyễn Thị");
        assert_eq!(format!("{text:?}"), "<text>");
    }

    #[test]
    fn the_short_way_finds_what_the_long_way_finds() {
        let alphabet: Vec<char> = (' '..='~')
            .chain('\u{C0}'..='\u{24F}')
            .chain('\u{1E00}'..='\u{1EFF}')
            .collect();
        for character in &alphabet {
            let text = format!("a{character}b");
            assert!(is_normal_already(&text), "{text:?}");
            assert_eq!(fold_spaces(text.nfc(), 8).unwrap(), text);
        }
        for text in [
            " a", "a ", "a  b", " ", "a\tb", "a\u{A0}b", "a\u{301}", "\u{212B}",
        ] {
            assert!(!is_normal_already(text), "{text:?}");
        }
        assert!(is_normal_already(""));
    }

    #[test]
    fn a_tower_of_combining_marks_is_refused_with_the_bound() {
        let tower: String = std::iter::once('a')
            .chain(std::iter::repeat_n('\u{301}', 500))
            .collect();
        let fault = Text::<100>::new(&tower).unwrap_err();
        assert_eq!(
            fault.0,
            "must not have more than 4 combining marks on one letter"
        );
        let long = "a\u{301}".repeat(600);
        assert!(Text::<100>::new(&long).unwrap_err().0.contains("1000"));
    }

    #[test]
    fn control_and_invisible_characters_are_refused() {
        for bad in [
            "a\u{ad}b",
            "a\u{61c}b",
            "a\u{34f}b",
            "a\u{fe0f}b",
            "\u{3164}",
            "a\u{e0041}b",
            "a\u{0}b",
            "a\u{202E}b",
            "a\u{200B}b",
            "\u{E000}",
            "a\u{1b}b",
        ] {
            assert!(Text::<100>::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Text::<100>::optional(" \t ").unwrap(), None);
        assert_eq!(Text::<100>::new("a\tb").unwrap().as_str(), "a b");
    }
}
