//! The bytes of every stored record, as this format has them: they must be written the same and be readable for ever.
//!
//! `tests/formats/` holds one line for each key: family, key and sealed value in hexadecimal. To rewrite it after a change of
//! format, which needs a new format version, empty the file and run the tests twice.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use banyan_domain::{EventSequence, StoredOutcome};
use banyan_storage::{Stores, codec, schema};
use banyan_wire::record;
use bytes::Bytes;
use rocksdb::{DB, IteratorMode, Options};

use crate::fixture::{done, open, run};
use crate::workload::Workload;

#[test]
fn stored_bytes_are_those_of_format_2() {
    let directory = tempfile::tempdir().unwrap();
    drop(write_everything(directory.path()));
    let mut found = String::new();
    let state = directory.path().join("state/1");
    for family in schema::Family::ALL.map(schema::Family::name) {
        dump(&mut found, &state, Some(family), family);
    }
    dump(&mut found, &directory.path().join("log"), None, "log");
    let journal = directory.path().join("journal");
    dump(&mut found, &journal, Some("markers"), "journal");
    dump(&mut found, &journal, None, "journal");
    let identity = fs::read_to_string(directory.path().join("identity.json")).unwrap();
    let _ = writeln!(found, "identity {}", hex(identity.as_bytes()));

    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats/format-2.txt");
    match fs::read_to_string(&golden) {
        Ok(expected) if !expected.is_empty() => {
            assert!(
                expected == found,
                "stored bytes differ from {}",
                golden.display()
            );
        }
        _ => {
            fs::write(&golden, found).unwrap();
            panic!("{} was written: look at it and run again", golden.display());
        }
    }
}

#[test]
fn records_of_format_2_decode() {
    let mut seen = BTreeMap::new();
    for line in include_str!("../formats/format-2.txt").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [family, key, value] = words[..] else {
            continue;
        };
        let (key, value) = (unhex(key), unhex(value));
        match family {
            "markers" | "versions" | "events" | "audit" | "indexes" => {
                let plain = codec::open(codec::Kind::StateValue, &key, &value).unwrap();
                decode_state(&key, plain);
                *seen.entry(key[0]).or_insert(0) += 1;
            }
            "log" => {
                let kind = if key[0] == 2 {
                    codec::Kind::LogEntry
                } else {
                    codec::Kind::LogMarker
                };
                codec::open(kind, &key, &value).unwrap();
            }
            "journal" => {
                let kind = if key[0] == 2 {
                    codec::Kind::JournalRecord
                } else {
                    codec::Kind::JournalMarker
                };
                codec::open(kind, &key, &value).unwrap();
            }
            other => panic!("unknown store {other}"),
        }
    }
    let tags: Vec<u8> = seen.into_keys().collect();
    assert_eq!(
        tags,
        [0x01, 0x10, 0x11, 0x12, 0x20, 0x21, 0x22, 0x23, 0x28, 0x2a],
        "every kind of record is covered, but the full page: no bucket is that full"
    );
}

/// The digest of ADR 0029 is that of format 1: over all keys in their order, whatever family each is in.
#[test]
fn digest_runs_over_all_keys_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let stores = write_everything(directory.path());
    let state: BTreeMap<_, _> = include_str!("../formats/format-2.txt")
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let [family, key, value] = words[..] else {
                return None;
            };
            let ours = schema::Family::ALL.iter().any(|own| own.name() == family);
            ours.then(|| (unhex(key), unhex(value)))
        })
        .collect();
    let mut hasher = blake3::Hasher::new();
    for (key, value) in &state {
        let plain = codec::open(codec::Kind::StateValue, key, value).unwrap();
        for part in [&key[..], plain] {
            hasher.update(&(part.len() as u32).to_le_bytes());
            hasher.update(part);
        }
    }
    let expected = (*hasher.finalize().as_bytes(), state.len() as u64);
    assert_eq!(stores.state.digest_now().unwrap(), expected);
}

fn decode_state(key: &[u8], plain: &[u8]) {
    match key[0] {
        schema::VERSION => {
            let (person, version) = schema::parse_version_key(key).unwrap();
            let decoded = record::decode_version(person, version, plain).unwrap();
            assert_eq!(record::encode_version(&decoded), plain);
        }
        schema::EVENT => {
            let sequence: EventSequence = schema::parse_event_key(key).unwrap();
            let decoded = record::decode_event(sequence, plain).unwrap();
            assert_eq!(record::encode_event(&decoded), plain);
        }
        schema::AUDIT => {
            let (index, ordinal) = schema::parse_audit_key(key).unwrap();
            let decoded = record::decode_audit(index, ordinal, plain).unwrap();
            assert_eq!(record::encode_audit(&decoded), plain);
        }
        schema::KEY => {
            let (made_by, principal) = schema::parse_outcome_key(key).unwrap();
            assert_eq!(schema::outcome_key(&made_by, &principal), key);
            let decoded: StoredOutcome = record::decode_outcome(plain).unwrap();
            assert_eq!(record::encode_outcome(&decoded), plain);
        }
        schema::PIN => assert!(schema::parse_pin_key(key).unwrap() < 1_000_000_000_000),
        schema::PAGE => assert_eq!((key.len(), plain.len()), (5, 2)),
        schema::NAME => assert!(schema::parse_name_key(key).is_some() && plain.is_empty()),
        _ => {}
    }
}

fn write_everything(directory: &Path) -> Stores {
    let stores = open(directory);
    let mut workload = Workload::new(20_260_101);
    let entries: Vec<_> = (0..12).map(|_| workload.entry(4).0).collect();
    run(&stores, &entries);
    stores
        .log
        .save_committed(Bytes::from_static(b"committed"))
        .unwrap();
    let (saved, finished) = done();
    stores
        .log
        .save_vote(Bytes::from_static(b"vote"), saved)
        .unwrap();
    finished.recv().unwrap().unwrap();
    stores.state.flush().wait().unwrap();
    let (purged, finished) = done();
    stores
        .purge_log(9, Bytes::from_static(b"purged"), purged)
        .unwrap();
    finished.recv().unwrap().unwrap();
    stores
        .journal
        .append_access(b"access".to_vec())
        .wait()
        .unwrap();
    stores
}

fn dump(into: &mut String, path: &Path, family: Option<&str>, name: &str) {
    let options = Options::default();
    let families = DB::list_cf(&options, path).unwrap();
    let db = DB::open_cf_for_read_only(&options, path, families, false).unwrap();
    let handle = db.cf_handle(family.unwrap_or("default")).unwrap();
    for item in db.iterator_cf(handle, IteratorMode::Start) {
        let (key, value) = item.unwrap();
        // The number of the last write group depends on how jobs happened to be coalesced.
        if name == "log" && *key == [1, 4] {
            continue;
        }
        let _ = writeln!(into, "{name} {} {}", hex(&key), hex(&value));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}
