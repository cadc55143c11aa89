//! Forms on their way out and in: nothing is lost, every fault is found, no bad line disturbs another.

use std::collections::BTreeMap;

use banyan_synth::Dirt;
use banyan_synth::forms::{Column, Form, Format, LINE_BYTES_MAX, OpenError, Reader, Row, Writer};
use banyan_wire::v1;
use v1::command::Kind;

use super::{rows, written};

const BOTH: [Format; 2] = [Format::Csv, Format::JsonLines];

/// A form with everything that must be there.
fn plain() -> Form {
    let mut form = Form::new();
    for (column, value) in [
        (Column::FormNumber, "DC01-1"),
        (Column::Office, "CA.01.001.00001"),
        (Column::FamilyName, "Nguyễn"),
        (Column::GivenName, "An"),
        (Column::BirthDate, "1990-05-06"),
        (Column::Sex, "female"),
        (Column::Nationalities, "VN"),
        (Column::BirthRegistrationProvince, "01"),
        (Column::BirthRegistrationCountry, "VN"),
        (Column::NativeProvince, "01"),
        (Column::PermanentProvince, "01"),
        (Column::PermanentDistrict, "001"),
        (Column::PermanentWard, "00001"),
    ] {
        form.set(column, value);
    }
    form
}

fn file_of(forms: &[Form], format: Format) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), format).unwrap();
    for form in forms {
        writer.write(form).unwrap();
    }
    writer.finish().unwrap()
}

fn with(column: Column, value: &str) -> Form {
    let mut form = plain();
    form.set(column, value);
    form
}

fn columns_at_fault(row: &Row) -> Vec<&str> {
    row.content
        .as_ref()
        .err()
        .map(|faults| faults.iter().map(|fault| fault.column.as_str()).collect())
        .unwrap_or_default()
}

fn registration(row: Row) -> v1::RegisterPerson {
    match row.content.unwrap().kind {
        Some(Kind::RegisterPerson(registration)) => *registration,
        _ => panic!("a form registers a person"),
    }
}

#[test]
fn awkward_values_survive_both_formats() {
    let address = r#"Số 5, ngõ "Cây Đa""#;
    for format in BOTH {
        let mut read = rows(
            &file_of(&[with(Column::PermanentDetail, address)], format),
            format,
        );
        let registration = registration(read.remove(0));
        assert_eq!(
            registration
                .data
                .unwrap()
                .permanent_residence
                .unwrap()
                .detail,
            address
        );
    }
}

#[test]
fn both_formats_give_the_same_commands() {
    let csv = rows(&written(500, 4, 0.0, Format::Csv).0, Format::Csv);
    let json = rows(
        &written(500, 4, 0.0, Format::JsonLines).0,
        Format::JsonLines,
    );
    assert_eq!(csv.len(), json.len());
    for (one, other) in csv.into_iter().zip(json) {
        assert_eq!(one.content.unwrap(), other.content.unwrap());
    }
}

#[test]
fn every_fault_of_a_row_is_told_with_its_column() {
    let mut form = plain();
    form.set(Column::BirthDate, "2001-02-30");
    form.set(Column::Sex, "x");
    form.set(Column::Pin, "123");
    form.set(Column::Issued, "yesterday");
    form.set(Column::HouseholdMembers, "Nguyễn|An");
    for format in BOTH {
        let read = rows(&file_of(&[form.clone(), plain()], format), format);
        let mut found = columns_at_fault(&read[0]);
        found.sort_unstable();
        assert_eq!(
            found,
            ["birth_date", "household_members", "issued", "pin", "sex"]
        );
        assert!(read[1].content.is_ok(), "{:?}", read[1].content);
    }
}

#[test]
fn a_fault_never_repeats_the_value() {
    let form = with(Column::FamilyName, &"Bùimật".repeat(40));
    let read = rows(
        &file_of(&[form, with(Column::Cmnd, "98765")], Format::Csv),
        Format::Csv,
    );
    let told = format!("{:?} {:?}", read[0].content, read[1].content);
    assert!(
        !told.contains("Bùimật") && !told.contains("98765"),
        "{told}"
    );
}

#[test]
fn an_open_quotation_mark_costs_its_own_line_only() {
    let mut bytes = file_of(&[plain()], Format::Csv);
    bytes.extend_from_slice(b"\"oops,1\n");
    let good = file_of(&[with(Column::FormNumber, "DC01-2")], Format::Csv);
    let header = good.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    bytes.extend_from_slice(&good[header..]);
    let read = rows(&bytes, Format::Csv);
    assert_eq!(read.len(), 3);
    assert_eq!(read[1].line, 3);
    assert_eq!(columns_at_fault(&read[1]), ["row"]);
    assert_eq!(read[2].form_number, "DC01-2");
    assert!(read[2].content.is_ok());
}

#[test]
fn a_line_that_is_too_long_is_refused_and_passed_over() {
    for format in BOTH {
        let long = with(Column::PermanentDetail, &"x".repeat(5 * LINE_BYTES_MAX));
        let bytes = file_of(&[plain(), long, with(Column::FormNumber, "DC01-3")], format);
        let read = rows(&bytes, format);
        assert_eq!(read.len(), 3);
        assert_eq!(columns_at_fault(&read[1]), ["row"]);
        assert_eq!(read[2].form_number, "DC01-3");
        assert_eq!(read[2].end_offset, bytes.len() as u64);
    }
}

#[test]
fn a_file_that_was_cut_off_says_so_at_its_last_row() {
    for format in BOTH {
        let bytes = file_of(&[plain(), plain()], format);
        let read = rows(&bytes[..bytes.len() - 40], format);
        assert!(read[0].content.is_ok());
        let faults = read[1].content.as_ref().unwrap_err();
        assert!(
            faults.iter().any(|fault| fault.message.contains("cut off")),
            "{faults:?}"
        );
    }
}

#[test]
fn a_missing_line_feed_alone_is_no_fault() {
    let mut bytes = file_of(&[plain()], Format::Csv);
    bytes.pop();
    assert!(rows(&bytes, Format::Csv)[0].content.is_ok());
}

#[test]
fn carriage_returns_a_byte_order_mark_and_blank_lines_are_taken() {
    let text = String::from_utf8(file_of(
        &[plain(), with(Column::FormNumber, "DC01-2")],
        Format::Csv,
    ))
    .unwrap();
    let windows = format!("\u{feff}{}", text.replace('\n', "\r\n\r\n"));
    let read = rows(windows.as_bytes(), Format::Csv);
    assert_eq!(read.len(), 2);
    assert!(read.iter().all(|row| row.content.is_ok()));
    assert_eq!((read[0].line, read[1].line, read[1].ordinal), (3, 5, 1));
}

#[test]
fn columns_may_stand_in_any_order_and_be_left_out() {
    let text = "sex,birth_date,given_name,family_name,office,form_number,birth_registration_province\n\
                male,1950,An,Nguyễn,CA.1,DC01-9,40\n";
    let mut read = rows(text.as_bytes(), Format::Csv);
    let row = read.remove(0);
    assert_eq!(row.form_number, "DC01-9");
    let faults = columns_at_fault(&row).join(",");
    assert!(
        !faults.contains("birth_date") && !faults.contains("sex"),
        "{faults}"
    );
}

#[test]
fn a_header_that_does_not_fit_names_everything_wrong_with_it() {
    let text = "form_number,office,office,given,sex\n";
    let Err(OpenError::Header(fault)) = Reader::open(text.as_bytes(), Format::Csv) else {
        panic!("must be refused")
    };
    assert_eq!(fault.unknown, ["given"]);
    assert_eq!(fault.repeated, ["office"]);
    assert!(fault.missing.contains(&"family_name") && fault.missing.contains(&"birth_date"));
    assert!(matches!(
        Reader::open(&b""[..], Format::Csv),
        Err(OpenError::Empty)
    ));
}

#[test]
fn a_file_without_header_does_not_print_its_first_person() {
    let text = "DC01-1,CA,Nguyễn,Văn,An,1990-01-01\n";
    let Err(error) = Reader::open(text.as_bytes(), Format::Csv) else {
        panic!("must be refused")
    };
    assert!(!error.to_string().contains("1990"));
}

#[test]
fn keys_are_the_same_again_and_differ_between_rows() {
    let bytes = file_of(&[plain(), plain()], Format::Csv);
    let (first, second) = (rows(&bytes, Format::Csv), rows(&bytes, Format::Csv));
    assert_eq!(first[0].key_bits, second[0].key_bits);
    assert_eq!(first[1].key_bits, second[1].key_bits);
    assert_ne!(
        first[0].key_bits, first[1].key_bits,
        "a form that stands twice is two submissions"
    );
}

#[test]
fn skipping_rows_goes_on_with_the_same_keys() {
    let bytes = written(50, 2, 0.0, Format::Csv).0;
    let all = rows(&bytes, Format::Csv);
    let mut reader = Reader::open(&bytes[..], Format::Csv).unwrap();
    reader.skip_rows(20).unwrap();
    let rest: Vec<Row> = reader.map(Result::unwrap).collect();
    assert_eq!(rest.len(), 30);
    assert_eq!(
        (rest[0].line, rest[0].ordinal, rest[0].key_bits),
        (all[20].line, all[20].ordinal, all[20].key_bits)
    );
    let mut past = Reader::open(&bytes[..], Format::Csv).unwrap();
    past.skip_rows(1_000).unwrap();
    assert!(past.next().is_none());
}

#[test]
fn json_members_of_the_wrong_kind_are_told_one_by_one() {
    let text =
        r#"{"form_number": "DC01-1", "sex": 1, "unknown_thing": "x", "pin": null, "sex": "male"}"#;
    let read = rows(text.as_bytes(), Format::JsonLines);
    let found = columns_at_fault(&read[0]);
    assert!(
        found.contains(&"sex") && found.contains(&"row"),
        "{found:?}"
    );
    assert!(!found.contains(&"pin"));
    for broken in ["[]", "12", "{\"a\"", "{\"form_number\": \"x\"} extra"] {
        let read = rows(broken.as_bytes(), Format::JsonLines);
        assert_eq!(columns_at_fault(&read[0])[0], "row", "{broken}");
    }
}

#[test]
fn dirt_comes_in_every_kind_and_is_found() {
    for format in BOTH {
        let (bytes, summary) = written(3_000, 11, 0.2, format);
        let mut kinds: BTreeMap<&str, u64> = summary
            .dirt
            .iter()
            .map(|(dirt, count)| (dirt.name(), *count))
            .collect();
        for dirt in Dirt::OF_ROWS {
            assert!(
                kinds.remove(dirt.name()).is_some_and(|count| count > 10),
                "{} is missing",
                dirt.name()
            );
        }
        assert_eq!(kinds.remove("truncated_file"), Some(1));
        assert!(kinds.is_empty());
        let read = rows(&bytes, format);
        assert_eq!(read.len() as u64, summary.rows);
        let refused = read.iter().filter(|row| row.content.is_err()).count() as u64;
        let expected = refused_without_the_registry(&summary.dirt);
        // The last line may have been dirty before it was cut off: it is then counted twice.
        assert!(
            (expected - 1..=expected).contains(&refused),
            "{refused} refused, {expected} expected"
        );
    }
}

/// Rows that a reader refuses by itself. The rest is the registry's to refuse: it alone knows what is there already, how
/// number and record compare, and what day it is.
fn refused_without_the_registry(dirt: &BTreeMap<Dirt, u64>) -> u64 {
    let registry = [
        Dirt::DuplicateForm,
        Dirt::PinOfOtherSex,
        Dirt::PinOfOtherYear,
        Dirt::FutureBirth,
    ];
    dirt.iter()
        .filter(|(dirt, _)| dirt.refused() && !registry.contains(dirt))
        .map(|(_, count)| count)
        .sum()
}

#[test]
fn decomposed_names_are_composed() {
    let mut form = plain();
    form.set(Column::FamilyName, "Nguye\u{0302}\u{0303}n");
    let read = rows(&file_of(&[form], Format::Csv), Format::Csv);
    let command = read.into_iter().next().unwrap().content.unwrap();
    let (_, command) = banyan_wire::command::command_from_wire(&command).unwrap();
    let banyan_domain::Command::RegisterPerson(registration) = command else {
        panic!("a form registers a person")
    };
    assert_eq!(registration.data.name.family(), "Nguyễn");
}
