//! Voters ping each other: the connections on which votes and heartbeats go are open when they are needed, and clocks are compared.
//!
//! Votes go from follower to follower, and between those nothing else ever goes. Over a connection that must first be opened, with two round trips for TCP
//! and TLS, a vote misses its deadline when sites lie far apart, and the next one is asked for only after another election wait.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
    time::Duration,
};

use banyan_domain::{NodeId, Timestamp};
use futures::future::BoxFuture;
use openraft::{
    ServerState, async_runtime::watch::WatchReceiver as _, metrics::RaftServerMetrics,
    storage::RaftStateMachine,
};
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

/// What the tasks work with.
pub(crate) struct Pings {
    pub(crate) wire: Arc<dyn PingWire>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) clocks: VoterClocks,
}

/// Keeps one task for each other voter, as long as both vote. Runs until consensus has stopped, or its last handle is gone.
pub(crate) async fn run<R, SM>(consensus: WeakConsensus<R, SM>, pings: Pings)
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    let Some(mut metrics) = consensus
        .upgrade()
        .map(|consensus| consensus.raft().server_metrics())
    else {
        return;
    };
    let pings = Arc::new(pings);
    // A task ends once its voter is not in here any more.
    let mut asked: BTreeMap<NodeId, Arc<Member>> = BTreeMap::new();
    while consensus
        .upgrade()
        .is_some_and(|consensus| consensus.status().role != Role::Stopped)
    {
        let others = others(&metrics.borrow_watched());
        pings.clocks.among(others.as_ref().map(BTreeMap::len));
        let others = others.unwrap_or_default();
        asked.retain(|node, member| others.get(node) == Some(&**member));
        pings.clocks.keep(|node| others.contains_key(&node));
        for (node, member) in others {
            asked.entry(node).or_insert_with(|| {
                let member = Arc::new(member);
                let voter = Arc::downgrade(&member);
                drop(R::spawn(ask::<R>(Arc::clone(&pings), node, voter)));
                member
            });
        }
        // The time is for handles that are gone, which no change tells of.
        if let Ok(Err(_closed)) = R::timeout(EVERY, Box::pin(metrics.changed())).await {
            return;
        }
    }
}

/// The other voters, if this node is one: a learner has no say in elections, and its certificate none among voters. A leader that votes no more
/// stamps proposals until it has handed leadership over, so that it asks as well.
fn others<R: AsyncRuntime>(
    metrics: &RaftServerMetrics<TypeConfig<R>>,
) -> Option<BTreeMap<NodeId, Member>> {
    let membership = metrics.membership_config.membership();
    let voters: BTreeSet<u64> = membership.voter_ids().collect();
    if !voters.contains(&metrics.id) && metrics.state != ServerState::Leader {
        return None;
    }
    let members = membership.nodes();
    let others = members
        .filter(|(id, _)| voters.contains(id) && **id != metrics.id)
        .map(|(id, member)| (NodeId(*id), member.clone()))
        .collect();
    Some(others)
}

/// Asks one voter again and again. None of the others waits for its answers.
async fn ask<R: AsyncRuntime>(pings: Arc<Pings>, node: NodeId, voter: Weak<Member>) {
    while let Some(member) = voter.upgrade() {
        let begun = R::Instant::now();
        let asked = pings.clock.boot_time();
        let answer = pings.wire.ping(node.get(), &member);
        drop(member);
        // One that does not answer has connections to be opened next time, and no say about clocks meanwhile.
        let wall = answer.await;
        let answered = pings.clock.boot_time();
        if let Ok(wall) = wall
            && voter.strong_count() > 0
        {
            let heard = Heard {
                wall,
                asked,
                answered,
            };
            pings.clocks.note(node, heard);
        }
        let every = if pings.clocks.heard(node, answered) {
            EVERY
        } else {
            EVERY_UNHEARD
        };
        R::sleep_until(begun + every).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures::{FutureExt as _, join};
    use openraft_rt_tokio::TokioRuntime;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::{clock::SystemClock, voter_clocks::OFFSET_MAX};

    const PATIENCE: Duration = Duration::from_secs(60);

    /// Answers as often as it is let.
    struct Voter {
        asked: AtomicU64,
        arrived: Semaphore,
        answers: Arc<Semaphore>,
    }

    impl PingWire for Voter {
        fn ping(&self, _: u64, _: &Member) -> BoxFuture<'static, Result<Timestamp, String>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.arrived.add_permits(1);
            let answers = Arc::clone(&self.answers);
            async move {
                answers.acquire().await.unwrap().forget();
                Ok(SystemClock.now())
            }
            .boxed()
        }
    }

    #[tokio::test]
    async fn whoever_left_is_asked_no_more_and_its_late_answer_does_not_count() {
        let wire = Arc::new(Voter {
            asked: AtomicU64::new(0),
            arrived: Semaphore::new(0),
            answers: Arc::new(Semaphore::new(1)),
        });
        let clocks = VoterClocks::new(OFFSET_MAX);
        let pings = Arc::new(Pings {
            wire: wire.clone(),
            clock: Arc::new(SystemClock),
            clocks: clocks.clone(),
        });
        let heard = || clocks.heard(NodeId(2), SystemClock.boot_time());
        let member = Arc::new(Member::default());
        let asking = ask::<TokioRuntime>(pings, NodeId(2), Arc::downgrade(&member));
        let leaving = async {
            // The first question was answered, the second is under way.
            wire.arrived.acquire_many(2).await.unwrap().forget();
            assert!(heard());
            clocks.keep(|_| false);
            drop(member);
            wire.answers.add_permits(1);
        };
        let both = async { join!(asking, leaving) };
        TokioRuntime::timeout(PATIENCE, both)
            .await
            .expect("the task ends");
        assert!(!heard(), "of one that had left");
        assert_eq!(wire.asked.load(Ordering::SeqCst), 2);
    }
}
