//! Clients that write and read without pause, each with its own seed; everything they see goes into the history.
//!
//! A client never has two writes under way and works only on persons that it had registered itself, so that the order of a person's
//! versions is known. A write's outcome is settled before the next: retries with the same key, until the deadline.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use banyan_client::{CallError, Client, SubmitOptions, new_key};
use banyan_domain::{CalendarDate, IdempotencyKey};
use banyan_wire::v1;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::access;
use crate::commands::{self, Known};
use crate::history::{ClientIndex, Discarded, History, Key, Read, Write, WriteKind, WriteOutcome};

/// Persons that one client keeps in mind for later writes and reads.
const PERSONS_MAX: usize = 500;
/// How long a second answer is waited for, when the first was thrown away.
const SECOND_ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// How often each kind of operation is drawn; only their relation matters.
#[derive(Debug, Clone, Copy)]
pub struct Mix {
    pub births: u32,
    pub deaths: u32,
    pub corrections: u32,
    pub reads: u32,
}

impl Mix {
    /// Births with some of everything else.
    pub const MIXED: Mix = Mix {
        births: 6,
        deaths: 1,
        corrections: 2,
        reads: 3,
    };
    pub const BIRTHS: Mix = Mix {
        births: 1,
        deaths: 0,
        corrections: 0,
        reads: 0,
    };
}

/// What the clients do.
#[derive(Debug, Clone)]
pub struct Options {
    pub seed: u64,
    pub clients: usize,
    pub mix: Mix,
    /// Share of answers that a client throws away, to ask another node with the same key; 0 to 1.
    pub discard: f64,
    /// Nodes that the clients go to first, each client another one.
    pub entry_nodes: Vec<String>,
    /// Nodes that are asked again after a discarded answer.
    pub other_nodes: Vec<String>,
    /// Nodes that are read.
    pub read_nodes: Vec<String>,
    /// Two-digit code of the province of all births; `None`: all over the country.
    pub province: Option<String>,
    /// A day in the past: births, deaths and documents are dated on it.
    pub day: CalendarDate,
    /// A client's pause after each operation.
    pub pause: Duration,
    /// How long one write is tried.
    pub deadline: Duration,
    /// Each client stops after that many writes; `None`: when it is told to.
    pub writes_each: Option<u64>,
}

/// A client of a load panicked: from then on its part of the load was missing.
#[derive(Debug, thiserror::Error)]
#[error("a client of the load panicked")]
pub struct ClientPanicked(#[source] JoinError);

/// Running clients.
#[derive(Debug)]
pub struct Workload {
    pub history: History,
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
}

impl Workload {
    /// Starts the clients: each gets a client of its own to write with from `writer_of`; all read through `reader`, which must know the
    /// nodes that are read. (Writers know voters only: a province's node cannot speak for the centre.)
    ///
    /// # Errors
    /// Those of `writer_of`.
    pub fn start<E>(
        history: History,
        options: Options,
        reader: &Client,
        writer_of: impl Fn(usize) -> Result<Client, E>,
    ) -> Result<Workload, E> {
        let (stop, stopped) = watch::channel(false);
        let options = Arc::new(options);
        let mut clients = JoinSet::new();
        for index in 0..options.clients {
            let worker = Worker::new(index, writer_of(index)?, reader.clone(), &options, &history);
            clients.spawn(worker.run(stopped.clone()));
        }
        Ok(Workload {
            history,
            stop,
            clients,
        })
    }

    /// Waits until every client has done its writes.
    ///
    /// # Errors
    /// One of them panicked; the others have ended, too.
    pub async fn finished(mut self) -> Result<(), ClientPanicked> {
        let mut all = Ok(());
        while let Some(ended) = self.clients.join_next().await {
            all = all.and(ended.map_err(ClientPanicked));
        }
        all
    }

    /// Tells the clients to stop and waits until each has settled its last operation.
    ///
    /// # Errors
    /// As [`Workload::finished`].
    pub async fn stop(self) -> Result<(), ClientPanicked> {
        let _ = self.stop.send(true);
        self.finished().await
    }
}

struct Worker {
    index: usize,
    writer: Client,
    reader: Client,
    options: Arc<Options>,
    history: History,
    rng: ChaCha8Rng,
    persons: Vec<Known>,
    writes: u64,
}

impl Worker {
    fn new(
        index: usize,
        writer: Client,
        reader: Client,
        options: &Arc<Options>,
        history: &History,
    ) -> Worker {
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        rng.set_stream(index as u64 + 1);
        Worker {
            index,
            writer,
            reader,
            options: Arc::clone(options),
            history: history.clone(),
            rng,
            persons: Vec::new(),
            writes: 0,
        }
    }

    async fn run(mut self, stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() && !self.is_done() {
            self.step().await;
            if !self.options.pause.is_zero() {
                tokio::time::sleep(self.options.pause).await;
            }
        }
    }

    fn is_done(&self) -> bool {
        self.options
            .writes_each
            .is_some_and(|each| self.writes >= each)
    }

    async fn step(&mut self) {
        let mix = self.options.mix;
        let total = (mix.births + mix.deaths + mix.corrections + mix.reads).max(1);
        let drawn = self.rng.random_range(0..total);
        // Without a person to act on, there is always a birth to register.
        if drawn < mix.births || self.persons.is_empty() {
            self.register_birth().await;
        } else if drawn < mix.births + mix.deaths {
            self.record_death().await;
        } else if drawn < mix.births + mix.deaths + mix.corrections {
            self.correct().await;
        } else {
            self.read().await;
        }
    }

    /// Numbers documents: distinct over all clients of a seed.
    fn next_index(&mut self) -> u64 {
        self.writes += 1;
        self.index as u64 * 10_000_000 + self.writes
    }

    async fn register_birth(&mut self) {
        let index = self.next_index();
        let (seed, day) = (self.options.seed, self.options.day);
        let command = commands::birth(seed, index, day, self.options.province.as_deref());
        let outcome = self.write(WriteKind::Birth, command.clone()).await;
        if let WriteOutcome::Acknowledged(answer) = outcome
            && let Some(person) = commands::known(&command, &answer.pin.0, answer.version)
        {
            if self.persons.len() >= PERSONS_MAX {
                let forgotten = self.rng.random_range(0..self.persons.len());
                self.persons.swap_remove(forgotten);
            }
            self.persons.push(person);
        }
    }

    async fn record_death(&mut self) {
        let chosen = self.rng.random_range(0..self.persons.len());
        // A dead person is not acted on again, whatever became of this write.
        let person = self.persons.swap_remove(chosen);
        let index = self.next_index();
        let command = commands::death(&person, self.options.seed, index);
        self.write(WriteKind::Death, command).await;
    }

    async fn correct(&mut self) {
        let chosen = self.rng.random_range(0..self.persons.len());
        let mut person = self.persons.swap_remove(chosen);
        let index = self.next_index();
        let command = commands::correction(&person, self.options.seed, index, person.version);
        let outcome = self.write(WriteKind::Correction, command.clone()).await;
        // After an outcome that is not known its version is not known either: it is left alone.
        if let WriteOutcome::Acknowledged(answer) = outcome
            && let Some(v1::command::Kind::CorrectPerson(corrected)) = command.kind
        {
            person.version = answer.version;
            person.data = corrected.data.unwrap_or_default();
            self.persons.push(person);
        }
    }

    async fn read(&mut self) {
        let (Some(node), Some(person)) = (
            pick(&mut self.rng, &self.options.read_nodes),
            pick(&mut self.rng, &self.persons),
        ) else {
            return;
        };
        let request = v1::GetPersonRequest {
            number: Some(v1::get_person_request::Number::Pin(person.pin.clone())),
            consistency: None,
            purpose: "drill".to_owned(),
        };
        let node = node.clone();
        let started = self.history.now();
        let answer = self.reader.get_person_from(&node, request).await;
        self.history.record_read(Read {
            client: ClientIndex(self.index),
            started,
            ended: self.history.now(),
            node,
            found: answer.ok().map(|read| read.answer.person.is_some()),
        });
    }

    async fn write(&mut self, kind: WriteKind, command: v1::Command) -> WriteOutcome {
        let key = IdempotencyKey::new(new_key().made(), self.rng.random());
        let discard = self.rng.random_bool(self.options.discard);
        let entries = &self.options.entry_nodes;
        let node = entries
            .get(self.index % entries.len().max(1))
            .cloned()
            .unwrap_or_default();
        let started = self.history.now();
        let (outcome, mut tries, answered_by) =
            submit(&self.writer, key, &command, &node, self.options.deadline).await;

        let other = pick_other(&mut self.rng, &self.options.other_nodes, &answered_by);
        let mut discarded = None;
        if let (true, Some(other), WriteOutcome::Acknowledged(_)) = (discard, other, &outcome) {
            let (again, more, _) =
                submit(&self.writer, key, &command, &other, SECOND_ANSWER_WITHIN).await;
            tries += more;
            discarded = Some(Discarded {
                node: other,
                again,
                tries: more,
            });
        }
        self.history.record_write(Write {
            client: ClientIndex(self.index),
            kind,
            key: Key(key),
            command,
            started,
            ended: self.history.now(),
            tries,
            node,
            outcome: outcome.clone(),
            discarded,
        });
        outcome
    }
}

/// Sends one write until it is settled or the deadline passes: outcome, tries, and the node that was asked last.
pub(crate) async fn submit(
    client: &Client,
    key: IdempotencyKey,
    command: &v1::Command,
    first: &str,
    deadline: Duration,
) -> (WriteOutcome, u32, String) {
    let options = SubmitOptions {
        first: (!first.is_empty()).then(|| first.to_owned()),
        deadline: Some(deadline),
        ..SubmitOptions::default()
    };
    // Boxed: the future of a whole call with its tries is some 20 KiB.
    match Box::pin(client.submit_with(key, command.clone(), &options)).await {
        Ok(answer) => (
            WriteOutcome::of(&answer.outcome),
            answer.stats.tries,
            answer.stats.endpoint,
        ),
        Err(error) => {
            let tries = error.stats().map_or(1, |stats| stats.tries);
            (outcome_of(&error), tries, String::new())
        }
    }
}

fn outcome_of(error: &CallError) -> WriteOutcome {
    let reason = access::reason(error);
    if error.outcome_is_unknown() {
        WriteOutcome::Unknown { reason }
    } else {
        WriteOutcome::NotSent { reason }
    }
}

/// Asks again for every write without a definite outcome, with its key, until each has one: what was unknown becomes known.
///
/// Returns the outcomes by key; a write that stays open keeps the outcome that it had.
pub async fn resolve(
    client: &Client,
    writes: &[Write],
    deadline: Duration,
) -> BTreeMap<Key, WriteOutcome> {
    let mut resolved = BTreeMap::new();
    for write in writes {
        if matches!(
            write.outcome,
            WriteOutcome::Unknown { .. } | WriteOutcome::NotSent { .. }
        ) {
            let (outcome, _, _) = submit(client, write.key.0, &write.command, "", deadline).await;
            resolved.insert(write.key, outcome);
        }
    }
    resolved
}

fn pick<'a, T>(rng: &mut ChaCha8Rng, from: &'a [T]) -> Option<&'a T> {
    if from.is_empty() {
        None
    } else {
        from.get(rng.random_range(0..from.len()))
    }
}

fn pick_other(rng: &mut ChaCha8Rng, nodes: &[String], not: &str) -> Option<String> {
    let others: Vec<&String> = nodes.iter().filter(|node| node.as_str() != not).collect();
    pick(rng, &others).map(|node| (*node).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn client_that_panicked_is_told_when_all_have_ended() {
        let load = |panics: bool| {
            let (stop, stopped) = watch::channel(false);
            let mut clients = JoinSet::new();
            for index in 0..3 {
                let mut stopped = stopped.clone();
                clients.spawn(async move {
                    assert!(index > 0 || !panics, "on purpose");
                    let _ = stopped.wait_for(|stopped| *stopped).await;
                });
            }
            Workload {
                history: History::new(),
                stop,
                clients,
            }
        };
        load(false).stop().await.unwrap();
        load(true).stop().await.unwrap_err();
    }
}
