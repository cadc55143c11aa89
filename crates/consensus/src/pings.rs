//! Voters ping each other: the connections on which votes and heartbeats go are open when they are needed, and clocks are compared.
//!
//! Votes go from follower to follower, and between those nothing else ever goes. Over a connection that must first be opened, with two round trips for TCP
//! and TLS, a vote misses its deadline when sites lie far apart, and the next one is asked for only after another election wait.

use std::{sync::Arc, time::Duration};

use banyan_domain::{NodeId, Timestamp};
use futures::future::{BoxFuture, join_all};
use openraft::storage::RaftStateMachine;
use openraft_rt::{AsyncRuntime, Instant as _};

use crate::{
    clock::Clock,
    consensus::WeakConsensus,
    member::Member,
    status::Role,
    types::TypeConfig,
    voter_clocks::{Heard, VoterClocks},
};

/// How often a voter is pinged.
const EVERY: Duration = Duration::from_secs(1);
/// The same for one whose clock was not heard: it may have just come up, and a leader of an hour that nobody checked is what this is against.
const EVERY_UNHEARD: Duration = Duration::from_millis(200);

/// Asks another voter for its wall clock on each of the connections to it that must be open at an election. The simulator brings its own.
pub trait PingWire: Send + Sync + 'static {
    /// What its clock said. Resolves within an election time or so.
    ///
    /// # Errors
    /// Why it did not say.
    fn ping(&self, node: u64, member: &Member) -> BoxFuture<'static, Result<Timestamp, String>>;
}

/// What the task works with.
pub(crate) struct Pings {
    pub(crate) wire: Arc<dyn PingWire>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) clocks: VoterClocks,
}

/// Runs until the last handle of consensus is gone.
pub(crate) async fn run<R, SM>(consensus: WeakConsensus<R, SM>, pings: Pings)
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    loop {
        let pause = {
            let Some(consensus) = consensus.upgrade() else {
                return;
            };
            let status = consensus.status();
            if status.role == Role::Stopped {
                return;
            }
            let votes = |node| status.members.get(&node).is_some_and(|member| member.votes);
            pings.clocks.keep(votes);
            let others: Vec<(NodeId, Member)> = status
                .members
                .iter()
                .filter(|(id, member)| member.votes && **id != status.node)
                .map(|(id, member)| (*id, member.member.clone()))
                .collect();
            // A learner has no say in elections, and its certificate none among voters.
            if votes(status.node) {
                pings.round(others).await
            } else {
                EVERY
            }
        };
        R::sleep_until(R::Instant::now() + pause).await;
    }
}

impl Pings {
    /// Pings all, and tells when to do it again.
    async fn round(&self, others: Vec<(NodeId, Member)>) -> Duration {
        let asked: Vec<NodeId> = others.iter().map(|(node, _)| *node).collect();
        join_all(others.into_iter().map(|(node, member)| async move {
            let asked = self.clock.boot_time();
            // One that does not answer has connections to be opened next time, and no say about clocks meanwhile.
            if let Ok(wall) = self.wire.ping(node.get(), &member).await {
                let answered = self.clock.boot_time();
                let reading = Heard {
                    wall,
                    asked,
                    answered,
                };
                self.clocks.note(node, reading);
            }
        }))
        .await;
        let now = self.clock.boot_time();
        if asked.iter().all(|node| self.clocks.heard(*node, now)) {
            EVERY
        } else {
            EVERY_UNHEARD
        }
    }
}
