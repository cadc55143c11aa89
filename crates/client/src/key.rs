//! New idempotency keys.

use banyan_domain::IdempotencyKey;

/// A new key: a UUIDv7 (RFC 9562 §5.7), so keys of one client sort by the time at which they were made.
#[must_use]
pub fn new_key() -> IdempotencyKey {
    IdempotencyKey(uuid::Uuid::now_v7().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_distinct() {
        assert_ne!(new_key(), new_key());
    }
}
