//! The mixed load: births, corrections, local and linearizable reads.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use banyan_client::{Client, Submission, new_key};
use banyan_domain::{CalendarDate, IdempotencyKey};
use banyan_drill::cluster::LocalCluster;
use banyan_drill::commands::{self, Known};
use banyan_wire::v1;

use crate::load::{Failure, Target};
use crate::systems::Pins;
use crate::systems::banyan::{BATCH, Reads, accepted, submit};

/// Clients of each kind of call.
pub(super) const CLIENTS: usize = 4;
/// Persons whom reads and corrections are drawn from.
const PERSONS: usize = 20_000;
const SEED: u64 = 1;

/// What is sent.
pub(super) struct Mixed {
    pub(super) births: Arc<Births>,
    pub(super) corrections: Arc<Corrections>,
    pub(super) local_reads: Arc<Reads>,
    pub(super) linearizable_reads: Arc<Reads>,
}

impl Mixed {
    /// Registers the first persons, and connects.
    ///
    /// # Errors
    /// That a birth is not accepted.
    pub(super) async fn prepare(cluster: &LocalCluster) -> anyhow::Result<Mixed> {
        let centre = cluster.centre_name();
        let writers = || -> anyhow::Result<Vec<Client>> {
            (0..CLIENTS).map(|_| Ok(cluster.client(&centre)?)).collect()
        };
        let readers = || -> anyhow::Result<Vec<Client>> {
            (0..CLIENTS)
                .map(|_| Ok(cluster.centre_everywhere()?))
                .collect()
        };
        let births = Births {
            clients: writers()?,
            day: CalendarDate::new(2021, 2, 25)?,
            next: AtomicU64::new(0),
        };
        let persons = births.register(PERSONS).await?;
        let pins = Pins::of(persons.iter().map(|person| person.pin.clone()).collect());
        let reads = |linearizable| -> anyhow::Result<Arc<Reads>> {
            Ok(Arc::new(Reads {
                clients: readers()?,
                nodes: cluster.node_names(),
                pins: pins.clone(),
                linearizable,
            }))
        };
        Ok(Mixed {
            births: Arc::new(births),
            corrections: Arc::new(Corrections {
                clients: writers()?,
                persons: Mutex::new(persons.into()),
                next: AtomicU64::new(0),
            }),
            local_reads: reads(false)?,
            linearizable_reads: reads(true)?,
        })
    }
}

/// Births all over the country.
pub(super) struct Births {
    clients: Vec<Client>,
    day: CalendarDate,
    next: AtomicU64,
}

impl Births {
    fn birth(&self) -> v1::Command {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        commands::birth(SEED, index, self.day, None)
    }

    async fn register(&self, count: usize) -> anyhow::Result<Vec<Known>> {
        let client = self.clients.first().context("no client")?;
        let mut persons = Vec::with_capacity(count);
        while persons.len() < count {
            let births: Vec<v1::Command> = (0..BATCH).map(|_| self.birth()).collect();
            let submissions = births.iter().map(|command| Submission {
                key: new_key(),
                command: command.clone(),
            });
            let answers = client.submit_batch(submissions.collect()).await?.answers;
            for (command, answer) in births.iter().zip(answers) {
                let accepted = accepted(answer?).map_err(anyhow::Error::msg)?;
                let person = commands::known(command, &accepted.pin, accepted.version);
                persons.extend(person);
            }
        }
        Ok(persons)
    }
}

impl Target for Births {
    type Request = (IdempotencyKey, v1::Command);

    fn request(&self, _slot: usize) -> Self::Request {
        (new_key(), self.birth())
    }

    async fn call(&self, slot: usize, (key, command): Self::Request) -> Result<u64, Failure> {
        submit(&self.clients[slot % self.clients.len()], key, command).await?;
        Ok(1)
    }
}

/// Corrections of the persons in turn, each on the version that the one before left.
pub(super) struct Corrections {
    clients: Vec<Client>,
    persons: Mutex<VecDeque<Known>>,
    next: AtomicU64,
}

impl Corrections {
    fn persons(&self) -> MutexGuard<'_, VecDeque<Known>> {
        self.persons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Target for Corrections {
    type Request = Option<Known>;

    fn request(&self, _slot: usize) -> Self::Request {
        self.persons().pop_front()
    }

    async fn call(&self, slot: usize, person: Self::Request) -> Result<u64, Failure> {
        let Some(mut person) = person else {
            return Err("all persons are being corrected".to_owned().into());
        };
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let command = commands::correction(&person, SEED, index, person.version);
        let client = &self.clients[slot % self.clients.len()];
        // Whoever was not corrected is left alone: its version is not known.
        let accepted = submit(client, new_key(), command.clone()).await?;
        if let Some(v1::command::Kind::CorrectPerson(corrected)) = command.kind {
            person.version = accepted.version;
            person.data = corrected.data.unwrap_or_default();
            self.persons().push_back(person);
        }
        Ok(1)
    }
}
