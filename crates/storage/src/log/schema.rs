//! Keys of the log database.
//!
//! | tag | key | value (sealed) |
//! |---|---|---|
//! | 0x01 | tag, marker 1 byte | see [`Marker`] |
//! | 0x02 | tag, index 8 bytes big endian | term 8 bytes big endian, payload |
//!
//! Tags and markers are never reused. 0x03 to 0x0f are reserved for further groups.

/// Tag of the markers.
const MARKER: u8 = 0x01;
/// Tag of the entries.
const ENTRY: u8 = 0x02;

/// What stands beside the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Marker {
    /// The vote, in the bytes of the consensus crate.
    Vote = 1,
    /// The committed position, in the bytes of the consensus crate. Written unsynced.
    Committed = 2,
    /// Index through which the log was purged (8 bytes big endian), then the bytes of the consensus crate.
    Purged = 3,
    /// Number of the group that wrote last, 8 bytes big endian.
    Group = 4,
}

pub(crate) fn marker_key(marker: Marker) -> [u8; 2] {
    [MARKER, marker as u8]
}

pub(crate) fn entry_key(index: u64) -> [u8; 9] {
    let mut key = [ENTRY; 9];
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

/// One past the last key that an entry can have.
pub(crate) const ENTRIES_END: [u8; 1] = [ENTRY + 1];

/// The index in an entry's key; none for any other key.
pub(crate) fn index_of(key: &[u8]) -> Option<u64> {
    match key.split_first() {
        Some((&ENTRY, index)) => index.try_into().ok().map(u64::from_be_bytes),
        _ => None,
    }
}
