//! The apply thread: takes committed entries, lets the domain decide, and writes each group as one atomic batch.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use banyan_domain::{
    ApplyContext, Envelope, Mutation, Outcome, OverlayView, Position, Timestamp, ViewFault, apply,
    expire,
};
use banyan_wire::record;
use bytes::Bytes;
use rocksdb::WriteOptions;

use super::batch::Changes;
use super::core::Core;
use super::digest::DigestJob;
use super::generation::OwnedReader;
use super::install::{self, InstallError, VerifiedCheckpoint};
use super::markers;
use super::schema::{self, Family};
use super::view::{Applied, ReadView};
use crate::fault::Fault;
use crate::pending::Answer;

/// A committed entry.
#[derive(Clone, Debug)]
pub struct StateEntry {
    /// Where it stands in the log.
    pub position: Position,
    /// What it does.
    pub kind: EntryKind,
}

/// What a committed entry does to the state.
#[derive(Clone, Debug)]
pub enum EntryKind {
    /// Changes nothing but the position.
    Blank,
    /// A new membership, in the bytes of the consensus crate.
    Membership(Bytes),
    /// Commands, applied in order.
    Commands {
        /// The leader's stamp.
        time: Timestamp,
        /// The commands.
        envelopes: Vec<Envelope>,
    },
    /// Raw values, stored in order. Consensus lets none through in a registry.
    Values(Vec<RawValue>),
    /// Ends its write batch: the state right after it is hashed.
    DigestMark,
}

/// Bytes under a key, which no rule has judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawValue {
    /// The caller's key.
    pub key: Bytes,
    /// Replaces what stood under the key.
    pub value: Bytes,
}

/// What became of an entry.
#[derive(Clone, Debug)]
pub struct EntryResult {
    /// Its position.
    pub position: Position,
    /// One outcome for each of its commands, in order.
    pub outcomes: Vec<Outcome>,
}

pub(super) enum ApplyJob {
    Apply {
        entries: Vec<StateEntry>,
        answer: Answer<Vec<EntryResult>>,
    },
    Install {
        verified: VerifiedCheckpoint,
        answer: Answer<Applied, InstallError>,
    },
}

/// Runs until the store is closed.
pub(super) fn run(core: &Core, jobs: &Receiver<ApplyJob>, digests: &SyncSender<DigestJob>) {
    let mut held = None;
    loop {
        let job = match held.take() {
            Some(job) => job,
            None => match jobs.recv() {
                Ok(job) => job,
                Err(_) => return,
            },
        };
        match job {
            ApplyJob::Install { verified, answer } => {
                core.counters.queued.fetch_sub(1, Ordering::Relaxed);
                // Whoever asked may have stopped waiting.
                let _ = answer.send(install::install(core, &verified));
            }
            ApplyJob::Apply { entries, answer } => {
                let mut commands = count(&entries);
                let mut batch = vec![(entries, answer)];
                while commands < core.options.apply_group_commands
                    && let Ok(job) = jobs.try_recv()
                {
                    match job {
                        ApplyJob::Apply { entries, answer } => {
                            commands += count(&entries);
                            batch.push((entries, answer));
                        }
                        install @ ApplyJob::Install { .. } => {
                            held = Some(install);
                            break;
                        }
                    }
                }
                serve(core, digests, batch);
            }
        }
    }
}

fn count(entries: &[StateEntry]) -> usize {
    entries
        .iter()
        .map(|entry| match &entry.kind {
            EntryKind::Commands { envelopes, .. } => envelopes.len(),
            EntryKind::Values(values) => values.len(),
            _ => 1,
        })
        .sum()
}

/// Applies the entries of several requests as one sequence, and answers each.
fn serve(
    core: &Core,
    digests: &SyncSender<DigestJob>,
    requests: Vec<(Vec<StateEntry>, Answer<Vec<EntryResult>>)>,
) {
    core.counters
        .queued
        .fetch_sub(requests.len() as u64, Ordering::Relaxed);
    let mut sequence = Vec::new();
    let mut answers = Vec::with_capacity(requests.len());
    for (entries, answer) in requests {
        answers.push((entries.len(), answer));
        sequence.extend(entries);
    }
    match apply_all(core, digests, &sequence) {
        Ok(results) => {
            let mut results = results.into_iter();
            for (length, answer) in answers {
                // Whoever asked may have stopped waiting.
                let _ = answer.send(Ok(results.by_ref().take(length).collect()));
            }
        }
        Err(fault) => {
            // What is given up because the store is being closed is no fault.
            let fault = if core.closing.load(Ordering::SeqCst) {
                fault
            } else {
                core.fault.set(fault)
            };
            for (_, answer) in answers {
                let _ = answer.send(Err(fault.clone()));
            }
        }
    }
}

fn apply_all(
    core: &Core,
    digests: &SyncSender<DigestJob>,
    entries: &[StateEntry],
) -> Result<Vec<EntryResult>, Fault> {
    let mut results = Vec::with_capacity(entries.len());
    let mut rest = entries;
    while !rest.is_empty() {
        core.fault.check()?;
        let taken = apply_group(core, digests, rest, &mut results)?;
        rest = &rest[taken..];
    }
    Ok(results)
}

/// Applies entries until the group is full or a digest mark ends it, writes them as one batch, and says how many they were.
fn apply_group(
    core: &Core,
    digests: &SyncSender<DigestJob>,
    entries: &[StateEntry],
    results: &mut Vec<EntryResult>,
) -> Result<usize, Fault> {
    let generation = core.current();
    let view = ReadView::of(std::sync::Arc::clone(&generation))?;
    let started = Instant::now();
    let mut group = Group {
        overlay: OverlayView::new(&view),
        changes: Changes::with_capacity(64 << 10),
        applied: core.applied(),
        membership: None,
        commands: 0,
        conformance: core.options.conformance,
    };
    let mut taken = 0;
    let mut marked = false;
    for entry in entries {
        results.push(group.add(entry)?);
        taken += 1;
        marked = matches!(entry.kind, EntryKind::DigestMark);
        if marked
            || group.changes.bytes() >= core.options.apply_group_bytes
            || group.commands >= core.options.apply_group_commands
        {
            break;
        }
    }
    let Group {
        changes,
        applied,
        membership,
        commands,
        ..
    } = group.finish();
    let batch = changes.into_batch(view.reader());
    core.counters.decide.add(started.elapsed());

    let Some(applied) = applied else {
        return Ok(taken);
    };
    core.counters.log_wait.add(timed(|| {
        if core.options.conformance {
            return Ok(());
        }
        // The state is never more durable than the log: RocksDB may flush this batch at any moment after it is written.
        core.log
            .durable()
            .wait(applied.position.index, &core.closing)
    })?);
    let mut unlogged = WriteOptions::default();
    unlogged.disable_wal(true);
    core.counters.write.add(timed(|| {
        generation.db.write_opt(batch, &unlogged).map_err(|error| {
            Fault::new(
                "state",
                format!("write of index {}: {error}", applied.position.index),
            )
        })
    })?);
    core.counters.groups.fetch_add(1, Ordering::Relaxed);
    core.counters
        .commands
        .fetch_add(commands as u64, Ordering::Relaxed);
    if marked {
        // Nothing can be written between the batch and this snapshot: this thread is the only writer.
        let reader = OwnedReader::of(generation)?;
        core.digests.submit(
            digests,
            DigestJob {
                index: applied.position.index,
                reader,
            },
        );
    }
    core.publish(applied, membership);
    Ok(taken)
}

fn timed(work: impl FnOnce() -> Result<(), Fault>) -> Result<Duration, Fault> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed())
}

/// A write group while it is put together.
struct Group<'a> {
    overlay: OverlayView<'a, ReadView>,
    changes: Changes,
    applied: Option<Applied>,
    membership: Option<Bytes>,
    commands: usize,
    conformance: bool,
}

impl Group<'_> {
    fn add(&mut self, entry: &StateEntry) -> Result<EntryResult, Fault> {
        let position = entry.position;
        let previous = self.applied.map(|applied| applied.position);
        let in_order = previous.is_none_or(|previous| {
            position.index == previous.index + 1 && position.term >= previous.term
        });
        if !in_order && !self.conformance {
            return Err(Fault::new(
                "state",
                format!("entry {position} is not the next one after {previous:?}"),
            ));
        }
        let cannot_read =
            |error: ViewFault| Fault::new("state", format!("apply of {position}: {}", error.0));
        let mut time = self.applied.map_or(Timestamp(0), |applied| applied.time);
        let mut outcomes = Vec::new();
        match &entry.kind {
            EntryKind::Blank | EntryKind::DigestMark => {}
            EntryKind::Membership(membership) => self.membership = Some(membership.clone()),
            EntryKind::Commands {
                time: stamp,
                envelopes,
            } => {
                time = time.max(*stamp);
                outcomes.reserve(envelopes.len());
                let dropped =
                    expire(&self.overlay, *stamp, envelopes.len()).map_err(cannot_read)?;
                self.carry_out(dropped);
                for (ordinal, envelope) in (0_u32..).zip(envelopes) {
                    let context = ApplyContext {
                        position,
                        ordinal,
                        time: *stamp,
                    };
                    let transition =
                        apply(&self.overlay, &context, envelope).map_err(cannot_read)?;
                    self.carry_out(transition.mutations);
                    outcomes.push(transition.outcome);
                }
                self.commands += envelopes.len();
            }
            EntryKind::Values(values) => {
                for value in values {
                    let key = schema::raw_value_key(&value.key);
                    self.changes.put(Family::Indexes, &key, &value.value);
                }
                self.commands += values.len();
            }
        }
        self.applied = Some(Applied { position, time });
        Ok(EntryResult { position, outcomes })
    }

    fn carry_out(&mut self, mutations: Vec<Mutation>) {
        for mutation in &mutations {
            stage(&mut self.changes, mutation);
        }
        self.overlay.absorb(mutations);
    }

    /// Adds what the group as a whole changes.
    fn finish(mut self) -> Self {
        if let Some(applied) = self.applied {
            self.changes.put(
                Family::Markers,
                &schema::APPLIED_KEY,
                &markers::encode_applied(applied),
            );
        }
        if let Some(membership) = &self.membership {
            self.changes
                .put(Family::Markers, &schema::MEMBERSHIP_KEY, membership);
        }
        self
    }
}

/// Turns a mutation into changes of keys.
fn stage(changes: &mut Changes, mutation: &Mutation) {
    let person_bytes = |person: &banyan_domain::PersonId| person.get().to_be_bytes();
    match mutation {
        Mutation::PutVersion(version) => changes.put(
            Family::Versions,
            &schema::version_key(version.person, version.version),
            &record::encode_version(version),
        ),
        Mutation::BindPin { pin, person } => {
            changes.put(
                Family::Indexes,
                &schema::pin_key(pin),
                &person_bytes(person),
            );
        }
        Mutation::CountPage { page, used } => {
            changes.put(
                Family::Indexes,
                &schema::page_key(page),
                &used.to_be_bytes(),
            );
        }
        Mutation::CountFullPages { bucket, pages } => {
            let key = schema::full_pages_key(bucket);
            changes.put(Family::Indexes, &key, &pages.to_be_bytes());
        }
        Mutation::BindCmnd { cmnd, person } => {
            changes.put(
                Family::Indexes,
                &schema::cmnd_key(cmnd),
                &person_bytes(person),
            );
        }
        Mutation::UnbindCmnd { cmnd } => changes.delete(Family::Indexes, &schema::cmnd_key(cmnd)),
        Mutation::BindForm { form, person } => {
            changes.put(
                Family::Indexes,
                &schema::form_key(form),
                &person_bytes(person),
            );
        }
        Mutation::IndexName { key, person } => {
            changes.put(Family::Indexes, &schema::name_key(key, *person), &[]);
        }
        Mutation::UnindexName { key, person } => {
            changes.delete(Family::Indexes, &schema::name_key(key, *person));
        }
        Mutation::PutOutcome {
            principal,
            key,
            stored,
        } => changes.put(
            Family::Indexes,
            &schema::outcome_key(key, principal),
            &record::encode_outcome(stored),
        ),
        Mutation::DropOutcome { principal, key } => {
            changes.delete(Family::Indexes, &schema::outcome_key(key, principal));
        }
        Mutation::AppendEvent(event) => {
            changes.put(
                Family::Events,
                &schema::event_key(event.sequence),
                &record::encode_event(event),
            );
        }
        Mutation::AppendAudit(audit) => changes.put(
            Family::Audit,
            &schema::audit_key(audit.position.index, audit.ordinal),
            &record::encode_audit(audit),
        ),
        Mutation::PutCounters(counters) => {
            changes.put(
                Family::Markers,
                &schema::COUNTERS_KEY,
                &markers::encode_counters(counters),
            );
        }
    }
}
