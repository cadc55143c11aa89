//! Requests that would grow beyond their bounds are refused before they are decoded; honest ones pass, however full.

use std::hint::black_box;
use std::time::{Duration, Instant};

use banyan_domain::limits::{BATCH_COMMANDS_MAX, HOUSEHOLD_MEMBERS_MAX};
use banyan_wire::bounded::{ELEMENTS_MAX, PARTS_MAX, check};
use banyan_wire::command::command_to_wire;
use banyan_wire::errors::{self, Code};
use banyan_wire::{internal_v1, v1};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use prost::encoding::encode_varint;

use super::generators::{command, head};

/// The largest message that a node takes.
const MESSAGE_BYTES: usize = 4 << 20;

/// A field with a length around bytes.
fn field(number: u64, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(content.len() + 12);
    encode_varint(number << 3 | 2, &mut bytes);
    encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

/// A batch of one form with this household.
fn batch_with_household(household: &[u8]) -> Vec<u8> {
    let data = field(19, household);
    let register_person = field(1, &data);
    let command = field(10, &register_person);
    field(1, &field(2, &command))
}

fn code(result: Result<(), tonic::Status>) -> Option<Code> {
    errors::from_status(&result.err()?)?.known_code()
}

#[test]
fn empty_elements_by_the_million_are_refused() {
    let submissions = field(1, &[]).repeat(MESSAGE_BYTES / 2);
    assert_eq!(
        code(check::<v1::SubmitBatchRequest>(&submissions)),
        Some(Code::BatchSize)
    );
    // The same inside a call of a stream, and with less than the outer list may hold.
    let call = field(11, &submissions);
    assert_eq!(code(check::<v1::Call>(&call)), Some(Code::BatchSize));
    let members = field(5, &[]).repeat(MESSAGE_BYTES / 2 - 64);
    let batch = batch_with_household(&members);
    let status = check::<v1::SubmitBatchRequest>(&batch).unwrap_err();
    assert!(
        status.message().contains("banyan.v1.Household.members"),
        "{status:?}"
    );
    assert_eq!(code(Err(status)), Some(Code::MessageTooLarge));
    // Lists within their bound, but too many of them.
    let lists = batch_with_household(&field(5, &[]).repeat(ELEMENTS_MAX as usize));
    let count = PARTS_MAX / ELEMENTS_MAX;
    let batch = lists.repeat(count as usize);
    assert!(batch.len() < MESSAGE_BYTES);
    assert_eq!(
        code(check::<v1::SubmitBatchRequest>(&batch)),
        Some(Code::MessageTooLarge)
    );
}

#[test]
fn a_wrong_length_does_not_hide_parts_from_the_walk() {
    // The outer message says that it ends before the inner one does; prost would find out only after decoding the inner one.
    let members = field(5, &[]).repeat(MESSAGE_BYTES / 2 - 64);
    let mut batch = batch_with_household(&members);
    let whole = batch.len();
    batch.drain(..4 + 1);
    let mut lying = vec![0x0a, 4];
    lying.extend(&batch);
    assert!(lying.len() < whole);
    assert_eq!(
        code(check::<v1::SubmitBatchRequest>(&lying)),
        Some(Code::InvalidFields)
    );
}

#[test]
fn messages_between_nodes_and_answers_are_not_walked() {
    let garbage = [0xff; 64];
    assert!(check::<internal_v1::AppendRequest>(&garbage).is_ok());
    assert!(check::<v1::SubmitBatchResponse>(&garbage).is_ok());
    assert!(check::<v1::SubmitRequest>(&garbage).is_err());
}

/// What one element of a list takes before it holds anything.
#[test]
fn elements_of_lists_are_small_in_memory() {
    assert!(
        size_of::<v1::SubmitRequest>() <= 192,
        "{}",
        size_of::<v1::SubmitRequest>()
    );
    assert!(
        size_of::<v1::RelatedPerson>() <= 192,
        "{}",
        size_of::<v1::RelatedPerson>()
    );
}

fn name() -> Option<v1::PersonName> {
    Some(v1::PersonName {
        family: String::from("Nguyễn"),
        middle: String::from("Thị Ngọc"),
        given: String::from("Hương"),
    })
}

fn date() -> Option<v1::Date> {
    Some(v1::Date {
        year: 1985,
        month: 3,
        day: 14,
    })
}

fn place() -> Option<v1::Place> {
    Some(v1::Place {
        province: String::from("40"),
        district: String::from("412"),
        ward: String::from("16663"),
        detail: String::from("Số 17, đường Nguyễn Du, khối 4"),
        country: String::new(),
    })
}

fn related() -> Option<v1::RelatedPerson> {
    Some(v1::RelatedPerson {
        name: name(),
        pin: String::from("040060001234"),
        ..Default::default()
    })
}

/// A form with every field and the largest household.
fn full_form() -> v1::SubmitRequest {
    let stay = Some(v1::TemporaryStay {
        place: place(),
        from: date(),
        until: date(),
    });
    let data = v1::PersonData {
        name: name(),
        birth_date: date(),
        sex: 1,
        birth_registration_place: place(),
        native_place: place(),
        ethnicity: String::from("01"),
        religion: String::from("00"),
        nationalities: vec![String::from("VN"); 3],
        marital_status: 1,
        permanent_residence: place(),
        temporary_residence: stay.clone(),
        temporary_absence: stay,
        current_residence: place(),
        blood_group: 1,
        father: related(),
        mother: related(),
        spouse: related(),
        legal_representative: related(),
        household: Some(v1::Household {
            number: String::from("NA-2019-004417"),
            relation: 1,
            head: related(),
            members: related()
                .into_iter()
                .cycle()
                .take(HOUSEHOLD_MEMBERS_MAX)
                .collect(),
            ..Default::default()
        }),
        cmnd: String::from("186123456"),
    };
    let register = v1::RegisterPerson {
        data: Some(data),
        pin: String::from("040185001234"),
        death: Some(v1::Death {
            kind: 1,
            date: date(),
            place: place(),
        }),
    };
    v1::SubmitRequest {
        idempotency_key: vec![7; 16].into(),
        command: Some(v1::Command {
            office: String::from("G01.832.404"),
            legal_basis: 1,
            document: Some(v1::SourceDocument {
                kind: 1,
                number: String::from("DC01-2021-000017"),
                issued: date(),
            }),
            kind: Some(v1::command::Kind::RegisterPerson(Box::new(register))),
        }),
        dry_run: true,
        hint_leader: false,
    }
}

#[test]
fn the_largest_batch_of_full_forms_passes() {
    let batch = v1::SubmitBatchRequest {
        submissions: vec![full_form(); BATCH_COMMANDS_MAX],
        hint_leader: false,
    };
    let bytes = batch.encode_to_vec();
    check::<v1::SubmitBatchRequest>(&bytes).unwrap();
    let one_more = [bytes, field(1, &[])].concat();
    assert_eq!(
        code(check::<v1::SubmitBatchRequest>(&one_more)),
        Some(Code::BatchSize)
    );
}

/// The quietest of a few runs.
fn least_time<T>(mut work: impl FnMut() -> T) -> Duration {
    let runs = (0..10).map(|_| {
        let begun = Instant::now();
        black_box(work());
        begun.elapsed()
    });
    runs.min().unwrap_or_default()
}

#[test]
fn a_walk_costs_less_than_decoding_what_it_walks_over() {
    let submissions = vec![full_form(); 200];
    let bytes = v1::SubmitBatchRequest {
        submissions,
        ..v1::SubmitBatchRequest::default()
    }
    .encode_to_vec();
    let walk = least_time(|| check::<v1::SubmitBatchRequest>(&bytes).is_ok());
    let decode = least_time(|| v1::SubmitBatchRequest::decode(bytes.as_slice()).unwrap());
    let (length, share) = (bytes.len(), walk.as_secs_f64() / decode.as_secs_f64());
    assert!(
        share < 0.5,
        "{length} bytes: walk {walk:?}, decode {decode:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_domain_takes_passes(commands in vec((head(), command()), 1..12), repeat in 1_usize..80) {
        let submissions: Vec<_> = commands
            .iter()
            .map(|(head, command)| v1::SubmitRequest {
                idempotency_key: vec![1; 16].into(),
                command: Some(command_to_wire(head, command)),
                dry_run: false,
                hint_leader: false,
            })
            .collect();
        let submissions = vec![submissions; repeat].concat();
        let batch = v1::SubmitBatchRequest { submissions, ..v1::SubmitBatchRequest::default() };
        prop_assert!(check::<v1::SubmitBatchRequest>(&batch.encode_to_vec()).is_ok());
        let call = v1::Call {
            id: 1,
            timeout_ms: 0,
            method: Some(v1::call::Method::SubmitBatch(batch)),
        };
        prop_assert!(check::<v1::Call>(&call.encode_to_vec()).is_ok());
    }

    #[test]
    fn what_prost_decodes_of_damaged_bytes_the_walk_can_follow(
        head in head(), command in command(), place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut bytes = command_to_wire(&head, &command).encode_to_vec();
        let place = place.index(bytes.len());
        if cut {
            bytes.truncate(place);
        } else {
            bytes[place] = byte;
        }
        let bytes = field(2, &bytes);
        let walked = check::<v1::SubmitRequest>(&bytes).is_ok();
        prop_assert!(walked || v1::SubmitRequest::decode(bytes.as_slice()).is_err());
    }
}
