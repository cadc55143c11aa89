//! The apply thread: takes committed entries, lets the domain decide, and writes each group as one atomic batch.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use banyan_domain::seeded_bugs::{SeededBug, planted};
use banyan_domain::{Envelope, Outcome, Position, Timestamp};
use bytes::Bytes;
use rocksdb::WriteOptions;

use super::core::Core;
use super::decide::decide;
use super::digest::DigestJob;
use super::generation::OwnedReader;
use super::install::{self, InstallError, VerifiedCheckpoint};
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
                let _ = answer.send(install::install(core, verified));
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
    let view = ReadView::of(Arc::clone(&generation))?;
    let started = Instant::now();
    let decided = decide(&view, core.applied(), entries, &core.options.group_bounds())?;
    let batch = decided.changes.into_batch(view.reader());
    core.counters.decide.add(started.elapsed());

    let taken = decided.results.len();
    results.extend(decided.results);
    let Some(applied) = decided.applied else {
        return Ok(taken);
    };
    core.counters.log_wait.add(timed(|| {
        if core.options.conformance || planted(SeededBug::ApplyAheadOfLog) {
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
        .fetch_add(decided.commands as u64, Ordering::Relaxed);
    if decided.marked {
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
    core.publish(applied, decided.membership);
    Ok(taken)
}

fn timed(work: impl FnOnce() -> Result<(), Fault>) -> Result<Duration, Fault> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed())
}
