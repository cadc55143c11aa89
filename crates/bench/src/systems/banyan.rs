//! This cluster: three voters at three sites, settings as shipped, the development infrastructure of the drills.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use banyan_client::{Client, Contexts, Options, Submission, Transport, new_key};
use banyan_domain::IdempotencyKey;
use banyan_drill::cluster::{self, Lifetime, LocalCluster, PortPolicy};
use banyan_wire::v1;

use super::{Pins, Source};
use crate::load::{Failure, Target};
use crate::persons::Registration;

/// For nodes to answer, and to be level.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(60);
/// Commands of a batch.
pub(crate) const BATCH: usize = 500;
/// The voters, in the order of their ids.
pub(crate) const VOTERS: [&str; 3] = ["central-1", "recovery-1", "quorum-1"];

/// Times of heartbeats and elections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timing {
    /// Voters in one place: a heartbeat of 50 ms, elections after 150 to 300 ms.
    Local,
    /// Voters tens of milliseconds apart: a heartbeat of 150 ms, elections after 500 to 1000 ms, as `cluster/national.toml` has.
    Wide,
}

impl Timing {
    /// Heartbeat, shortest and longest election time in milliseconds.
    pub(crate) fn milliseconds(self) -> [u32; 3] {
        match self {
            Timing::Local => [50, 150, 300],
            Timing::Wide => [150, 500, 1000],
        }
    }
}

/// The topology of three voters, and of so many learners in provinces.
pub(crate) fn topology(timing: Timing, learners: usize) -> String {
    let [heartbeat, min, max] = timing.milliseconds();
    let mut text = format!(
        "[cluster]\nname = \"banyan-bench\"\nsurvival_goal = \"site\"\n\n\
         [timing]\nheartbeat_ms = {heartbeat}\nelection_min_ms = {min}\nelection_max_ms = {max}\n\n\
         [ports]\npeer = 7400\nclient = 7500\nhttp = 7600\nhealth = 7700\nadd_node_id = true\n"
    );
    let sites = ["central", "recovery", "quorum"];
    for (id, (name, node)) in (1..).zip(sites.into_iter().zip(VOTERS)) {
        let _ = write!(
            text,
            "\n[[sites]]\nname = \"{name}\"\ntitle = \"{name}\"\nrole = \"{name}\"\naddress = \"127.0.0.1\"\n\
             \n[[nodes]]\nid = {id}\nname = \"{node}\"\nsite = \"{name}\"\nrole = \"voter\"\n"
        );
    }
    for learner in 0..learners {
        let (name, id, province) = (learner_site(learner), learner + 4, learner + 1);
        let _ = write!(
            text,
            "\n[[sites]]\nname = \"{name}\"\ntitle = \"{name}\"\nrole = \"province\"\nprovince = \"{province:02}\"\n\
             address = \"127.0.0.1\"\n\
             \n[[nodes]]\nid = {id}\nname = \"{name}-1\"\nsite = \"{name}\"\nrole = \"learner\"\n"
        );
    }
    text
}

/// The name of a learner's site; its node has `-1` behind.
pub(crate) fn learner_site(learner: usize) -> String {
    format!("province-{learner}")
}

/// Options with lines added to each node's configuration.
pub(crate) fn with_config(extra: &str) -> impl FnOnce(cluster::Options) -> cluster::Options {
    let extra_config = extra.to_owned();
    |options| cluster::Options {
        extra_config,
        ..options
    }
}

/// A cluster that runs.
pub(crate) struct Banyan {
    pub(crate) cluster: LocalCluster,
}

impl Banyan {
    /// Starts three voters on ports that the system gives, and waits until they have a leader.
    ///
    /// # Errors
    /// Those of the drills' cluster.
    pub(crate) async fn start(folder: &Path, timing: Timing) -> anyhow::Result<Banyan> {
        Self::start_with(folder, timing, 0, |options| options).await
    }

    /// The same with learners in the topology, and with other options.
    ///
    /// # Errors
    /// As [`Banyan::start`].
    pub(crate) async fn start_with(
        folder: &Path,
        timing: Timing,
        learners: usize,
        change: impl FnOnce(cluster::Options) -> cluster::Options,
    ) -> anyhow::Result<Banyan> {
        std::fs::create_dir_all(folder)?;
        let file = folder.join("bench.toml");
        std::fs::write(&file, topology(timing, learners))?;
        let options = cluster::Options {
            ports: PortPolicy::Free,
            lifetime: Lifetime::WithStarter,
            ready_within: READY_WITHIN,
            ..cluster::Options::new(file, folder.join("cluster"))
        };
        let cluster = LocalCluster::start(change(options)).await?;
        Ok(Banyan { cluster })
    }

    fn contexts(&self) -> anyhow::Result<Contexts> {
        Ok(Contexts::load(&self.cluster.layout().contexts())?)
    }

    /// Clients of the centre, each with connections of its own.
    ///
    /// # Errors
    /// That the contexts cannot be used.
    pub(crate) fn clients(&self, count: usize, options: &Options) -> anyhow::Result<Vec<Client>> {
        let contexts = self.contexts()?;
        let centre = self.cluster.centre_name();
        (0..count)
            .map(|_| {
                Ok(Client::with_options(
                    contexts.context(&centre)?,
                    options.clone(),
                )?)
            })
            .collect()
    }

    /// Clients whose calls are HTTP/2 requests of their own.
    ///
    /// # Errors
    /// As [`Banyan::clients`].
    pub(crate) fn unary(&self, count: usize) -> anyhow::Result<Vec<Client>> {
        let options = Options {
            transport: Transport::Unary,
            ..Options::default()
        };
        self.clients(count, &options)
    }

    /// Clients as the library makes them: their calls share a stream.
    ///
    /// # Errors
    /// As [`Banyan::clients`].
    pub(crate) fn streams(&self, count: usize) -> anyhow::Result<Vec<Client>> {
        self.clients(count, &Options::default())
    }

    /// The name of the voter that leads.
    ///
    /// # Errors
    /// That none does.
    pub(crate) async fn leader(&mut self) -> anyhow::Result<String> {
        let running: BTreeSet<String> = self.cluster.running().into_iter().collect();
        for state in self.cluster.status().await? {
            if let Ok(status) = &state.status
                && status.role == "leader"
                && running.contains(&state.name)
            {
                return Ok(state.name);
            }
        }
        bail!("no voter leads")
    }

    /// The version that the nodes say.
    ///
    /// # Errors
    /// That none answers.
    pub(crate) async fn version(&mut self) -> anyhow::Result<String> {
        let states = self.cluster.status().await?;
        let version = states.into_iter().find_map(|state| state.status.ok());
        Ok(version.context("no node answers")?.version)
    }

    /// Waits until all voters have applied the same.
    ///
    /// # Errors
    /// That they have not within a minute.
    pub(crate) async fn caught_up(&mut self) -> anyhow::Result<()> {
        let voters = VOTERS.map(str::to_owned);
        self.cluster.wait_caught_up(&voters, READY_WITHIN).await?;
        Ok(())
    }
}

/// Registrations, one a call.
pub(crate) struct Registrations {
    pub(crate) clients: Vec<Client>,
    pub(crate) source: Source,
}

impl Target for Registrations {
    type Request = (IdempotencyKey, v1::Command);

    fn request(&self, _slot: usize) -> Self::Request {
        (new_key(), self.source.next().command)
    }

    async fn call(&self, slot: usize, (key, command): Self::Request) -> Result<u64, Failure> {
        submit(&self.clients[slot % self.clients.len()], key, command).await?;
        Ok(1)
    }
}

/// Submits one command, which must be accepted.
pub(crate) async fn submit(
    client: &Client,
    key: IdempotencyKey,
    command: v1::Command,
) -> Result<v1::Accepted, Failure> {
    let answer = client.submit(key, command).await;
    Ok(accepted(
        answer.map_err(|error| error.to_string())?.outcome,
    )?)
}

/// Registrations, [`BATCH`] a call.
pub(crate) struct Batches {
    pub(crate) clients: Vec<Client>,
    pub(crate) source: Source,
}

impl Target for Batches {
    type Request = Vec<Submission>;

    fn request(&self, _slot: usize) -> Self::Request {
        let submission = |Registration { command, .. }| Submission {
            key: new_key(),
            command,
        };
        (0..BATCH).map(|_| submission(self.source.next())).collect()
    }

    async fn call(&self, slot: usize, submissions: Self::Request) -> Result<u64, Failure> {
        let client = &self.clients[slot % self.clients.len()];
        let answer = client.submit_batch(submissions).await;
        let mut count = 0;
        for answer in answer.map_err(|error| error.to_string())?.answers {
            accepted(answer.map_err(|error| error.to_string())?)?;
            count += 1;
        }
        Ok(count)
    }
}

pub(crate) fn accepted(outcome: v1::Outcome) -> Result<v1::Accepted, String> {
    match outcome.result {
        Some(v1::outcome::Result::Accepted(accepted)) => Ok(accepted),
        Some(v1::outcome::Result::Rejected(rejected)) => {
            Err(format!("rejected: {}", rejected.name))
        }
        None => Err("the outcome says nothing".to_owned()),
    }
}

/// Reads by number, each client at one node.
pub(crate) struct Reads {
    pub(crate) clients: Vec<Client>,
    pub(crate) nodes: Vec<String>,
    pub(crate) pins: Pins,
    /// Else local, without a bound on staleness.
    pub(crate) linearizable: bool,
}

impl Target for Reads {
    type Request = v1::GetPersonRequest;

    fn request(&self, slot: usize) -> v1::GetPersonRequest {
        let level = v1::consistency::Level::Linearizable(v1::Linearizable {});
        v1::GetPersonRequest {
            number: Some(v1::get_person_request::Number::Pin(self.pins.draw(slot))),
            consistency: self.linearizable.then_some(v1::Consistency {
                level: Some(level),
                forward: false,
            }),
            purpose: "measurement".to_owned(),
        }
    }

    async fn call(&self, slot: usize, request: v1::GetPersonRequest) -> Result<u64, Failure> {
        let client = &self.clients[slot % self.clients.len()];
        let node = &self.nodes[slot % self.nodes.len()];
        let read = client.get_person_from(node, request).await;
        match read.map_err(|error| error.to_string())?.answer.person {
            Some(_) => Ok(1),
            None => Err("the node does not know the person".to_owned().into()),
        }
    }
}

/// Targets for calls of these clients.
pub(crate) fn registrations(clients: Vec<Client>, source: Source) -> Arc<Registrations> {
    Arc::new(Registrations { clients, source })
}

#[cfg(test)]
mod tests {
    use banyan_topology::Topology;

    use super::*;

    #[test]
    fn wide_times_are_those_that_ship() {
        let text = include_str!("../../../../cluster/national.toml");
        let timing = Topology::parse(text).unwrap().topology.timing();
        let shipped = [timing.heartbeat, timing.election_min, timing.election_max];
        assert_eq!(
            Timing::Wide.milliseconds().map(u128::from),
            shipped.map(|time| time.as_millis())
        );
    }

    #[test]
    fn topologies_are_valid() {
        for timing in [Timing::Local, Timing::Wide] {
            for learners in [0, 63] {
                let parsed = Topology::parse(&topology(timing, learners)).unwrap();
                assert_eq!(parsed.topology.nodes().len(), 3 + learners);
                assert_eq!(parsed.topology.voters().count(), 3);
                assert!(parsed.unknown_keys.is_empty());
            }
        }
    }
}
