//! Kills: a child process works on a data directory and is killed at random moments; what it reported as done must be there.
//!
//! A kill keeps the page cache, so that this shows order and recovery, not the durability of the sync itself; that is shown by a
//! file system that forgets what was not synced, elsewhere.
#![allow(
    clippy::print_stdout,
    reason = "a child reports to its parent on standard output"
)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use banyan_domain::Position;
use banyan_storage::{StateEntry, StoreOptions};
use bytes::Bytes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::fixture::{done, open, open_with, options, record};
use crate::workload::Workload;

/// Marks the argument that holds the child's task.
const TASK: &str = "task:";
const ROUNDS: u64 = 8;
/// Entries that a child may add in one round, at most: bounds the time of the replay.
const ENTRIES_PER_ROUND: u64 = 1_500;

#[test]
fn killed_at_any_moment_nothing_acknowledged_is_lost_and_replay_is_equal() {
    for seed in [1, 2, 3] {
        kill_and_compare(seed);
    }
}

fn kill_and_compare(seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let directory = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    // The same log, applied without any interruption.
    let reference = open_with(
        other.path(),
        &StoreOptions {
            conformance: true,
            ..options()
        },
    )
    .unwrap();
    let mut log = Log::new(seed);
    let mut reported = 0;
    for round in 0..ROUNDS {
        let case = format!("seed {seed}, round {round}");
        let mut child = spawn(&format!(
            "load {} {seed} {round}",
            directory.path().display()
        ));
        let acknowledged = watch(&mut child, Duration::from_millis(rng.random_range(5..400)));

        let stores = open(directory.path());
        let bounds = stores.log.bounds();
        let last = bounds.last.or(bounds.purged).unwrap_or(0);
        assert!(
            last >= acknowledged.durable,
            "{case}: log ends at {last}, {acknowledged:?} was reported"
        );
        let vote = stores
            .log
            .read_vote()
            .map_or(0, |vote| u64::from_be_bytes(vote[..].try_into().unwrap()));
        assert!(
            vote >= acknowledged.vote,
            "{case}: vote {vote}, {acknowledged:?}"
        );
        let kept = stores.journal.read_access(0, usize::MAX).unwrap();
        let kept = kept.last().map_or(0, |record| record.sequence);
        assert!(
            kept >= acknowledged.access,
            "{case}: access record {kept}, {acknowledged:?}"
        );
        if let Some(first) = bounds.first {
            for found in stores.log.read(first..last + 1, usize::MAX).unwrap() {
                assert_eq!(
                    found,
                    record(found.index, log.entry(found.index).position.term),
                    "{case}"
                );
            }
        }
        let applied = stores
            .state
            .applied()
            .map_or(0, |applied| applied.position.index);
        assert!(
            applied <= last,
            "{case}: the state at {applied} is ahead of the log at {last}"
        );
        assert!(
            bounds.purged.unwrap_or(0) <= applied,
            "{case}: purged {bounds:?} beyond the state at {applied}"
        );

        let replay: Vec<_> = (applied + 1..=last).map(|index| log.entry(index)).collect();
        stores.state.apply(replay).wait().unwrap();
        let from = reference
            .state
            .applied()
            .map_or(0, |applied| applied.position.index);
        let ahead: Vec<_> = (from + 1..=last).map(|index| log.entry(index)).collect();
        reference.state.apply(ahead).wait().unwrap();
        assert_eq!(
            stores.state.digest_now().unwrap(),
            reference.state.digest_now().unwrap(),
            "{case}: replayed from {applied} to {last}"
        );
        reported = reported.max(acknowledged.durable);
    }
    assert!(
        reported > 100,
        "seed {seed}: the children got nowhere, {reported} entries in all"
    );
}

/// What a child reported as durable.
#[derive(Debug, Default)]
struct Acknowledged {
    durable: u64,
    vote: u64,
    access: u64,
}

/// Lets the child run for a while after its first report, kills it, and gathers what it had reported by then.
fn watch(child: &mut Child, time: Duration) -> Acknowledged {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (first, started) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut acknowledged = Acknowledged::default();
        while let Some(Ok(line)) = lines.next() {
            let Some((what, number)) = line.strip_prefix('@').and_then(|line| line.split_once(' '))
            else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            let counter = match what {
                "durable" => &mut acknowledged.durable,
                "vote" => &mut acknowledged.vote,
                "access" => &mut acknowledged.access,
                _ => continue,
            };
            *counter = number.max(*counter);
            let _ = first.send(());
        }
        acknowledged
    });
    let _ = started.recv_timeout(Duration::from_secs(60));
    std::thread::sleep(time);
    // SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

/// Starts this test program again as the child. The task looks like one more filter to the test harness.
pub(crate) fn spawn(task: &str) -> Child {
    start(Command::new(std::env::current_exe().unwrap()), task)
}

fn start(mut command: Command, task: &str) -> Child {
    command
        .args([
            "crash::child_process",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .arg(format!("{TASK}{task}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// The entry of the child: started as a test, because that is the program that is there. In an ordinary run it has no task.
#[test]
fn child_process() {
    let Some(task) = std::env::args().find_map(|word| word.strip_prefix(TASK).map(str::to_owned))
    else {
        return;
    };
    let words: Vec<&str> = task.split_whitespace().collect();
    match words[..] {
        ["load", directory, seed, round] => load(
            Path::new(directory),
            seed.parse().unwrap(),
            round.parse().unwrap(),
        ),
        ["fill", directory] => fill(Path::new(directory)),
        ["install", directory, donor, step] => {
            crate::install::child(Path::new(directory), Path::new(donor), step)
        }
        _ => {}
    }
}

/// Appends, applies, flushes, purges and takes checkpoints until it is killed.
fn load(directory: &Path, seed: u64, round: u64) {
    let stores = open(directory);
    let mut log = Log::new(seed);
    let mut rng = ChaCha8Rng::seed_from_u64(seed * 1_000 + round);
    let bounds = stores.log.bounds();
    let mut last = bounds.last.or(bounds.purged).unwrap_or(0);
    let applied = stores
        .state
        .applied()
        .map_or(0, |applied| applied.position.index);
    let mut pending = vec![
        stores
            .state
            .apply((applied + 1..=last).map(|index| log.entry(index)).collect()),
    ];
    let end = last + ENTRIES_PER_ROUND;
    let mut vote = stores
        .log
        .read_vote()
        .map_or(0, |vote| u64::from_be_bytes(vote[..].try_into().unwrap()));
    while last < end {
        let count = rng.random_range(1..8);
        let entries: Vec<_> = (last + 1..=last + count)
            .map(|index| log.entry(index))
            .collect();
        last += count;
        let records = entries
            .iter()
            .map(|entry| record(entry.position.index, entry.position.term))
            .collect();
        stores.log.append(records, report("durable", last)).unwrap();
        pending.push(stores.state.apply(entries));
        if pending.len() > 8 {
            for pending in pending.drain(..) {
                pending.wait().unwrap();
            }
        }
        match rng.random_range(0..40) {
            0 => drop(stores.state.flush().wait().unwrap()),
            1 => {
                let durable = stores
                    .state
                    .flush()
                    .wait()
                    .unwrap()
                    .map_or(0, |applied| applied.position.index);
                if durable > 20 {
                    let (done, _) = done();
                    stores.purge_log(durable - 20, Bytes::new(), done).unwrap();
                }
            }
            2 if stores.state.applied().is_some() => {
                drop(stores.state.checkpoint().wait().unwrap())
            }
            3..6 => {
                vote += 1;
                stores
                    .log
                    .save_vote(
                        Bytes::from(vote.to_be_bytes().to_vec()),
                        report("vote", vote),
                    )
                    .unwrap();
            }
            6..9 => {
                let sequence = stores.journal.append_access(vec![1; 50]).wait().unwrap();
                println!("@access {sequence}");
            }
            _ => {}
        }
    }
    // Finished before the kill came: wait for it.
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_write_error_is_never_retried_and_what_was_reported_before_it_is_there() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    // No file may grow beyond this many blocks of 512 bytes; the signal is ignored, so that writes fail with an error instead.
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' XFSZ; ulimit -f 3000; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap());
    let mut child = start(shell, &format!("fill {}", directory.path().display()));
    let mut durable = 0;
    let mut failed = false;
    for line in BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
    {
        match line.split_once(' ') {
            Some(("@durable", number)) => {
                assert!(!failed, "an append succeeded after one had failed");
                durable = durable.max(number.parse().unwrap());
            }
            Some(("@failed", _)) => failed = true,
            _ => {}
        }
    }
    assert!(child.wait().unwrap().success());
    assert!(
        failed && durable > 0,
        "failed: {failed}, durable: {durable}"
    );
    let stores = open(directory.path());
    assert!(stores.log.bounds().last.unwrap() >= durable);
}

/// Appends until a write fails, then checks that everything fails from then on.
fn fill(directory: &Path) {
    // A memtable that takes it all: the write-ahead log has to grow beyond the limit.
    let options = StoreOptions {
        log_write_buffer_bytes: 64 << 20,
        ..options()
    };
    let stores = open_with(directory, &options).unwrap();
    let mut last = stores.log.bounds().last.unwrap_or(0);
    let failure = loop {
        let (done, finished) = done();
        let records = (last + 1..=last + 50)
            .map(|index| record(index, 1))
            .collect();
        if let Err(error) = stores.log.append(records, done) {
            break error;
        }
        match finished.recv().unwrap() {
            Ok(()) => last += 50,
            Err(error) => break error,
        }
        println!("@durable {last}");
    };
    println!("@failed {failure}");
    for _ in 0..3 {
        let (append_done, _) = done();
        assert!(
            stores
                .log
                .append(vec![record(last + 51, 1)], append_done)
                .is_err()
        );
        let (vote_done, _) = done();
        assert!(stores.log.save_vote(Bytes::new(), vote_done).is_err());
        assert!(stores.state.flush().wait().is_err());
        assert!(stores.journal.append_access(vec![1]).wait().is_err());
    }
    assert!(stores.fault().get().is_some());
}

fn report(what: &'static str, number: u64) -> banyan_storage::LogDone {
    Box::new(move |result| {
        result.unwrap();
        println!("@{what} {number}");
    })
}

/// The log of a seed, entry by entry.
struct Log {
    workload: Workload,
    entries: Vec<StateEntry>,
}

impl Log {
    fn new(seed: u64) -> Self {
        Self {
            workload: Workload::new(seed),
            entries: Vec::new(),
        }
    }

    fn entry(&mut self, index: u64) -> StateEntry {
        let index = usize::try_from(index).unwrap();
        while self.entries.len() < index {
            let entry = self.workload.entry(2).0;
            assert_eq!(
                entry.position,
                Position {
                    index: self.entries.len() as u64 + 1,
                    ..entry.position
                }
            );
            self.entries.push(entry);
        }
        self.entries[index - 1].clone()
    }
}
