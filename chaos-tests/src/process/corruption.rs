//! A bit of a stored file is flipped while its node is stopped: the node refuses to start, or stops with a fault, or serves what is right.
//!
//! Meanwhile the node is cut off from all others, so that it promises them nothing, and may then be put back to the copy that was made before: a
//! voter that came back with less than it had promised would be a fault of this test. Clients reach it all the time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use banyan_client::{Client, Options};
use banyan_drill::access;
use banyan_drill::checker::{self, Promise, Promises};
use banyan_drill::cluster::ClusterError;
use banyan_drill::history::Pin;
use banyan_wire::v1;
use rand_chacha::ChaCha8Rng;

use super::damage::{self, Damage, Files};
use super::ends::ENDED_BY_FAULT;
use super::faults::Storm;
use super::network::{Trouble, all_but};
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};

/// A node with a damaged file has answered or ended after this time.
const SEEN_WITHIN: Duration = Duration::from_secs(90);
/// Persons that are read at a damaged node that runs.
const READ: usize = 150;
/// All of them in this time, or as many as it takes.
const READ_WITHIN: Duration = Duration::from_secs(6);
/// How a node ends that refuses its data directory.
const REFUSED: &str = "exit status: 4";

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
    let Some(applied) = applied(storm, &node).await? else {
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
            let came = watch(storm, &node, applied, &done, rng).await?;
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

/// What a node has applied, which it does only when its own log is durable so far (ADR 0003): a kill takes nothing of it.
async fn applied(storm: &Storm, node: &str) -> Result<Option<u64>> {
    let operator = storm.arena.cluster.operator()?;
    let status = operator.status(node).await.ok();
    Ok(status.map(|status| status.answer.applied_index))
}

/// Watches a node that was started with a damaged file, and says what came of it. `applied`: what it had applied before.
async fn watch(
    storm: &mut Storm,
    node: &str,
    applied: u64,
    damage: &Damage,
    rng: &mut ChaCha8Rng,
) -> Result<String> {
    let one = [node.to_owned()];
    match storm.arena.cluster.wait_answering(&one, SEEN_WITHIN).await {
        Ok(()) => {}
        Err(ClusterError::Ended { how, tail, .. }) => return Ok(ended(storm, node, &how, &tail)),
        Err(ClusterError::Elapsed(elapsed)) => {
            // Neither ended nor of use: nobody would be told what is wrong with it.
            storm.findings.add(
                "no_answer_after_damage",
                &format!(
                    "{node}, a bit of {} flipped: {elapsed}",
                    damage.file.display()
                ),
            );
            return Ok("it did not answer".to_owned());
        }
        Err(error) => return Err(error.into()),
    }
    let operator = storm.arena.cluster.operator()?;
    if let Ok(status) = operator.status(node).await
        && status.answer.last_log_index < applied
    {
        // Entries behind what was applied may have been accepted and not written.
        let now = status.answer.last_log_index;
        storm.findings.add(
            "log_shortened",
            &format!("{node} runs with a log to {now} and had applied {applied}, after a bit of {} flipped", damage.file.display()),
        );
    }
    let read = read_some(storm, node, applied, rng).await?;
    if storm.arena.cluster.ended_with(node).is_some()
        // Comes back at once, with the end of its log.
        && let Err(ClusterError::Ended { how, tail, .. }) =
            storm.arena.cluster.wait_answering(&one, SEEN_WITHIN).await
    {
        return Ok(ended(storm, node, &how, &tail));
    }
    Ok(format!("it runs, {read} histories read were right"))
}

fn ended(storm: &mut Storm, node: &str, how: &str, tail: &str) -> String {
    if !is_clear(how) {
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

/// Whether a node has seen what was wrong and said so. With a panic, a signal or just any error it has not.
fn is_clear(how: &str) -> bool {
    matches!(how, ENDED_BY_FAULT | REFUSED)
}

/// Reads persons at a damaged node that no write is under way for. What it answers must be what was acknowledged.
async fn read_some(
    storm: &mut Storm,
    node: &str,
    applied: u64,
    rng: &mut ChaCha8Rng,
) -> Result<u64> {
    let writes = storm.history.writes();
    let promises = Promises::of(&writes, &BTreeMap::new());
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
        let wrong = wrong_versions(&pin, &promised, &answer.answer, applied);
        right += u64::from(wrong.is_empty());
        for what in wrong {
            storm.findings.add(
                "wrong_data_served",
                &format!("{node} with a damaged file: {what}"),
            );
        }
    }
    Ok(right)
}

/// Versions that an answer should hold and does not hold as acknowledged. A node that is cut off may answer with an older state than it once had:
/// what is behind that is not asked of it. What was applied after `applied` is not known to have been on its disk.
fn wrong_versions(
    pin: &Pin,
    promised: &BTreeMap<u32, Promise>,
    answer: &v1::GetHistoryResponse,
    applied: u64,
) -> Vec<String> {
    let state = answer.as_of.as_ref().map_or(0, |as_of| as_of.position);
    let until = applied.min(state);
    let mut wrong = Vec::new();
    for (version, promise) in promised {
        let position = promise.answer.position;
        if position > until {
            continue;
        }
        let found = answer.versions.iter().find(|one| one.version == *version);
        let why = match found {
            Some(found) => checker::difference(pin, promise, found),
            None => Some("it is not there".to_owned()),
        };
        if let Some(why) = why {
            wrong.push(format!("version {version} of position {position}: {why}"));
        }
    }
    wrong
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

#[cfg(test)]
mod tests {
    use banyan_drill::commands;
    use banyan_drill::demo::days_ago;
    use banyan_drill::history::{Acknowledgement, WriteKind};

    use super::*;

    /// A birth of position 7, and the version that a node that kept it answers.
    fn birth() -> (Pin, BTreeMap<u32, Promise>, v1::PersonVersion) {
        let pin = Pin("001226000001".to_owned());
        let command = commands::birth(1, 1, days_ago(2).unwrap(), Some("01"));
        let Some(v1::command::Kind::RegisterBirth(sent)) = command.kind.clone() else {
            panic!("a birth is a birth");
        };
        let version = v1::PersonVersion {
            version: 1,
            person_id: 3,
            pin: pin.0.clone(),
            provenance: Some(v1::Provenance {
                position: 7,
                command: WriteKind::Birth.command_name().to_owned(),
                document: command.document.clone(),
                ..v1::Provenance::default()
            }),
            data: Some(v1::PersonData {
                name: sent.name,
                birth_date: sent.birth_date,
                sex: sent.sex,
                mother: sent.mother,
                birth_registration_place: sent.birth_registration_place,
                ..v1::PersonData::default()
            }),
            ..v1::PersonVersion::default()
        };
        let answer = Acknowledgement {
            person: 3,
            pin: pin.clone(),
            version: 1,
            position: 7,
            term: 1,
            time_ms: 0,
            replayed: false,
        };
        let promise = Promise {
            kind: WriteKind::Birth,
            command,
            answer,
        };
        (pin, BTreeMap::from([(1, promise)]), version)
    }

    fn answer(position: u64, versions: Vec<v1::PersonVersion>) -> v1::GetHistoryResponse {
        v1::GetHistoryResponse {
            versions,
            as_of: Some(v1::AsOf {
                position,
                ..v1::AsOf::default()
            }),
            ..v1::GetHistoryResponse::default()
        }
    }

    #[test]
    fn only_an_end_that_says_what_was_wrong_is_clear() {
        for (how, clear) in [
            (ENDED_BY_FAULT, true),
            (REFUSED, true),
            ("exit status: 1", false),
            ("exit status: 101", false),
            ("signal: 6 (SIGABRT)", false),
        ] {
            assert_eq!(is_clear(how), clear, "{how}");
        }
    }

    #[test]
    fn content_counts_and_what_is_behind_the_state_that_was_read_does_not() {
        let (pin, promised, version) = birth();
        let wrong = |answer: &v1::GetHistoryResponse, applied| {
            wrong_versions(&pin, &promised, answer, applied)
        };
        assert_eq!(
            wrong(&answer(9, vec![version.clone()]), 9),
            Vec::<String>::new()
        );
        // An older state that the node may serve, and a newer one than it is known to have had on its disk.
        assert_eq!(wrong(&answer(6, Vec::new()), 9), Vec::<String>::new());
        assert_eq!(wrong(&answer(9, Vec::new()), 6), Vec::<String>::new());
        assert_eq!(wrong(&answer(7, Vec::new()), 7).len(), 1);
        // Position and document are right, and the record is not.
        let mut flipped = version;
        let data = flipped.data.get_or_insert_default();
        data.sex ^= 3;
        let found = wrong(&answer(9, vec![flipped]), 9);
        assert!(
            matches!(&found[..], [one] if one.contains("sex")),
            "{found:?}"
        );
    }
}
