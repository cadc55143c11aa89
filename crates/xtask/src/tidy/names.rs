//! Names that a crate must not use in its code: the walls that make it pure, or keep a library in one room.

use super::source::{code_only, is_word};
use super::{Fault, Tree};

/// What the code below a folder must not name, and why.
struct Wall {
    folder: &'static str,
    names: &'static [&'static str],
    reason: &'static str,
}

const WALLS: &[Wall] = &[
    Wall {
        folder: "crates/domain/src/",
        names: &[
            "tokio", "rocksdb", "openraft", "tonic", "axum", "clap", "rand", "prost", "async",
        ],
        reason: "domain is pure",
    },
    Wall {
        folder: "crates/domain/src/",
        names: &[
            "SystemTime",
            "Instant",
            "std::fs",
            "std::net",
            "std::env",
            "std::thread",
        ],
        reason: "domain reads no clock, disk, network or environment",
    },
    Wall {
        folder: "crates/domain/",
        names: &["HashMap", "HashSet"],
        reason: "its order differs from run to run, and replicas must agree: use BTreeMap or BTreeSet",
    },
    Wall {
        folder: "crates/consensus/src/",
        names: &["HashMap", "HashSet"],
        reason: "its order differs from run to run, and the simulator must repeat: use BTreeMap or BTreeSet",
    },
    Wall {
        folder: "crates/consensus/src/",
        names: &["tokio::spawn", "tokio::time", "rocksdb"],
        reason: "consensus is generic over the runtime and reaches disks through storage",
    },
    Wall {
        folder: "crates/storage/",
        names: &["tonic", "axum", "clap"],
        reason: "storage knows neither protocol nor command line",
    },
    Wall {
        folder: "crates/topology/src/",
        names: &["tokio", "std::fs", "std::env", "SystemTime", "Instant"],
        reason: "topology only parses what its caller has read",
    },
    Wall {
        folder: "crates/synth/src/",
        names: &["SystemTime", "Instant", "HashMap", "HashSet"],
        reason: "a population repeats for its seed",
    },
];

/// Libraries that only code below these folders names.
const ROOMS: &[(&str, &[&str])] = &[
    ("rocksdb", &["crates/storage/"]),
    ("openraft", &["crates/consensus/", "chaos-tests/"]),
    ("openraft_rt", &["crates/consensus/", "chaos-tests/"]),
    ("openraft_rt_tokio", &["crates/consensus/", "chaos-tests/"]),
];

/// The modules of `wire` that storage may name (ADR 0008): one conversion serves wire, log and store.
const WIRE_FOR_STORAGE: &[&str] = &["record", "person"];

pub(crate) fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, text) in tree.texts_ending(".rs") {
        let code = code_only(text);
        for (index, line) in expanded(&code) {
            let mut refuse = |rule: String| faults.push(Fault::at(path, index + 1, rule));
            for wall in WALLS.iter().filter(|wall| path.starts_with(wall.folder)) {
                for name in wall.names.iter().filter(|name| names(&line, name)) {
                    refuse(format!("names {name}: {}", wall.reason));
                }
            }
            for (library, folders) in ROOMS {
                let outside = !folders.iter().any(|folder| path.starts_with(folder));
                if outside && names(&line, library) {
                    refuse(format!(
                        "names {library}, which belongs to {}",
                        folders.join(" and ")
                    ));
                }
            }
            if path.starts_with("crates/storage/src/") && names_other_wire(&line) {
                refuse(format!(
                    "names wire beyond {} (ADR 0008)",
                    WIRE_FOR_STORAGE.join(" and ")
                ));
            }
        }
    }
    faults
}

/// The code's lines, with grouped imports of `std` spelled out, so that `use std::{fs, io}` names `std::fs`.
fn expanded(code: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = code
        .lines()
        .enumerate()
        .map(|(index, line)| (index, line.to_owned()))
        .collect();
    for (at, opening) in code.match_indices("std::{") {
        let index = code[..at].matches('\n').count();
        let group = &code[at + opening.len()..];
        let mut depth = 0_i32;
        let mut item = String::new();
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => item.push_str(" std::"),
                c if c.is_whitespace() && !item.ends_with("as") => {}
                c => item.push(c),
            }
        }
        lines.push((index, format!("std::{item}")));
    }
    lines
}

/// Whether the line names it as a whole word or path, not as a part of a longer one.
fn names(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + name.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

fn names_other_wire(line: &str) -> bool {
    line.match_indices("banyan_wire").any(|(at, crate_name)| {
        let rest = &line[at + crate_name.len()..];
        let module = rest.strip_prefix("::").unwrap_or_default();
        !WIRE_FOR_STORAGE.iter().any(|allowed| {
            module
                .strip_prefix(allowed)
                .is_some_and(|after| !after.starts_with(is_word))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> Vec<String> {
        check(&Tree::of(&[(path, text)]))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_forbidden_name_is_told_with_line_and_reason() {
        let text = "//! Knows no tokio.\n\nuse tokio::sync;\nlet now = SystemTime::now();\n";
        assert_eq!(
            faults("crates/domain/src/person.rs", text),
            [
                "crates/domain/src/person.rs:3: names tokio: domain is pure",
                "crates/domain/src/person.rs:4: names SystemTime: domain reads no clock, disk, network or environment",
            ]
        );
    }

    #[test]
    fn comments_strings_and_longer_words_are_no_names() {
        let text = "// rand\nlet brand = \"rand\"; let operand = 1; let rand_seed = 2;\n";
        assert_eq!(
            faults("crates/domain/src/person.rs", text),
            Vec::<String>::new()
        );
    }

    #[test]
    fn grouped_imports_are_seen_through() {
        let text = "use std::{\n    collections::{BTreeMap, btree_map::Entry},\n    fs,\n};\n";
        assert_eq!(
            faults("crates/domain/src/person.rs", text),
            [
                "crates/domain/src/person.rs:1: names std::fs: domain reads no clock, disk, network or environment"
            ]
        );
    }

    #[test]
    fn a_library_stays_in_its_room() {
        assert_eq!(
            faults("crates/node/src/main.rs", "use openraft::Raft;\n"),
            [
                "crates/node/src/main.rs:1: names openraft, which belongs to crates/consensus/ and chaos-tests/"
            ]
        );
        assert_eq!(
            faults("crates/consensus/src/lib.rs", "use openraft::Raft;\n"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn storage_names_only_the_records_of_wire() {
        let path = "crates/storage/src/schema.rs";
        assert_eq!(
            faults(path, "use banyan_wire::record::decode_version;\n"),
            Vec::<String>::new()
        );
        assert_eq!(
            faults(path, "use banyan_wire::v1::Command;\n"),
            ["crates/storage/src/schema.rs:1: names wire beyond record and person (ADR 0008)"]
        );
        assert_eq!(faults(path, "use banyan_wire::recorder::X;\n").len(), 1);
    }

    #[test]
    fn tests_of_domain_may_read_files() {
        assert_eq!(
            faults("crates/domain/tests/it/main.rs", "use std::fs;\n"),
            Vec::<String>::new()
        );
    }
}
