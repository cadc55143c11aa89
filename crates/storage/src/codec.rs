//! The one codec: every value in every store, and every log payload, goes in through [`seal`] and out through [`open`].
//!
//! ```text
//! | version 1 byte = 1 | CRC-32C 4 bytes, little endian | plain bytes |
//! ```
//!
//! The checksum runs over the kind, the length of the key, the key and the plain bytes, so that a value that turns up
//! under another key, or as another kind, is refused like a damaged one. Sealing at rest will use the same inputs (kind and
//! key as associated data) and change only this file.

/// What a value is. The number is part of the checksum: never reused, never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// An entry of the log: term and payload.
    LogEntry = 1,
    /// A marker beside the log: vote, committed, purged, group.
    LogMarker = 2,
    /// A value of the state store, of any family.
    StateValue = 3,
    /// An access record of the journal.
    JournalRecord = 4,
    /// A marker beside the journal.
    JournalMarker = 5,
}

/// The version that is written today.
const VERSION: u8 = 1;

/// Bytes that sealing adds to a value.
pub const OVERHEAD: usize = 5;

/// Why a stored value could not be opened. Says nothing of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Shorter than the header.
    #[error("stored {kind:?} has {length} bytes, fewer than its header of {OVERHEAD}")]
    Short {
        /// What was expected.
        kind: Kind,
        /// Bytes found.
        length: usize,
    },
    /// Written by a version of the codec that this program does not know.
    #[error("stored {kind:?} has codec version {found}, this program knows {VERSION}")]
    Version {
        /// What was expected.
        kind: Kind,
        /// The version found.
        found: u8,
    },
    /// The checksum does not match: the value is damaged, or stands in the wrong place.
    #[error("stored {kind:?} does not match its checksum")]
    Checksum {
        /// What was expected.
        kind: Kind,
    },
}

/// Seals `plain`, which is to be stored under `key`.
#[must_use]
pub fn seal(kind: Kind, key: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(OVERHEAD + plain.len());
    seal_into(kind, key, plain, &mut sealed);
    sealed
}

/// Seals `plain` to the end of a buffer.
pub fn seal_into(kind: Kind, key: &[u8], plain: &[u8], buffer: &mut Vec<u8>) {
    let checksum = crc32c::crc32c_append(checksum_of_key(kind, key), plain);
    buffer.push(VERSION);
    buffer.extend_from_slice(&checksum.to_le_bytes());
    buffer.extend_from_slice(plain);
}

/// Opens what [`seal`] made for the same kind and key.
///
/// # Errors
/// See [`CodecError`]. A failure on data that was stored is a fault: the node must stop.
pub fn open<'a>(kind: Kind, key: &[u8], sealed: &'a [u8]) -> Result<&'a [u8], CodecError> {
    let Some((header, plain)) = sealed.split_first_chunk::<OVERHEAD>() else {
        return Err(CodecError::Short {
            kind,
            length: sealed.len(),
        });
    };
    let [version, checksum @ ..] = *header;
    if version != VERSION {
        return Err(CodecError::Version {
            kind,
            found: version,
        });
    }
    if crc32c::crc32c_append(checksum_of_key(kind, key), plain) != u32::from_le_bytes(checksum) {
        return Err(CodecError::Checksum { kind });
    }
    Ok(plain)
}

fn checksum_of_key(kind: Kind, key: &[u8]) -> u32 {
    let mut head = [0_u8; 5];
    head[0] = kind as u8;
    head[1..].copy_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&head), key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_under_the_same_kind_and_key_only() {
        let sealed = seal(Kind::StateValue, b"key", b"plain");
        assert_eq!(open(Kind::StateValue, b"key", &sealed), Ok(&b"plain"[..]));
        assert!(open(Kind::StateValue, b"kez", &sealed).is_err());
        assert!(open(Kind::LogEntry, b"key", &sealed).is_err());
        assert!(open(Kind::StateValue, b"", &sealed).is_err());
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let sealed = seal(Kind::LogEntry, b"k", b"some payload");
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(open(Kind::LogEntry, b"k", &damaged).is_err(), "bit {bit}");
        }
        assert!(matches!(
            open(Kind::LogEntry, b"k", &sealed[..4]),
            Err(CodecError::Short { length: 4, .. })
        ));
    }
}
