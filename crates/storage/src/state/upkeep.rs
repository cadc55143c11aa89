//! The thread for flushes, checkpoints and clearing away, so that none of them holds up the apply thread.

use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::checkpoint::{self, Checkpoint};
use super::core::Core;
use super::view::Applied;
use crate::fault::Fault;
use crate::pending::Answer;

/// How long a replaced generation may lie about after its last reader is gone, and a received checkpoint after it has become useless.
const TICK: Duration = Duration::from_millis(500);

pub(super) enum UpkeepJob {
    Flush { answer: Answer<Option<Applied>> },
    Checkpoint { answer: Answer<Checkpoint> },
}

/// Runs until the store is closed.
pub(super) fn run(core: &Core, jobs: &Receiver<UpkeepJob>) {
    loop {
        match jobs.recv_timeout(TICK) {
            // Whoever asked may have stopped waiting.
            Ok(UpkeepJob::Flush { answer }) => drop(answer.send(core.flush())),
            Ok(UpkeepJob::Checkpoint { answer }) => drop(answer.send(take_checkpoint(core))),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        core.bury();
        core.clear_inbox();
    }
}

fn take_checkpoint(core: &Core) -> Result<Checkpoint, Fault> {
    core.flush()?;
    let generation = core.current();
    let result = {
        let mut hashes = core.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        checkpoint::take(core, &generation, &mut hashes)
    };
    drop(generation);
    match result {
        Ok(checkpoint) => {
            core.keep(&checkpoint);
            Ok(checkpoint)
        }
        // Nothing to take a checkpoint of is no reason to stop.
        Err(fault) if core.applied().is_none() => Err(fault),
        Err(fault) => Err(core.fault.set(fault)),
    }
}
