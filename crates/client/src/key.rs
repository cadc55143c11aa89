//! New idempotency keys.

use banyan_domain::{IdempotencyKey, Timestamp};

/// A new key: a UUIDv7 (RFC 9562 §5.7) of this moment by this machine's clock, so keys of one client sort by the time at which they
/// were made.
///
/// Make one when a command is first submitted, keep it with the command until its outcome is known, and submit again with the
/// same one. The registry answers it with the first outcome for 30 days
/// ([`KEY_WINDOW_MS`](banyan_domain::limits::KEY_WINDOW_MS)) after it was made, and refuses it after that (`KEY_EXPIRED`), without
/// doing anything. A clock that is more than five minutes ahead makes keys that are refused (`KEY_AHEAD`).
#[must_use]
pub fn new_key() -> IdempotencyKey {
    let [a, b, c, d, e, f, random @ ..] = uuid::Uuid::now_v7().into_bytes();
    let made = i64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    IdempotencyKey::new(Timestamp(made), random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_distinct_and_sort_by_their_making() {
        let keys: Vec<_> = (0..1_000).map(|_| new_key()).collect();
        assert!(keys.is_sorted_by(|earlier, later| earlier < later));
    }

    #[test]
    fn a_key_is_a_uuid_of_version_7() {
        let uuid = uuid::Uuid::from_bytes(*new_key().as_bytes());
        assert_eq!(uuid.get_version(), Some(uuid::Version::SortRand));
        assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
    }
}
