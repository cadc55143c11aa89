//! Bad files: the place, the value and the rule of every fault, all at once.

use banyan_topology::{Topology, TopologyError};

/// A valid file of three voters at three sites.
const GOOD: &str = r#"
[cluster]
name = "trial"
survival_goal = "site"
[timing]
heartbeat_ms = 50
election_min_ms = 150
election_max_ms = 300
[ports]
peer = 7400
client = 7500
http = 7600
health = 7700
add_node_id = true
[[sites]]
name = "a"
title = "A"
role = "central"
address = "127.0.1.1"
[[sites]]
name = "b"
title = "B"
role = "recovery"
address = "127.0.2.1"
[[sites]]
name = "c"
title = "C"
role = "quorum"
address = "127.0.3.1"
[[nodes]]
id = 1
name = "a-1"
site = "a"
role = "voter"
[[nodes]]
id = 2
name = "b-1"
site = "b"
role = "voter"
[[nodes]]
id = 3
name = "c-1"
site = "c"
role = "voter"
"#;

fn edited(edits: &[(&str, &str)]) -> String {
    let mut text = GOOD.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "the edit {from:?} finds its place");
        text = text.replacen(from, to, 1);
    }
    text
}

/// The faults of the edited file, one line each.
fn faults(edits: &[(&str, &str)]) -> Vec<String> {
    match Topology::parse(&edited(edits)) {
        Err(TopologyError::Faults { faults, .. }) => {
            faults.iter().map(ToString::to_string).collect()
        }
        other => panic!("expected faults, got {other:?}"),
    }
}

#[test]
fn the_unedited_file_is_valid() {
    let parsed = Topology::parse(GOOD).unwrap();
    assert!(parsed.unknown_keys.is_empty());
}

#[test]
fn every_fault_is_reported_not_only_the_first() {
    let found = faults(&[
        ("name = \"trial\"", "name = \"Trial!\""),
        ("heartbeat_ms = 50", "heartbeat_ms = \"fast\""),
        ("election_max_ms = 300", "election_max_ms = 150"),
        ("role = \"recovery\"", "role = \"spare\""),
        ("id = 2", "id = 0"),
        ("site = \"c\"", "site = \"c\"\npeer_port = 70000"),
    ]);
    assert_eq!(
        found,
        [
            "cluster.name = \"Trial!\": must be 1 to 40 of a-z, 0-9 and '-', and neither start nor end with '-'",
            "timing.heartbeat_ms = \"fast\": invalid type: string \"fast\", expected u64",
            "timing.election_max_ms = 150: must be above timing.election_min_ms = 150",
            "sites[1].role = \"spare\": must be one of central, recovery, quorum, province",
            "nodes[1].id = 0: must be 1 to 9999",
            "nodes[2].peer_port = 70000: invalid value: integer `70000`, expected u16",
        ]
    );
}

#[test]
fn faults_across_keys_name_both_keys_and_both_values() {
    let found = faults(&[("election_min_ms = 150", "election_min_ms = 90")]);
    assert_eq!(
        found,
        ["timing.election_min_ms = 90: must be at least twice timing.heartbeat_ms = 50"]
    );
}

#[test]
fn unknown_keys_are_collected_and_do_not_refuse_the_file() {
    let text = edited(&[
        ("title = \"B\"", "title = \"B\"\nnote = \"x\""),
        ("[ports]", "[ports]\nadmin = 1"),
    ]);
    let parsed = Topology::parse(&text).unwrap();
    assert_eq!(parsed.unknown_keys, ["ports.admin", "sites.1.note"]);
}

#[test]
fn unknown_keys_stand_beside_the_faults_that_they_caused() {
    let text = edited(&[("heartbeat_ms", "heart_beat_ms")]);
    let refused = Topology::parse(&text).unwrap_err().to_string();
    assert!(
        refused.contains("timing.heartbeat_ms: is required"),
        "{refused}"
    );
    assert!(
        refused.contains("timing.heart_beat_ms: unknown key"),
        "{refused}"
    );
}

#[test]
fn a_truncated_file_is_refused_with_its_line() {
    let refused = Topology::parse(&GOOD[..GOOD.len() - 10]).unwrap_err();
    assert!(matches!(refused, TopologyError::Syntax(_)));
    assert!(refused.to_string().contains("line 4"), "{refused}");
}

#[test]
fn duplicates_point_at_the_first_of_them() {
    let found = faults(&[
        ("id = 3", "id = 1"),
        ("name = \"b-1\"", "name = \"a-1\""),
        ("role = \"recovery\"", "role = \"central\""),
        ("address = \"127.0.2.1\"", "address = \"127.0.1.1\""),
        ("site = \"b\"", "site = \"b\"\nclient_port = 7401"),
    ]);
    assert_eq!(
        found,
        [
            "sites[1].role = central: is already the role of sites[0]; a cluster has one",
            "nodes[1].name = a-1: is already the name of nodes[0]",
            "nodes[1].client_port = 7401: is already taken on 127.0.1.1 by nodes[0].peer_port",
            "nodes[2].id = 1: is already the id of nodes[0]",
            "nodes[2].health_port = 7701: is already taken on 127.0.0.1 by nodes[0].health_port",
        ]
    );
}

#[test]
fn a_goal_that_cannot_hold_is_refused_with_the_arithmetic() {
    let found = faults(&[(
        "site = \"b\"",
        "site = \"a\"\npeer_port = 1\nclient_port = 2\nhttp_port = 3\nhealth_port = 4",
    )]);
    assert_eq!(
        found,
        [
            "sites[1].name = b: has no node",
            "cluster.survival_goal = site: does not hold with all voters live: losing a leaves 1 of 3 voters, 2 are needed",
        ]
    );

    let found = faults(&[("role = \"voter\"", "role = \"learner\"")]);
    assert_eq!(
        found,
        [
            "cluster.survival_goal = site: does not hold with all voters live: losing b leaves 1 of 2 voters, 2 are needed",
            "cluster.survival_goal = site: does not hold with all voters live: losing c leaves 1 of 2 voters, 2 are needed",
        ]
    );
}

#[test]
fn a_voter_may_not_stand_at_a_province() {
    let found = faults(&[(
        "role = \"quorum\"",
        "role = \"province\"\nprovince = \"48\"",
    )]);
    assert_eq!(
        found,
        [
            "nodes[2].role = voter: a voter stands at a central, recovery or quorum site, and nodes[2].site = c has the role province"
        ]
    );
}

#[test]
fn a_node_needs_a_host_and_ports_from_somewhere() {
    let found = faults(&[("address = \"127.0.3.1\"", ""), ("peer = 7400", "")]);
    assert_eq!(
        found,
        [
            "nodes[0].peer_port: is required, since ports.peer is not given either",
            "nodes[1].peer_port: is required, since ports.peer is not given either",
            "nodes[2].address: is required, since the node's site names no address either",
            "nodes[2].peer_port: is required, since ports.peer is not given either",
        ]
    );
}

#[test]
fn an_empty_file_names_what_a_topology_needs() {
    let refused = Topology::parse("").unwrap_err().to_string();
    for key in [
        "cluster.name",
        "cluster.survival_goal",
        "timing.heartbeat_ms",
        "sites",
        "nodes",
    ] {
        assert!(
            refused.contains(&format!("{key}: is required")),
            "{key}: {refused}"
        );
    }
}

#[test]
fn a_port_past_the_last_is_told_with_its_sum() {
    let found = faults(&[("health = 7700", "health = 65534")]);
    assert_eq!(
        found,
        [
            "nodes[1].health_port = 65536: ports.health = 65534 plus the node's id exceeds 65535",
            "nodes[2].health_port = 65537: ports.health = 65534 plus the node's id exceeds 65535"
        ]
    );
}

#[test]
fn nodes_of_one_machine_need_health_ports_of_their_own() {
    // Their addresses differ, but plain health checks listen on 127.0.0.1 for all of them.
    let same = "peer = 7400\nclient = 7500\nhttp = 7600\nhealth = 7700";
    let per_node = "peer = 7400\nclient = 7500\nhttp = 7600\nhealth = 7700\nadd_node_id = true";
    assert_eq!(
        faults(&[(per_node, same)]),
        [
            "nodes[1].health_port = 7700: is already taken on 127.0.0.1 by nodes[0].health_port",
            "nodes[2].health_port = 7700: is already taken on 127.0.0.1 by nodes[0].health_port",
        ]
    );
}
