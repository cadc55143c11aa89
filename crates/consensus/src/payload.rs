//! The bytes of a log entry: an encoded `LogPayload`, put together without decoding what callers encoded.
//!
//! ```text
//! blank        (no bytes)
//! commands     0x0a length { 0x08 time, 0x12 length envelope, 0x12 length envelope, ... }
//! digest mark  0x12 length { 0x08 nonce }
//! membership   0x1a length JSON
//! values       0x22 length { 0x0a length value, 0x0a length value, ... }
//! ```
//! The layout is protobuf's own (`proto/banyan/internal/v1/command.proto`); a test decodes it with the generated code.

use banyan_domain::{COMMAND_VERSION, Envelope, Timestamp};
use banyan_wire::internal_v1::{self, RawValue, log_payload};
use bytes::{BufMut, Bytes, BytesMut};
use openraft::{EntryPayload, entry::RaftEntry as _};
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len},
};

use crate::{
    parts::RawValues,
    types::{Body, Entry, Membership, Payload},
};

const BATCH: u32 = 1;
const DIGEST: u32 = 2;
const MEMBERSHIP: u32 = 3;
const VALUES: u32 = 4;
const TIME: u32 = 1;
const COMMANDS: u32 = 2;
const VALUE: u32 = 1;

/// A committed entry, or a stored one, that this release cannot read. The node stops: skipping it would diverge.
#[derive(Debug, thiserror::Error)]
pub enum PayloadFault {
    /// The bytes are no `LogPayload`.
    #[error("the payload of log entry {index} cannot be decoded")]
    Undecodable {
        /// Index of the entry.
        index: u64,
        /// What protobuf says.
        #[source]
        source: prost::DecodeError,
    },
    /// A payload of a kind that a newer release added, or raw values at a node that carries none.
    #[error("log entry {index} carries a payload that this release does not know")]
    UnknownKind {
        /// Index of the entry.
        index: u64,
    },
    /// A command of another version than this release applies.
    #[error("log entry {index} carries a command of version {version}, this release applies version {known}", known = COMMAND_VERSION)]
    UnknownVersion {
        /// Index of the entry.
        index: u64,
        /// The version found.
        version: u32,
    },
    /// A committed command that does not parse. The proposer parsed it, so the bytes or a rule changed since.
    #[error("command {ordinal} of log entry {index} does not parse")]
    Unparsable {
        /// Index of the entry.
        index: u64,
        /// Place in the entry, from zero.
        ordinal: usize,
    },
    /// A membership that is no JSON of openraft's.
    #[error("the membership in log entry {index} cannot be read")]
    Membership {
        /// Index of the entry.
        index: u64,
        /// What serde says.
        #[source]
        source: serde_json::Error,
    },
}

impl From<PayloadFault> for std::io::Error {
    fn from(fault: PayloadFault) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, fault)
    }
}

/// Names the kind of an encoded payload by its first key, for log lines.
pub(crate) fn kind(bytes: &[u8]) -> &'static str {
    match bytes.first() {
        None => "blank",
        Some(0x0a) => "commands",
        Some(0x12) => "digest mark",
        Some(0x1a) => "membership",
        Some(0x22) => "values",
        Some(_) => "unknown",
    }
}

/// What a batch holds. An entry holds batches of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchKind {
    Commands,
    Values,
}

/// What one caller proposes, encoded on the caller's own thread as the repeated fields of a batch.
#[derive(Debug)]
pub(crate) struct EncodedBatch {
    pub(crate) kind: BatchKind,
    /// Encoded fields, to be joined with those of other callers.
    pub(crate) bytes: Bytes,
    /// How many commands or values they hold.
    pub(crate) count: usize,
}

/// Encodes the raw values of one caller.
pub(crate) fn encode_values(values: &[RawValue]) -> EncodedBatch {
    let length = |value: &RawValue| value.key.len() + value.value.len() + 16;
    let mut buffer = BytesMut::with_capacity(values.iter().map(length).sum());
    for value in values {
        prost::encoding::message::encode(VALUE, value, &mut buffer);
    }
    EncodedBatch {
        kind: BatchKind::Values,
        bytes: buffer.freeze(),
        count: values.len(),
    }
}

/// Encodes the commands of one caller.
pub(crate) fn encode_commands(envelopes: &[Envelope]) -> EncodedBatch {
    let mut buffer = BytesMut::with_capacity(envelopes.len() * 640);
    for envelope in envelopes {
        let message = banyan_wire::command::envelope_to_wire(envelope);
        prost::encoding::message::encode(COMMANDS, &message, &mut buffer);
    }
    EncodedBatch {
        kind: BatchKind::Commands,
        bytes: buffer.freeze(),
        count: envelopes.len(),
    }
}

/// Joins what several callers propose into the payload of one entry. Commands get the leader's stamp; values need none.
pub(crate) fn join<'a>(
    kind: BatchKind,
    time: Timestamp,
    parts: impl Iterator<Item = &'a Bytes> + Clone,
) -> Payload {
    let (field, time) = match kind {
        BatchKind::Commands => (BATCH, time),
        BatchKind::Values => (VALUES, Timestamp(0)),
    };
    #[expect(
        clippy::cast_sign_loss,
        reason = "protobuf's int64 is two's complement in a varint"
    )]
    let stamp = time.get() as u64;
    let stamp_length = if stamp == 0 {
        0
    } else {
        key_len(TIME) + encoded_len_varint(stamp)
    };
    let length = stamp_length + parts.clone().map(Bytes::len).sum::<usize>();
    let mut buffer = BytesMut::with_capacity(length + 12);
    encode_key(field, WireType::LengthDelimited, &mut buffer);
    encode_varint(length as u64, &mut buffer);
    if stamp != 0 {
        encode_key(TIME, WireType::Varint, &mut buffer);
        encode_varint(stamp, &mut buffer);
    }
    for part in parts {
        buffer.put_slice(part);
    }
    Payload::new(buffer.freeze())
}

/// The payload of a digest mark.
pub(crate) fn digest_mark(nonce: u64) -> Payload {
    let kind = log_payload::Kind::Digest(internal_v1::DigestMark { nonce });
    Payload::new(
        internal_v1::LogPayload { kind: Some(kind) }
            .encode_to_vec()
            .into(),
    )
}

/// What a normal entry asks the state machine to do.
#[derive(Debug)]
pub(crate) enum Content {
    /// Commands with the leader's stamp.
    Commands {
        /// The leader's wall time when it proposed.
        time: Timestamp,
        /// In the order in which they are applied.
        envelopes: Vec<Envelope>,
    },
    /// Store raw values.
    Values(Vec<RawValue>),
    /// Take a digest exactly here.
    DigestMark,
}

/// Decodes the payload of a committed entry. Raw values are an unknown kind to a node that carries none.
pub(crate) fn decode(
    index: u64,
    payload: &Payload,
    raw_values: RawValues,
) -> Result<Content, PayloadFault> {
    let message = internal_v1::LogPayload::decode(payload.bytes().clone())
        .map_err(|source| PayloadFault::Undecodable { index, source })?;
    match message.kind {
        Some(log_payload::Kind::Batch(batch)) => {
            let mut envelopes = Vec::with_capacity(batch.commands.len());
            for (ordinal, command) in batch.commands.into_iter().enumerate() {
                if command.command_version != COMMAND_VERSION {
                    return Err(PayloadFault::UnknownVersion {
                        index,
                        version: command.command_version,
                    });
                }
                let envelope = banyan_wire::command::envelope_from_wire(&command)
                    .map_err(|_faults| PayloadFault::Unparsable { index, ordinal })?;
                envelopes.push(envelope);
            }
            Ok(Content::Commands {
                time: Timestamp(batch.leader_time_ms),
                envelopes,
            })
        }
        Some(log_payload::Kind::Digest(_)) => Ok(Content::DigestMark),
        Some(log_payload::Kind::Values(batch)) if raw_values == RawValues::Carried => {
            Ok(Content::Values(batch.values))
        }
        Some(log_payload::Kind::Membership(_) | log_payload::Kind::Values(_)) | None => {
            Err(PayloadFault::UnknownKind { index })
        }
    }
}

/// The bytes that are stored and sent for an entry. A normal entry's bytes are its payload, uncopied.
pub(crate) fn body_to_bytes(body: Body) -> Bytes {
    match body {
        EntryPayload::Blank => Bytes::new(),
        EntryPayload::Normal(payload) => payload.into_bytes(),
        EntryPayload::Membership(membership) => {
            let json = serde_json::to_vec(&membership).unwrap_or_default();
            let mut buffer = BytesMut::with_capacity(json.len() + 12);
            encode_key(MEMBERSHIP, WireType::LengthDelimited, &mut buffer);
            encode_varint(json.len() as u64, &mut buffer);
            buffer.put_slice(&json);
            buffer.freeze()
        }
    }
}

/// The entry that is stored, or was sent, as these bytes.
pub(crate) fn entry_from_bytes(term: u64, index: u64, bytes: Bytes) -> Result<Entry, PayloadFault> {
    let body = match kind(&bytes) {
        "blank" => EntryPayload::Blank,
        "membership" => {
            let message = internal_v1::LogPayload::decode(bytes)
                .map_err(|source| PayloadFault::Undecodable { index, source })?;
            let Some(log_payload::Kind::Membership(json)) = message.kind else {
                return Err(PayloadFault::UnknownKind { index });
            };
            let membership: Membership = serde_json::from_slice(&json)
                .map_err(|source| PayloadFault::Membership { index, source })?;
            EntryPayload::Membership(membership)
        }
        // A kind that this release does not know is kept and passed on; applying it is what stops the node.
        _ => EntryPayload::Normal(Payload::new(bytes)),
    };
    Ok(Entry::new(
        openraft::LogId::new_term_index(term, index),
        body,
    ))
}

const _: () = assert!(
    BATCH == 1 && DIGEST == 2 && MEMBERSHIP == 3 && VALUES == 4,
    "kind() names them by their first byte"
);

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::member::Member;

    #[test]
    fn joined_parts_decode_as_one_batch() {
        let envelope = |salt: u64| internal_v1::CommandEnvelope {
            salt,
            command_version: 1,
            ..Default::default()
        };
        let part = |salts: &[u64]| {
            let mut buffer = BytesMut::new();
            for salt in salts {
                prost::encoding::message::encode(COMMANDS, &envelope(*salt), &mut buffer);
            }
            buffer.freeze()
        };
        let parts = [part(&[1, 2]), part(&[]), part(&[3])];
        let time = Timestamp(1_700_000_000_123);
        let payload = join(BatchKind::Commands, time, parts.iter());
        assert_eq!(kind(payload.bytes()), "commands");
        let decoded = internal_v1::LogPayload::decode(payload.bytes().clone()).unwrap();
        let Some(log_payload::Kind::Batch(batch)) = decoded.kind else {
            panic!("not a batch")
        };
        assert_eq!(batch.leader_time_ms, 1_700_000_000_123);
        assert_eq!(
            batch
                .commands
                .iter()
                .map(|command| command.salt)
                .collect::<Vec<_>>(),
            [1, 2, 3]
        );
    }

    fn values(numbers: std::ops::Range<u8>) -> Vec<RawValue> {
        let value = |number| RawValue {
            key: vec![b'k', number].into(),
            value: vec![number; 3].into(),
        };
        numbers.map(value).collect()
    }

    #[test]
    fn joined_values_have_their_bytes_and_decode_where_they_are_carried() {
        let parts = [encode_values(&values(1..3)), encode_values(&values(3..4))];
        assert_eq!([parts[0].count, parts[1].count], [2, 1]);
        let bytes = parts.iter().map(|part| &part.bytes);
        let payload = join(BatchKind::Values, Timestamp(7), bytes);
        assert_eq!(kind(payload.bytes()), "values");
        // The bytes that a cluster of the bench has in its logs: no stamp, fields in the order of their numbers.
        let value = |number: u8| {
            [
                0x0a, 9, 0x0a, 2, b'k', number, 0x12, 3, number, number, number,
            ]
        };
        let mut expected = vec![0x22, 33];
        expected.extend((1..4).flat_map(value));
        assert_eq!(payload.bytes(), &expected);
        match decode(5, &payload, RawValues::Carried) {
            Ok(Content::Values(decoded)) => assert_eq!(decoded, values(1..4)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn values_are_an_unknown_kind_to_a_node_that_carries_none() {
        let encoded = encode_values(&values(1..3));
        let payload = join(
            BatchKind::Values,
            Timestamp(7),
            [&encoded.bytes].into_iter(),
        );
        assert!(matches!(
            decode(5, &payload, RawValues::default()),
            Err(PayloadFault::UnknownKind { index: 5 })
        ));
    }

    #[test]
    fn every_kind_of_entry_survives_its_bytes() {
        let voters = BTreeSet::from([1, 2, 3]);
        let nodes: BTreeMap<u64, Member> = (1..=4).map(|id| (id, Member::default())).collect();
        let membership = Membership::new(vec![voters], nodes).unwrap();
        for body in [
            EntryPayload::Blank,
            EntryPayload::Normal(digest_mark(9)),
            EntryPayload::Normal(join(BatchKind::Commands, Timestamp(1), [].iter())),
            EntryPayload::Normal(join(BatchKind::Values, Timestamp(1), [].iter())),
            EntryPayload::Membership(membership),
        ] {
            let bytes = body_to_bytes(body.clone());
            let entry = entry_from_bytes(3, 11, bytes).unwrap();
            assert_eq!(entry.log_id, openraft::LogId::new_term_index(3, 11));
            assert_eq!(entry.payload, body);
        }
    }

    #[test]
    fn an_unknown_command_version_is_a_fault() {
        let mut buffer = BytesMut::new();
        let envelope = internal_v1::CommandEnvelope {
            command_version: 99,
            ..Default::default()
        };
        prost::encoding::message::encode(COMMANDS, &envelope, &mut buffer);
        let parts = [buffer.freeze()];
        let payload = join(BatchKind::Commands, Timestamp(1), parts.iter());
        assert!(matches!(
            decode(5, &payload, RawValues::Refused),
            Err(PayloadFault::UnknownVersion {
                index: 5,
                version: 99
            })
        ));
    }

    #[test]
    fn a_payload_prints_its_kind_and_length_only() {
        let payload = Payload::new(Bytes::from_static(b"\x0a\x09marked-XY"));
        assert_eq!(
            format!("{payload} {payload:?}"),
            "commands(11 bytes) commands(11 bytes)"
        );
    }
}
