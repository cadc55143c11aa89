//! How fresh a read must be, and one snapshot of this node's state that holds what it asks for.
//!
//! The order matters. The moment as of which this node is fresh is read *before* the snapshot is opened: the snapshot then holds at
//! least what that moment promises. The bound is checked after the snapshot, and again when the answer is complete, so that a node
//! that was stopped in between refuses. No clocks of two machines are compared; `barrier` holds the proof of the bound.
//!
//! Nothing here knows what a snapshot holds, how a read is asked for on the wire, or what a refusal is called there. Simulated nodes so read
//! through this very code, on their own runtime and store.

use std::{error::Error, fmt, time::Duration};

use banyan_domain::{
    Position,
    seeded_bugs::{SeededBug, planted},
};
use openraft::storage::RaftStateMachine;
use openraft_rt::{AsyncRuntime, Instant as _};

use crate::{
    Consensus,
    barrier::{Barrier, BarrierError},
    types::TypeConfig,
};

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadLevel {
    /// Whatever this node has.
    Any,
    /// Everything that was acknowledged longer ago than this.
    Within(Duration),
    /// Everything up to a position.
    After(Position),
    /// Everything that was acknowledged before the read arrived.
    Linearizable,
}

/// The state of this node, as its readers see it.
pub trait Snapshots {
    /// One unchanging state, for all that a read looks up.
    type View;
    /// Why there is none.
    type Fault;

    /// The state as it is now, and the position that it has applied: zero before the first.
    ///
    /// # Errors
    /// The store cannot be read.
    fn open(&self) -> Result<(Self::View, Position), Self::Fault>;

    /// Index of the last entry that a view opened from now on holds for certain; zero before the first.
    fn applied(&self) -> u64;
}

/// An answer that may be older than its read allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooStale {
    /// How far behind this node may be; unknown until it has applied a barrier.
    pub staleness: Option<Duration>,
    /// What the read allows.
    pub bound: Duration,
}

impl fmt::Display for TooStale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.staleness {
            Some(staleness) => write!(f, "this node may be {} ms behind", staleness.as_millis())?,
            None => f.write_str("how far this node is behind is not known")?,
        }
        write!(f, ", the read allows {} ms", self.bound.as_millis())
    }
}

impl Error for TooStale {}

/// Why a read is refused. Nothing was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadRefusal<F> {
    /// Older than the read allows, also after a barrier was asked for.
    #[error("{stale}")]
    TooStale {
        /// By how much.
        stale: TooStale,
        /// Why the barrier did not help, if it failed.
        #[source]
        barrier: Option<BarrierError>,
    },
    /// The read names a position that does not exist yet: it is of another history, or the cluster has lost its own.
    #[error("position {wanted} is to be read, the cluster has come to {reached}")]
    AheadOfCluster {
        /// The index that the read names.
        wanted: u64,
        /// The index that the cluster has come to.
        reached: u64,
    },
    /// The read names a term that the cluster had not come to at that position.
    #[error("the term to be read is one that the cluster had not come to at its position")]
    TermUnknown,
    /// No barrier, or this node did not come so far in time.
    #[error(transparent)]
    Barrier(#[from] BarrierError),
    /// No snapshot could be opened.
    #[error("no snapshot of the state could be opened")]
    Fault(#[source] F),
}

/// One snapshot that holds what a read asked for.
#[derive(Debug)]
pub struct Reading<V> {
    view: V,
    position: Position,
    /// Boot time as of which the snapshot is fresh, where known.
    fresh_as_of: Option<Duration>,
    staleness_max: Option<Duration>,
}

impl<V> Reading<V> {
    /// What there is to be read.
    pub fn view(&self) -> &V {
        &self.view
    }

    /// What the snapshot has applied.
    pub fn position(&self) -> Position {
        self.position
    }

    /// How stale the snapshot is at this boot time, at most; unknown if this node had not applied a barrier when it was opened.
    pub fn staleness(&self, boot_time: Duration) -> Option<Duration> {
        let fresh_as_of = self.fresh_as_of?;
        Some(boot_time.saturating_sub(fresh_as_of))
    }

    /// The same, if the read allows it: time has passed since the snapshot was opened.
    ///
    /// # Errors
    /// [`TooStale`] at this boot time.
    pub fn check_bound(&self, boot_time: Duration) -> Result<Option<Duration>, TooStale> {
        let staleness = self.staleness(boot_time);
        match self.staleness_max {
            Some(bound)
                if staleness.is_none_or(|staleness| staleness > bound)
                    && !planted(SeededBug::BoundNotChecked) =>
            {
                Err(TooStale { staleness, bound })
            }
            _ => Ok(staleness),
        }
    }

    /// Ends the reading, at the boot time when the answer is complete. The bound is checked once more. Gives the view back, and the staleness that the
    /// answer may claim.
    ///
    /// # Errors
    /// The answer is now older than the read allows, and must not leave.
    pub fn close(self, boot_time: Duration) -> Result<(V, Option<Duration>), TooStale> {
        let staleness = self.check_bound(boot_time)?;
        Ok((self.view, staleness))
    }
}

impl<R, SM> Consensus<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    /// A snapshot of this node's state that holds what the read asks for, within this time.
    ///
    /// # Errors
    /// See [`ReadRefusal`].
    pub async fn open_reading<S: Snapshots>(
        &self,
        level: ReadLevel,
        within: Duration,
        snapshots: &S,
    ) -> Result<Reading<S::View>, ReadRefusal<S::Fault>> {
        let opening = Opening {
            consensus: self,
            snapshots,
            deadline: R::Instant::now() + within,
        };
        match level {
            ReadLevel::Any => opening.open(None),
            ReadLevel::Within(bound) => opening.within(bound).await,
            ReadLevel::After(wanted) => opening.after(wanted).await,
            ReadLevel::Linearizable => {
                opening.pass_barrier().await?;
                opening.open(None)
            }
        }
    }
}

/// A read that is being opened.
struct Opening<'a, R, SM, S>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    consensus: &'a Consensus<R, SM>,
    snapshots: &'a S,
    deadline: R::Instant,
}

impl<R, SM, S> Opening<'_, R, SM, S>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
    S: Snapshots,
{
    async fn within(&self, bound: Duration) -> Result<Reading<S::View>, ReadRefusal<S::Fault>> {
        let reading = self.open(Some(bound))?;
        if self.check(&reading).is_ok() {
            return Ok(reading);
        }
        drop(reading);
        // One barrier for all readers that stand here now.
        let barrier = self.pass_barrier().await.err();
        let reading = self.open(Some(bound))?;
        match self.check(&reading) {
            Ok(_) => Ok(reading),
            Err(stale) => Err(ReadRefusal::TooStale { stale, barrier }),
        }
    }

    async fn after(&self, wanted: Position) -> Result<Reading<S::View>, ReadRefusal<S::Fault>> {
        if planted(SeededBug::TokenIgnored) {
            return self.open(None);
        }
        if self.snapshots.applied() < wanted.index {
            let reached = self.ask_barrier().await?.position.index;
            if reached < wanted.index {
                let wanted = wanted.index;
                return Err(ReadRefusal::AheadOfCluster { wanted, reached });
            }
            // Not the barrier: the position is all that was asked for.
            self.consensus
                .applied(wanted.index, self.remaining())
                .await?;
        }
        let reading = self.open(None)?;
        // Terms never go back along the log: a later position of an earlier term is of no history of this cluster.
        if reading.position.term < wanted.term {
            return Err(ReadRefusal::TermUnknown);
        }
        Ok(reading)
    }

    async fn pass_barrier(&self) -> Result<(), BarrierError> {
        let barrier = self.ask_barrier().await?;
        self.consensus.reach(barrier, self.remaining()).await
    }

    async fn ask_barrier(&self) -> Result<Barrier, BarrierError> {
        self.consensus.barrier(self.remaining()).await
    }

    fn open(
        &self,
        staleness_max: Option<Duration>,
    ) -> Result<Reading<S::View>, ReadRefusal<S::Fault>> {
        let fresh_as_of = self.consensus.fresh_as_of();
        let (view, position) = self.snapshots.open().map_err(ReadRefusal::Fault)?;
        Ok(Reading {
            view,
            position,
            fresh_as_of,
            staleness_max,
        })
    }

    fn check(&self, reading: &Reading<S::View>) -> Result<Option<Duration>, TooStale> {
        reading.check_bound(self.consensus.boot_time())
    }

    /// Less from step to step.
    fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(R::Instant::now())
    }
}
