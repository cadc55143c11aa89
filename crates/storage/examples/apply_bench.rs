//! Measures how fast the state store applies registrations: `cargo run --release -p banyan-storage --example apply_bench`.
//!
//! Arguments: persons (default 100,000), commands in an entry (default 256), entries in a call (default 1).
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring program: it stops at the first error and prints"
)]
#![allow(dead_code, reason = "shares the generator of the tests")]

use std::time::{Duration, Instant};

use banyan_storage::{FirstStart, Identity, StoreOptions, Stores};

#[path = "../tests/it/workload.rs"]
mod workload;

fn main() {
    let arguments: Vec<usize> = std::env::args()
        .skip(1)
        .map(|text| text.parse().unwrap())
        .collect();
    let persons = arguments.first().copied().unwrap_or(100_000);
    let per_entry = arguments.get(1).copied().unwrap_or(256);
    let entries_per_call = arguments.get(2).copied().unwrap_or(1);
    let directory = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        conformance: true,
        ..StoreOptions::default()
    };
    let identity = Identity {
        cluster: "bench".to_owned(),
        node: 1,
    };
    let stores =
        Stores::open(directory.path(), &identity, FirstStart::Permitted, &options).unwrap();

    let mut workload = workload::Workload::import(1);
    let mut applying = Duration::ZERO;
    let mut slowest = Duration::ZERO;
    let mut accepted = 0;
    let mut done = 0;
    while done < persons {
        let entries: Vec<_> = (0..entries_per_call)
            .map(|_| workload.entry(per_entry).0)
            .collect();
        done += per_entry * entries_per_call;
        let started = Instant::now();
        let results = stores.state.apply(entries).wait().unwrap();
        let took = started.elapsed();
        applying += took;
        slowest = slowest.max(took);
        accepted += results
            .iter()
            .flat_map(|result| &result.outcomes)
            .filter(|outcome| outcome.result.is_ok())
            .count();
    }
    let metrics = stores.state.metrics();
    for (name, micros) in cpu_by_thread() {
        println!(
            "cpu of {name}: {:.2} us a person",
            micros as f64 / done as f64
        );
    }
    let per_person = |micros: u64| micros as f64 / done as f64;
    println!(
        "persons {done}, accepted {accepted}, entries of {per_entry}, {entries_per_call} in a call"
    );
    println!(
        "apply: {:.0} persons/s, {:.2} us each, slowest call {slowest:?}",
        done as f64 / applying.as_secs_f64(),
        applying.as_micros() as f64 / done as f64
    );
    println!(
        "  deciding, encoding and sorting {:.2} us, RocksDB write {:.2} us",
        per_person(metrics.decide.sum_micros),
        per_person(metrics.write.sum_micros)
    );
    println!(
        "  memtables {} KiB, SST {} KiB, groups {}",
        metrics.memtable_bytes >> 10,
        metrics.sst_bytes >> 10,
        metrics.groups
    );
    let started = Instant::now();
    let (_, entries) = stores.state.digest_now().unwrap();
    println!("digest of {entries} keys: {:?}", started.elapsed());
    let started = Instant::now();
    let checkpoint = stores.state.checkpoint().wait().unwrap();
    println!(
        "checkpoint of {} KiB in {} files: {:?}",
        checkpoint.manifest().bytes() >> 10,
        checkpoint.manifest().files.len(),
        started.elapsed()
    );
}

/// Processor time of this process's threads by name, in microseconds, in steps of a hundredth of a second. Linux only: from `/proc`.
fn cpu_by_thread() -> std::collections::BTreeMap<String, u64> {
    let mut times = std::collections::BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let text = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
        let (head, rest) = text.rsplit_once(") ").unwrap();
        let name = head.split_once('(').unwrap().1.to_owned();
        let fields: Vec<&str> = rest.split(' ').collect();
        // utime and stime, fields 14 and 15 counted from the start of the line.
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        *times.entry(name).or_insert(0) += ticks * 10_000;
    }
    times
}
