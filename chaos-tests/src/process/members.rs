//! Churn of the membership by command: a voter that votes no more for a while, and a new machine in the place of a lost one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use banyan_client::Client;
use banyan_drill::cluster::ClusterError;
use banyan_drill::{access, wait_for};
use banyan_topology::NodeId;
use banyan_wire::v1;
use banyan_wire::v1::change_members_request::Change;
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinSet;

use super::damage;
use super::faults::{AT_THE_LEADER, LEVEL_WITHIN, Storm};
use super::leaders;
use super::network::all_but;
use crate::harness;

/// Between two tries of a change that is not possible now.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// A voter that is being made a learner while other faults last.
pub(super) struct Demotion {
    node: String,
    /// Its asker gives up at the next failure.
    over: Arc<AtomicBool>,
    asker: JoinSet<Result<(), String>>,
}

fn voters(promote: &[u64], demote: &[u64]) -> Change {
    Change::Voters(v1::ChangeVoters {
        promote_node_ids: promote.to_vec(),
        demote_node_ids: demote.to_vec(),
    })
}

fn request(cluster: &str, change: Change) -> v1::ChangeMembersRequest {
    v1::ChangeMembersRequest {
        change: Some(change),
        dry_run: false,
        // Four of five voters survive no loss of a site: that is what is tried here.
        override_goal: cluster.to_owned(),
    }
}

/// Asks one node after the other for a change until it is made, at least once. The first failure ends it once `over` is set.
async fn ask(
    operator: &Client,
    nodes: &[String],
    request: &v1::ChangeMembersRequest,
    over: &AtomicBool,
) -> Result<(), String> {
    for node in nodes.iter().cycle() {
        match operator.change_members(node, request.clone()).await {
            Ok(_) => return Ok(()),
            Err(error) if over.load(Ordering::Relaxed) => return Err(access::reason(&error)),
            Err(_) => tokio::time::sleep(AGAIN_AFTER).await,
        }
    }
    Err("there is nobody to ask".to_owned())
}

impl Storm {
    /// Begins to make a voter a learner, often the leader. Whatever else strikes meanwhile may strike in the middle of it.
    pub(super) async fn demote(&mut self, rng: &mut ChaCha8Rng) -> Result<Option<String>> {
        if self.demotion.is_some() {
            return Ok(None);
        }
        let cluster = &self.arena.cluster;
        let voters_now: Vec<String> = cluster
            .topology()
            .voters()
            .map(|node| node.name().to_owned())
            .collect();
        let any = voters_now.choose(rng).cloned().unwrap_or_default();
        let at_the_leader = rng.random_bool(AT_THE_LEADER);
        let leader = leaders::leader(cluster).await?;
        let node = leader.filter(|_| at_the_leader).unwrap_or(any);
        let id = cluster.node_id(&node).context("a voter has an id")?.get();
        let operator = cluster.operator()?;
        let all = cluster.node_names();
        let request = request(cluster.topology().cluster(), voters(&[], &[id]));
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let mut asker = JoinSet::new();
        asker.spawn(async move { ask(&operator, &all, &request, &told).await });
        self.demotion = Some(Demotion {
            node: node.clone(),
            over,
            asker,
        });
        Ok(Some(node))
    }

    /// The voter that was made a learner votes again, which has to be possible once all is healed.
    ///
    /// # Errors
    /// As [`Storm::round`].
    pub(super) async fn promote_again(&mut self) -> Result<()> {
        let Some(Demotion {
            node,
            over,
            mut asker,
        }) = self.demotion.take()
        else {
            return Ok(());
        };
        over.store(true, Ordering::Relaxed);
        let made = asker.join_next().await.context("somebody asks")?;
        let made = made.context("the asker has panicked")?;
        let id = self.id_of(&node)?;
        let promoted = self.change(voters(&[id], &[]), &[]).await?;
        harness::say(&format!(
            "          {node} voted no more{}, and {}",
            made.map_or_else(|why| format!(", or did ({why})"), |()| String::new()),
            if promoted {
                "votes again"
            } else {
                "was not made a voter again"
            }
        ));
        Ok(())
    }

    /// A new machine takes the name and the place of a node whose machine is lost, under an id of its own and with nothing on its disk.
    pub(super) async fn replace(&mut self, rng: &mut ChaCha8Rng) -> Result<Option<String>> {
        if !self.wait_level().await? {
            return Ok(None);
        }
        let node = self.victim(rng).await?;
        let (halfway, one) = (rng.random_bool(0.5), [node.clone()]);
        let old = self.id_of(&node)?;
        let cluster = &self.arena.cluster;
        let votes = cluster
            .topology()
            .node(&node)
            .is_some_and(banyan_topology::Node::is_voter);
        let highest = cluster
            .topology()
            .nodes()
            .iter()
            .map(|node| node.id().get());
        // Ids that are gone are not in the topology: they are counted here.
        let new = highest.chain([self.highest_id]).max().unwrap_or(0) + 1;
        self.highest_id = new;
        self.kill(&one).await?;
        if votes && !self.change(voters(&[], &[old]), &one).await? {
            return Ok(None);
        }
        if !self.change(Change::RemoveNodeId(old), &one).await? {
            return Ok(None);
        }
        damage::empty(&self.arena.disks.data_of(&node))?;
        let id = NodeId::new(new).context("an id is more than nought")?;
        match self.arena.cluster.start_in_place(&node, id).await {
            Ok(()) => {}
            Err(error @ (ClusterError::Elapsed(_) | ClusterError::Ended { .. })) => {
                self.findings.add("not_replaced", &error.to_string());
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
        self.arena.has_preloaded(&node).await?;
        let member = self.arena.cluster.topology().node(&node);
        let member = member.context("it is in the topology")?;
        let add = Change::Add(v1::NewMember {
            node_id: new,
            node: node.clone(),
            site: member.site().to_owned(),
            peer_endpoint: member.peer_endpoint(),
            client_endpoint: member.client_endpoint(),
            will_vote: votes,
        });
        if !self.change(add, &one).await? {
            return Ok(None);
        }
        if halfway {
            // In the middle of its first snapshot, or before it.
            self.kill(&one).await?;
            self.arena.cluster.start_node(&node)?;
        }
        if votes && !self.change(voters(&[new], &[]), &one).await? {
            return Ok(None);
        }
        Ok(Some(format!("{node}, {old} is {new} now")))
    }

    /// Asks for a change, of all nodes but some; a change that cannot be made in time is a finding.
    async fn change(&mut self, change: Change, but: &[String]) -> Result<bool> {
        let cluster = &self.arena.cluster;
        let operator = cluster.operator()?;
        let asked = all_but(&cluster.node_names(), but);
        let what = format!("{change:?}");
        let request = request(cluster.topology().cluster(), change);
        let mut asked = asked.iter().cycle();
        let made = wait_for::condition(&what, LEVEL_WITHIN, async || {
            let node = asked.next().ok_or("there is nobody to ask")?;
            let made = operator.change_members(node, request.clone()).await;
            made.map(drop).map_err(|error| access::reason(&error))
        });
        match made.await {
            Ok(()) => Ok(true),
            Err(elapsed) => {
                self.findings
                    .add("members_not_changed", &elapsed.to_string());
                Ok(false)
            }
        }
    }

    fn id_of(&self, node: &str) -> Result<u64> {
        let id = self.arena.cluster.node_id(node);
        Ok(id.context("the node is in the topology")?.get())
    }

    /// In the end the members are those of the topology, and those vote that shall.
    pub(super) async fn check_members(&mut self) -> Result<()> {
        let cluster = &self.arena.cluster;
        let mut wanted: Vec<(u64, &str)> = cluster
            .topology()
            .nodes()
            .iter()
            .map(|node| {
                (
                    node.id().get(),
                    if node.is_voter() { "voter" } else { "learner" },
                )
            })
            .collect();
        wanted.sort_unstable();
        let statuses = access::status_of_all(&cluster.operator()?, &cluster.node_names()).await;
        for (node, status) in statuses {
            let status = match status {
                Ok(status) => status,
                Err(why) => {
                    let what = format!("{node} does not tell who is a member: {why}");
                    self.findings.add("members", &what);
                    continue;
                }
            };
            let mut members: Vec<(u64, &str)> = status
                .members
                .iter()
                .map(|member| (member.node_id, &*member.membership))
                .collect();
            members.sort_unstable();
            if members != wanted {
                let what = format!("{node} knows {members:?}, and there should be {wanted:?}");
                self.findings.add("members", &what);
            }
        }
        Ok(())
    }
}
