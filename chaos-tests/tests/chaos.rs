//! The program that draws faults: a short run keeps every promise, and one on disks that lie is found out.

use std::path::Path;
use std::process::{Command, Output};

use banyan_chaos_tests::harness::{self, Folder};

/// Runs it for some seconds with some kinds of faults. Its report is `chaos.json` in the folder.
fn run(folder: &Path, minutes: &str, faults: &str, more: &[&str]) -> Output {
    let ended = Command::new(env!("CARGO_BIN_EXE_banyan-chaos"))
        .args(["--minutes", minutes, "--faults", faults])
        .arg("--report")
        .arg(folder.join("chaos.json"))
        .arg("--dir")
        .arg(folder.join("runs"))
        .args(more)
        .output()
        .expect("the program starts");
    harness::say(&String::from_utf8_lossy(&ended.stderr));
    ended
}

fn report(folder: &Path) -> serde_json::Value {
    let text = std::fs::read(folder.join("chaos.json")).expect("there is a report");
    serde_json::from_slice(&text).expect("the report is JSON")
}

#[test]
fn short_run_keeps_every_promise_and_reports_it() {
    let folder = Folder::new("chaos").unwrap();
    let kinds = "kill_node,cut_site,power_loss";
    let ended = run(folder.path(), "0.1", kinds, &[]);
    assert_eq!(ended.status.code(), Some(0));
    let report = report(folder.path());
    assert_eq!(report["lost"], 0);
    assert_eq!(report["duplicated"], 0);
    assert_eq!(report["checker"], "ok");
    assert_eq!(report["digests_equal"], true);
    assert!(report["acknowledged"].as_u64() > Some(50), "{report}");
    let done = report["faults"].as_object().expect("faults by kind");
    assert!(
        done.values().any(|count| count.as_u64() > Some(0)),
        "{report}"
    );
    let left = std::fs::read_dir(folder.path().join("runs")).unwrap();
    assert_eq!(left.count(), 0, "a run that passed leaves no folder");
    folder.remove().unwrap();
}

/// A check that cannot fail proves nothing.
#[test]
fn run_on_lying_disks_ends_with_broken_promises() {
    let folder = Folder::new("chaos-lying").unwrap();
    let ended = run(
        folder.path(),
        "0.1",
        "power_loss_everywhere",
        &["--lying-disks"],
    );
    assert_eq!(ended.status.code(), Some(1));
    let report = report(folder.path());
    let broken = report["broken"]
        .as_object()
        .expect("broken promises by kind");
    assert!(!broken.is_empty(), "{report}");
    folder.remove().unwrap();
}
