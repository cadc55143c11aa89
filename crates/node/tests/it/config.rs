//! Configuration: all faults at once, unknown keys, effective values, exit codes of the binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use banyan_node::config::{LoadError, NodeConfig};
use tempfile::TempDir;

const TOPOLOGY: &str = r#"
[cluster]
name = "banyan-test"
survival_goal = "none"
[timing]
heartbeat_ms = 50
election_min_ms = 200
election_max_ms = 400
[ports]
peer = 7401
client = 7501
http = 7601
health = 7701
[[sites]]
name = "central"
title = "Central"
role = "central"
address = "127.0.1.1"
[[nodes]]
id = 1
name = "central-1"
site = "central"
role = "voter"
"#;

const GOOD: &str = r#"
[node]
name = "central-1"
topology = "topology.toml"
data_dir = "data"
[tls]
dir = "tls"
"#;

fn folder(node: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("topology.toml"), TOPOLOGY).expect("the topology is written");
    let file = folder.path().join("node.toml");
    fs::write(&file, node).expect("the configuration is written");
    (folder, file)
}

fn banyand(arguments: &[&str], file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_banyand"))
        .args(arguments)
        .arg(file)
        .output()
        .expect("banyand runs")
}

#[test]
fn a_small_file_gets_defaults_and_the_topologys_addresses() {
    let (folder, file) = folder(GOOD);
    let loaded = NodeConfig::load(&file).unwrap();
    assert!(loaded.unknown_keys.is_empty());
    let config = loaded.config;
    assert_eq!(config.node().id().get(), 1);
    assert_eq!(config.data_dir(), folder.path().join("data"));
    assert_eq!(config.endpoints().client(), "127.0.1.1:7501");
    assert_eq!(config.endpoints().health().to_string(), "127.0.0.1:7701");
    assert_eq!(config.runtime().raft_threads(), 1);
}

#[test]
fn all_faults_come_at_once_with_key_and_value() {
    let (_folder, file) = folder(
        r#"
        [node]
        name = 7
        data_dir = ""
        topology = "topology.toml"
        [listen]
        health = "0.0.0.0:7701"
        client = "everywhere"
        [log]
        level = "loud"
        format = "xml"
        [storage]
        block_cache = "12 apples"
        memtable = "1 MiB"
        [snapshots]
        after_entries = 5
        keep_log = "12 KiB"
        [limits]
        drain_deadline = "soon"
        connections_max = 0
        [runtime]
        raft_threads = 99
        nodes = 4
        "#,
    );
    let error = NodeConfig::load(&file).unwrap_err();
    assert!(matches!(error, LoadError::Faulty { .. }));
    let text = error.to_string();
    for expected in [
        "node.name = 7",
        "node.data_dir = \"\"",
        "tls.dir: is required",
        "listen.health = \"0.0.0.0:7701\": must be a loopback address",
        "listen.client = \"everywhere\"",
        "log.level = \"loud\"",
        "log.format = \"xml\"",
        "storage.block_cache = \"12 apples\"",
        "storage.memtable = \"1 MiB\": must be from 4 MiB to 1 GiB",
        "snapshots.after_entries = 5: must be a whole number from 100 to 10000000",
        "snapshots.keep_log = \"12 KiB\"",
        "limits.drain_deadline = \"soon\"",
        "limits.connections_max = 0",
        "runtime.raft_threads = 99",
        "runtime.nodes: is not a key",
    ] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
}

#[test]
fn a_node_that_the_topology_does_not_name_is_refused_with_those_it_names() {
    let (_folder, file) = folder(&GOOD.replace("central-1", "hue-1"));
    let text = NodeConfig::load(&file).unwrap_err().to_string();
    assert!(
        text.contains("node.name = \"hue-1\"") && text.contains("central-1"),
        "{text}"
    );
}

#[test]
fn an_unknown_key_fails_the_check_and_only_warns_at_start() {
    let (_folder, file) = folder(&format!("{GOOD}\n[storage]\nblok_cache = \"64 MiB\"\n"));
    let loaded = NodeConfig::load(&file).unwrap();
    assert_eq!(loaded.unknown_keys.len(), 1);
    assert!(loaded.unknown_keys[0].ends_with("storage.blok_cache"));

    let check = banyand(&["config", "check"], &file);
    assert_eq!(check.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&check.stdout).contains("storage.blok_cache"));
}

#[test]
fn the_check_tells_topologies_and_node_configurations_apart() {
    let (folder, file) = folder(GOOD);
    let topology = folder.path().join("topology.toml");
    let good = banyand(&["config", "check", &topology.display().to_string()], &file);
    let text = String::from_utf8_lossy(&good.stdout).into_owned();
    assert_eq!(good.status.code(), Some(0), "{text}");
    assert!(text.contains("topology.toml: good topology"), "{text}");
    assert!(
        text.contains("node.toml: good node configuration"),
        "{text}"
    );

    fs::write(
        &topology,
        TOPOLOGY.replace("site = \"central\"", "site = \"nowhere\""),
    )
    .unwrap();
    let bad = banyand(&["config", "check", &topology.display().to_string()], &file);
    assert_eq!(bad.status.code(), Some(3));
    let text = String::from_utf8_lossy(&bad.stdout).into_owned();
    // The fault shows in the topology itself and in the configuration that names it.
    assert!(
        text.matches("names no site of this file").count() >= 2,
        "{text}"
    );
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_its_line() {
    let (_folder, file) = folder("[node\nname = 1");
    let text = NodeConfig::load(&file).unwrap_err().to_string();
    assert!(text.contains("line 1"), "{text}");
}

#[test]
fn show_gives_effective_values_and_hides_keys() {
    let (_folder, file) = folder(GOOD);
    let shown = banyand(&["config", "show", "--json", "--config"], &file);
    assert_eq!(shown.status.code(), Some(0));
    let values: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(values["storage"]["block_cache"], "64 MiB");
    assert_eq!(values["snapshots"]["after_log"], "256 MiB");
    assert_eq!(values["snapshots"]["keep_entries"], 1_000_000);
    assert_eq!(values["limits"]["drain_deadline"], "10s");
    assert!(
        values["tls"]["server_key"]
            .as_str()
            .unwrap()
            .starts_with("(hidden")
    );
    assert!(values["unknown_keys"].as_array().unwrap().is_empty());

    let lines = banyand(&["config", "show", "--config"], &file);
    assert!(String::from_utf8_lossy(&lines.stdout).contains("storage.block_cache = \"64 MiB\""));
}

#[test]
fn exit_codes_tell_a_wrong_command_line_from_a_wrong_configuration() {
    let (_folder, file) = folder("[node]\n");
    assert_eq!(banyand(&["--config"], &file).status.code(), Some(3));
    assert_eq!(banyand(&["--konfig"], &file).status.code(), Some(2));
    let missing = file.with_file_name("missing.toml");
    assert_eq!(banyand(&["--config"], &missing).status.code(), Some(3));
    // The configuration is good, the certificates are not there.
    fs::write(&file, GOOD).unwrap();
    assert_eq!(banyand(&["--config"], &file).status.code(), Some(6));
    let version = Command::new(env!("CARGO_BIN_EXE_banyand"))
        .arg("--version")
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("banyand "));
}
