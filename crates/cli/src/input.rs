//! Values from arguments and standard input: numbers of persons, names, dates, places. Every fault is gathered.

use std::io::{self, BufRead};

use banyan_wire::v1;

use crate::failure::{Failure, Fault};

/// Longest line that is taken for a number.
const NUMBER_LINE_MAX: usize = 64;

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
    if number.len() == 12 && number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(number);
    }
    Err(
        Failure::usage("a personal identification number has 12 digits")
            .with_fault("pin", "must be 12 digits"),
    )
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
