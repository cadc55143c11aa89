//! The faults of a history, one after the other in an order from the seed. Each waits for what shows that it took place.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use banyan_drill::access;
use banyan_drill::cluster::LocalCluster;
use banyan_drill::wait_for;
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::record::Recorder;
use crate::harness;

/// What is done to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL to the leader; it is started again when another one leads.
    KillLeader,
    /// Leadership is handed to another voter.
    MoveLeadership,
    /// SIGSTOP to the leader until another one leads and acknowledges writes, then SIGCONT: it comes back with what it was about to say.
    PauseLeader,
    /// SIGSTOP to a learner for longer than the bounds that local reads ask for, then SIGCONT.
    PauseLearner,
}

/// A fault that took place.
#[derive(Debug, Clone)]
pub struct Done {
    pub fault: Fault,
    /// The node that it was done to; the old leader, where leadership moved.
    pub node: String,
    /// Just before it was done, on the clock of the operations.
    pub from: Duration,
    /// When the node was let go on, just before; when leadership had moved, just after.
    pub until: Duration,
}

/// Every kind, and twice what moves leadership.
const FAULTS: [Fault; 7] = [
    Fault::KillLeader,
    Fault::KillLeader,
    Fault::MoveLeadership,
    Fault::MoveLeadership,
    Fault::PauseLeader,
    Fault::PauseLeader,
    Fault::PauseLearner,
];

/// Writes that are acknowledged before, during and after each fault.
const ACKNOWLEDGED: usize = 60;
/// A condition that does not come true within this time fails the test.
const WITHIN: Duration = Duration::from_secs(30);
/// Longer than most bounds of local reads.
const LEARNER_PAUSED: Duration = Duration::from_millis(2500);

/// Does everything, and tells what was done: every fault of it has been seen to work.
///
/// # Errors
/// A fault that did not show, or a cluster that did not recover.
pub async fn run(
    cluster: &mut LocalCluster,
    recorder: &Recorder,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<Done>> {
    let mut faults = FAULTS;
    faults.shuffle(rng);
    let mut all_done = Vec::new();
    for fault in faults {
        progress(recorder).await?;
        let node = match fault {
            Fault::PauseLearner => learner(cluster, rng)?,
            _ => leader_among(cluster, &cluster.node_names(), None).await?,
        };
        let from = recorder.now();
        harness::say(&format!("{} ms: {fault:?} at {node}", from.as_millis()));
        match fault {
            Fault::KillLeader => kill_leader(cluster, &node, recorder).await?,
            Fault::MoveLeadership => move_leadership(cluster, &node, rng).await?,
            Fault::PauseLeader => pause_leader(cluster, &node, recorder).await?,
            Fault::PauseLearner => pause_learner(cluster, &node, recorder).await?,
        }
        let until = recorder.now();
        match fault {
            Fault::KillLeader => cluster.start_node(&node)?,
            Fault::PauseLeader | Fault::PauseLearner => cluster.resume_node(&node)?,
            Fault::MoveLeadership => {}
        }
        all_done.push(Done {
            fault,
            node,
            from,
            until,
        });
        let all = cluster.node_names();
        cluster
            .wait_caught_up(&all, harness::CAUGHT_UP_WITHIN)
            .await?;
    }
    progress(recorder).await?;
    Ok(all_done)
}

/// Waits until writes have been acknowledged from now on.
async fn progress(recorder: &Recorder) -> Result<()> {
    let aim = recorder.acknowledged() + ACKNOWLEDGED;
    wait_for::condition("acknowledging writes", WITHIN, async || {
        let acknowledged = recorder.acknowledged();
        if acknowledged >= aim {
            Ok(())
        } else {
            Err(format!("{acknowledged} of {aim}"))
        }
    })
    .await?;
    Ok(())
}

async fn kill_leader(cluster: &mut LocalCluster, leader: &str, recorder: &Recorder) -> Result<()> {
    cluster.kill_node(leader).await?;
    let others = all_but(cluster, leader);
    leader_among(cluster, &others, Some(leader)).await?;
    progress(recorder).await
}

async fn pause_leader(cluster: &LocalCluster, leader: &str, recorder: &Recorder) -> Result<()> {
    cluster.pause_node(leader)?;
    let others = all_but(cluster, leader);
    leader_among(cluster, &others, Some(leader)).await?;
    progress(recorder).await
}

async fn pause_learner(cluster: &LocalCluster, learner: &str, recorder: &Recorder) -> Result<()> {
    cluster.pause_node(learner)?;
    let since = Instant::now();
    progress(recorder).await?;
    // Not for luck: how long it stands still is the fault itself.
    tokio::time::sleep(LEARNER_PAUSED.saturating_sub(since.elapsed())).await;
    Ok(())
}

async fn move_leadership(cluster: &LocalCluster, leader: &str, rng: &mut ChaCha8Rng) -> Result<()> {
    let others: Vec<_> = cluster
        .topology()
        .voters()
        .filter(|node| node.name() != leader)
        .collect();
    ensure!(!others.is_empty(), "the topology has another voter");
    let id = others[rng.random_range(0..others.len())].id().get();
    let operator = cluster.operator()?;
    let moved = wait_for::condition("moving leadership", WITHIN, async || {
        // A target that is not level yet is refused; it will be.
        match operator.transfer_leader(leader, id).await {
            Ok(read) => Ok(read.answer.leader_id),
            Err(error) => Err(access::reason(&error)),
        }
    })
    .await?;
    ensure!(moved == id, "leadership went to {moved} and not to {id}");
    leader_among(cluster, &cluster.node_names(), Some(leader)).await?;
    Ok(())
}

fn learner(cluster: &LocalCluster, rng: &mut ChaCha8Rng) -> Result<String> {
    let learners: Vec<_> = cluster.topology().learners().collect();
    ensure!(!learners.is_empty(), "the topology has a learner");
    let chosen = rng.random_range(0..learners.len());
    Ok(learners[chosen].name().to_owned())
}

/// Waits until the named nodes agree on a leader, another one than `not` where that is given.
async fn leader_among(
    cluster: &LocalCluster,
    nodes: &[String],
    not: Option<&str>,
) -> Result<String> {
    let operator = cluster.operator()?;
    let id = wait_for::condition("one leader known to all", WITHIN, async || {
        let mut leaders = Vec::new();
        for (name, status) in access::status_of_all(&operator, nodes).await {
            let status = status.map_err(|reason| format!("{name}: {reason}"))?;
            leaders.push(status.leader_id);
        }
        leaders.sort_unstable();
        leaders.dedup();
        let old = not.and_then(|name| cluster.node_id(name));
        match leaders[..] {
            [0] => Err("no leader is known".to_owned()),
            [leader] if old.is_some_and(|old| old.get() == leader) => {
                Err(format!("it is still {leader}"))
            }
            [leader] => Ok(leader),
            _ => Err(format!("they say {leaders:?}")),
        }
    })
    .await?;
    let nodes = cluster.topology().nodes();
    let leader = nodes.iter().find(|node| node.id().get() == id);
    Ok(leader
        .with_context(|| format!("the topology has no node {id}"))?
        .name()
        .to_owned())
}

fn all_but(cluster: &LocalCluster, name: &str) -> Vec<String> {
    let mut nodes = cluster.node_names();
    nodes.retain(|node| node != name);
    nodes
}
