//! What goes wrong with collected forms, on request: one kind of dirt for a row, or a file that ends too early.

use unicode_normalization::UnicodeNormalization;

use crate::forms::{Column, Form, Format};
use crate::random::Dice;

/// A way in which a row is spoilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dirt {
    /// The line stops in its middle: fields are missing. Refused.
    MissingFields,
    /// A quotation mark is opened and never closed (JSON: a brace is missing). Refused.
    OpenQuote,
    /// Bytes that are not UTF-8. Refused.
    NotText,
    /// A day that no calendar has. Refused.
    ImpossibleDate,
    /// A birth in the far future. Refused.
    FutureBirth,
    /// A word that is not in the list of words for the column. Refused.
    UnknownWord,
    /// No given name. Refused.
    NameMissing,
    /// A name of more than a hundred characters. Refused.
    NameTooLong,
    /// Five hundred combining characters on one letter. Refused.
    CombiningFlood,
    /// A name whose accents stand apart from their letters (Unicode NFD). Kept, composed.
    DecomposedName,
    /// A ward code that never existed. Kept as written, with a finding.
    UnknownWard,
    /// A ward code that today's list does not hold, next to one that it does. Kept as written, with a finding.
    FormerWard,
    /// Eleven digits where a personal identification number has twelve. Refused.
    PinTooShort,
    /// A personal identification number of the other sex. Refused.
    PinOfOtherSex,
    /// A personal identification number of another birth year. Refused.
    PinOfOtherYear,
    /// The same form a second time. Refused.
    DuplicateForm,
    /// The last line of the file is cut off in its middle. Refused.
    TruncatedFile,
}

impl Dirt {
    /// Every kind that spoils a row; [`Dirt::TruncatedFile`] spoils a file.
    pub const OF_ROWS: [Self; 16] = [
        Self::MissingFields,
        Self::OpenQuote,
        Self::NotText,
        Self::ImpossibleDate,
        Self::FutureBirth,
        Self::UnknownWord,
        Self::NameMissing,
        Self::NameTooLong,
        Self::CombiningFlood,
        Self::DecomposedName,
        Self::UnknownWard,
        Self::FormerWard,
        Self::PinTooShort,
        Self::PinOfOtherSex,
        Self::PinOfOtherYear,
        Self::DuplicateForm,
    ];

    /// The kind's name in summaries.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingFields => "missing_fields",
            Self::OpenQuote => "open_quote",
            Self::NotText => "not_text",
            Self::ImpossibleDate => "impossible_date",
            Self::FutureBirth => "future_birth",
            Self::UnknownWord => "unknown_word",
            Self::NameMissing => "name_missing",
            Self::NameTooLong => "name_too_long",
            Self::CombiningFlood => "combining_flood",
            Self::DecomposedName => "decomposed_name",
            Self::UnknownWard => "unknown_ward",
            Self::FormerWard => "former_ward",
            Self::PinTooShort => "pin_too_short",
            Self::PinOfOtherSex => "pin_of_other_sex",
            Self::PinOfOtherYear => "pin_of_other_year",
            Self::DuplicateForm => "duplicate_form",
            Self::TruncatedFile => "truncated_file",
        }
    }

    /// Whether the registry refuses such a row; the others are kept, normalised or with a finding.
    #[must_use]
    pub fn refused(self) -> bool {
        !matches!(
            self,
            Self::DecomposedName | Self::UnknownWard | Self::FormerWard
        )
    }

    /// Spoils the form itself. Kinds that spoil the written line leave it as it is.
    pub(crate) fn spoil_form(self, form: &mut Form, known_ward: impl Fn(&str) -> bool) {
        match self {
            Self::ImpossibleDate => {
                let year = form.get(Column::BirthDate)[..4].to_owned();
                form.set(Column::BirthDate, format!("{year}-02-30"));
            }
            Self::FutureBirth => form.set(Column::BirthDate, "2199-01-01"),
            Self::UnknownWord => form.set(Column::Sex, "x"),
            Self::NameMissing => form.set(Column::GivenName, ""),
            Self::NameTooLong => form.set(Column::MiddleName, "Trường ".repeat(20).trim_end()),
            Self::CombiningFlood => {
                form.set(Column::GivenName, format!("A{}", "\u{0301}".repeat(500)))
            }
            Self::DecomposedName => {
                for column in [Column::FamilyName, Column::MiddleName, Column::GivenName] {
                    let decomposed: String = form.get(column).nfd().collect();
                    form.set(column, decomposed);
                }
            }
            Self::UnknownWard => form.set(Column::PermanentWard, "99999"),
            Self::FormerWard => {
                let code = former_ward(form.get(Column::PermanentWard), known_ward);
                form.set(Column::PermanentWard, code);
            }
            Self::PinTooShort => form.set(Column::Pin, "01234567890"),
            Self::PinOfOtherSex => {
                let other = contradicting_pin(form, |century_sex, year| (century_sex ^ 1, year));
                form.set(Column::Pin, other);
            }
            Self::PinOfOtherYear => {
                let other =
                    contradicting_pin(form, |century_sex, year| (century_sex, (year + 7) % 100));
                form.set(Column::Pin, other);
            }
            Self::MissingFields
            | Self::OpenQuote
            | Self::NotText
            | Self::DuplicateForm
            | Self::TruncatedFile => {}
        }
    }

    /// Spoils the written line, its line feed included.
    pub(crate) fn spoil_line(self, line: &mut Vec<u8>, format: Format) {
        match self {
            Self::MissingFields | Self::TruncatedFile => {
                // In front of the cut stands ASCII only if we look for it: a cut inside a letter would be NotText.
                let mut cut = line.len() / 2;
                while cut > 1 && !line[cut].is_ascii() {
                    cut -= 1;
                }
                line.truncate(cut);
                if self == Self::MissingFields {
                    line.push(b'\n');
                }
            }
            Self::OpenQuote if format == Format::Csv => {
                line.insert(0, b'"');
            }
            Self::OpenQuote => {
                line.truncate(line.len() - 2);
                line.push(b'\n');
            }
            Self::NotText => {
                let middle = line.len() / 2;
                line[middle] = 0xff;
            }
            _ => {}
        }
    }
}

/// What is to be spoilt in a population, decided for each person by chance of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DirtPlan {
    pub(crate) seed: u64,
    pub(crate) per_million: u32,
}

impl DirtPlan {
    /// The dirt of one person's row, if any.
    pub(crate) fn of(self, person: u64) -> Option<Dirt> {
        if self.per_million == 0 {
            return None;
        }
        let mut dice = Dice::new(self.seed, b"dirtyrow", person);
        dice.rare(self.per_million)
            .then(|| *dice.pick(&Dirt::OF_ROWS))
    }
}

/// A five-digit code near `code` that today's list does not hold: former wards left such gaps.
fn former_ward(code: &str, known_ward: impl Fn(&str) -> bool) -> String {
    let start: u32 = code.parse().unwrap_or(1);
    (1..1000)
        .map(|step| format!("{:05}", (start + 3 * step) % 100_000))
        .find(|candidate| !known_ward(candidate))
        .unwrap_or_else(|| "99998".to_owned())
}

/// A number that fits the form but for what `change` does to its century-sex digit and year.
fn contradicting_pin(form: &Form, change: impl Fn(u16, u16) -> (u16, u16)) -> String {
    let year: u16 = form.get(Column::BirthDate)[..4].parse().unwrap_or(1990);
    let century_sex = (year - 1900) / 100 * 2 + u16::from(form.get(Column::Sex) == "female");
    let (century_sex, year) = change(century_sex, year % 100);
    let province = form.get(Column::BirthRegistrationProvince);
    format!("0{province}{century_sex}{year:02}000000")
}
