//! Stored values decode to exactly what was encoded, and encode to the same bytes again.

use banyan_domain::{Event, EventKind, EventSequence, PersonId, Role, Timestamp, VersionNumber};
use banyan_wire::record;
use proptest::prelude::*;

use super::generators::{actor, audit, stored_outcome, version};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_version_comes_back_as_it_was(version in version()) {
        let bytes = record::encode_version(&version);
        prop_assert_eq!(&bytes, &record::encode_version(&version.clone()));
        let back = record::decode_version(version.person, version.version, &bytes).unwrap();
        prop_assert_eq!(&back, &version);
        prop_assert_eq!(record::encode_version(&back), bytes);
    }

    #[test]
    fn an_outcome_comes_back_as_it_was(stored in stored_outcome()) {
        let bytes = record::encode_outcome(&stored);
        let back = record::decode_outcome(&bytes).unwrap();
        prop_assert_eq!(&back, &stored);
        prop_assert_eq!(record::encode_outcome(&back), bytes);
    }

    #[test]
    fn an_audit_record_comes_back_as_it_was(audit in audit()) {
        let bytes = record::encode_audit(&audit);
        let back = record::decode_audit(audit.position.index, audit.ordinal, &bytes).unwrap();
        prop_assert_eq!(&back, &audit);
        prop_assert_eq!(record::encode_audit(&back), bytes);
    }

    #[test]
    fn an_event_comes_back_as_it_was(
        kind in prop::sample::select(EventKind::ALL),
        numbers in any::<(u64, u64, u32, u64, i64)>(),
    ) {
        let event = Event {
            sequence: EventSequence(numbers.0),
            kind,
            person: PersonId(numbers.1),
            version: VersionNumber(numbers.2),
            log_index: numbers.3,
            time: Timestamp(numbers.4),
        };
        let bytes = record::encode_event(&event);
        prop_assert_eq!(record::decode_event(event.sequence, &bytes).unwrap(), event);
    }

    #[test]
    fn an_access_record_comes_back_as_it_was(
        actor in actor(),
        persons in prop::collection::vec(any::<u64>(), 0..5),
        purpose in "[a-zà-ỹ ]{0,40}",
        time in any::<i64>(),
        asked in any::<u32>(),
    ) {
        let access = record::Access {
            time: Timestamp(time),
            principal: actor.principal,
            role: actor.role,
            method: String::from("GetPerson"),
            persons: persons.into_iter().map(PersonId).collect(),
            purpose,
            position: 7,
            asked,
        };
        let bytes = record::encode_access(&access);
        prop_assert_eq!(record::decode_access(&bytes).unwrap(), access);
    }

    #[test]
    fn damaged_bytes_are_an_error_and_never_a_panic(
        version in version(),
        at in any::<prop::sample::Index>(),
        flip in 1_u8..,
    ) {
        let mut bytes = record::encode_version(&version);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let _ = record::decode_version(version.person, version.version, &bytes);
        bytes.truncate(at);
        let _ = record::decode_version(version.person, version.version, &bytes);
    }
}

#[test]
fn an_empty_value_is_no_record() {
    assert!(record::decode_version(PersonId(1), VersionNumber(1), &[]).is_err());
    assert!(record::decode_outcome(&[]).is_err());
    assert!(record::decode_event(EventSequence(1), &[]).is_err());
    assert!(record::decode_audit(1, 0, &[]).is_err());
    assert!(record::decode_access(&[]).is_err());
    assert!(Role::parse("", "").is_err());
}
