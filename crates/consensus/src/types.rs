//! The types that openraft is told to use, generic over the asynchronous runtime.
//!
//! Leader ids are of openraft's *standard* kind: one leader per term, and a log id carries the term only. The library's
//! default kind also carries the node and allows two leaders in one term, ordered by node id; that saves an election
//! round in rare ties, and costs the rule "one leader per term" that every invariant check, every operator and our
//! `Position { term, index }` rely on. The choice cannot be changed once data exists.

use std::{cmp::Ordering, fmt, marker::PhantomData};

use banyan_domain::{Outcome, Position};
use bytes::Bytes;
use openraft::{
    EntryPayload, RaftTypeConfig,
    batch::InlineBatch,
    impls::{BoxedErrorSource, OneshotResponder},
    vote::leader_id_std,
};
use openraft_rt::AsyncRuntime;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::member::Member;

/// A leader's term once a quorum has granted it: all that a log id needs to name its leader.
pub(crate) type CommittedLeader = leader_id_std::CommittedLeaderId<u64>;
/// Who asks for, or holds, leadership: term and node.
pub(crate) type LeaderId = leader_id_std::LeaderId<u64, u64>;
/// A vote, granted by a quorum or not.
pub(crate) type Vote = openraft::Vote<LeaderId>;
/// The identity of a log entry.
pub(crate) type LogId = openraft::LogId<CommittedLeader>;
/// What a log entry carries.
pub(crate) type Body = EntryPayload<Payload, u64, Member>;
/// A log entry.
pub(crate) type Entry = openraft::Entry<CommittedLeader, Body>;
/// The membership with the log id that set it.
pub(crate) type StoredMembership = openraft::StoredMembership<CommittedLeader, u64, Member>;
/// A membership.
pub(crate) type Membership = openraft::Membership<u64, Member>;
/// What openraft knows of a snapshot.
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<CommittedLeader, u64, Member>;

/// The type configuration of openraft, generic over the runtime `R` so that production runs on tokio and the simulator
/// on a deterministic runtime. `fn() -> R` keeps it `Send + Sync` whatever `R` is; the traits are written by hand
/// because `derive` would demand them of `R`.
pub struct TypeConfig<R>(PhantomData<fn() -> R>);

impl<R: AsyncRuntime> RaftTypeConfig for TypeConfig<R> {
    type D = Payload;
    type R = Response;
    type NodeId = u64;
    type Node = Member;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = Vote;
    type Payload = Body;
    type Entry = Entry;
    type AsyncRuntime = R;
    type Responder<T>
        = OneshotResponder<Self, T>
    where
        T: openraft::OptionalSend + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: openraft::OptionalSend + 'static;
    type ErrorSource = BoxedErrorSource;
}

impl<R> fmt::Debug for TypeConfig<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TypeConfig")
    }
}
impl<R> Clone for TypeConfig<R> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<R> Copy for TypeConfig<R> {}
impl<R> Default for TypeConfig<R> {
    fn default() -> Self {
        Self(PhantomData)
    }
}
impl<R> PartialEq for TypeConfig<R> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl<R> Eq for TypeConfig<R> {}
impl<R> PartialOrd for TypeConfig<R> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<R> Ord for TypeConfig<R> {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}

/// An encoded `banyan.internal.v1.LogPayload`: encoded once by the proposer, then the same bytes in every log, on every
/// wire and into every apply. It may hold personal data, so it prints its kind and its length only.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Bytes);

impl Payload {
    /// Wraps an encoded `LogPayload`.
    pub fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The encoded `LogPayload`.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The encoded `LogPayload`, owned.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = crate::payload::kind(&self.0);
        write!(f, "{kind}({} bytes)", self.0.len())
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// openraft's serde feature (which membership needs) asks the same of the payload. No code path uses it.
impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<u8>::deserialize(deserializer).map(|bytes| Self(bytes.into()))
    }
}

/// What applying one entry answers to its proposer. It never leaves the node that proposed.
#[derive(Clone, Debug)]
pub enum Response {
    /// The entry carried no command: a leader's blank entry or a membership.
    Nothing,
    /// One outcome for each command of the entry, in order.
    Outcomes(Vec<Outcome>),
    /// The entry carried raw values; its position.
    Values(Position),
    /// The entry was a digest mark; its position names the digest.
    DigestMark(Position),
}

impl Serialize for Response {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom(
            "a response does not leave its node",
        ))
    }
}

impl<'de> Deserialize<'de> for Response {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom(
            "a response does not leave its node",
        ))
    }
}

/// The position of a log id.
pub(crate) fn position(log_id: &LogId) -> Position {
    Position {
        term: log_id.leader_id.term,
        index: log_id.index,
    }
}

/// The log id at a position.
pub(crate) fn log_id(position: Position) -> LogId {
    LogId::new_term_index(position.term, position.index)
}
