//! The markers of the state: how far it has come, and its counters.

use banyan_domain::{Counters, IdempotencyKey, Position, Timestamp, ViewFault};

use super::view::{Applied, fault};

pub(super) fn encode_applied(applied: Applied) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&applied.position.term.to_be_bytes());
    bytes[8..16].copy_from_slice(&applied.position.index.to_be_bytes());
    bytes[16..].copy_from_slice(&applied.time.get().to_be_bytes());
    bytes
}

pub(super) fn decode_applied(plain: &[u8]) -> Result<Applied, ViewFault> {
    let [term, index, time] =
        words(plain).ok_or_else(|| fault("the applied position has a wrong length"))?;
    Ok(Applied {
        position: Position {
            term: u64::from_be_bytes(term),
            index: u64::from_be_bytes(index),
        },
        time: Timestamp(i64::from_be_bytes(time)),
    })
}

pub(super) fn encode_counters(counters: &Counters) -> [u8; 56] {
    let mut bytes = [0; 56];
    bytes[..8].copy_from_slice(&counters.next_person.to_be_bytes());
    bytes[8..16].copy_from_slice(&counters.next_event.to_be_bytes());
    bytes[16..24].copy_from_slice(&counters.persons.to_be_bytes());
    bytes[24..32].copy_from_slice(&counters.last_time.get().to_be_bytes());
    bytes[32..40].copy_from_slice(&counters.keys.to_be_bytes());
    if let Some(first) = &counters.first_key {
        bytes[40..].copy_from_slice(first.as_bytes());
    }
    bytes
}

pub(super) fn decode_counters(plain: &[u8]) -> Result<Counters, ViewFault> {
    let wrong = || fault("the counters have a wrong length");
    let (numbers, first) = plain.split_at_checked(40).ok_or_else(wrong)?;
    let [person, event, persons, time, keys] = words(numbers).ok_or_else(wrong)?;
    let first_key = match first {
        [0, ..] if first == [0; 16] => None,
        first => Some(
            IdempotencyKey::parse(first)
                .map_err(|cause| fault(format!("the first key among the counters {cause}")))?,
        ),
    };
    Ok(Counters {
        next_person: u64::from_be_bytes(person),
        next_event: u64::from_be_bytes(event),
        persons: u64::from_be_bytes(persons),
        last_time: Timestamp(i64::from_be_bytes(time)),
        keys: u64::from_be_bytes(keys),
        first_key,
    })
}

/// Exactly `N` words of eight bytes.
fn words<const N: usize>(plain: &[u8]) -> Option<[[u8; 8]; N]> {
    let (words, rest) = plain.as_chunks::<8>();
    if !rest.is_empty() {
        return None;
    }
    words.try_into().ok()
}
