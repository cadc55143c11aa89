//! What idempotency keys cost at ten million: bytes on disk, look-ups, and dropping. ADR 0022 holds the figures.
//!
//! `cargo run --release -p banyan-storage --example cost_of_keys`, on a quiet machine with 2 GiB of free disk under `TMPDIR`. Rows of
//! keys are written straight into a state database that the store has made, with its options and its codec, in the order in
//! which the commands of a month would come; then the store is opened on them, answers look-ups and applies entries.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring program: it stops at the first error and prints"
)]
#![allow(dead_code, reason = "shares the generator of the tests")]

use std::path::Path;
use std::time::{Duration, Instant};

use banyan_domain::limits::KEY_WINDOW_MS;
use banyan_domain::{
    Fingerprint, IdempotencyKey, Judged, PersonId, Position, Principal, Rejection, StoredOutcome,
    Timestamp, Verdict, VersionNumber, View as _,
};
use banyan_storage::{EntryKind, FirstStart, Identity, StoreOptions, Stores, codec, schema};
use banyan_wire::record;
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rocksdb::{Cache, DB, Env, Options, WaitForCompactOptions, WriteBatch, WriteOptions};
use workload::Workload;

#[path = "../tests/it/workload.rs"]
mod workload;

const KEYS: u64 = 10_000_000;
const START: i64 = 1_790_000_000_000;
/// Commands of one write batch: what comes together under load.
const BATCH: u64 = 500;
/// One command in twenty is refused.
const REFUSED_EVERY: u64 = 20;
/// District registrars of the country, by and large.
const PRINCIPALS: u64 = 700;

/// The row of a number: made at an even pace through a month, with a minute's disorder.
fn row(number: u64) -> (IdempotencyKey, Principal, StoredOutcome) {
    let mut rng = ChaCha8Rng::seed_from_u64(number);
    let pace = KEY_WINDOW_MS as u64 / KEYS;
    let made = START + (number * pace) as i64 - rng.random_range(0..60_000);
    let mut random = [0; 10];
    rng.fill_bytes(&mut random);
    let office = rng.random_range(0..PRINCIPALS);
    let principal = Principal::new(&format!("registrar@district-{office:03}")).unwrap();
    let verdict = if number.is_multiple_of(REFUSED_EVERY) {
        Verdict::Rejected {
            rejection: Rejection::FormAlreadyRegistered,
            judged: Judged::Command,
            position: Position {
                term: 12,
                index: number / 20,
            },
            time: Timestamp(made + 40),
        }
    } else {
        Verdict::Accepted {
            person: PersonId(40_000_000 + number),
            version: VersionNumber(1),
        }
    };
    let stored = StoredOutcome {
        fingerprint: Fingerprint(rng.random()),
        verdict,
    };
    (
        IdempotencyKey::new(Timestamp(made), random),
        principal,
        stored,
    )
}

fn open(directory: &Path) -> Stores {
    // Entries are applied that no log holds.
    let options = StoreOptions {
        conformance: true,
        ..StoreOptions::default()
    };
    let identity = Identity {
        cluster: String::from("bench"),
        node: 1,
    };
    Stores::open(directory, &identity, FirstStart::Permitted, &options).unwrap()
}

/// Writes all rows and the counters that go with them, and says what they take on disk.
fn load(state: &Path) {
    let cache = Cache::new_lru_cache(64 << 20);
    let (options, families) =
        Options::load_latest(state, Env::new().unwrap(), false, cache).unwrap();
    let db = DB::open_cf_descriptors(&options, state, families).unwrap();
    let (indexes, markers) = (
        db.cf_handle("indexes").unwrap(),
        db.cf_handle("markers").unwrap(),
    );
    let mut unlogged = WriteOptions::default();
    unlogged.disable_wal(true);
    let seal = |key: &[u8], plain: &[u8]| codec::seal(codec::Kind::StateValue, key, plain);

    let start = Instant::now();
    for from in (0..KEYS).step_by(BATCH as usize) {
        let mut batch = WriteBatch::default();
        for number in from..from + BATCH {
            let (key, principal, stored) = row(number);
            let key = schema::outcome_key(&key, &principal);
            batch.put_cf(indexes, &key, seal(&key, &record::encode_outcome(&stored)));
        }
        db.write_opt(batch, &unlogged).unwrap();
    }
    println!("{KEYS} keys written in {:?}", start.elapsed());
    let first = IdempotencyKey::new(Timestamp(START - 60_000), [0; 10]);
    let numbers = [1_u64, 1, 0, START as u64, KEYS];
    let counters = [
        &numbers.map(u64::to_be_bytes).concat()[..],
        first.as_bytes(),
    ]
    .concat();
    let key = schema::COUNTERS_KEY;
    db.put_cf_opt(markers, key, seal(&key, &counters), &unlogged)
        .unwrap();

    let bytes = || {
        db.flush_cf(indexes).unwrap();
        db.flush_cf(markers).unwrap();
        db.wait_for_compact(&WaitForCompactOptions::default())
            .unwrap();
        let files = db.property_int_value_cf(indexes, "rocksdb.live-sst-files-size");
        files.unwrap().unwrap()
    };
    let settled = bytes();
    println!("as it settles: {settled} bytes, {} a key", settled / KEYS);
    db.compact_range_cf(indexes, None::<&[u8]>, None::<&[u8]>);
    let compacted = bytes();
    println!("compacted: {compacted} bytes, {} a key", compacted / KEYS);
}

/// Mean and percentiles of looking keys up.
fn look_up(
    stores: &Stores,
    what: &str,
    keys: impl Iterator<Item = (IdempotencyKey, Principal, bool)>,
) {
    let view = stores.state.view().unwrap();
    let mut times: Vec<Duration> = keys
        .map(|(key, principal, present)| {
            let start = Instant::now();
            let found = view.outcome(&principal, &key).unwrap();
            let time = start.elapsed();
            assert_eq!(found.is_some(), present);
            time
        })
        .collect();
    times.sort();
    let mean = times.iter().sum::<Duration>() / u32::try_from(times.len()).unwrap();
    println!(
        "look-up, {what}: mean {mean:?}, p50 {:?}, p99 {:?}",
        times[times.len() / 2],
        times[times.len() * 99 / 100]
    );
}

/// What entries take whose commands are refused for the age of their keys, so that dropping is all that differs.
fn entries(
    stores: &Stores,
    workload: &mut Workload,
    what: &str,
    (count, commands): (u32, usize),
    now: Timestamp,
) {
    let before = stores.state.view().unwrap().counters().unwrap().keys;
    let (mut longest, mut sum) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..count {
        let (mut entry, _) = workload.entry(commands);
        if let EntryKind::Commands { time, envelopes } = &mut entry.kind {
            *time = now;
            for envelope in envelopes {
                envelope.key = IdempotencyKey::new(Timestamp(0), [0; 10]);
            }
        }
        let start = Instant::now();
        stores.state.apply(vec![entry]).wait().unwrap();
        let time = start.elapsed();
        sum += time;
        longest = longest.max(time);
    }
    let after = stores.state.view().unwrap().counters().unwrap().keys;
    println!(
        "{what}: {count} entries of {commands}, {} dropped, mean {:?}, longest {longest:?}",
        before - after,
        sum / count
    );
}

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let stores = open(directory.path());
    let closed = stores.closed();
    drop(stores);
    assert!(closed.wait(Duration::from_secs(30)));
    load(&directory.path().join("state/1"));
    let stores = open(directory.path());

    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let some: Vec<u64> = (0..100_000).map(|_| rng.random_range(0..KEYS)).collect();
    let key_of = |number: &u64| {
        let (key, principal, _) = row(*number);
        (key, principal)
    };
    // Of the same times, so that they fall between those present; and of now, as new commands have them.
    let between = some.iter().map(|number| {
        let (key, principal) = key_of(number);
        (IdempotencyKey::new(key.made(), [9; 10]), principal, false)
    });
    let end = Timestamp(START + KEY_WINDOW_MS);
    let new = some.iter().map(|number| {
        let mut bits = [0; 10];
        bits[2..].copy_from_slice(&number.to_be_bytes());
        (IdempotencyKey::new(end, bits), key_of(number).1, false)
    });
    let present = some.iter().map(|number| {
        let (key, principal) = key_of(number);
        (key, principal, true)
    });
    look_up(&stores, "present, anywhere in the month", present);
    look_up(&stores, "absent, anywhere in the month", between);
    look_up(&stores, "absent, new", new);

    let mut workload = Workload::import(1);
    let late = Timestamp(START + 2 * KEY_WINDOW_MS);
    for (what, shape, now) in [
        ("nothing due", (2_000, 1), Timestamp(START)),
        ("nothing due", (500, 1_000), Timestamp(START)),
        ("backlog", (2_000, 1), late),
        ("backlog", (2_000, 1_000), late),
        ("backlog, behind two million dropped", (2_000, 1), late),
    ] {
        entries(&stores, &mut workload, what, shape, now);
    }
    let view = stores.state.view().unwrap();
    let start = Instant::now();
    let front = IdempotencyKey::new(Timestamp(0), [0; 10]);
    assert_eq!(view.stored_keys(front, late, 1).unwrap().len(), 1);
    println!(
        "a search from the front instead of where the counters say: {:?}",
        start.elapsed()
    );
}
