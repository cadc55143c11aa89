//! What a test needs of a node's disk, real or simulated.

use std::time::Duration;

use banyan_consensus::{LogDisk, StateDisk};

/// Log and state of one node, open.
pub(crate) trait Side: Sized {
    type Log: LogDisk;
    type State: StateDisk;

    fn log(&self) -> &Self::Log;

    fn state(&self) -> &Self::State;

    /// Lets time pass where it does not pass by itself.
    async fn pause(&self, time: Duration);

    /// The process ends, with nothing under way, and starts again.
    async fn reopened(self) -> Self;

    /// The digest of the state, and its number of keys.
    fn digest(&self) -> ([u8; 32], u64);

    /// What readers of the state see.
    fn shown(&self) -> Vec<String>;

    /// What a process that starts finds.
    fn left(&self) -> Left {
        let bounds = self.log().bounds();
        let all = bounds.first.unwrap_or(0)..bounds.last.map_or(0, |last| last + 1);
        let records = self.log().read(all, usize::MAX).unwrap();
        let records: Vec<_> = records
            .into_iter()
            .map(|record| (record.index, record.term, record.bytes))
            .collect();
        Left {
            log: format!(
                "{bounds:?} {:?}",
                blake3::hash(format!("{records:?}").as_bytes())
            ),
            vote: self.log().read_vote().map(|vote| vote.to_vec()),
            committed: self.log().read_committed().map(|marker| marker.to_vec()),
            applied: self.state().applied().map(|applied| applied.position.index),
            newest: self
                .state()
                .newest_checkpoint()
                .map(|checkpoint| Self::State::position_of(&checkpoint).index),
            digest: self.digest(),
        }
    }
}

/// What a process that starts finds.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Left {
    log: String,
    vote: Option<Vec<u8>>,
    committed: Option<Vec<u8>>,
    applied: Option<u64>,
    newest: Option<u64>,
    digest: ([u8; 32], u64),
}
