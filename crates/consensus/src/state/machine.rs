//! Applies committed entries: decodes them, hands them to the store's apply thread in groups, and answers every proposer.
//!
//! The store writes each group as one batch together with the applied position, and waits before until this node's own log is
//! durable through the group: the state is never more durable than the log.

use std::{collections::BTreeSet, fmt, io, marker::PhantomData};

use banyan_domain::Position;
use banyan_storage::{EntryKind, EntryResult, InstallError, StateEntry, StateStore};
use banyan_wire::internal_v1::RawValue;
use futures::{FutureExt as _, Stream, StreamExt as _, future::BoxFuture};
use openraft::{
    EntryPayload, OptionalSend,
    storage::{ApplyResponder, EntryResponder, RaftStateMachine},
    type_config::alias::SnapshotOf,
};
use openraft_rt::AsyncRuntime;

use super::snapshot::{
    SnapshotBuilder, SnapshotHandle, membership_from_bytes, membership_to_bytes, of_checkpoint,
    retired_from_bytes,
};
use super::{Retired, StateDisk};
use crate::{
    barrier::FreshAsOf,
    parts::RawValues,
    payload::{self, Content},
    types::{
        Entry, LogId, Membership, Payload, Response, SnapshotMeta, StoredMembership, TypeConfig,
        log_id, position,
    },
};

/// Entries of one group at most, and their bytes: what waits in memory beside the group that is being applied.
const GROUP_ENTRIES_MAX: usize = 64;
const GROUP_BYTES_MAX: usize = 4 << 20;

/// Payloads above this are decoded off the runtime: a thousand commands take milliseconds, in which heartbeats would wait.
const DECODE_INLINE_BYTES: usize = 16 << 10;

/// openraft's state machine over the state store of a data directory, or over another [`StateDisk`].
pub struct StateMachine<R, S = StateStore> {
    state: S,
    fresh: FreshAsOf,
    members: Members,
    retired: Retired,
    raw_values: RawValues,
    runtime: PhantomData<fn() -> R>,
}

impl<R, S> fmt::Debug for StateMachine<R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StateMachine")
    }
}

impl<R, S> StateMachine<R, S> {
    /// Over the state of this node. Raw values are refused.
    pub fn new(state: S) -> Self {
        Self {
            state,
            fresh: FreshAsOf::default(),
            members: Members::default(),
            retired: Retired::default(),
            raw_values: RawValues::Refused,
            runtime: PhantomData,
        }
    }

    /// The same, with another answer to raw values.
    #[must_use]
    pub(crate) fn with_raw_values(self, raw_values: RawValues) -> Self {
        Self { raw_values, ..self }
    }

    /// The nodes that were taken out of the membership, as far as this node has applied it.
    #[must_use]
    pub fn retired(&self) -> Retired {
        self.retired.clone()
    }

    /// As of when the state is fresh: an installed snapshot resets it.
    #[must_use]
    pub fn fresh(&self) -> FreshAsOf {
        self.fresh.clone()
    }
}

/// Who is a member by the last membership that was handed to the store, and who was one before.
#[derive(Default)]
struct Members {
    current: BTreeSet<u64>,
    retired: BTreeSet<u64>,
}

impl Members {
    /// Goes on to the next membership.
    fn follow(&mut self, membership: &Membership) {
        let next: BTreeSet<u64> = membership.nodes().map(|(id, _)| *id).collect();
        self.retired.extend(self.current.difference(&next));
        self.current = next;
    }
}

/// What an entry answers with.
#[derive(Clone, Copy)]
enum Shape {
    Nothing,
    Outcomes,
    Values,
    DigestMark,
}

/// Who waits for an entry of a group, and for what, in the order of the group.
type Waiting<R> = Vec<(Shape, Option<ApplyResponder<TypeConfig<R>>>)>;

/// A group that the store is applying.
struct UnderWay<R: AsyncRuntime> {
    results: BoxFuture<'static, Result<Vec<EntryResult>, io::Error>>,
    waiting: Waiting<R>,
}

impl<R: AsyncRuntime, S: StateDisk> StateMachine<R, S> {
    /// Takes over the membership that the state holds.
    fn load_members(&mut self) -> Result<StoredMembership, io::Error> {
        let bytes = self.state.membership().unwrap_or_default();
        let stored = membership_from_bytes(&bytes)?;
        self.members = Members {
            current: stored.membership().nodes().map(|(id, _)| *id).collect(),
            retired: retired_from_bytes(&bytes)?,
        };
        self.retired.set(self.members.retired.clone());
        Ok(stored)
    }

    /// What the store does for an entry.
    async fn state_entry(&mut self, entry: Entry) -> Result<StateEntry, io::Error> {
        let at = position(&entry.log_id);
        let kind = match entry.payload {
            EntryPayload::Blank => EntryKind::Blank,
            EntryPayload::Membership(membership) => {
                self.members.follow(&membership);
                let retired = &self.members.retired;
                self.retired.set(retired.clone());
                let stored = StoredMembership::new(Some(entry.log_id), membership);
                EntryKind::Membership(membership_to_bytes(&stored, retired)?)
            }
            EntryPayload::Normal(payload) => match decode::<R>(at, payload, self.raw_values).await?
            {
                Content::Commands { time, envelopes } => EntryKind::Commands { time, envelopes },
                Content::Values(values) => {
                    let stored = |RawValue { key, value }| banyan_storage::RawValue { key, value };
                    EntryKind::Values(values.into_iter().map(stored).collect())
                }
                Content::DigestMark => EntryKind::DigestMark,
            },
        };
        Ok(StateEntry { position: at, kind })
    }

    /// Hands a group to the store, which queues it, and leaves the answer for later.
    fn submit(&self, entries: Vec<StateEntry>, waiting: Waiting<R>) -> UnderWay<R> {
        UnderWay {
            results: self.state.apply(entries),
            waiting,
        }
    }
}

impl<R: AsyncRuntime> UnderWay<R> {
    /// Waits for the store and answers whoever waits. A responder that is dropped would leave its proposer hanging, so that
    /// nothing is dropped here but after a fault, which ends the process.
    async fn finish(self) -> Result<(), io::Error> {
        let results = self.results.await?;
        if results.len() != self.waiting.len() {
            return Err(io::Error::other(
                "the state store answered for another number of entries than it was given",
            ));
        }
        for (result, (shape, responder)) in results.into_iter().zip(self.waiting) {
            if let Some(responder) = responder {
                responder.send(match shape {
                    Shape::Nothing => Response::Nothing,
                    Shape::Outcomes => Response::Outcomes(result.outcomes),
                    Shape::Values => Response::Values(result.position),
                    Shape::DigestMark => Response::DigestMark(result.position),
                });
            }
        }
        Ok(())
    }
}

fn shape(kind: &EntryKind) -> Shape {
    match kind {
        EntryKind::Blank | EntryKind::Membership(_) => Shape::Nothing,
        EntryKind::Commands { .. } => Shape::Outcomes,
        EntryKind::Values(_) => Shape::Values,
        EntryKind::DigestMark => Shape::DigestMark,
    }
}

async fn decode<R: AsyncRuntime>(
    at: Position,
    payload: Payload,
    raw_values: RawValues,
) -> Result<Content, io::Error> {
    let decoded = if payload.bytes().len() <= DECODE_INLINE_BYTES {
        payload::decode(at.index, &payload, raw_values)
    } else {
        R::spawn_blocking(move || payload::decode(at.index, &payload, raw_values)).await?
    };
    decoded.map_err(|fault| {
        tracing::error!(%fault, "a committed entry cannot be applied: this node must stop");
        io::Error::from(fault)
    })
}

impl<R: AsyncRuntime, S: StateDisk> RaftStateMachine<TypeConfig<R>> for StateMachine<R, S> {
    type SnapshotData = SnapshotHandle<S>;
    type SnapshotBuilder = SnapshotBuilder<R, S>;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let applied = self.state.applied().map(|applied| log_id(applied.position));
        Ok((applied, self.load_members()?))
    }

    /// Drains what is ready into a group, hands it over, and gathers the next group while the store applies that one.
    async fn apply<Strm>(&mut self, entries: Strm) -> Result<(), io::Error>
    where
        Strm:
            Stream<Item = Result<EntryResponder<TypeConfig<R>>, io::Error>> + Unpin + OptionalSend,
    {
        // Polled again after its end, since the end may be seen while a group is gathered.
        let mut entries = entries.fuse();
        let mut under_way: Option<UnderWay<R>> = None;
        let mut next = entries.next().await;
        while let Some(first) = next.take() {
            let (mut group, mut waiting, mut bytes) = (Vec::new(), Vec::new(), 0);
            let mut item = Some(first);
            while let Some(received) = item.take() {
                let (entry, responder) = received?;
                bytes += match &entry.payload {
                    EntryPayload::Normal(payload) => payload.bytes().len(),
                    EntryPayload::Blank | EntryPayload::Membership(_) => 0,
                };
                let entry = self.state_entry(entry).await?;
                waiting.push((shape(&entry.kind), responder));
                group.push(entry);
                if group.len() < GROUP_ENTRIES_MAX && bytes < GROUP_BYTES_MAX {
                    item = entries.next().now_or_never().flatten();
                }
            }
            let submitted = self.submit(group, waiting);
            if let Some(before) = under_way.replace(submitted) {
                before.finish().await?;
            }
            next = entries.next().await;
        }
        match under_way {
            Some(last) => last.finish().await,
            None => Ok(()),
        }
    }

    async fn try_create_snapshot_builder(&mut self, _force: bool) -> Option<Self::SnapshotBuilder> {
        Some(SnapshotBuilder::new(self.state.clone()))
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        SnapshotBuilder::new(self.state.clone())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotHandle<S>,
    ) -> Result<(), io::Error> {
        let verified = match snapshot {
            SnapshotHandle::Received(verified) => verified,
            // Never at start, because a checkpoint is never ahead of the state that it was taken from. The store suite hands the
            // checkpoint of one store to another.
            SnapshotHandle::Checkpoint(checkpoint) => {
                let state = self.state.clone();
                R::spawn_blocking(move || state.receive(checkpoint)).await??
            }
            SnapshotHandle::Nothing => return Ok(()),
        };
        match self.state.install(verified).await {
            Ok(applied) => {
                self.fresh.forget();
                self.load_members()?;
                if Some(log_id(applied.position)) != meta.last_log_id {
                    return Err(io::Error::other(
                        "the installed snapshot stands at another position than its metadata says",
                    ));
                }
            }
            // A newer state covers what the snapshot would have brought.
            Err(InstallError::Older { .. }) => return Ok(()),
            Err(error) => return Err(io::Error::other(error)),
        }
        // openraft wants to find it as the current snapshot. Its files are hard links to those just installed.
        self.state.checkpoint().await?;
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<TypeConfig<R>, SnapshotHandle<S>>>, io::Error> {
        self.state
            .newest_checkpoint()
            .map(of_checkpoint::<R, S>)
            .transpose()
    }
}
