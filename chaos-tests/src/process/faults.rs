//! Doing faults to a running cluster, and undoing them.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use banyan_drill::cluster::ClusterError;
use banyan_topology::Node;
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use strum::VariantArray as _;

use super::corruption;
use super::damage::Files;
use super::findings::Findings;
use super::leaders;
use super::members::Demotion;
use super::network::{Trouble, Weather, all_but};
use super::plan::{self, Counts, Kind, Needs, Round};
use super::start::Arena;
use crate::harness;
use crate::lossy_fs::disk::PowerCut;
use banyan_drill::history::History;

/// Share of the faults of one node that strike the leader.
pub(super) const AT_THE_LEADER: f64 = 0.5;
/// Nodes are level after this time, when nothing is wrong any more.
pub(super) const LEVEL_WITHIN: Duration = Duration::from_secs(90);
/// Shares of packets that are lost.
const LOST_PERCENT: [u8; 3] = [3, 10, 25];
/// What a slow way carries, in kbit/s.
const SLOW_KILOBITS: [u32; 3] = [500, 2_000, 8_000];
/// Steps of a clock in seconds, below and beyond what a leader may be away from a majority.
const STEPS_SECONDS: [i64; 6] = [2, 4, 8, 90, 3_600, 6 * 3_600];
/// Beyond any clock that works, so that some seconds show: 0.2 % to double its pace.
const SKEWS_PER_MILLION: [i64; 4] = [2_000, 50_000, 200_000, 1_000_000];
/// A cluster, and what is being done to it.
pub(super) struct Storm {
    pub(super) arena: Arena,
    pub(super) history: History,
    pub(super) counts: Counts,
    pub(super) findings: Findings,
    pub(super) weather: Weather,
    /// Nodes whose disk is full: they end by themselves.
    pub(super) full: BTreeSet<String>,
    /// The voter that is being made a learner.
    pub(super) demotion: Option<Demotion>,
    /// The highest id that any node has had: none is used twice.
    pub(super) highest_id: u64,
}

impl Storm {
    pub(super) fn new(arena: Arena, history: History) -> Storm {
        Storm {
            arena,
            history,
            counts: Counts::new(),
            findings: Findings::default(),
            weather: Weather::default(),
            full: BTreeSet::new(),
            demotion: None,
            highest_id: 0,
        }
    }

    /// The kinds that can be done here.
    pub(super) fn possible(&self) -> Vec<Kind> {
        let can = |kind: &Kind| match kind.needs() {
            Needs::Nothing => true,
            Needs::Disks => self.arena.disks.missing().is_none(),
            Needs::Clocks => self.arena.clocks.missing().is_none(),
        };
        Kind::VARIANTS.iter().copied().filter(can).collect()
    }

    /// Does a round's faults and heals them.
    ///
    /// # Errors
    /// What stood in the way of the run itself. What a node did wrong is a finding.
    pub(super) async fn round(&mut self, round: &Round, rng: &mut ChaCha8Rng) -> Result<()> {
        tokio::time::sleep(round.before).await;
        let mut lasts = false;
        for kind in &round.kinds {
            let begun = self.history.now();
            // Each has a generator of its own, too: the second fault must not depend on how often the first one drew.
            let mut own = plan::apart(rng);
            let done = self.begin(*kind, &mut own).await?;
            if done.is_some() {
                *self.counts.entry(*kind).or_default() += 1;
                lasts |= !kind.ends_itself();
            }
            harness::say(&format!(
                "{:>7.1} s, {} acknowledged: {}, {}",
                begun.as_secs_f32(),
                self.history.acknowledged(),
                kind.name(),
                done.as_deref().unwrap_or("not done: nothing would feel it")
            ));
        }
        if lasts {
            tokio::time::sleep(round.lasts).await;
        }
        self.heal().await?;
        if round.settles {
            self.wait_level().await?;
        }
        Ok(())
    }

    /// Takes back all that was done: afterwards every node has been started, and nothing is in the way of any.
    ///
    /// # Errors
    /// As [`Storm::round`].
    pub(super) async fn heal(&mut self) -> Result<()> {
        for node in std::mem::take(&mut self.full) {
            self.expect_end_of_full(&node).await?;
        }
        self.weather = Weather::default();
        self.arena.network.set(&self.weather)?;
        self.arena.disks.heal();
        self.arena.clocks.right()?;
        for node in self.arena.cluster.node_names() {
            if_it_runs(self.arena.cluster.resume_node(&node))?;
            self.find_ended(std::slice::from_ref(&node));
            self.arena.cluster.start_node(&node)?;
        }
        self.promote_again().await
    }

    /// Waits until all nodes are level, which they have to be in the end.
    ///
    /// # Errors
    /// As [`Storm::round`].
    pub(super) async fn wait_level(&mut self) -> Result<bool> {
        let all = self.arena.cluster.node_names();
        match self.arena.cluster.wait_caught_up(&all, LEVEL_WITHIN).await {
            Ok(_) => Ok(true),
            Err(error @ (ClusterError::Elapsed(_) | ClusterError::Ended { .. })) => {
                self.findings.add("not_level", &format!("{error}"));
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Does one fault: what was done, or `None` if it cannot be done now, or no process would feel it.
    async fn begin(&mut self, kind: Kind, rng: &mut ChaCha8Rng) -> Result<Option<String>> {
        let sites = self.arena.sites();
        let voting = self.arena.voting_sites();
        let pick =
            |from: &[String], rng: &mut ChaCha8Rng| from.choose(rng).cloned().unwrap_or_default();
        match kind {
            Kind::KillNode => {
                let node = self.victim(rng).await?;
                let felt = self.that_run(std::slice::from_ref(&node));
                self.kill(std::slice::from_ref(&node)).await?;
                Ok(named(&felt))
            }
            Kind::KillSite => {
                let site = pick(&sites, rng);
                let nodes = self.arena.cluster.nodes_at(&site)?;
                let felt = self.that_run(&nodes);
                self.kill(&nodes).await?;
                Ok(named(&felt))
            }
            Kind::PauseNode => {
                let node = self.victim(rng).await?;
                self.pause(&[node])
            }
            Kind::PauseSite => {
                let site = pick(&voting, rng);
                let nodes = self.arena.cluster.nodes_at(&site)?;
                self.pause(&nodes)
            }
            Kind::CutSite => self.cut_site(&pick(&sites, rng), [true, true]).map(Some),
            Kind::CutSiteOneWay => {
                let out = rng.random_bool(0.5);
                self.cut_site(&pick(&voting, rng), [!out, out]).map(Some)
            }
            Kind::BridgePartition => self.bridge(voting, rng).map(Some),
            Kind::LossyLink => {
                let percent = *LOST_PERCENT.choose(rng).unwrap_or(&1);
                self.lossy(&pick(&sites, rng), percent).map(Some)
            }
            Kind::SlowLink => {
                let (site, kilobits) =
                    (pick(&sites, rng), *SLOW_KILOBITS.choose(rng).unwrap_or(&1));
                let nodes = self.arena.cluster.nodes_at(&site)?;
                self.weather.slow(&nodes, kilobits);
                self.arena.network.set(&self.weather)?;
                Ok(Some(format!("{kilobits} kbit/s out of {site}")))
            }
            Kind::ClockStep | Kind::ClockSkew => self.clock(kind, rng).await,
            Kind::FullDisk => {
                let node = self.victim(rng).await?;
                let felt = self.that_run(&[node]);
                for node in &felt {
                    self.arena.disks.set_full(node, true);
                    self.full.insert(node.clone());
                }
                Ok(named(&felt))
            }
            Kind::StalledDisk => {
                let node = self.victim(rng).await?;
                let felt = self.that_run(&[node]);
                for node in &felt {
                    self.arena.disks.set_stalled(node, true);
                }
                Ok(named(&felt))
            }
            Kind::PowerLoss => {
                let nodes = if rng.random_bool(0.5) {
                    vec![self.victim(rng).await?]
                } else {
                    self.arena.cluster.nodes_at(&pick(&sites, rng))?
                };
                self.lose_power(&nodes, rng).await.map(Some)
            }
            Kind::PowerLossEverywhere => {
                let all = self.arena.cluster.node_names();
                self.lose_power(&all, rng).await.map(Some)
            }
            Kind::CorruptTable => corruption::strike(self, Files::Tables, rng).await,
            Kind::CorruptLog => corruption::strike(self, Files::Log, rng).await,
            Kind::RollingRestart => self.rolling_restart().await.map(Some),
            Kind::TransferLeadership => self.transfer(rng).await,
            Kind::DemoteVoter => self.demote(rng).await,
            Kind::ReplaceMachine => self.replace(rng).await,
        }
    }

    /// A node: often the leader, else any.
    pub(super) async fn victim(&self, rng: &mut ChaCha8Rng) -> Result<String> {
        let any = self.arena.cluster.node_names();
        let any = any.choose(rng).cloned().unwrap_or_default();
        // Asked in any case, so that the draws after this do not depend on it.
        let leader = leaders::leader(&self.arena.cluster).await?;
        let at_the_leader = rng.random_bool(AT_THE_LEADER);
        Ok(leader.filter(|_| at_the_leader).unwrap_or(any))
    }

    /// SIGSTOP to those of the nodes that run.
    fn pause(&self, nodes: &[String]) -> Result<Option<String>> {
        let mut felt = Vec::new();
        for node in nodes {
            if if_it_runs(self.arena.cluster.pause_node(node))? {
                felt.push(node.clone());
            }
        }
        Ok(named(&felt))
    }

    /// Those of the nodes whose process runs. The others feel nothing.
    fn that_run(&mut self, nodes: &[String]) -> Vec<String> {
        let running = self.arena.cluster.running();
        let runs = |node: &&String| running.contains(*node);
        nodes.iter().filter(runs).cloned().collect()
    }

    fn cut_site(&mut self, site: &str, [inward, outward]: [bool; 2]) -> Result<String> {
        let nodes = self.arena.cluster.nodes_at(site)?;
        let others = all_but(&self.arena.cluster.node_names(), &nodes);
        if inward {
            self.weather.trouble(&others, &nodes, Trouble::Cut);
        }
        if outward {
            self.weather.trouble(&nodes, &others, Trouble::Cut);
        }
        self.arena.network.set(&self.weather)?;
        Ok(match (inward, outward) {
            (true, true) => site.to_owned(),
            (true, false) => format!("nothing gets into {site}"),
            _ => format!("nothing gets out of {site}"),
        })
    }

    fn bridge(&mut self, mut voting: Vec<String>, rng: &mut ChaCha8Rng) -> Result<String> {
        voting.shuffle(rng);
        let [one, other, bridge, ..] = &voting[..] else {
            anyhow::bail!("a bridge needs voters at three sites");
        };
        let mut first = self.arena.cluster.nodes_at(one)?;
        let mut second = self.arena.cluster.nodes_at(other)?;
        for learner in self.arena.cluster.topology().learners().map(Node::name) {
            let side = if rng.random_bool(0.5) {
                &mut first
            } else {
                &mut second
            };
            side.push(learner.to_owned());
        }
        self.weather.trouble(&first, &second, Trouble::Cut);
        self.weather.trouble(&second, &first, Trouble::Cut);
        self.arena.network.set(&self.weather)?;
        Ok(format!("{one} and {other} apart, {bridge} between them"))
    }

    fn lossy(&mut self, site: &str, percent: u8) -> Result<String> {
        let nodes = self.arena.cluster.nodes_at(site)?;
        let others = all_but(&self.arena.cluster.node_names(), &nodes);
        let trouble = Trouble::Lossy { percent };
        self.weather.trouble(&others, &nodes, trouble);
        self.weather.trouble(&nodes, &others, trouble);
        self.arena.network.set(&self.weather)?;
        Ok(format!("{percent} % to and from {site}"))
    }

    async fn clock(&mut self, kind: Kind, rng: &mut ChaCha8Rng) -> Result<Option<String>> {
        let Some(node) = self.arena.clocks.nodes().choose(rng).cloned() else {
            return Ok(None);
        };
        let leads = rng.random_bool(AT_THE_LEADER);
        let sign = if rng.random_bool(0.5) { 1 } else { -1 };
        let (step, skew) = (STEPS_SECONDS.choose(rng), SKEWS_PER_MILLION.choose(rng));
        if self.that_run(std::slice::from_ref(&node)).is_empty() {
            return Ok(None);
        }
        self.arena.has_preloaded(&node).await?;
        // A leader's clock is the one that stamps. Another fault may keep leadership from it, which is no reason not to go on.
        let led = leads && leaders::move_to(&self.arena.cluster, &node).await.is_ok();
        let what = if kind == Kind::ClockStep {
            let seconds = sign * step.copied().unwrap_or(1);
            self.arena.clocks.step(&node, seconds)?;
            format!("{node} by {seconds} s")
        } else {
            let per_million = sign * skew.copied().unwrap_or(1);
            self.arena.clocks.skew(&node, per_million)?;
            format!("{node} by {per_million} per million")
        };
        Ok(Some(if led {
            format!("{what}, as leader")
        } else {
            what
        }))
    }

    async fn lose_power(&mut self, nodes: &[String], rng: &mut ChaCha8Rng) -> Result<String> {
        let torn = rng.random_bool(0.5);
        let seed = rng.random();
        self.kill(nodes).await?;
        let cut = if torn {
            PowerCut::TornTails { seed }
        } else {
            PowerCut::DropUnsynced
        };
        let mut bytes = 0;
        for node in nodes {
            bytes += self.arena.disks.lose_power(node, cut)?.bytes;
        }
        Ok(format!(
            "{}: {bytes} bytes were not synced",
            nodes.join(" and ")
        ))
    }

    async fn rolling_restart(&mut self) -> Result<String> {
        let all = self.arena.cluster.node_names();
        for node in &all {
            self.stop(std::slice::from_ref(node)).await?;
            self.arena.cluster.start_node(node)?;
            if !self.wait_level().await? {
                break;
            }
        }
        Ok(format!("{} nodes", all.len()))
    }

    async fn transfer(&mut self, rng: &mut ChaCha8Rng) -> Result<Option<String>> {
        if !self.wait_level().await? {
            return Ok(None);
        }
        let leader = leaders::leader(&self.arena.cluster).await?;
        let voters: Vec<String> = self
            .arena
            .cluster
            .topology()
            .voters()
            .map(|node| node.name().to_owned())
            .filter(|name| leader.as_ref() != Some(name))
            .collect();
        let Some(to) = voters.choose(rng) else {
            return Ok(None);
        };
        match leaders::move_to(&self.arena.cluster, to).await {
            Ok(()) => Ok(Some(format!("to {to}"))),
            Err(error) => {
                self.findings
                    .add("not_transferred", &format!("to {to}: {error:#}"));
                Ok(None)
            }
        }
    }
}

/// A node that another fault has ended is neither stopped nor goes on: then `false`.
fn if_it_runs(signalled: Result<(), ClusterError>) -> Result<bool, ClusterError> {
    match signalled {
        Ok(()) => Ok(true),
        Err(ClusterError::NotRunning { .. }) => Ok(false),
        Err(other) => Err(other),
    }
}

/// Nodes that felt a fault, by name; `None`: none did.
fn named(felt: &[String]) -> Option<String> {
    (!felt.is_empty()).then(|| felt.join(" and "))
}
