//! Clients of a simulated nation: they register, correct and look up, throw answers away, ask again elsewhere, and check what they are told.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use banyan_consensus::ReadLevel;
use banyan_domain::{
    Actor, CalendarDate, Envelope, IdempotencyKey, NodeId, Outcome, PersonId, Pin, Position,
    Principal, Rejection, Role,
};
use banyan_drill::commands::{self, Known};
use banyan_wire::{
    command::{command_from_wire, fingerprint},
    v1,
};
use openraft_rt::AsyncRuntime as _;
use rand::{Rng, SeedableRng, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;

use super::{
    clock::true_time,
    invariants::Invariant,
    nation::Nation,
    node::{Ask, Told},
    peers::{Answer, CLIENTS, Request},
    runtime::{JoinHandle, Simulated, now, outside},
};

mod service;

pub use service::serves;

/// Endpoints of clients begin here.
const CLIENT_FROM: u64 = 1_000;
/// A client waits for an answer from ... to ... milliseconds: some turn to another node before the old leader knows that it is none.
const PATIENCE_MS: (u64, u64) = (80, 1_500);
/// A write is tried so often before its client gives up: what became of it stays unknown then.
const TRIES_MAX: usize = 12;
/// Persons that all clients work on together: few, so that they get in each other's way.
const PERSONS_MAX: usize = 60;

/// A write that was acknowledged.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// What was asked for.
    pub envelope: Envelope,
    /// What its client was told.
    pub outcome: Outcome,
}

/// What all clients know together. Clones are one.
#[derive(Clone, Default)]
pub struct Book(Arc<Mutex<Together>>);

#[derive(Default)]
struct Together {
    persons: Vec<(Known, Pin, PersonId)>,
    acknowledged: Vec<Acknowledged>,
    unknown: u64,
    reads: u64,
    refused: u64,
}

impl Book {
    fn lock(&self) -> MutexGuard<'_, Together> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All writes that were acknowledged.
    pub fn acknowledged(&self) -> Vec<Acknowledged> {
        self.lock().acknowledged.clone()
    }

    /// Acknowledged and unknown writes, answered and refused reads.
    pub fn counts(&self) -> (u64, u64, u64, u64) {
        let together = self.lock();
        (
            together.acknowledged.len() as u64,
            together.unknown,
            together.reads,
            together.refused,
        )
    }
}

/// Starts the clients of a plan; each ends at the moment given.
pub fn start(nation: &Nation, seed: u64, until: Duration, known: &Book) -> Vec<JoinHandle<()>> {
    (0..nation.plan().clients)
        .map(|index| {
            let client = Client::new(nation.clone(), seed, index as u64, known.clone());
            outside(client.run(until))
        })
        .collect()
}

struct Client {
    nation: Nation,
    id: u64,
    seed: u64,
    rng: ChaCha8Rng,
    known: Book,
    /// Where the leader was last.
    leader: u64,
    token: Position,
    writes: u64,
}

impl Client {
    fn new(nation: Nation, seed: u64, index: u64, known: Book) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(0xc11e_0000 + index);
        Self {
            nation,
            id: CLIENT_FROM + index,
            seed,
            rng,
            known,
            leader: 1,
            token: Position::default(),
            writes: 0,
        }
    }

    async fn run(mut self, until: Duration) {
        while now() < until {
            match self.rng.random_range(0..10) {
                0..2 => {
                    self.birth().await;
                }
                2..5 => self.correction().await,
                5 => self.death().await,
                _ => self.read().await,
            }
            let (least, most) = self.nation.plan().pause;
            let pause = Duration::from_millis(self.rng.random_range(least..=most));
            Simulated::sleep(pause).await;
        }
    }

    fn next_index(&mut self) -> u64 {
        self.writes += 1;
        self.id * 1_000_000 + self.writes
    }

    /// One birth, or several in one batch; whether the first was accepted.
    async fn birth(&mut self) -> bool {
        let count = if self.rng.random_bool(0.3) {
            self.rng.random_range(2..6)
        } else {
            1
        };
        let Ok(day) = CalendarDate::new(2021, 2, 25) else {
            return false;
        };
        let births: Vec<v1::Command> = (0..count)
            .map(|_| commands::birth(self.seed, self.next_index(), day, Some("40")))
            .collect();
        let outcomes = self.write(&births).await.unwrap_or_default();
        let registered = outcomes.first().is_some_and(|first| first.result.is_ok());
        for (command, outcome) in births.iter().zip(outcomes) {
            let Ok(accepted) = &outcome.result else {
                continue;
            };
            let version = accepted.version.get();
            let Some(person) = commands::known(command, accepted.pin.as_str(), version) else {
                continue;
            };
            let entry = (person, accepted.pin, accepted.person);
            let mut known = self.known.lock();
            if known.persons.len() < PERSONS_MAX {
                known.persons.push(entry);
            } else {
                let place = self.rng.random_range(0..PERSONS_MAX);
                known.persons[place] = entry;
            }
        }
        if registered
            && self.rng.random_bool(0.05)
            && let Some(birth) = births.first()
        {
            self.same_document(birth).await;
        }
        registered
    }

    /// A clerk enters a form once more, as a request of its own: whoever stands on it is registered already.
    async fn same_document(&mut self, birth: &v1::Command) {
        let Some(outcome) = self.write_one(birth).await else {
            return;
        };
        let observer = self.nation.observer();
        if outcome.result == Err(Rejection::FormAlreadyRegistered) {
            observer.sometimes("a document was refused the second time");
        } else if outcome.result.is_ok() {
            let what = format!(
                "a document registers a second person at {}",
                outcome.position
            );
            observer.violated(Invariant::EveryEffectOnce, what);
        }
    }

    fn draw(&mut self) -> Option<(Known, Pin, PersonId)> {
        let known = self.known.lock();
        known.persons.choose(&mut self.rng).cloned()
    }

    /// A correction of what the client has read last: another one may have come in between.
    async fn correction(&mut self) {
        let Some((person, pin, _)) = self.draw() else {
            self.birth().await;
            return;
        };
        let index = self.next_index();
        let step = u32::try_from(index % 97).unwrap_or(0);
        let mut command = commands::correction(&person, self.seed, index, step);
        if self.rng.random_bool(0.3) {
            rename(&mut command, index);
        }
        let Some(outcome) = self.write_one(&command).await else {
            return;
        };
        let version = match &outcome.result {
            Ok(accepted) => accepted.version.get(),
            Err(Rejection::VersionConflict { current }) => current.get(),
            Err(_) => return,
        };
        let mut known = self.known.lock();
        if let Some((person, ..)) = known.persons.iter_mut().find(|(_, known, _)| *known == pin) {
            person.version = person.version.max(version);
            if outcome.result.is_ok()
                && let Some(v1::command::Kind::CorrectPerson(corrected)) = command.kind
            {
                person.data = corrected.data.unwrap_or_default();
            }
        }
    }

    async fn death(&mut self) {
        let Some((person, ..)) = self.draw() else {
            return;
        };
        let index = self.next_index();
        let command = commands::death(&person, self.seed, index);
        self.write_one(&command).await;
    }

    async fn write_one(&mut self, command: &v1::Command) -> Option<Outcome> {
        self.write(std::slice::from_ref(command)).await?.pop()
    }

    fn envelope(&mut self, command: &v1::Command) -> Option<Envelope> {
        let (head, parsed) = command_from_wire(command).ok()?;
        let clock_error = self.rng.random_range(-2_000..2_000);
        let made = banyan_domain::Timestamp(true_time(now()).get() + clock_error);
        let mut random = [0; 10];
        self.rng.fill(&mut random);
        Some(Envelope {
            actor: Actor {
                principal: Principal::new("centre-1").ok()?,
                role: Role::Centre,
                admitted_by: NodeId(1),
            },
            key: IdempotencyKey::new(made, random),
            fingerprint: fingerprint(command),
            salt: self.rng.random_range(0..self.nation.plan().salts),
            head,
            command: parsed,
        })
    }

    /// Sends writes, as one batch, until they are settled, and now and then again after that, elsewhere.
    async fn write(&mut self, commands: &[v1::Command]) -> Option<Vec<Outcome>> {
        let envelopes: Option<Vec<Envelope>> = commands
            .iter()
            .map(|command| self.envelope(command))
            .collect();
        let envelopes = envelopes?;
        // Whatever anybody has been shown before this moment lies before what these writes do.
        let shown = self.nation.observer().shown();
        let Some(outcomes) = self.submit(&envelopes).await else {
            self.known.lock().unknown += 1;
            return None;
        };
        for (envelope, outcome) in envelopes.iter().zip(&outcomes) {
            self.acknowledged(envelope, outcome, shown);
        }
        if self.rng.random_bool(0.15) {
            // As if the answer had been lost.
            if let Some(again) = self.submit(&envelopes).await {
                self.nation
                    .observer()
                    .sometimes("a settled write was sent again");
                for (first, again) in outcomes.iter().zip(&again) {
                    self.compare(first, again);
                }
            }
        }
        Some(outcomes)
    }

    fn acknowledged(&mut self, envelope: &Envelope, outcome: &Outcome, shown: u64) {
        let observer = self.nation.observer();
        observer.told(envelope.key, outcome);
        if outcome.position.index <= shown {
            let what = format!(
                "a write that began after {shown} had been shown stands at {}",
                outcome.position.index
            );
            observer.violated(Invariant::LinearizableReads, what);
        }
        observer.show(outcome.position.index);
        self.token = self.token.max(outcome.position);
        let acknowledged = Acknowledged {
            envelope: envelope.clone(),
            outcome: outcome.clone(),
        };
        self.known.lock().acknowledged.push(acknowledged);
    }

    fn compare(&self, first: &Outcome, again: &Outcome) {
        let same = first.position == again.position
            && first.time == again.time
            && first.result == again.result;
        if !same {
            let what = format!(
                "asked again, the registry answers with {:?} instead of {:?}",
                again.position, first.position
            );
            self.nation
                .observer()
                .violated(Invariant::EveryEffectOnce, what);
        }
    }

    async fn submit(&mut self, envelopes: &[Envelope]) -> Option<Vec<Outcome>> {
        let mut unknown = false;
        for _ in 0..TRIES_MAX {
            let ask = Ask::Submit(envelopes.to_vec());
            match self.ask(self.leader, ask).await {
                Some(Told::Outcomes(outcomes)) => return Some(outcomes),
                Some(Told::NotProposed(Some(leader))) if leader != self.leader => {
                    self.leader = leader;
                }
                told => {
                    unknown |= !matches!(told, Some(Told::NotProposed(_)));
                    let living = self.nation.living();
                    if let Some(node) = living.choose(&mut self.rng) {
                        self.leader = node.id();
                    }
                    let pause = self.rng.random_range(5..200);
                    Simulated::sleep(Duration::from_millis(pause)).await;
                }
            }
        }
        if unknown {
            self.nation.observer().sometimes("a write stayed unknown");
        }
        None
    }

    async fn ask(&mut self, node: u64, ask: Ask) -> Option<Told> {
        let (least, most) = PATIENCE_MS;
        let patience = Duration::from_millis(self.rng.random_range(least..=most));
        let request = Request::Client(Box::new(ask), patience);
        let call = self
            .nation
            .net()
            .call(self.id, node, CLIENTS, 512, patience * 2, request);
        match call.await {
            Ok(Answer::Client(told)) => Some(told),
            _ => None,
        }
    }

    async fn read(&mut self) {
        let living = self.nation.living();
        let Some(node) = living.choose(&mut self.rng).map(|node| node.id()) else {
            return;
        };
        let level = match self.rng.random_range(0..5) {
            0 => ReadLevel::Any,
            1 => ReadLevel::Within(Duration::from_millis(self.rng.random_range(20..2_000))),
            2 => ReadLevel::After(self.token),
            _ => ReadLevel::Linearizable,
        };
        self.read_at(node, level).await;
    }

    /// Whether it was answered.
    async fn read_at(&mut self, node: u64, level: ReadLevel) -> bool {
        let Some((_, pin, person)) = self.draw() else {
            return false;
        };
        let observer = self.nation.observer().clone();
        // Everything that any leader had answered, and that any client had been shown, when the read began.
        let certain = observer.shown().max(observer.answered_before(now()));
        let told = self.ask(node, Ask::Read { pin, level }).await;
        let Some(Told::Read {
            position, found, ..
        }) = told
        else {
            self.known.lock().refused += 1;
            observer.sometimes("a read was refused or not answered");
            return false;
        };
        self.known.lock().reads += 1;
        self.check_read(level, position, certain);
        let expected = observer
            .version_at(person, position.index)
            .map(|version| (person, version));
        if found != expected {
            let what = format!(
                "a read at {} shows {found:?} where {expected:?} stood",
                position.index
            );
            observer.violated(Invariant::ReadsShowTheirPosition, what);
        }
        if level == ReadLevel::Linearizable {
            observer.show(position.index);
        }
        self.token = self.token.max(position);
        true
    }

    fn check_read(&self, level: ReadLevel, position: Position, certain: u64) {
        let observer = self.nation.observer();
        match level {
            ReadLevel::Linearizable => {
                observer.sometimes("a linearizable read was answered");
                if position.index < certain {
                    let what = format!(
                        "a linearizable read at {} began after {certain} was certain",
                        position.index
                    );
                    observer.violated(Invariant::LinearizableReads, what);
                }
            }
            ReadLevel::After(token) => {
                observer.sometimes("a session read was answered");
                if position < token {
                    let what = format!("a session read at {position} has a token of {token}");
                    observer.violated(Invariant::SessionReads, what);
                }
            }
            ReadLevel::Within(_) => observer.sometimes("a bounded local read was answered"),
            ReadLevel::Any => observer.sometimes("a local read was answered"),
        }
    }
}

/// Changes the given name as well: the name's index must follow.
fn rename(command: &mut v1::Command, index: u64) {
    const GIVEN: [&str; 5] = ["An", "Bình", "Chi", "Dung", "Giang"];
    if let Some(v1::command::Kind::CorrectPerson(correct)) = &mut command.kind
        && let Some(name) = correct.data.as_mut().and_then(|data| data.name.as_mut())
    {
        let place = usize::try_from(index).unwrap_or(0) % GIVEN.len();
        GIVEN[place].clone_into(&mut name.given);
    }
}
