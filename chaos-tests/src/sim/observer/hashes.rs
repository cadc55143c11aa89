//! Hashes by which entries and their results are compared.

use std::hash::Hasher as _;

use banyan_storage::EntryResult;

pub(super) fn hash_of(bytes: &[u8]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

pub(super) fn hash_of_results(result: &EntryResult) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    for outcome in &result.outcomes {
        hasher.write_u64(outcome.position.index);
        hasher.write_u64(outcome.position.term);
        hasher.write_i64(outcome.time.get());
        hasher.write_u8(u8::from(outcome.replayed));
        match &outcome.result {
            Ok(accepted) => {
                hasher.write_u64(accepted.person.get());
                hasher.write_u32(accepted.version.get());
                hasher.write(accepted.pin.as_str().as_bytes());
            }
            Err(rejection) => hasher.write(rejection.name().as_bytes()),
        }
    }
    hasher.finish()
}
