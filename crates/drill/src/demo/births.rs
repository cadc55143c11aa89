//! The births of the demonstration: registered at the centre by several clients at once, read back in the province.

use std::time::{Duration, Instant};

use banyan_client::Client;
use banyan_wire::v1;

use super::{CLIENTS_AT_CENTRE, DISCARD, DemoError, Options, Places, STEP_WITHIN, days_ago};
use crate::access;
use crate::cluster::LocalCluster;
use crate::commands;
use crate::history::{History, Pin, Write, WriteOutcome};
use crate::observer::Observer;
use crate::report;
use crate::workload::{self, Mix, Workload};

/// The births of the demonstration, as their clients saw them.
pub(super) struct Born {
    pub(super) writes: Vec<Write>,
    pub(super) elapsed: Duration,
}

impl Born {
    pub(super) fn pins(&self) -> impl Iterator<Item = &Pin> {
        self.writes
            .iter()
            .filter_map(|write| write.acknowledgement())
            .map(|answer| &answer.pin)
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.pins().count() as u64
    }

    pub(super) fn distinct_pins(&self) -> u64 {
        report::distinct(self.pins())
    }

    pub(super) fn position(&self) -> u64 {
        let answers = self
            .writes
            .iter()
            .filter_map(|write| write.acknowledgement());
        answers.map(|answer| answer.position).max().unwrap_or(0)
    }

    pub(super) fn discarded(&self) -> impl Iterator<Item = (&WriteOutcome, &WriteOutcome)> {
        self.writes
            .iter()
            .filter_map(|write| Some((&write.outcome, &write.discarded.as_ref()?.again)))
    }

    /// Second answers that tell the same effect as the first.
    pub(super) fn discarded_equal(&self) -> u64 {
        self.discarded()
            .filter(|(first, again)| match (first, again) {
                (WriteOutcome::Acknowledged(first), WriteOutcome::Acknowledged(again)) => {
                    first.same_effect(again) && again.replayed
                }
                _ => false,
            })
            .count() as u64
    }
}

pub(super) async fn register_births(
    cluster: &LocalCluster,
    places: &Places,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<Born, DemoError> {
    observer.phase(&format!(
        "registering {} births at the centre, {CLIENTS_AT_CENTRE} clients at once",
        options.births
    ));
    let history = History::new();
    let each = options.births.div_ceil(CLIENTS_AT_CENTRE as u64);
    // The rounding must not make more births than were asked for.
    let clients = usize::try_from(options.births / each).unwrap_or(1).max(1);
    let rest = options.births.saturating_sub(each * clients as u64);
    let load = workload::Options {
        seed: options.seed,
        clients,
        mix: Mix::BIRTHS,
        discard: DISCARD,
        entry_nodes: places.centre_nodes.clone(),
        other_nodes: places
            .centre_nodes
            .iter()
            .chain(&places.other_voters)
            .cloned()
            .collect(),
        read_nodes: Vec::new(),
        province: Some(places.province.clone()),
        day: days_ago(2)?,
        pause: Duration::ZERO,
        deadline: Duration::from_secs(30),
        writes_each: Some(each),
    };
    let centre = cluster.centre_name();
    let reader = cluster.centre_everywhere()?;
    let start = |load: workload::Options| {
        Workload::start(history.clone(), load, &reader, |_| cluster.client(&centre))
    };
    let started = Instant::now();
    start(load.clone())?.finished().await?;
    if rest > 0 {
        let last = workload::Options {
            clients: 1,
            writes_each: Some(rest),
            seed: options.seed ^ 0xB12,
            ..load
        };
        start(last)?.finished().await?;
    }
    let born = Born {
        writes: history.writes(),
        elapsed: started.elapsed(),
    };
    observer.note(&format!(
        "{} acknowledged in {:.1} s, {} distinct numbers; {} answers thrown away, {} second answers the same",
        born.acknowledged(),
        born.elapsed.as_secs_f64(),
        born.distinct_pins(),
        born.discarded().count(),
        born.discarded_equal()
    ));
    Ok(born)
}

/// Reads each birth at the provincial node, as the registrar there. How many were found, and how long the node took to have them all.
pub(super) async fn read_back(
    cluster: &mut LocalCluster,
    places: &Places,
    born: &Born,
    observer: &mut dyn Observer,
) -> Result<(u64, Duration), DemoError> {
    observer.phase(&format!(
        "reading each of them at {}",
        places.provincial_node
    ));
    let waited = Instant::now();
    let node = std::slice::from_ref(&places.provincial_node);
    cluster
        .wait_applied(node, born.position(), STEP_WITHIN)
        .await?;
    let caught_up = waited.elapsed();

    let registrar = cluster.client(&places.registrar)?;
    let mut found = 0;
    let mut failure = None;
    for write in &born.writes {
        let Some(answer) = write.acknowledgement() else {
            continue;
        };
        match read_one(&registrar, &places.provincial_node, &answer.pin).await {
            Ok(Some(person)) if person.pin == answer.pin.0 && same_name(&person, write) => {
                found += 1
            }
            Ok(Some(_)) => failure = Some("another person was found".to_owned()),
            Ok(None) => failure = Some("a person was not found".to_owned()),
            Err(reason) => failure = Some(reason),
        }
    }
    if let Some(reason) = failure {
        observer.note(&format!("not all were read: {reason}"));
    }
    observer.note(&format!(
        "{found} of {} found by {}",
        born.acknowledged(),
        places.registrar
    ));
    Ok((found, caught_up))
}

fn same_name(person: &v1::PersonVersion, write: &Write) -> bool {
    let sent = commands::registration(&write.command).map(|birth| birth.name.clone());
    person.data.as_ref().map(|data| data.name.clone()) == sent
}

async fn read_one(
    client: &Client,
    node: &str,
    pin: &Pin,
) -> Result<Option<v1::PersonVersion>, String> {
    let request = v1::GetPersonRequest {
        number: Some(v1::get_person_request::Number::Pin(pin.0.clone())),
        consistency: None,
        purpose: "demonstration: read back".to_owned(),
    };
    let read = client.get_person_from(node, request).await;
    read.map(|read| read.answer.person)
        .map_err(|error| access::reason(&error))
}
