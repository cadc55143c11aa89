//! Clients of registers: each does one operation at a time, at a node drawn at random.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use banyan_client::{Client, Options, SubmitOptions, new_key};
use banyan_domain::IdempotencyKey;
use banyan_drill::cluster::LocalCluster;
use banyan_drill::commands::{self, Known};
use banyan_drill::demo::days_ago;
use banyan_drill::wait_for::{self, Elapsed};
use banyan_drill::{access, identities};
use banyan_topology::Node;
use banyan_wire::v1;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::harness::CAUGHT_UP_WITHIN;

use super::answers::{answer_of, reason, value_of};
use super::record::{Act, Answer, Level, Operation, Place, Read, Recorder, WRITE, Write};
use super::ways::{Way, ways, ways_through};

/// Registers. Few, so that writers meet.
pub const PERSONS: usize = 8;
const WRITERS: usize = 4;
const LINEARIZABLE_READERS: usize = 3;
const SESSIONS: usize = 3;
const LOCAL_READERS: usize = 2;

/// A client's pause after each operation: two cores carry seven nodes and all clients.
const PAUSE: Duration = Duration::from_millis(15);
/// Share of the writes that are given up long before an election is over, so that there are some without an answer.
const HASTY_WRITES: f64 = 0.4;
/// Of the reads most: one that waits for a paused node keeps its client from all others.
const HASTY_READS: f64 = 0.85;
const HASTY_DEADLINE: Duration = Duration::from_millis(400);
/// Longer than the leader is paused: a read that reached it is still waited for when it goes on.
const PATIENT_DEADLINE: Duration = Duration::from_secs(6);
/// One try of a last read. It may find a node or a way to it that is still coming back; it is tried again for as long as nodes may take for that.
const LAST_TRY: Duration = Duration::from_secs(2);
/// Share of a session's operations that are writes.
const SESSION_WRITES: f64 = 0.2;
/// Share of the writes that expect a version that is known to have gone.
const OUTDATED: f64 = 0.1;
/// Share of the reads that may be forwarded to the leader.
const FORWARDED_READS: f64 = 0.3;
/// Bounds that local reads ask for, in milliseconds; 0: none. The least is two heartbeats' time.
const BOUNDS_MS: [u64; 4] = [200, 500, 2000, 0];
/// What the content of a record says of the write that made it.
pub(super) const MARK: &str = "write ";

/// A person whose record is a register.
struct Register {
    known: Known,
    /// The clients that may write it, each with the node that it goes to.
    ways: Vec<Way>,
    /// The highest version that any client has seen: what a writer expects.
    latest: AtomicU32,
}

struct Shared {
    registers: Vec<Register>,
    nodes: Vec<String>,
    writings: AtomicU64,
    seed: u64,
    recorder: Recorder,
}

/// Running clients.
pub struct Clients {
    shared: Arc<Shared>,
    reader: Reader,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// Clients that read everywhere, with deadlines of their own.
#[derive(Clone)]
struct Reader {
    patient: Client,
    hasty: Client,
    last: Client,
}

/// How a read is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Patient,
    Hasty,
    /// At the end: the node itself has to answer, and sends it nowhere.
    Last,
}

impl Reader {
    fn new(cluster: &LocalCluster) -> Result<Reader> {
        let all: Vec<&Node> = cluster.topology().nodes().iter().collect();
        let with = |deadline| {
            let options = Options {
                deadline,
                try_timeout: deadline,
                ..access::call_options()
            };
            cluster.client_with(&cluster.centre_name(), &all, options)
        };
        Ok(Reader {
            patient: with(PATIENT_DEADLINE)?,
            hasty: with(HASTY_DEADLINE)?,
            last: with(LAST_TRY)?,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Writer,
    Linearizable,
    Session,
    Local,
}

impl Clients {
    /// Registers the persons, waits until every node knows them, and starts the clients.
    ///
    /// # Errors
    /// That a person could not be registered, or that a client could not be made.
    pub async fn start(
        cluster: &mut LocalCluster,
        recorder: &Recorder,
        seed: u64,
    ) -> Result<Clients> {
        let mut registers = Vec::new();
        for index in 0..PERSONS {
            registers.push(register(cluster, seed, index).await?);
        }
        let nodes = cluster.node_names();
        cluster.wait_caught_up(&nodes, CAUGHT_UP_WITHIN).await?;
        let shared = Arc::new(Shared {
            registers,
            nodes,
            writings: AtomicU64::new(1),
            seed,
            recorder: recorder.clone(),
        });
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let roles = [
            (Role::Writer, WRITERS),
            (Role::Linearizable, LINEARIZABLE_READERS),
            (Role::Session, SESSIONS),
            (Role::Local, LOCAL_READERS),
        ];
        let each = roles
            .iter()
            .flat_map(|(role, count)| std::iter::repeat_n(*role, *count));
        for (index, role) in each.enumerate() {
            let worker = Worker::new(index, &shared, Reader::new(cluster)?);
            tasks.spawn(worker.run(role, stopped.clone()));
        }
        Ok(Clients {
            shared,
            reader: Reader::new(cluster)?,
            stop,
            tasks,
        })
    }

    /// Stops the clients and waits until each has ended its operation.
    ///
    /// # Errors
    /// A client that panicked; the others have ended, too.
    pub async fn stop(&mut self) -> Result<()> {
        self.stop.send_replace(true);
        let mut all = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            all = all.and(ended.context("a client of registers"));
        }
        all
    }

    /// Reads every register at every node once more. All nodes must run and be level.
    ///
    /// # Errors
    /// A read that was not answered, tried for as long as nodes may take to come back.
    pub async fn read_everywhere(self) -> Result<(), Elapsed> {
        let clients = WRITERS + LINEARIZABLE_READERS + SESSIONS + LOCAL_READERS;
        let mut last = Worker::new(clients, &self.shared, self.reader);
        for node in self.shared.nodes.clone() {
            for person in 0..PERSONS {
                let what = format!("a last linearizable read at {node}");
                wait_for::condition(&what, CAUGHT_UP_WITHIN, async || {
                    let answered = last.read(person, &node, Level::Linearizable, Manner::Last);
                    answered.await
                })
                .await?;
            }
        }
        Ok(())
    }
}

/// Registers a person, every third one in a province without a node of its own, the others where a learner stands.
async fn register(cluster: &LocalCluster, seed: u64, index: usize) -> Result<Register> {
    let topology = cluster.topology();
    let learners: Vec<&Node> = topology.learners().collect();
    let learner = learners.get(index % (learners.len() + 1)).copied();
    let province = learner
        .and_then(|node| topology.site(node.site())?.province())
        .unwrap_or("01");
    let command = commands::birth(seed, index as u64, days_ago(2)?, Some(province));
    let centre = cluster.client(&cluster.centre_name())?;
    let born = Box::pin(centre.submit(new_key(), command.clone())).await?;
    let accepted = born.accepted().context("a birth was rejected")?;
    ensure!(accepted.version == 1, "a birth makes the first version");
    let known = commands::known(&command, &accepted.pin, accepted.version)
        .context("a birth tells what the record reads")?;

    let voters: Vec<&Node> = topology.voters().collect();
    let mut ways = ways(cluster, &cluster.centre_name(), &voters)?;
    if let Some(learner) = learner {
        let registrar = format!("{}@{}", identities::REGISTRAR, learner.site());
        let through = ways_through(cluster, &registrar, learner, &voters)?;
        // As likely as the voters together.
        let times = voters.len();
        ways.extend(through.iter().cycle().take(through.len() * times).cloned());
    }
    Ok(Register {
        known,
        ways,
        latest: AtomicU32::new(1),
    })
}

struct Worker {
    index: usize,
    shared: Arc<Shared>,
    reader: Reader,
    rng: ChaCha8Rng,
    /// From the last answer of this client's session.
    token: Vec<u8>,
}

impl Worker {
    fn new(index: usize, shared: &Arc<Shared>, reader: Reader) -> Worker {
        let mut rng = ChaCha8Rng::seed_from_u64(shared.seed);
        rng.set_stream(index as u64 + 1);
        Worker {
            index,
            shared: Arc::clone(shared),
            reader,
            rng,
            token: Vec::new(),
        }
    }

    async fn run(mut self, role: Role, stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            let person = self.rng.random_range(0..PERSONS);
            let node = self.rng.random_range(0..self.shared.nodes.len());
            let node = self.shared.nodes[node].clone();
            let writes = role == Role::Writer
                // A session begins with a write: its token is the first.
                || role == Role::Session && (self.token.is_empty() || self.rng.random_bool(SESSION_WRITES));
            if writes {
                let hasty = self.rng.random_bool(HASTY_WRITES);
                self.write(person, hasty).await;
            } else {
                let manner = if self.rng.random_bool(HASTY_READS) {
                    Manner::Hasty
                } else {
                    Manner::Patient
                };
                let level = self.level_of(role);
                // What is not served is counted.
                let _ = self.read(person, &node, level, manner).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// How fresh a reader of this role asks the next read to be.
    fn level_of(&mut self, role: Role) -> Level {
        match role {
            Role::Session => Level::Session,
            Role::Local => {
                let bound = BOUNDS_MS[self.rng.random_range(0..BOUNDS_MS.len())];
                Level::Local {
                    bound: (bound > 0).then(|| Duration::from_millis(bound)),
                }
            }
            Role::Linearizable | Role::Writer => Level::Linearizable,
        }
    }

    /// One compare-and-set; an answer's token becomes the session's.
    async fn write(&mut self, person: usize, hasty: bool) {
        let shared = Arc::clone(&self.shared);
        let register = &shared.registers[person];
        let way = &register.ways[self.rng.random_range(0..register.ways.len())];
        let back = u32::from(self.rng.random_bool(OUTDATED));
        let expected = (register.latest.load(Ordering::Relaxed) - back).max(1);
        let writing = shared.writings.fetch_add(1, Ordering::Relaxed);
        let command = correction(&register.known, expected, writing, shared.seed);
        let key = IdempotencyKey::new(new_key().made(), self.rng.random());
        let options = SubmitOptions {
            first: Some(way.node.clone()),
            deadline: Some(if hasty {
                HASTY_DEADLINE
            } else {
                PATIENT_DEADLINE
            }),
            ..SubmitOptions::default()
        };
        let called = shared.recorder.now();
        // Boxed: the future of a whole call with its tries is some 20 KiB.
        let submitted = Box::pin(way.client.submit_with(key, command, &options)).await;
        let returned = shared.recorder.now();
        let (answer, redirected, place) = match submitted {
            Ok(submitted) => {
                self.token = submitted.outcome.token.clone().into();
                let redirected = submitted.stats.endpoint != way.node;
                let Some(answer) = answer_of(&submitted.outcome) else {
                    let result = submitted.outcome.result;
                    shared
                        .recorder
                        .wrong(format!("outcome of a write: {result:?}"));
                    return;
                };
                let place = Place {
                    position: submitted.outcome.position,
                    term: submitted.outcome.term,
                    time_ms: submitted.outcome.time_ms,
                };
                (answer, redirected, Some(place))
            }
            Err(error) if error.outcome_is_unknown() => (Answer::Unknown, false, None),
            Err(error) => {
                shared.recorder.unserved(WRITE, &reason(&error));
                return;
            }
        };
        if let Answer::Accepted { version } = answer {
            register.latest.fetch_max(version, Ordering::Relaxed);
        }
        shared.recorder.record(Operation {
            client: self.index,
            person,
            node: way.node.clone(),
            called,
            returned: (answer != Answer::Unknown).then_some(returned),
            act: Act::Write(Write {
                expected,
                writing,
                answer,
                redirected,
                place: place.filter(|_| matches!(answer, Answer::Accepted { .. })),
            }),
        });
    }

    /// One read at one node. A session's answer gives it its next token.
    ///
    /// # Errors
    /// Why it was not answered.
    async fn read(
        &mut self,
        person: usize,
        node: &str,
        level: Level,
        manner: Manner,
    ) -> Result<(), String> {
        let shared = Arc::clone(&self.shared);
        let register = &shared.registers[person];
        let request = v1::GetPersonRequest {
            number: Some(v1::get_person_request::Number::Pin(
                register.known.pin.clone(),
            )),
            consistency: Some(v1::Consistency {
                level: Some(self.level_sent(level)),
                forward: manner != Manner::Last && self.rng.random_bool(FORWARDED_READS),
            }),
            purpose: "history of reads and writes".to_owned(),
        };
        let client = match manner {
            Manner::Patient => &self.reader.patient,
            Manner::Hasty => &self.reader.hasty,
            Manner::Last => &self.reader.last,
        };
        let called = shared.recorder.now();
        let answered = Box::pin(client.get_person_from(node, request)).await;
        let returned = shared.recorder.now();
        let answer = match answered {
            Ok(read) => read.answer,
            Err(error) => {
                let reason = reason(&error);
                shared.recorder.unserved(level.name(), &reason);
                return Err(reason);
            }
        };
        let as_of = answer.as_of.unwrap_or_default();
        let value = match value_of(answer.person.as_ref()) {
            Ok(value) => value,
            Err(what) => {
                let position = as_of.position;
                shared
                    .recorder
                    .wrong(format!("record read at position {position}: {what}"));
                return Ok(());
            }
        };
        if level == Level::Session {
            self.token = as_of.token.into();
        }
        register.latest.fetch_max(value.version, Ordering::Relaxed);
        shared.recorder.record(Operation {
            client: self.index,
            person,
            node: node.to_owned(),
            called,
            returned: Some(returned),
            act: Act::Read(Read {
                level,
                value,
                staleness: as_of.staleness_ms.map(Duration::from_millis),
                position: as_of.position,
            }),
        });
        Ok(())
    }

    fn level_sent(&self, level: Level) -> v1::consistency::Level {
        use v1::consistency::Level as Sent;
        match level {
            Level::Linearizable => Sent::Linearizable(v1::Linearizable {}),
            Level::Session => Sent::Session(v1::Session {
                token: self.token.clone().into(),
            }),
            Level::Local { bound } => Sent::Local(v1::Local {
                max_staleness_ms: bound.map_or(0, |bound| {
                    u64::try_from(bound.as_millis()).unwrap_or(u64::MAX)
                }),
            }),
        }
    }
}

/// A correction that leaves the number of its write in the content, and in the number of its document.
fn correction(known: &Known, expected: u32, writing: u64, seed: u64) -> v1::Command {
    let mut person = Known {
        version: expected,
        ..known.clone()
    };
    let place = person.data.native_place.get_or_insert_default();
    place.detail = format!("{MARK}{writing}");
    commands::correction(&person, seed, writing, expected)
}
