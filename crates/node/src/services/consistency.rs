//! How fresh a read must be, and what an answer may say of its freshness.
//!
//! The order matters. The moment as of which this node is fresh is read *before* the snapshot is taken: the snapshot then holds at
//! least what that moment promises. The bound is checked after the snapshot, and again when the answer is complete, so that a node
//! that was stopped in between refuses. No clocks of two machines are compared.

use std::time::Duration;

use banyan_consensus::{Barrier, BarrierError};
use banyan_domain::ViewFault;
use banyan_storage::ReadView;
use banyan_wire::errors::Code;
use banyan_wire::token::{Token, TokenFault};
use banyan_wire::v1::consistency::Level;
use banyan_wire::v1::{AsOf, Consistency, ErrorDetail};

use super::context::{CallContext, ServiceParts};
use super::outcomes;

/// A reader that was too late waits this long: a barrier is taken and applied well within it.
const STALE_RETRY: Duration = Duration::from_millis(100);

/// What a read asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    /// Whatever this node has.
    Any,
    /// Everything that was acknowledged longer ago than this.
    Within(Duration),
    /// Everything up to a position.
    After(Token),
    /// Everything that was acknowledged before the read arrived.
    Linearizable,
}

/// One snapshot that holds what was asked for.
pub(super) struct Reading {
    view: ReadView,
    as_of: AsOf,
    /// Boot time as of which the snapshot is fresh, where known.
    fresh_as_of: Option<Duration>,
    staleness_max: Option<Duration>,
}

impl Wanted {
    fn of(consistency: Option<&Consistency>) -> Result<Self, ErrorDetail> {
        let Some(consistency) = consistency else {
            return Ok(Self::Any);
        };
        Ok(match &consistency.level {
            // A level of a later version arrives as none. It is refused, never ignored: an answer would look fresher than it is.
            None => {
                let text = "the consistency level is none that this node knows: local, session or linearizable";
                return Err(ErrorDetail::new(Code::ConsistencyNotServed, text));
            }
            Some(Level::Local(local)) if local.max_staleness_ms == 0 => Self::Any,
            Some(Level::Local(local)) => {
                Self::Within(Duration::from_millis(local.max_staleness_ms))
            }
            Some(Level::Linearizable(_)) => Self::Linearizable,
            Some(Level::Session(session)) => {
                Self::After(Token::decode(&session.token).map_err(token_detail)?)
            }
        })
    }
}

impl ServiceParts {
    /// A snapshot of this node's state that holds what the read asks for, within the caller's time.
    ///
    /// # Errors
    /// The refusal: too stale, a token that is ahead or of another history, no leader that a quorum confirms.
    pub(super) async fn open_reading(
        &self,
        context: &CallContext,
        consistency: Option<&Consistency>,
    ) -> Result<Reading, ErrorDetail> {
        match Wanted::of(consistency)? {
            Wanted::Any => self.take_reading(None),
            Wanted::Within(bound) => self.reading_within(context, bound).await,
            Wanted::After(token) => self.reading_after(context, &token).await,
            Wanted::Linearizable => {
                let barrier = self.ask_barrier(context).await?;
                let reached = self.consensus.reach(barrier, context.remaining()).await;
                reached.map_err(|error| barrier_detail(&error))?;
                self.take_reading(None)
            }
        }
    }

    async fn reading_within(
        &self,
        context: &CallContext,
        bound: Duration,
    ) -> Result<Reading, ErrorDetail> {
        let reading = self.take_reading(Some(bound))?;
        if self.check_bound(&reading).is_ok() {
            return Ok(reading);
        }
        drop(reading);
        // One barrier for all readers that stand here now.
        let met = match self.consensus.barrier(context.remaining()).await {
            Ok(barrier) => self.consensus.reach(barrier, context.remaining()).await,
            Err(error) => Err(error),
        };
        let reading = self.take_reading(Some(bound))?;
        match (self.check_bound(&reading), met) {
            (Ok(_), _) => Ok(reading),
            (Err(detail), Ok(())) => Err(detail),
            (Err(mut detail), Err(cause)) => {
                detail.message = format!("{}; {cause}", detail.message);
                Err(detail)
            }
        }
    }

    async fn reading_after(
        &self,
        context: &CallContext,
        token: &Token,
    ) -> Result<Reading, ErrorDetail> {
        token
            .check(self.facts.topology.cluster(), self.stores.incarnation)
            .map_err(token_detail)?;
        let wanted = token.position;
        let applied = self
            .stores
            .state
            .applied()
            .map_or(0, |applied| applied.position.index);
        if applied < wanted.index {
            let barrier = self.ask_barrier(context).await?;
            if barrier.position.index < wanted.index {
                let text = format!(
                    "the token names position {}, the cluster has come to {}",
                    wanted.index, barrier.position.index
                );
                return Err(ErrorDetail::new(Code::TokenAhead, text));
            }
            // Not the barrier: the token's position is all that was asked for.
            let reached = self
                .consensus
                .applied(wanted.index, context.remaining())
                .await;
            reached.map_err(|error| barrier_detail(&error))?;
        }
        let reading = self.take_reading(None)?;
        // Terms never go back along the log: a later position of an earlier term is of no history of this cluster.
        if reading.as_of.term < wanted.term {
            let text = "the token names a term that the cluster had not come to at its position";
            return Err(ErrorDetail::new(Code::TokenAhead, text));
        }
        Ok(reading)
    }

    async fn ask_barrier(&self, context: &CallContext) -> Result<Barrier, ErrorDetail> {
        let barrier = self.consensus.barrier(context.remaining()).await;
        barrier.map_err(|error| barrier_detail(&error))
    }

    fn take_reading(&self, staleness_max: Option<Duration>) -> Result<Reading, ErrorDetail> {
        let fresh_as_of = self.consensus.fresh_as_of();
        let view = self
            .stores
            .state
            .view()
            .map_err(|fault| outcomes::storage_detail(&fault))?;
        let as_of = self.as_of(&view)?;
        Ok(Reading {
            view,
            as_of,
            fresh_as_of,
            staleness_max,
        })
    }

    /// How stale a reading is by now, at most; unknown until this node has applied a barrier.
    fn staleness(&self, reading: &Reading) -> Option<Duration> {
        let fresh_as_of = reading.fresh_as_of?;
        Some(self.consensus.boot_time().saturating_sub(fresh_as_of))
    }

    fn check_bound(&self, reading: &Reading) -> Result<Option<Duration>, ErrorDetail> {
        let staleness = self.staleness(reading);
        let Some(bound) = reading.staleness_max else {
            return Ok(staleness);
        };
        let text = match staleness {
            Some(staleness) if staleness <= bound => return Ok(Some(staleness)),
            Some(staleness) => format!(
                "this node may be {} ms behind, the read allows {} ms",
                staleness.as_millis(),
                bound.as_millis()
            ),
            None => format!(
                "how far this node is behind is not known, the read allows {} ms",
                bound.as_millis()
            ),
        };
        Err(ErrorDetail::new(Code::TooStale, text).with_retry_after(STALE_RETRY))
    }

    /// What the answer that is about to leave is based on. The bound is checked once more: time has passed since the snapshot.
    ///
    /// # Errors
    /// The answer is now older than the read allows.
    pub(super) fn close_reading(&self, reading: Reading) -> Result<AsOf, ErrorDetail> {
        let staleness = self.check_bound(&reading)?;
        Ok(AsOf {
            staleness_ms: staleness.map(milliseconds),
            ..reading.as_of
        })
    }

    /// What the first page of a scan is based on: as [`ServiceParts::close_reading`], of a reading that is kept.
    ///
    /// # Errors
    /// The answer is now older than the read allows.
    pub(super) fn first_page_as_of(&self, reading: &Reading) -> Result<AsOf, ErrorDetail> {
        self.check_bound(reading)?;
        Ok(self.page_as_of(reading))
    }

    /// What a further page of a scan is based on: the state of the first one, and the staleness that it has come to by now.
    pub(super) fn page_as_of(&self, reading: &Reading) -> AsOf {
        AsOf {
            staleness_ms: self.staleness(reading).map(milliseconds),
            ..reading.as_of.clone()
        }
    }
}

impl Reading {
    /// Position, commit time and node, known before the answer is complete.
    pub(super) fn as_of(&self) -> &AsOf {
        &self.as_of
    }

    /// Reads on the snapshot.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&ReadView) -> Result<T, ViewFault>,
    ) -> Result<T, ErrorDetail> {
        read(&self.view).map_err(|fault| outcomes::view_detail(&fault))
    }
}

/// Rounded up: a bound may be too wide, never too narrow.
fn milliseconds(bound: Duration) -> u64 {
    u64::try_from(bound.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn token_detail(fault: TokenFault) -> ErrorDetail {
    let code = match fault {
        TokenFault::Malformed => Code::TokenMalformed,
        TokenFault::OtherCluster | TokenFault::OtherIncarnation => Code::TokenOtherHistory,
    };
    ErrorDetail::new(code, fault.to_string())
}

fn barrier_detail(error: &BarrierError) -> ErrorDetail {
    let text = error.to_string();
    match error {
        BarrierError::Unconfirmed(_) => {
            ErrorDetail::new(Code::NoLeader, text).with_retry_after(STALE_RETRY * 2)
        }
        BarrierError::Behind { .. } => {
            ErrorDetail::new(Code::TooStale, text).with_retry_after(STALE_RETRY)
        }
        BarrierError::Overloaded => {
            ErrorDetail::new(Code::Overloaded, text).with_retry_after(STALE_RETRY)
        }
        BarrierError::Stopped => ErrorDetail::new(Code::ShuttingDown, text),
    }
}
