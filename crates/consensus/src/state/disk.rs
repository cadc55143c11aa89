//! What consensus asks of the state's disk: the state store of a data directory, or the disk of a simulated machine.

use std::{fmt, io};

use banyan_domain::Position;
use banyan_storage::{
    Applied, Checkpoint, EntryResult, InstallError, StateEntry, StateStore, VerifiedCheckpoint,
};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};

/// Bytes that a local copy of a checkpoint moves at once.
const COPY_BYTES: usize = 1 << 20;

/// The replicated state of one node.
pub trait StateDisk: Clone + Send + Sync + 'static {
    /// A snapshot of this node, which stays on disk as long as the handle lives.
    type Checkpoint: fmt::Debug + Send + 'static;
    /// A snapshot that another node sent: complete and durable, not yet installed.
    type Received: fmt::Debug + Send + 'static;

    /// Applies committed entries, in order and without gaps; one result for each, once readers see them. The state is never more durable than
    /// the log.
    ///
    /// # Errors
    /// A fault: the node must stop.
    fn apply(
        &self,
        entries: Vec<StateEntry>,
    ) -> BoxFuture<'static, Result<Vec<EntryResult>, io::Error>>;

    /// How far the state has come; none if nothing was ever applied.
    fn applied(&self) -> Option<Applied>;

    /// The applied membership, as it was given; none if none was ever applied.
    fn membership(&self) -> Option<Bytes>;

    /// Takes a snapshot of what is applied, durable when this resolves.
    ///
    /// # Errors
    /// A fault: the node must stop.
    fn checkpoint(&self) -> BoxFuture<'static, Result<Self::Checkpoint, io::Error>>;

    /// The newest snapshot of this node.
    fn newest_checkpoint(&self) -> Option<Self::Checkpoint>;

    /// Where a snapshot stands.
    fn position_of(checkpoint: &Self::Checkpoint) -> Position;

    /// The membership that it holds, as it was given.
    fn membership_of(checkpoint: &Self::Checkpoint) -> Bytes;

    /// Receives a snapshot that lies on this machine, as if it had come from another node. Blocks.
    ///
    /// # Errors
    /// It could not be read or written.
    fn receive(&self, checkpoint: Self::Checkpoint) -> Result<Self::Received, io::Error>;

    /// Makes what was received the state; where it stands is applied and durable then.
    ///
    /// # Errors
    /// [`InstallError::Older`]: the state is newer and stays. All others are faults.
    fn install(
        &self,
        received: Self::Received,
    ) -> BoxFuture<'static, Result<Applied, InstallError>>;
}

impl StateDisk for StateStore {
    type Checkpoint = Checkpoint;
    type Received = VerifiedCheckpoint;

    fn apply(
        &self,
        entries: Vec<StateEntry>,
    ) -> BoxFuture<'static, Result<Vec<EntryResult>, io::Error>> {
        // The call itself queues the entries, whether or not anybody waits.
        let results = StateStore::apply(self, entries);
        async move { Ok(results.await?) }.boxed()
    }

    fn applied(&self) -> Option<Applied> {
        StateStore::applied(self)
    }

    fn membership(&self) -> Option<Bytes> {
        StateStore::membership(self)
    }

    fn checkpoint(&self) -> BoxFuture<'static, Result<Checkpoint, io::Error>> {
        let checkpoint = StateStore::checkpoint(self);
        async move { Ok(checkpoint.await?) }.boxed()
    }

    fn newest_checkpoint(&self) -> Option<Checkpoint> {
        StateStore::newest_checkpoint(self)
    }

    fn position_of(checkpoint: &Checkpoint) -> Position {
        checkpoint.manifest().position()
    }

    fn membership_of(checkpoint: &Checkpoint) -> Bytes {
        Bytes::copy_from_slice(&checkpoint.manifest().membership)
    }

    fn receive(&self, checkpoint: Checkpoint) -> Result<VerifiedCheckpoint, io::Error> {
        let copy = || -> Result<VerifiedCheckpoint, InstallError> {
            let incoming = self.begin_install(checkpoint.manifest().clone())?;
            for (file, mut offset) in incoming.needs()? {
                loop {
                    let data = checkpoint
                        .read(file, offset, COPY_BYTES)
                        .map_err(InstallError::Receive)?;
                    incoming.write(file, offset, &data)?;
                    if data.is_empty() {
                        break;
                    }
                    offset += data.len() as u64;
                }
            }
            incoming.verified()
        };
        copy().map_err(io::Error::other)
    }

    fn install(
        &self,
        received: VerifiedCheckpoint,
    ) -> BoxFuture<'static, Result<Applied, InstallError>> {
        StateStore::install(self, received).boxed()
    }
}
