//! What readers ask consensus: how fresh is this node, and how does it get fresher?

use std::time::Duration;

use banyan_domain::Position;
use openraft::storage::RaftStateMachine;
use openraft_rt::AsyncRuntime;

use crate::{
    Consensus,
    barrier::{Barrier, BarrierError, Urgency},
    types::TypeConfig,
};

impl<R, SM> Consensus<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    /// Boot time as of which this node's state is known to hold everything that was acknowledged before: `staleness = boot_time() -
    /// fresh_as_of()` (see `barrier` for the proof). Read it before taking a snapshot of the state. Unknown after a start and after an
    /// installed snapshot, until a barrier has been applied.
    #[must_use]
    pub fn fresh_as_of(&self) -> Option<Duration> {
        self.barriers().fresh_as_of()
    }

    /// This node's boot time, now.
    #[must_use]
    pub fn boot_time(&self) -> Duration {
        self.barriers().boot_time()
    }

    /// A read barrier that was asked for after this call began; readers that wait at the same moment share one. Asks again until the
    /// time is over. Not applied yet: see [`Consensus::reach`].
    ///
    /// # Errors
    /// [`BarrierError::Unconfirmed`] without a leader that a quorum confirms, [`BarrierError::Overloaded`], [`BarrierError::Stopped`].
    pub async fn barrier(&self, within: Duration) -> Result<Barrier, BarrierError> {
        self.barriers().barrier(within).await
    }

    /// A position for another node that takes this one for the leader, confirmed by a quorum after this call began.
    ///
    /// # Errors
    /// As [`Consensus::barrier`].
    pub async fn confirm(&self, urgency: Urgency) -> Result<Position, BarrierError> {
        self.barriers().leader().confirm(urgency).await
    }

    /// Waits, at most `within`, until this node has applied the barrier: a snapshot of the state taken then is linearizable for every read
    /// that began before the barrier was asked for.
    ///
    /// # Errors
    /// [`BarrierError::Behind`], [`BarrierError::Stopped`].
    pub async fn reach(&self, barrier: Barrier, within: Duration) -> Result<(), BarrierError> {
        self.barriers().reach(barrier, within).await
    }

    /// Waits, at most `within`, until this node has applied the entry at `index`.
    ///
    /// # Errors
    /// As [`Consensus::reach`].
    pub async fn applied(&self, index: u64, within: Duration) -> Result<(), BarrierError> {
        self.barriers().applied(index, within).await
    }
}
