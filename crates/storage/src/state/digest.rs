//! Digests of the state at marked positions: the proof that two nodes hold the same.
//!
//! The digest covers every logical key and plain value of all families, in key order:
//! `BLAKE3(for each: key length u32 LE | key | value length u32 LE | value)`. It does not depend on how the log was grouped
//! into batches, on flushes, on file boundaries, or on the codec. Nothing node-local is in the state.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rocksdb::ReadOptions;

use super::generation::{OwnedReader, Reader};
use super::schema::Family;
use crate::codec::{self, Kind};
use crate::fault::{Fault, FaultCell};

/// Results that are kept.
const RESULTS_KEPT: usize = 16;
/// Snapshots that may wait to be hashed: each pins old versions of data.
const QUEUE: usize = 4;
/// Bytes gathered before they are hashed together.
const CHUNK: usize = 128 << 10;

/// This node's digest at a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DigestState {
    /// This node could not take part, and why. Never to be read as "equal".
    Unknown(String),
    /// Not reached yet, or still hashing.
    Pending,
    /// Hashed.
    Ready {
        /// BLAKE3 over every logical key and value.
        digest: [u8; 32],
        /// Number of keys.
        entries: u64,
    },
}

/// The results, and the queue of the hashing thread.
pub(super) struct DigestBoard {
    results: Mutex<BTreeMap<u64, DigestState>>,
}

pub(super) struct DigestJob {
    pub(super) index: u64,
    pub(super) reader: OwnedReader,
}

impl DigestBoard {
    pub(super) fn new() -> (Arc<Self>, SyncSender<DigestJob>, Receiver<DigestJob>) {
        let (sender, receiver) = sync_channel(QUEUE);
        (
            Arc::new(Self {
                results: Mutex::new(BTreeMap::new()),
            }),
            sender,
            receiver,
        )
    }

    pub(super) fn get(&self, index: u64) -> Option<DigestState> {
        self.lock().get(&index).cloned()
    }

    /// Queues the hashing of a snapshot that was taken at the mark; never blocks.
    pub(super) fn submit(&self, queue: &SyncSender<DigestJob>, job: DigestJob) {
        let index = job.index;
        self.put(index, DigestState::Pending);
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = queue.try_send(job) {
            let reason = format!("{QUEUE} digests were under way when the mark was applied");
            self.put(index, DigestState::Unknown(reason));
        }
    }

    fn put(&self, index: u64, state: DigestState) {
        let mut results = self.lock();
        results.insert(index, state);
        while results.len() > RESULTS_KEPT {
            results.pop_first();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, DigestState>> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hashes until the queue is closed.
pub(super) fn run(board: &DigestBoard, jobs: &Receiver<DigestJob>, fault: &FaultCell) {
    while let Ok(DigestJob { index, reader }) = jobs.recv() {
        let state = match hash(reader.borrow_dependent()) {
            Ok((digest, entries)) => DigestState::Ready { digest, entries },
            Err(cause) => {
                let fault = fault.set(Fault::new("state", cause));
                DigestState::Unknown(fault.to_string())
            }
        };
        board.put(index, state);
    }
}

/// The digest of everything in a snapshot, and the number of its keys.
pub(super) fn hash(reader: &Reader<'_>) -> Result<([u8; 32], u64), String> {
    let mut hasher = blake3::Hasher::new();
    let mut chunk = Vec::with_capacity(CHUNK + 4096);
    let mut entries = 0;
    // Families stand in the order of their tags and do not share any, so that this is the order of all keys.
    for family in Family::ALL {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_readahead_size(1 << 20);
        let mut iterator = reader
            .snapshot
            .raw_iterator_cf_opt(reader.family(family), options);
        iterator.seek_to_first();
        while let Some((key, value)) = iterator.item() {
            let plain =
                codec::open(Kind::StateValue, key, value).map_err(|error| error.to_string())?;
            for part in [key, plain] {
                let length =
                    u32::try_from(part.len()).map_err(|_| "a stored value exceeds 4 GiB")?;
                chunk.extend_from_slice(&length.to_le_bytes());
                chunk.extend_from_slice(part);
            }
            if chunk.len() >= CHUNK {
                hasher.update(&chunk);
                chunk.clear();
            }
            entries += 1;
            iterator.next();
        }
        iterator.status().map_err(|error| error.to_string())?;
    }
    hasher.update(&chunk);
    Ok((*hasher.finalize().as_bytes(), entries))
}
