//! What writers ask consensus: commands, and what else becomes a log entry, proposed at the leader.

use std::{sync::atomic::Ordering, time::Duration};

use banyan_domain::{Envelope, Outcome, Position};
use banyan_wire::internal_v1::RawValue;
use openraft::{async_runtime::watch::WatchReceiver as _, storage::RaftStateMachine};
use openraft_rt::AsyncRuntime;

use crate::{Consensus, parts::RawValues, propose_error::ProposeError, types::TypeConfig};

impl<R, SM> Consensus<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    /// Proposes commands and waits, at most `within`, until they are applied on this node; one outcome for each, in order. They
    /// share a log entry with each other, and perhaps with other callers' commands. Callers authorise before.
    ///
    /// # Errors
    /// See [`ProposeError`]; only `OutcomeUnknown` leaves open whether the commands are applied.
    pub async fn propose(
        &self,
        envelopes: Vec<Envelope>,
        within: Duration,
    ) -> Result<Vec<Outcome>, ProposeError> {
        self.check_leads()?;
        self.inner.proposer.propose(&envelopes, within).await
    }

    /// Proposes raw values and waits, at most `within`, until they are stored on this node; they share one log entry, whose position is
    /// returned. A value replaces what stood under its key.
    ///
    /// # Errors
    /// See [`ProposeError`]; [`ProposeError::RawValuesRefused`] unless this node was started with [`RawValues::Carried`].
    pub async fn put_values(
        &self,
        values: &[RawValue],
        within: Duration,
    ) -> Result<Position, ProposeError> {
        if self.inner.raw_values == RawValues::Refused {
            return Err(ProposeError::RawValuesRefused);
        }
        self.check_leads()?;
        self.inner.proposer.put_values(values, within).await
    }

    /// After which time so many commands of one caller should come back, if this node leads and would refuse them for load; `on_their_way` commands of
    /// other callers with a few have been let in and may not have been proposed yet. For edges, which can so refuse a request before they have
    /// read it; what passes may be refused by [`Consensus::propose`] all the same.
    #[must_use]
    pub fn refuses(&self, commands: usize, on_their_way: usize) -> Option<Duration> {
        if !self.leads() {
            return None;
        }
        self.inner.proposer.refuses(commands, on_their_way)
    }

    /// Puts a digest mark into the log: every node takes a snapshot of its state exactly there and hashes it. Returns the position
    /// that names the digest.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn start_digest(&self, within: Duration) -> Result<Position, ProposeError> {
        self.check_leads()?;
        self.inner.proposer.digest_mark(within).await
    }

    /// Refuses early, before anything is encoded or queued.
    fn check_leads(&self) -> Result<(), ProposeError> {
        if self.inner.stopping.load(Ordering::Acquire) {
            return Err(ProposeError::ShuttingDown);
        }
        let metrics = self.inner.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        if metrics.state == openraft::ServerState::Leader {
            return Ok(());
        }
        if self
            .inner
            .raft
            .metrics()
            .borrow_watched()
            .running_state
            .is_err()
        {
            return Err(ProposeError::Fault);
        }
        match metrics.current_leader {
            Some(id) => {
                let leader = metrics.membership_config.get_node(&id).cloned();
                Err(ProposeError::NotLeader { leader })
            }
            None => Err(ProposeError::NoQuorum {
                retry_after: self.inner.timing.election_min,
            }),
        }
    }
}
