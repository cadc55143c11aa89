//! Values from arguments and standard input: numbers of persons, names, dates, places. Every fault is gathered.

use std::io::{self, BufRead, Read as _};

use banyan_domain::limits::GET_PERSONS_MAX;
use banyan_wire::v1;

use crate::failure::{Failure, Fault};

/// Longest line that is taken for a number.
const NUMBER_LINE_MAX: usize = 64;
/// Bytes of standard input that are taken for numbers. More than the most numbers need, blank lines and all.
const NUMBERS_BYTES_MAX: u64 = 64 * (GET_PERSONS_MAX as u64 + 1);

/// A personal identification number from an argument, or from standard input where the argument is `-`: arguments can
/// be read by everybody on the machine in the list of processes.
pub(crate) fn pin(argument: &str) -> Result<String, Failure> {
    pin_from(argument, io::stdin().lock())
}

/// As [`pin`], with the input given.
fn pin_from(argument: &str, input: impl BufRead) -> Result<String, Failure> {
    let number = if argument == "-" {
        first_line(input)?
    } else {
        argument.trim().to_owned()
    };
    if is_pin(&number) {
        return Ok(number);
    }
    Err(
        Failure::usage("a personal identification number has 12 digits")
            .with_fault("pin", "must be 12 digits"),
    )
}

/// Several numbers from arguments, or from standard input, one on a line, where the only argument is `-`. Empty lines are left out.
pub(crate) fn pins(arguments: &[String]) -> Result<Vec<String>, Failure> {
    pins_from(arguments, io::stdin().lock())
}

/// As [`pins`], with the input given.
fn pins_from(arguments: &[String], input: impl BufRead) -> Result<Vec<String>, Failure> {
    let words: Vec<String> = match arguments {
        [only] if only == "-" => lines(input)?,
        _ => arguments.to_vec(),
    };
    if words.is_empty() || words.len() > GET_PERSONS_MAX {
        let count = words.len();
        return Err(Failure::usage(format!(
            "give 1 to {GET_PERSONS_MAX} numbers; these are {count}"
        )));
    }
    let mut faults = Faults::default();
    for (place, word) in words.iter().enumerate() {
        if !is_pin(word.trim()) {
            faults.add(&format!("pin {}", place + 1), "must be 12 digits");
        }
    }
    faults.check()?;
    Ok(words.iter().map(|word| word.trim().to_owned()).collect())
}

/// The lines of an input that are not empty: one more at most than numbers are taken, so that too many are noticed.
fn lines(input: impl BufRead) -> Result<Vec<String>, Failure> {
    let mut input = input.take(NUMBERS_BYTES_MAX);
    let mut text = String::new();
    input.read_to_string(&mut text).map_err(|error| {
        Failure::fault(&anyhow::Error::new(error).context("cannot read standard input"))
    })?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let found: Vec<String> = lines.take(GET_PERSONS_MAX + 1).map(str::to_owned).collect();
    if found.is_empty() {
        return Err(Failure::usage(
            "standard input is empty: write the numbers to it, one on a line",
        ));
    }
    Ok(found)
}

fn is_pin(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn first_line(input: impl BufRead) -> Result<String, Failure> {
    let mut line = String::new();
    let read = input
        .take(NUMBER_LINE_MAX as u64)
        .read_line(&mut line)
        .map_err(|error| {
            Failure::fault(&anyhow::Error::new(error).context("cannot read standard input"))
        })?;
    if read == 0 {
        return Err(Failure::usage(
            "standard input is empty: write the number to it, followed by a line feed",
        ));
    }
    Ok(line.trim().to_owned())
}

/// Collects faults while values are read, so that all of them are told at once.
#[derive(Debug, Default)]
pub(crate) struct Faults(pub(crate) Vec<Fault>);

impl Faults {
    /// Notes a fault.
    pub(crate) fn add(&mut self, field: &str, message: impl Into<String>) {
        self.0.push(Fault {
            field: field.to_owned(),
            message: message.into(),
        });
    }

    /// Nothing, or one failure that lists all.
    pub(crate) fn check(self) -> Result<(), Failure> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Failure::usage("the request has faults").with_faults(self.0))
        }
    }

    /// A name: `family|middle|given` exactly, or words of which the first is the family name and the last the given.
    pub(crate) fn name(&mut self, field: &str, text: &str) -> Option<v1::PersonName> {
        let name = split_name(text);
        if name.is_none() {
            self.add(field, "must be a name: `Family Middle Given`, or `family|middle|given` to say the parts exactly");
        }
        name
    }

    /// A date `yyyy-mm-dd`, `yyyymmdd` or, where the law allows it, `yyyy`.
    pub(crate) fn date(&mut self, field: &str, text: &str) -> Option<v1::Date> {
        let date = banyan_synth::forms::parse_date(text.trim());
        if date.is_none() {
            self.add(field, "must be a date written yyyy-mm-dd, yyyymmdd or yyyy");
        }
        date
    }

    /// A place, as [`split_place`] reads it.
    pub(crate) fn place(&mut self, field: &str, text: &str) -> Option<v1::Place> {
        let place = split_place(text);
        if place.is_none() {
            self.add(
                field,
                "must be a place: a code of 2 (province), 3 (district) or 5 (ward) digits or all three as 40/412/16681, \
                 then `:address` if wanted; abroad: a country as FR, then `:address`",
            );
        }
        place
    }

    /// One of a list of words with their numbers in the protocol.
    pub(crate) fn word(&mut self, field: &str, text: &str, words: &[(&str, i32)]) -> i32 {
        if let Some((_, number)) = words
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(text.trim()))
        {
            return *number;
        }
        let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
        self.add(field, format!("must be one of {}", known.join(", ")));
        0
    }
}

/// Splits a name. A name of one word is a given name; of two words, family and given.
pub(crate) fn split_name(text: &str) -> Option<v1::PersonName> {
    if text.contains('|') {
        let parts: Vec<&str> = text.split('|').map(str::trim).collect();
        let [family, middle, given] = parts.as_slice() else {
            return None;
        };
        return Some(name_of(family, (*middle).to_owned(), given));
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        [] => None,
        [given] => Some(name_of("", String::new(), given)),
        [family, middle @ .., given] => Some(name_of(family, middle.join(" "), given)),
    }
}

fn name_of(family: &str, middle: String, given: &str) -> v1::PersonName {
    v1::PersonName {
        family: family.to_owned(),
        middle,
        given: given.to_owned(),
    }
}

/// Reads a place: `40`, `412`, `16681`, `40/412/16681`, each with an optional `:address`, or `FR` and `FR:Paris`.
///
/// Units above a known ward or district are filled in from the list of units; an unknown code is kept as written.
pub(crate) fn split_place(text: &str) -> Option<v1::Place> {
    let (codes, detail) = text.split_once(':').unwrap_or((text, ""));
    let (codes, detail) = (codes.trim(), detail.trim().to_owned());
    if codes.len() == 2 && codes.bytes().all(|byte| byte.is_ascii_uppercase()) {
        let country = codes.to_owned();
        return Some(v1::Place {
            country,
            detail,
            ..v1::Place::default()
        });
    }
    let mut place = v1::Place {
        country: "VN".to_owned(),
        detail,
        ..v1::Place::default()
    };
    for code in codes.split('/').map(str::trim) {
        if code.is_empty() || !code.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        match code.len() {
            2 => code.clone_into(&mut place.province),
            3 => code.clone_into(&mut place.district),
            5 => code.clone_into(&mut place.ward),
            _ => return None,
        }
    }
    crate::units::complete(&mut place);
    Some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_may_come_from_standard_input() {
        assert_eq!(
            pin_from("-", &b"040187000001\n"[..]).unwrap(),
            "040187000001"
        );
        assert_eq!(pin_from("-", &b"040187000001"[..]).unwrap(), "040187000001");
        assert_eq!(
            pin_from(" 040187000001 ", &b""[..]).unwrap(),
            "040187000001"
        );
    }

    #[test]
    fn a_number_that_is_none_is_refused_without_being_repeated() {
        for (argument, input) in [
            ("-", ""),
            ("-", "12345\n"),
            ("0401870000010", ""),
            ("04018700000x", ""),
        ] {
            let failure = pin_from(argument, input.as_bytes()).unwrap_err();
            assert_eq!(failure.exit, crate::exit::Exit::Usage);
            let shown = format!("{failure:?}");
            assert!(!shown.contains("12345") && !shown.contains("0187"));
        }
    }

    #[test]
    fn many_numbers_come_as_arguments_or_line_by_line() {
        let words = |words: &[&str]| {
            words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
        };
        let two = words(&["040187000001", "040187000002"]);
        assert_eq!(pins_from(&two, &b""[..]).unwrap(), two);
        let input = &b"040187000001\n\n  040187000002\r\n"[..];
        assert_eq!(pins_from(&words(&["-"]), input).unwrap(), two);

        let wrong = words(&["040187000001", "4", "-"]);
        let failure = pins_from(&wrong, &b""[..]).unwrap_err();
        let fields: Vec<&str> = failure
            .faults
            .iter()
            .map(|one| one.field.as_str())
            .collect();
        assert_eq!(fields, ["pin 2", "pin 3"]);
        for input in [
            String::new(),
            "040187000001\n".repeat(1_001),
            "\n".repeat(1 << 20),
        ] {
            assert!(pins_from(&words(&["-"]), input.as_bytes()).is_err());
        }
    }

    #[test]
    fn an_endless_line_on_standard_input_is_not_read_to_its_end() {
        let endless = vec![b'1'; 1 << 20];
        assert!(pin_from("-", &endless[..]).is_err());
    }

    #[test]
    fn names_are_split_by_words_or_by_bars() {
        let name = split_name("Nguyễn Thị Minh Khai").unwrap();
        assert_eq!(
            (
                name.family.as_str(),
                name.middle.as_str(),
                name.given.as_str()
            ),
            ("Nguyễn", "Thị Minh", "Khai")
        );
        let name = split_name("Tôn Nữ|Thị|Huệ").unwrap();
        assert_eq!(
            (
                name.family.as_str(),
                name.middle.as_str(),
                name.given.as_str()
            ),
            ("Tôn Nữ", "Thị", "Huệ")
        );
        let name = split_name("Y").unwrap();
        assert_eq!((name.family.as_str(), name.given.as_str()), ("", "Y"));
        assert!(split_name("  ").is_none());
        assert!(split_name("a|b").is_none());
    }

    #[test]
    fn places_are_read_from_codes() {
        let place = split_place("40/412/99999: Thôn 3").unwrap();
        assert_eq!(
            (
                place.province.as_str(),
                place.district.as_str(),
                place.ward.as_str()
            ),
            ("40", "412", "99999")
        );
        assert_eq!(place.detail, "Thôn 3");
        let abroad = split_place("FR:Paris").unwrap();
        assert_eq!(
            (abroad.country.as_str(), abroad.detail.as_str()),
            ("FR", "Paris")
        );
        for wrong in ["", "4", "Nghệ An", "40//", "40/41x"] {
            assert!(split_place(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_known_ward_brings_its_district_and_province() {
        let place = split_place("00001").unwrap();
        assert_eq!(
            (place.district.as_str(), place.province.as_str()),
            ("001", "01")
        );
    }
}
