//! Runs the stories under `tests/scripts` and compares them with what is written there; `UPDATE=1` rewrites them.
//!
//! A story is a text of blocks with a blank line between. A block is what is given, as `key: value` lines, then `----`, then
//! what came of it. Lines that start with `#` tell the story. What may be given stands in [`crate::story`].

use std::fs;
use std::path::{Path, PathBuf};

use crate::story::Registry;

const FAMILIES: [&str; 6] = [
    "authority",
    "birth",
    "correction",
    "death",
    "registration",
    "retry",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts")
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}

/// The story with what comes of each block, whatever stood there before.
fn told(text: &str) -> String {
    let mut registry = Registry::default();
    let blocks: Vec<String> = text
        .trim_end()
        .split("\n\n")
        .map(|block| {
            let given: Vec<&str> = block
                .trim()
                .lines()
                .take_while(|line| *line != "----")
                .collect();
            let fields: Vec<(&str, &str)> = given
                .iter()
                .filter(|line| !line.starts_with('#'))
                .map(|line| {
                    line.split_once(": ")
                        .unwrap_or_else(|| panic!("not `key: value`: {line}"))
                })
                .collect();
            if fields.is_empty() {
                return given.join("\n");
            }
            format!("{}\n----\n{}", given.join("\n"), registry.tell(&fields))
        })
        .collect();
    blocks.join("\n\n") + "\n"
}

#[expect(
    clippy::disallowed_methods,
    reason = "the person at the terminal says here whether stories are rewritten"
)]
fn rewriting() -> bool {
    std::env::var_os("UPDATE").is_some_and(|value| value == "1")
}

fn stories_of(family: &str) {
    let mut wrong = Vec::new();
    for path in entries(&root().join(family)) {
        let written = fs::read_to_string(&path).unwrap();
        let told = told(&written);
        if told == written {
            continue;
        }
        if rewriting() {
            fs::write(&path, told).unwrap();
            continue;
        }
        let line = written
            .lines()
            .zip(told.lines())
            .position(|(left, right)| left != right);
        let line = line.unwrap_or_else(|| written.lines().count().min(told.lines().count()));
        let at = |text: &str| text.lines().nth(line).unwrap_or("(end)").to_owned();
        wrong.push(format!(
            "{}:{}\n  written: {}\n  is:      {}",
            path.display(),
            line + 1,
            at(&written),
            at(&told)
        ));
    }
    assert!(
        wrong.is_empty(),
        "stories differ (UPDATE=1 rewrites them):\n{}",
        wrong.join("\n")
    );
}

#[test]
fn stories_of_authority() {
    stories_of("authority");
}

#[test]
fn stories_of_birth() {
    stories_of("birth");
}

#[test]
fn stories_of_correction() {
    stories_of("correction");
}

#[test]
fn stories_of_death() {
    stories_of("death");
}

#[test]
fn stories_of_registration() {
    stories_of("registration");
}

#[test]
fn stories_of_retry() {
    stories_of("retry");
}

#[test]
fn every_folder_of_stories_is_run() {
    let folders: Vec<String> = entries(&root())
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(folders, FAMILIES);
}
