//! A bit of a stored file is flipped while its node is stopped: the node refuses to start, or stops with a fault, or serves what is right.
//!
//! Meanwhile the node is cut off from all others, so that it promises them nothing, and may then be put back to the copy that was made before: a
//! voter that came back with less than it had promised would be a fault of this test. Clients reach it all the time.

use std::time::{Duration, Instant};

use anyhow::Result;
use banyan_client::{Client, Options};
use banyan_drill::access;
use banyan_drill::checker::Promises;
use banyan_drill::cluster::ClusterError;
use banyan_wire::v1;
use rand_chacha::ChaCha8Rng;

use super::damage::{self, Damage, Files};
use super::ends::ENDED_BY_FAULT;
use super::faults::Storm;
use super::network::{Trouble, all_but};
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};

/// A node with a damaged file has answered or ended after this time.
const SEEN_WITHIN: Duration = Duration::from_secs(30);
/// Persons that are read at a damaged node that runs.
const READ: usize = 150;
/// All of them in this time, or as many as it takes.
const READ_WITHIN: Duration = Duration::from_secs(6);
/// How a node ends that refuses its data directory.
const REFUSED: &str = "exit status: 4";
const FAILED: &str = "exit status: 1";

/// What a node knew before it was stopped.
struct Before {
    last_log_index: u64,
    applied_index: u64,
}

/// Does it to a node drawn from all: what was done and what came of it, or `None` if the node has no such file.
pub(super) async fn strike(
    storm: &mut Storm,
    files: Files,
    rng: &mut ChaCha8Rng,
) -> Result<Option<String>> {
    if !storm.wait_level().await? {
        return Ok(None);
    }
    let all = storm.arena.cluster.node_names();
    let node = all.choose(rng).cloned().unwrap_or_default();
    let one = [node.clone()];
    let Some(before) = before(storm, &node).await? else {
        return Ok(None);
    };
    // Half of them end in order, with nothing left to replay; the log is damaged only where there is something to lose.
    if files == Files::Tables && rng.random_bool(0.5) {
        storm.stop(&one).await?;
    } else {
        storm.kill(&one).await?;
    }
    let others = all_but(&all, &one);
    storm.weather.trouble(&one, &others, Trouble::Cut);
    storm.weather.trouble(&others, &one, Trouble::Cut);
    storm.arena.network.set(&storm.weather)?;

    let data = storm.arena.disks.data_of(&node);
    let copy = storm.arena.cluster.layout().directory.join("kept-copy");
    damage::copy(&data, &copy)?;
    let told = match damage::flip(&data, files, rng)? {
        None => None,
        Some(done) => {
            storm.arena.cluster.start_node(&node)?;
            let came = watch(storm, &node, &before, &done, rng).await?;
            storm.end(&one).await?;
            damage::empty(&data)?;
            damage::copy(&copy, &data)?;
            let Damage {
                file,
                offset,
                bytes,
            } = done;
            Some(format!(
                "{node}, {} at byte {offset} of {bytes}: {came}",
                file.display()
            ))
        }
    };
    std::fs::remove_dir_all(&copy)?;
    Ok(told)
}

async fn before(storm: &Storm, node: &str) -> Result<Option<Before>> {
    let operator = storm.arena.cluster.operator()?;
    let status = operator.status(node).await.ok();
    Ok(status.map(|status| Before {
        last_log_index: status.answer.last_log_index,
        applied_index: status.answer.applied_index,
    }))
}

/// Watches a node that was started with a damaged file, and says what came of it.
async fn watch(
    storm: &mut Storm,
    node: &str,
    before: &Before,
    damage: &Damage,
    rng: &mut ChaCha8Rng,
) -> Result<String> {
    let one = [node.to_owned()];
    match storm.arena.cluster.wait_answering(&one, SEEN_WITHIN).await {
        Ok(()) => {}
        Err(ClusterError::Ended { how, tail, .. }) => return Ok(ended(storm, node, &how, &tail)),
        Err(ClusterError::Elapsed(_)) => return Ok("it did not answer".to_owned()),
        Err(error) => return Err(error.into()),
    }
    let operator = storm.arena.cluster.operator()?;
    if let Ok(status) = operator.status(node).await
        && status.answer.last_log_index < before.last_log_index
    {
        let (now, then) = (status.answer.last_log_index, before.last_log_index);
        storm.findings.add(
            "log_shortened",
            &format!("{node} runs with a log to {now} that had reached {then}, after a bit of {} flipped", damage.file.display()),
        );
    }
    let read = read_some(storm, node, before.applied_index, rng).await?;
    Ok(match storm.arena.cluster.ended_with(node) {
        Some(how) => ended(storm, node, &how, ""),
        None => format!("it runs, {read} histories read were right"),
    })
}

fn ended(storm: &mut Storm, node: &str, how: &str, tail: &str) -> String {
    // A panic, a signal: it did not see what was wrong.
    if ![ENDED_BY_FAULT, REFUSED, FAILED].contains(&how) {
        storm.findings.add(
            "unclear_end",
            &format!("{node} with a damaged file ended with {how}: {tail}"),
        );
    }
    let why = tail
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("");
    format!("it ended with {how} {why}")
}

/// Reads persons at a damaged node that no write is under way for. What it answers must be what was acknowledged.
async fn read_some(
    storm: &mut Storm,
    node: &str,
    applied: u64,
    rng: &mut ChaCha8Rng,
) -> Result<u64> {
    let writes = storm.history.writes();
    let promises = Promises::of(&writes, &std::collections::BTreeMap::new());
    let mut people: Vec<_> = promises.persons.into_iter().collect();
    people.shuffle(rng);
    let begun = Instant::now();
    let reader = reader(storm)?;
    let mut right = 0;
    for (pin, promised) in people.into_iter().take(READ) {
        if begun.elapsed() > READ_WITHIN {
            break;
        }
        let request = v1::GetHistoryRequest {
            pin: pin.0.clone(),
            purpose: "chaos: read at a damaged node".to_owned(),
            consistency: Some(v1::Consistency {
                level: Some(v1::consistency::Level::Local(v1::Local {
                    max_staleness_ms: 0,
                })),
                forward: false,
            }),
            ..v1::GetHistoryRequest::default()
        };
        // A refusal is right, too.
        let Ok(answer) = reader.history_from(node, request).await else {
            continue;
        };
        let mut is_right = true;
        for (version, promise) in promised
            .iter()
            .filter(|(_, one)| one.answer.position <= applied)
        {
            let found = answer
                .answer
                .versions
                .iter()
                .find(|found| found.version == *version);
            let sent = promise
                .command
                .document
                .as_ref()
                .map(|document| &document.number);
            let holds = found
                .and_then(|found| found.provenance.as_ref())
                .is_some_and(|provenance| {
                    provenance.position == promise.answer.position
                        && provenance
                            .document
                            .as_ref()
                            .map(|document| &document.number)
                            == sent
                });
            if !holds {
                is_right = false;
                let position = promise.answer.position;
                storm.findings.add(
                    "wrong_data_served",
                    &format!("{node} with a damaged file: version {version} of position {position} is not as acknowledged"),
                );
            }
        }
        right += u64::from(is_right);
    }
    Ok(right)
}

fn reader(storm: &Storm) -> Result<Client> {
    let cluster = &storm.arena.cluster;
    let all: Vec<_> = cluster.topology().nodes().iter().collect();
    let options = Options {
        deadline: Duration::from_secs(2),
        ..access::call_options()
    };
    Ok(cluster.client_with(&cluster.centre_name(), &all, options)?)
}
