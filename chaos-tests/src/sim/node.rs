//! One simulated `banyand`: the real consensus, state machine, proposer, barriers and reads, on a simulated machine.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use banyan_consensus::{
    ClockVerdict, Consensus, LogAdapter, LogPolicy, Member, OFFSET_MAX, Parts, Preference,
    ProposeError, ReadLevel, Role, Snapshots, StateMachine, Status, Timing,
};
use banyan_domain::{Envelope, NodeId, Outcome, PersonId, Pin, Position, VersionNumber, ViewFault};
use banyan_storage::GroupBounds;
use banyan_wire::internal_v1::Ballot;
use futures::future::{Either, select};
use openraft_rt::AsyncRuntime as _;
use prost::Message as _;

use super::{
    clock::MachineClock,
    disk::{Cut, Disk, Image, Machine},
    invariants::Invariant,
    observer::Observer,
    peers::{self, Net},
    runtime::{Host, Simulated, now, outside},
};

/// The consensus of a simulated node.
pub type Registry = Consensus<Simulated, StateMachine<Simulated, Disk>>;

/// What differs from release to release, and from seed to seed.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Heartbeat and election times.
    pub timing: Timing,
    /// Snapshots and purges.
    pub log_policy: LogPolicy,
    /// How large a group of the state may become.
    pub group: GroupBounds,
}

/// What a client asks a node.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Writes, of one client.
    Submit(Vec<Envelope>),
    /// The newest version of the person with a number.
    Read {
        /// Whose.
        pin: Pin,
        /// How fresh.
        level: ReadLevel,
    },
}

/// What a node answers a client.
#[derive(Clone, Debug)]
pub enum Told {
    /// The writes were decided.
    Outcomes(Vec<Outcome>),
    /// They were not proposed; ask this node, if one is named.
    NotProposed(Option<u64>),
    /// It may or may not be proposed.
    Unknown,
    /// What was read, and where.
    Read {
        /// What the snapshot had applied.
        position: Position,
        /// How stale the answer may be.
        staleness: Option<Duration>,
        /// Who has the number, and the newest version.
        found: Option<(PersonId, VersionNumber)>,
    },
    /// The read was refused.
    Refused,
}

/// A running process.
#[derive(Clone)]
struct Running {
    host: Host,
    /// None until its consensus has started.
    registry: Option<Registry>,
}

struct Life {
    running: Option<Running>,
    /// Its disk was made to fail, so that a stop on a fault is no surprise.
    excused: bool,
    settings: Settings,
    starts: u64,
}

/// One machine with its node.
pub struct Node {
    /// As the membership names it.
    pub member: Member,
    /// Its disk.
    pub machine: Arc<Machine>,
    /// Its clock.
    pub clock: MachineClock,
    life: Mutex<Life>,
    net: Net,
    observer: Observer,
    cluster: String,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

/// The state of a node as its readers see it.
struct States(Disk);

impl Snapshots for States {
    type View = Image;
    type Fault = ViewFault;

    fn open(&self) -> Result<(Image, Position), ViewFault> {
        let image = self.0.image();
        let position = image.applied().map(|applied| applied.position);
        Ok((image, position.unwrap_or_default()))
    }

    fn applied(&self) -> u64 {
        self.0.image().index()
    }
}

impl Node {
    /// A machine that is off.
    pub fn new(
        member: Member,
        machine: Arc<Machine>,
        clock: MachineClock,
        settings: Settings,
        net: Net,
        observer: Observer,
    ) -> Arc<Self> {
        Arc::new(Self {
            member,
            machine,
            clock,
            life: Mutex::new(Life {
                running: None,
                excused: false,
                settings,
                starts: 0,
            }),
            net,
            observer,
            cluster: "simulated".to_owned(),
        })
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wiring(&self) -> (Net, Observer) {
        (self.net.clone(), self.observer.clone())
    }

    /// Its number.
    pub fn id(&self) -> u64 {
        self.member.node.get()
    }

    /// Whether there is a process, stopped or not.
    pub fn is_up(&self) -> bool {
        self.life().running.is_some()
    }

    /// Whether there is a process that is stopped.
    pub fn is_paused(&self) -> bool {
        let life = self.life();
        life.running
            .as_ref()
            .is_some_and(|running| running.host.is_paused())
    }

    /// Its consensus, once it has started.
    pub fn registry(&self) -> Option<Registry> {
        self.life().running.as_ref()?.registry.clone()
    }

    /// What it knows of itself and the cluster.
    pub fn status(&self) -> Option<Status> {
        self.registry().map(|registry| registry.status())
    }

    /// Whether it says that it leads.
    pub fn leads(&self) -> bool {
        self.status()
            .is_some_and(|status| status.role == Role::Leader)
    }

    /// From its next start on.
    pub fn set_settings(&self, settings: Settings) {
        self.life().settings = settings;
    }

    /// Its settings.
    pub fn settings(&self) -> Settings {
        self.life().settings
    }

    /// Its disk was or is made to fail.
    pub fn excuse(&self, excused: bool) {
        self.life().excused = excused;
    }

    /// Starts a process, if there is none.
    pub fn start(self: &Arc<Self>) {
        let host = {
            let mut life = self.life();
            if life.running.is_some() || self.machine.is_lost() {
                return;
            }
            life.starts += 1;
            let host = Host::new(&self.member.name);
            life.running = Some(Running {
                host: host.clone(),
                registry: None,
            });
            host
        };
        let node = Arc::clone(self);
        drop(host.spawn(async move {
            if let Err(reason) = node.run().await {
                node.fail(&reason);
            }
        }));
    }

    /// From the start of the process to its failure.
    async fn run(self: &Arc<Self>) -> Result<(), String> {
        let settings = self.settings();
        // A snapshot is installed before the log in front of it is purged.
        let installed = self.machine.installed();
        let log_end = self.machine.log(|log| log.last()).unwrap_or(0);
        self.observer
            .started(self.id(), &self.machine.state(), log_end.max(installed));
        self.observer
            .remembers(self.id(), self.machine.log(|log| ballot(log.vote())));
        let disk = Disk::open(&self.machine, self.observer.clone(), settings.group)?;
        let armed = disk.clone();
        let node = Arc::clone(self);
        drop(Simulated::spawn(async move {
            armed.power_cut().await;
            drop(outside(async move {
                node.observer.fault("power cut at a sync", &[node.id()]);
                node.power_off();
            }));
        }));
        let log = LogAdapter::new(disk.clone());
        let state = StateMachine::new(disk.clone());
        let (busy, failing) = (disk.clone(), disk.clone());
        let wire = peers::Wire::new(self.id(), self.net.clone());
        let parts = Parts {
            cluster: self.cluster.clone(),
            node: NodeId(self.id()),
            log_size: log.size(),
            log,
            fresh: state.fresh(),
            retired: state.retired(),
            state,
            network: wire.clone(),
            timing: settings.timing,
            log_policy: settings.log_policy,
            preference: Preference {
                sites: vec!["central".to_owned()],
                healthy_for: Duration::from_secs(5),
                pause: Duration::from_secs(10),
            },
            busy_for: Arc::new(move || busy.busy_for()),
            clock: Arc::new(self.clock.clone()),
            clock_offset_max: OFFSET_MAX,
            barriers: Arc::new(wire.clone()),
            pings: Arc::new(wire),
        };
        let registry = Registry::start_with(parts)
            .await
            .map_err(|error| error.to_string())?;
        peers::serve(self, registry.clone(), disk);
        if let Some(running) = &mut self.life().running {
            running.registry = Some(registry.clone());
        }
        let failure = registry.watch_fatal();
        drop(registry);
        match select(Box::pin(failure), Box::pin(failing.failed())).await {
            Either::Left((failure, _)) => Err(failure.to_string()),
            Either::Right(_) => Err("the disk has failed".to_owned()),
        }
    }

    /// The process ends on a fault, as `banyand` does.
    fn fail(self: &Arc<Self>, reason: &str) {
        self.observer.sometimes("a node stopped on a fault");
        self.observer.event("fault", &[self.id()]);
        self.observer
            .line(&format!("node {} stops: {reason}", self.id()));
        if !self.life().excused {
            let what = format!("node {} stopped: {reason}", self.id());
            self.observer.violated(Invariant::NodesOutliveFaults, what);
        }
        let node = Arc::clone(self);
        drop(outside(async move { node.kill() }));
    }

    fn stop(&self) -> bool {
        let running = self.life().running.take();
        let Some(running) = running else {
            return false;
        };
        self.net.gone(self.id());
        // The handle of consensus goes after the tasks, and outside of any lock.
        running.host.kill();
        true
    }

    /// SIGKILL: the process is gone, the machine goes on.
    pub fn kill(&self) {
        if self.stop() {
            self.machine.process_killed();
        }
    }

    /// The machine loses power.
    pub fn power_off(&self) -> Option<Cut> {
        self.stop().then(|| {
            let cut = self.machine.cut();
            if cut.log_writes > 0 {
                self.observer.sometimes("a power cut took writes of a log");
            }
            if cut.torn {
                self.observer.sometimes("a power cut tore a write");
            }
            if cut.groups > 0 {
                self.observer.sometimes("a power cut took applied state");
            }
            cut
        })
    }

    /// SIGTERM: leadership is handed away first. Resolves when the process is gone.
    pub async fn stop_gracefully(&self, within: Duration) {
        let running = self.life().running.clone();
        let Some(Running {
            host,
            registry: Some(registry),
        }) = running
        else {
            self.kill();
            return;
        };
        let stopping = host.spawn(async move { registry.shutdown(Some(within)).await });
        let _ = Simulated::timeout(within * 2, stopping).await;
        self.kill();
    }

    /// Runs a task in the node's process: it stops and ends with it.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(running) = &self.life().running {
            drop(running.host.spawn(task));
        }
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        if let Some(running) = &self.life().running {
            running.host.pause();
        }
    }

    /// SIGCONT.
    pub fn resume(&self) {
        if let Some(running) = &self.life().running {
            running.host.resume();
        }
    }

    /// Answers a client, in a task of the node.
    pub(super) async fn answer(
        observer: &Observer,
        registry: &Registry,
        disk: Disk,
        ask: Ask,
        within: Duration,
    ) -> Told {
        match ask {
            Ask::Submit(envelopes) => submit(observer, registry, envelopes, within).await,
            Ask::Read { pin, level } => {
                let reading = registry.open_reading(level, within, &States(disk)).await;
                let Ok(reading) = reading else {
                    return Told::Refused;
                };
                let Ok(found) = reading.view().view().get_by_pin(&pin) else {
                    return Told::Refused;
                };
                let position = reading.position();
                let Ok((_, staleness)) = reading.close(registry.boot_time()) else {
                    return Told::Refused;
                };
                check_staleness(observer, position, staleness, level);
                Told::Read {
                    position,
                    staleness,
                    found: found.map(|version| (version.person, version.version)),
                }
            }
        }
    }
}

async fn submit(
    observer: &Observer,
    registry: &Registry,
    envelopes: Vec<Envelope>,
    within: Duration,
) -> Told {
    match registry.propose(envelopes, within).await {
        Ok(outcomes) => {
            for outcome in &outcomes {
                observer.answered(outcome.position.index);
            }
            Told::Outcomes(outcomes)
        }
        Err(ProposeError::OutcomeUnknown) => Told::Unknown,
        Err(ProposeError::NotLeader { leader }) => {
            Told::NotProposed(leader.map(|leader| leader.node.get()))
        }
        Err(ProposeError::ClockSkewed { .. }) => {
            if registry.clock_verdict() == ClockVerdict::Outvoted {
                observer.sometimes("a leader refused to stamp with a wrong clock");
            }
            Told::NotProposed(None)
        }
        Err(_) => Told::NotProposed(None),
    }
}

/// At the moment when the answer leaves.
fn check_staleness(
    observer: &Observer,
    position: Position,
    staleness: Option<Duration>,
    level: ReadLevel,
) {
    let bound = match level {
        ReadLevel::Within(bound) => Some(bound),
        _ => None,
    };
    for bound in [staleness, bound].into_iter().flatten() {
        let Some(moment) = now().checked_sub(bound) else {
            continue;
        };
        let answered = observer.answered_before(moment);
        if position.index < answered {
            let what = format!(
                "a read at {} says it is at most {bound:?} behind, and {answered} was acknowledged before that",
                position.index
            );
            observer.violated(Invariant::LocalReadsWithinBound, what);
        }
    }
}

/// Term and node of a stored vote, and whether that node was elected.
pub(super) fn ballot(bytes: Option<&bytes::Bytes>) -> (u64, u64, bool) {
    let ballot = bytes.and_then(|bytes| Ballot::decode(bytes.clone()).ok());
    ballot.map_or((0, 0, false), |ballot| {
        (ballot.term, ballot.node, ballot.committed)
    })
}

/// All machines, by number.
pub type Nodes = BTreeMap<u64, Arc<Node>>;
