//! Parsers of what people write: total, stable under a second reading, and silent about what they read.

use std::fmt::Debug;

use banyan_domain::{
    AreaCode, BirthDate, CalendarDate, Cmnd, CountryCode, DistrictCode, DocumentNumber, Ethnicity,
    FieldFault, NameKey, Office, PersonName, Pin, Principal, ProvinceCode, Religion, Role, Text,
    Timestamp, ValueFault, WardCode,
};
use proptest::prelude::*;

/// Shorter texts stand in any message by chance.
const TELLING_CHARS: usize = 5;

fn telling(raw: &str) -> bool {
    raw.trim().chars().count() >= TELLING_CHARS
}

fn faults_are_silent(faults: &[FieldFault], raw: &str) {
    for fault in faults.iter().filter(|_| telling(raw)) {
        assert!(
            !fault.to_string().contains(raw.trim()),
            "a fault holds the value: {fault}"
        );
        assert!(!fault.message.is_empty());
    }
}

fn fault_is_silent<T>(read: Result<T, ValueFault>, raw: &str) -> Option<T> {
    read.map_err(|fault| faults_are_silent(&[fault.at("field")], raw))
        .ok()
}

/// For what is personal: the value is not in its `Debug` either.
fn silent<T: Debug>(read: Result<T, ValueFault>, raw: &str) -> Option<T> {
    let value = fault_is_silent(read, raw)?;
    let shown = format!("{value:?} {value:#?}");
    assert!(
        !telling(raw) || !shown.contains(raw.trim()),
        "Debug shows the value"
    );
    assert!(
        !shown.bytes().any(|byte| byte.is_ascii_digit()),
        "Debug shows digits: {shown}"
    );
    Some(value)
}

fn read_everything(raw: &str) {
    if let Some(pin) = silent(Pin::parse(raw), raw) {
        assert_eq!(pin.as_str(), raw);
        assert_eq!(Pin::in_bucket(pin.bucket(), pin.serial()), pin);
        silent(Ok(pin.explain()), raw);
    }
    if let Some(cmnd) = silent(Cmnd::parse(raw), raw) {
        assert_eq!(cmnd.as_str(), raw);
    }
    if let Some(date) = silent(BirthDate::parse(raw), raw) {
        assert_eq!(BirthDate::parse(&date.to_string()), Ok(date));
    }
    if let Some(date) = silent(CalendarDate::parse(raw), raw) {
        assert_eq!(CalendarDate::parse(&date.to_string()), Ok(date));
    }
    if let Some(text) = silent(Text::<200>::new(raw), raw) {
        assert_eq!(Text::new(text.as_str()).as_ref(), Ok(&text));
        assert!(!text.as_str().is_empty() && text.as_str().chars().count() <= 200);
    }
    silent(Text::<200>::optional(raw), raw);
    silent(DocumentNumber::new(raw), raw);
    match PersonName::parse(raw) {
        Ok(name) => {
            let again = PersonName::new(name.family(), name.middle(), name.given());
            assert_eq!(again.as_ref(), Ok(&name));
            assert_eq!(PersonName::parse(&name.full()).as_ref(), Ok(&name));
            assert!(name.full().chars().count() <= 100 && !name.given().is_empty());
            let key = NameKey::of(&name, BirthDate::parse("1975").unwrap());
            silent(Ok((name, key)), raw);
        }
        Err(faults) => faults_are_silent(&faults, raw),
    }
    if let Err(faults) = PersonName::new(raw, raw, raw) {
        faults_are_silent(&faults, raw);
    }
    fault_is_silent(Ethnicity::new(raw), raw);
    fault_is_silent(Religion::new(raw), raw);
    fault_is_silent(CountryCode::new(raw), raw);
    fault_is_silent(ProvinceCode::new(raw), raw);
    fault_is_silent(DistrictCode::new(raw), raw);
    fault_is_silent(WardCode::new(raw), raw);
    fault_is_silent(AreaCode::parse(raw), raw);
    fault_is_silent(Role::parse("registrar", raw), raw);
    fault_is_silent(Office::new(raw), raw);
    fault_is_silent(Principal::new(raw), raw);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_read_or_refused_in_silence(raw in any::<String>()) {
        read_everything(&raw);
    }

    #[test]
    fn texts_that_are_nearly_right_are_too(
        raw in prop_oneof![
            "[0-9]{0,13}", "[0-9]{4}-[0-9]{2}-[0-9]{2}", "(18|19|20|23|24)[0-9]{2}-?[01][0-9]-?[0-3][0-9]", "[A-Z]{1,3}",
            "[0-9]{2,5}", "(Nguy[êễ]n|Tr[ầâ]\u{300}n|H'Ap|Ê Ban) [A-Za-zđĐ]{1,40} ?[a-z\u{301}\u{323}\u{31b}]{0,70}",
            "[ \t\u{a0}a-zA-Z\u{300}-\u{32f}]{0,120}",
        ],
    ) {
        read_everything(&raw);
    }

    #[test]
    fn any_three_numbers_are_a_date_or_none(year in any::<u32>(), month in any::<u32>(), day in any::<u32>()) {
        silent(BirthDate::from_parts(year, month, day), "");
        silent(BirthDate::from_parts(1_790 + year % 620, month % 14, day % 33), "");
    }

    #[test]
    fn any_instant_has_a_day(at in any::<i64>()) {
        let day = CalendarDate::in_viet_nam(Timestamp(at));
        prop_assert_eq!(CalendarDate::new(day.year(), day.month(), day.day()), Ok(day));
        prop_assert!(day.next() >= day);
    }
}

#[test]
fn a_megabyte_is_refused_by_everything() {
    for letter in ["a", "ễ", "\u{301}", "7", " "] {
        read_everything(&letter.repeat(1 << 20));
    }
}
