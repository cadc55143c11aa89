//! Letters, spaces and lower case, from tables that belong to the registry and not to the compiler.
//!
//! Every replica reads names from the log and keys its index with them, and a replica that is built with a later toolchain
//! must find the same letters and the same keys. The standard library's tables follow Unicode from release to release; these do
//! not. They are those of Unicode 17, one character for one (`data/letters.csv`). With them belong the tables of
//! `unicode-normalization`, pinned in `Cargo.lock`. A test holds both by a hash: if it fails, the state format has changed
//! (ADR 0019).

use std::sync::LazyLock;

const LETTERS_CSV: &str = include_str!("../data/letters.csv");

static TABLE: LazyLock<Table> = LazyLock::new(Table::load);

#[derive(Debug, Default)]
struct Table {
    /// Ranges of letters, ascending.
    letters: Vec<(u32, u32)>,
    /// Ranges of capitals, ascending.
    capitals: Vec<Capitals>,
}

/// Every `step`th character from `first` to `last` has its small letter `offset` further.
#[derive(Debug)]
struct Capitals {
    first: u32,
    last: u32,
    step: u32,
    offset: i32,
}

impl Table {
    /// Reads the compiled-in file. Its rows are checked by a test, so a row that does not read is left out here.
    fn load() -> Self {
        let mut table = Self::default();
        let code = |text: &str| u32::from_str_radix(text, 16).ok();
        for line in LETTERS_CSV.lines().skip(1) {
            let cells: Vec<&str> = line.split(',').collect();
            let [kind, first, last, step, offset] = cells[..] else {
                continue;
            };
            let (Some(first), Some(last)) = (code(first), code(last)) else {
                continue;
            };
            match (kind, step.parse(), offset.parse()) {
                ("letters", _, _) => table.letters.push((first, last)),
                ("capitals", Ok(step @ 1..), Ok(offset)) => table.capitals.push(Capitals {
                    first,
                    last,
                    step,
                    offset,
                }),
                _ => {}
            }
        }
        table
    }
}

/// Whether a name may hold it as a letter (`Alphabetic` of Unicode).
pub(crate) fn is_letter(character: char) -> bool {
    match character {
        'A'..='Z' | 'a'..='z' => true,
        '\0'..='\u{7F}' | '×' | '÷' => false,
        // The blocks that Vietnamese is written in.
        '\u{C0}'..='\u{24F}' | '\u{1E00}'..='\u{1EFF}' => true,
        _ => {
            let code = u32::from(character);
            let letters = &TABLE.letters;
            let at = letters.partition_point(|(_, last)| *last < code);
            letters.get(at).is_some_and(|(first, _)| *first <= code)
        }
    }
}

/// The small letter of a capital; every other character is its own.
pub(crate) fn lower(character: char) -> char {
    if character.is_ascii() {
        return character.to_ascii_lowercase();
    }
    let code = u32::from(character);
    let capitals = &TABLE.capitals;
    let at = capitals.partition_point(|range| range.last < code);
    capitals
        .get(at)
        .filter(|range| range.first <= code && (code - range.first).is_multiple_of(range.step))
        .and_then(|range| code.checked_add_signed(range.offset))
        .and_then(char::from_u32)
        .unwrap_or(character)
}

/// Whether it is white space (`White_Space` of Unicode, unchanged since version 6.3).
pub(crate) const fn is_space(character: char) -> bool {
    matches!(
        character,
        '\t'..='\r' | ' ' | '\u{85}' | '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{2028}' | '\u{2029}'
            | '\u{202F}' | '\u{205F}' | '\u{3000}'
    )
}

#[cfg(test)]
mod tests {
    use unicode_normalization::UnicodeNormalization as _;
    use unicode_normalization::char::{canonical_combining_class, is_combining_mark};

    use super::*;

    fn all() -> impl Iterator<Item = char> {
        '\0'..=char::MAX
    }

    /// What the state's keys and the reading of the log hang on. Another hash is another state format: replicas of the two
    /// must not run together.
    #[test]
    fn the_tables_are_those_of_the_state_format() {
        let mut hasher = blake3::Hasher::new();
        for character in all() {
            let mut text = String::from(lower(character));
            text.extend([character].into_iter().nfc());
            text.extend([character].into_iter().nfd());
            hasher.update(text.as_bytes());
            hasher.update(&[
                u8::from(is_letter(character)),
                u8::from(is_space(character)),
                u8::from(is_combining_mark(character)),
                canonical_combining_class(character),
            ]);
        }
        assert_eq!(
            hasher.finalize().to_hex().as_str(),
            "601759f902a7a4a9bd1d7c299a7448a5d365201b6438814f4789f1a2e7ac8bd2"
        );
    }

    #[test]
    fn every_row_of_the_file_reads() {
        let rows = LETTERS_CSV.lines().skip(1).count();
        assert_eq!(TABLE.letters.len() + TABLE.capitals.len(), rows);
        assert!(TABLE.letters.is_sorted_by(|left, right| left.1 < right.0));
        assert!(
            TABLE
                .capitals
                .is_sorted_by(|left, right| left.last < right.first)
        );
    }

    /// Unicode adds letters and takes none away, so that a later compiler still passes this.
    #[test]
    fn the_standard_library_agrees() {
        for character in all() {
            assert!(
                !is_letter(character) || character.is_alphabetic(),
                "{character:?}"
            );
            assert_eq!(
                is_space(character),
                character.is_whitespace(),
                "{character:?}"
            );
            let small = lower(character);
            let known: Vec<char> = character.to_lowercase().collect();
            // Only İ has two small letters in the full mapping: i and a dot.
            assert!(small == character || known[0] == small, "{character:?}");
        }
        for character in ('\0'..='\u{24F}').chain('\u{1E00}'..='\u{1EFF}') {
            assert_eq!(
                is_letter(character),
                character.is_alphabetic(),
                "{character:?}"
            );
            assert_eq!(Some(lower(character)), character.to_lowercase().next());
        }
    }

    #[test]
    fn vietnamese_and_foreign_capitals_have_small_letters() {
        let small: String = "NGUYỄN ĐỨC ƯỚC ỶẲỠ H'ĂM ΣΊΣΥΦΟΣ ЖУКОВ"
            .chars()
            .map(lower)
            .collect();
        assert_eq!(small, "nguyễn đức ước ỷẳỡ h'ăm σίσυφοσ жуков");
        assert_eq!(lower('İ'), 'i');
    }
}
