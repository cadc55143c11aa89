//! How a caller says how fresh a read must be, and what an answer or a refusal says of its freshness.
//!
//! What is fresh enough is decided in `banyan_consensus`, which opens the snapshot and checks the bound.

use std::time::Duration;

use banyan_consensus::{BarrierError, ReadLevel, ReadRefusal, Snapshots, TooStale};
use banyan_domain::{Position, ViewFault};
use banyan_storage::ReadView;
use banyan_wire::errors::Code;
use banyan_wire::token::{Token, TokenFault};
use banyan_wire::v1::consistency::Level;
use banyan_wire::v1::{AsOf, Consistency, ErrorDetail};

use super::context::{CallContext, ServiceParts};
use super::outcomes;

/// A reader that was too late waits this long: a barrier is taken and applied well within it.
const STALE_RETRY: Duration = Duration::from_millis(100);

/// One snapshot that holds what was asked for.
pub(super) struct Reading(banyan_consensus::Reading<Opened>);

/// The state as one read sees it.
struct Opened {
    view: ReadView,
    as_of: AsOf,
}

/// Where this node's readings come from.
struct State<'a>(&'a ServiceParts);

impl Snapshots for State<'_> {
    type View = Opened;
    type Fault = ErrorDetail;

    fn open(&self) -> Result<(Opened, Position), ErrorDetail> {
        let view = self.0.stores.state.view();
        let view = view.map_err(|fault| outcomes::storage_detail(&fault))?;
        let as_of = self.0.as_of(&view)?;
        let position = Position {
            term: as_of.term,
            index: as_of.position,
        };
        Ok((Opened { view, as_of }, position))
    }

    fn applied(&self) -> u64 {
        let applied = self.0.stores.state.applied();
        applied.map_or(0, |applied| applied.position.index)
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
        let level = self.level(consistency)?;
        let opened = self
            .consensus
            .open_reading(level, context.remaining(), &State(self))
            .await;
        opened.map(Reading).map_err(refusal_detail)
    }

    fn level(&self, consistency: Option<&Consistency>) -> Result<ReadLevel, ErrorDetail> {
        let Some(consistency) = consistency else {
            return Ok(ReadLevel::Any);
        };
        Ok(match &consistency.level {
            // A level of a later version arrives as none. It is refused, never ignored: an answer would look fresher than it is.
            None => {
                let text = "the consistency level is none that this node knows: local, session or linearizable";
                return Err(ErrorDetail::new(Code::ConsistencyNotServed, text));
            }
            Some(Level::Local(local)) if local.max_staleness_ms == 0 => ReadLevel::Any,
            Some(Level::Local(local)) => {
                ReadLevel::Within(Duration::from_millis(local.max_staleness_ms))
            }
            Some(Level::Linearizable(_)) => ReadLevel::Linearizable,
            Some(Level::Session(session)) => {
                let token = Token::decode(&session.token).map_err(token_detail)?;
                token
                    .check(self.facts.topology.cluster(), self.stores.incarnation)
                    .map_err(token_detail)?;
                ReadLevel::After(token.position)
            }
        })
    }

    /// What the answer that is about to leave is based on. The bound is checked once more: time has passed since the snapshot.
    ///
    /// # Errors
    /// The answer is now older than the read allows.
    pub(super) fn close_reading(&self, Reading(reading): Reading) -> Result<AsOf, ErrorDetail> {
        let closed = reading.close(self.consensus.boot_time());
        let (opened, staleness) = closed.map_err(stale_detail)?;
        Ok(AsOf {
            staleness_ms: staleness.map(milliseconds),
            ..opened.as_of
        })
    }

    /// What the first page of a scan is based on: as [`ServiceParts::close_reading`], of a reading that is kept.
    ///
    /// # Errors
    /// The answer is now older than the read allows.
    pub(super) fn first_page_as_of(&self, reading: &Reading) -> Result<AsOf, ErrorDetail> {
        let boot_time = self.consensus.boot_time();
        let staleness = reading.0.check_bound(boot_time).map_err(stale_detail)?;
        Ok(reading.as_of_with(staleness))
    }

    /// What a further page of a scan is based on: the state of the first one, and the staleness that it has come to by now.
    pub(super) fn page_as_of(&self, reading: &Reading) -> AsOf {
        reading.as_of_with(reading.0.staleness(self.consensus.boot_time()))
    }
}

impl Reading {
    /// Position, commit time and node, known before the answer is complete.
    pub(super) fn as_of(&self) -> &AsOf {
        &self.0.view().as_of
    }

    fn as_of_with(&self, staleness: Option<Duration>) -> AsOf {
        AsOf {
            staleness_ms: staleness.map(milliseconds),
            ..self.as_of().clone()
        }
    }

    /// Reads on the snapshot.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&ReadView) -> Result<T, ViewFault>,
    ) -> Result<T, ErrorDetail> {
        read(&self.0.view().view).map_err(|fault| outcomes::view_detail(&fault))
    }
}

/// Why a read was refused, in public words.
fn refusal_detail(refusal: ReadRefusal<ErrorDetail>) -> ErrorDetail {
    match refusal {
        ReadRefusal::TooStale { stale, barrier } => {
            let mut detail = stale_detail(stale);
            if let Some(cause) = barrier {
                detail.message = format!("{}; {cause}", detail.message);
            }
            detail
        }
        ReadRefusal::AheadOfCluster { wanted, reached } => {
            let text =
                format!("the token names position {wanted}, the cluster has come to {reached}");
            ErrorDetail::new(Code::TokenAhead, text)
        }
        ReadRefusal::TermUnknown => {
            let text = "the token names a term that the cluster had not come to at its position";
            ErrorDetail::new(Code::TokenAhead, text)
        }
        ReadRefusal::Barrier(error) => barrier_detail(&error),
        ReadRefusal::Fault(detail) => detail,
    }
}

fn stale_detail(stale: TooStale) -> ErrorDetail {
    ErrorDetail::new(Code::TooStale, stale.to_string()).with_retry_after(STALE_RETRY)
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
