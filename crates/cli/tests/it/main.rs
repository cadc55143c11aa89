//! The program as it is typed: exit codes, streams, JSON, files. No cluster is needed here; drills have theirs.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Runs the program in a directory of its own, without the caller's environment of contexts.
fn banyan(directory: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_banyan"))
        .args(arguments)
        .current_dir(directory)
        .env_remove("BANYAN_AS")
        .env_remove("BANYAN_CONTEXTS")
        .env("HOME", directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses its arguments does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A shell tells the end by a signal as 128 and the signal's number: 130.
#[test]
fn an_interruption_ends_a_command_that_waits() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_banyan"))
        .args(["import", "-", "--dry-run"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // More than a pipe holds: when all is written, it is reading, and it waits for the end that does not come.
    let forms = banyan(folder.path(), &["synth", "--citizens", "3000"], "").stdout;
    let mut input = child.stdin.take().unwrap();
    input.write_all(&forms).unwrap();
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(
        status.signal().map(|signal| 128 + signal),
        Some(130),
        "{status}"
    );
    drop(input);
}

#[test]
fn files_are_for_their_owner_only_whatever_the_caller_allows() {
    let folder = tempfile::tempdir().unwrap();
    let topology = concat!(env!("CARGO_MANIFEST_DIR"), "/../../cluster/local.toml");
    let script = format!(
        "umask 0; \"$0\" synth --citizens 50 --out forms.csv && \"$0\" pki init --dir keys --topology {topology}"
    );
    let status = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_banyan")])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    for file in [
        "forms.csv",
        "keys",
        "keys/client-ca.key",
        "keys/contexts.toml",
    ] {
        let metadata = std::fs::metadata(folder.path().join(file)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o077, 0, "{file}");
    }
}

#[test]
fn a_number_is_explained_from_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let output = banyan(
        folder.path(),
        &["pin", "explain", "-", "--json"],
        "040217583109\n",
    );
    assert_eq!(code(&output), 0);
    let expected = serde_json::json!({
        "place_code": "040", "province": "Nghệ An", "abroad": false, "sex": "male", "birth_year": 2017, "serial": "583109",
    });
    assert_eq!(json(&output), expected);
}

#[test]
fn a_wrong_number_ends_with_2_and_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let output = banyan(folder.path(), &["pin", "explain", "-"], "04021758310\n");
    assert_eq!(code(&output), 2);
    assert!(output.stdout.is_empty());
    assert!(!text(&output.stderr).contains("04021758310"));
}

#[test]
fn without_contexts_the_next_command_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = banyan(
        folder.path(),
        &["person", "get", "-", "--as", "centre@central"],
        "040217583109\n",
    );
    assert_eq!(code(&output), 4);
    assert!(text(&output.stderr).contains("next: banyan cluster up"));
}

#[test]
fn a_failure_as_json_is_one_document_on_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "birth",
        "register",
        "--json",
        "--name",
        "Nguyễn An",
        "--birth-date",
        "2026-02-30",
        "--sex",
        "x",
    ];
    let output = banyan(folder.path(), &arguments, "");
    assert_eq!(code(&output), 2);
    let error = &json(&output)["error"];
    assert_eq!(error["exit"], 2);
    let fields: Vec<&str> = error["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["field"].as_str().unwrap())
        .collect();
    assert!(fields.len() >= 4, "all faults at once: {fields:?}");
    assert!(output.stderr.is_empty());
}

#[test]
fn arguments_that_do_not_fit_are_told_in_the_form_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let json_asked = banyan(folder.path(), &["synth", "--citizens", "x", "--json"], "");
    assert_eq!(code(&json_asked), 2);
    assert!(
        json(&json_asked)["error"]["message"]
            .as_str()
            .unwrap()
            .contains("--citizens")
    );
    let plain = banyan(folder.path(), &["synth", "--citizens", "x"], "");
    assert_eq!(code(&plain), 2);
    assert!(plain.stdout.is_empty() && text(&plain.stderr).contains("--citizens"));
    assert_eq!(code(&banyan(folder.path(), &["--version"], "")), 0);
}

#[test]
fn a_wrong_form_file_names_its_place() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("form.json"), "{\"nme\": \"x\"}").unwrap();
    let output = banyan(
        folder.path(),
        &["birth", "register", "--file", "form.json"],
        "",
    );
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("unknown field `nme`"));
    assert_eq!(
        code(&banyan(
            folder.path(),
            &["birth", "register", "--file", "none.json"],
            ""
        )),
        4
    );
}

#[test]
fn synth_writes_the_same_file_twice_and_never_over_another() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "synth",
        "--citizens",
        "200",
        "--seed",
        "3",
        "--out",
        "a.csv",
        "--json",
    ];
    let output = banyan(folder.path(), &arguments, "");
    assert_eq!(code(&output), 0);
    assert_eq!(json(&output)["rows"], 200);
    let to_stdout = banyan(
        folder.path(),
        &["synth", "--citizens", "200", "--seed", "3"],
        "",
    );
    assert_eq!(
        to_stdout.stdout,
        std::fs::read(folder.path().join("a.csv")).unwrap()
    );
    assert_eq!(code(&banyan(folder.path(), &arguments, "")), 2);
}

#[test]
fn a_dry_import_finds_dirt_and_sends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    banyan(
        folder.path(),
        &[
            "synth",
            "--citizens",
            "500",
            "--dirt",
            "0.2",
            "--out",
            "dirty.jsonl",
        ],
        "",
    );
    let output = banyan(
        folder.path(),
        &["import", "dirty.jsonl", "--dry-run", "--json"],
        "",
    );
    assert_eq!(code(&output), 8);
    let answer = json(&output);
    assert!(answer["rejected"].as_u64().unwrap() > 20);
    assert!(
        answer["rejects"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["line"].as_u64().is_some())
    );
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "a dry run writes no file"
    );
    let clean = text(&banyan(folder.path(), &["synth", "--citizens", "50"], "").stdout);
    assert_eq!(
        code(&banyan(
            folder.path(),
            &["import", "-", "--dry-run"],
            &clean
        )),
        0
    );
}

#[test]
fn a_file_that_is_no_forms_file_is_refused_at_its_header() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x.csv"), "a,b\n1,2\n").unwrap();
    let output = banyan(folder.path(), &["import", "x.csv", "--dry-run"], "");
    assert_eq!(code(&output), 2);
    let said = text(&output.stderr);
    assert!(
        said.contains("unknown columns: a, b") && said.contains("missing columns: form_number"),
        "{said}"
    );
}

#[test]
fn completions_are_printed_for_each_shell() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = banyan(folder.path(), &["completions", shell], "");
        assert_eq!(code(&output), 0);
        assert!(text(&output.stdout).contains("person"));
    }
}

#[test]
fn dry_runs_of_cluster_and_pki_make_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let topology = concat!(env!("CARGO_MANIFEST_DIR"), "/../../cluster/local.toml");
    let up = banyan(
        folder.path(),
        &[
            "cluster",
            "up",
            "--dry-run",
            "--topology",
            topology,
            "--json",
        ],
        "",
    );
    assert_eq!(
        (code(&up), json(&up)["nodes"].as_array().unwrap().len()),
        (0, 7)
    );
    let pki = banyan(
        folder.path(),
        &[
            "pki",
            "init",
            "--dir",
            "keys",
            "--topology",
            topology,
            "--dry-run",
        ],
        "",
    );
    assert_eq!(code(&pki), 0);
    assert_eq!(code(&banyan(folder.path(), &["cluster", "down"], "")), 4);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn certificates_are_made_once_and_never_over_others() {
    let folder = tempfile::tempdir().unwrap();
    let topology = concat!(env!("CARGO_MANIFEST_DIR"), "/../../cluster/local.toml");
    let arguments = [
        "pki",
        "init",
        "--dir",
        "keys",
        "--topology",
        topology,
        "--json",
    ];
    let made = banyan(folder.path(), &arguments, "");
    assert_eq!(code(&made), 0);
    let principals = json(&made)["principals"].to_string();
    assert!(principals.contains("registrar@nghe-an") && principals.contains("operator@central"));
    assert_eq!(code(&banyan(folder.path(), &arguments, "")), 2);
    let nobody = ["--contexts", "keys/contexts.toml", "person", "get", "-"];
    let asked = banyan(folder.path(), &nobody, "040217583109\n");
    assert_eq!(code(&asked), 2);
    assert!(text(&asked.stderr).contains("--as"));
}

#[test]
fn a_cluster_that_does_not_run_is_not_possible_now() {
    let folder = tempfile::tempdir().unwrap();
    let topology = concat!(env!("CARGO_MANIFEST_DIR"), "/../../cluster/local.toml");
    banyan(
        folder.path(),
        &["pki", "init", "--dir", "keys", "--topology", topology],
        "",
    );
    // A port on which nothing listens: the file is pointed at it, so that a running demonstration is not asked.
    let contexts = folder.path().join("keys/contexts.toml");
    let text = std::fs::read_to_string(&contexts)
        .unwrap()
        .replace(":750", ":1");
    std::fs::write(&contexts, text).unwrap();
    let arguments = [
        "--contexts",
        "keys/contexts.toml",
        "--as",
        "centre@central",
        "--timeout",
        "1",
        "--json",
        "person",
        "get",
        "-",
    ];
    let output = banyan(folder.path(), &arguments, "040217583109\n");
    assert_eq!(
        code(&output),
        5,
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert_eq!(json(&output)["error"]["exit"], 5);
}
