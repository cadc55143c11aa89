//! The files under `cluster/`.

use std::collections::{BTreeMap, BTreeSet};

use banyan_domain::{ProvinceCode, Units};
use banyan_topology::{NodeId, NodeRole, Ports, SiteRole, SurvivalGoal, Topology};

const LOCAL: &str = include_str!("../../../../cluster/local.toml");
const NATIONAL: &str = include_str!("../../../../cluster/national.toml");

fn load(text: &str) -> Topology {
    let parsed = Topology::parse(text).expect("a shipped topology is valid");
    assert_eq!(parsed.unknown_keys, Vec::<String>::new());
    parsed.topology
}

#[test]
fn local_has_five_voters_over_three_sites_and_two_learners() {
    let local = load(LOCAL);
    assert_eq!(local.cluster(), "banyan-local");
    assert_eq!(local.survival_goal(), SurvivalGoal::Site);
    let voters: Vec<(u64, &str, &str)> = local
        .voters()
        .map(|node| (node.id().get(), node.name(), node.site()))
        .collect();
    assert_eq!(
        voters,
        [
            (1, "central-1", "central"),
            (2, "central-2", "central"),
            (3, "recovery-1", "recovery"),
            (4, "recovery-2", "recovery"),
            (5, "da-nang-1", "da-nang"),
        ]
    );
    let learners: Vec<&str> = local.learners().map(|node| node.name()).collect();
    assert_eq!(learners, ["nghe-an-1", "bac-ninh-1"]);
    let addresses: BTreeSet<Option<&str>> =
        local.sites().iter().map(|site| site.address()).collect();
    assert_eq!(addresses.len(), 5, "one address per site");
}

#[test]
fn local_endpoints_are_the_base_ports_plus_the_id() {
    let local = load(LOCAL);
    let node = local.node("nghe-an-1").unwrap();
    assert_eq!(node.peer_endpoint(), "127.0.4.1:7406");
    assert_eq!(node.client_endpoint(), "127.0.4.1:7506");
    assert_eq!(node.http_endpoint(), "127.0.4.1:7606");
    assert_eq!(node.health_endpoint(), "127.0.0.1:7706");
    assert_eq!(local.site_of_province("40").unwrap().name(), "nghe-an");
}

#[test]
fn local_survives_each_site_but_not_a_site_while_a_node_elsewhere_is_down() {
    let local = load(LOCAL);
    assert!(local.planned_survival().held());
    assert!(
        !local
            .survival_of_live(|node| node.name() != "da-nang-1")
            .held()
    );
    assert!(
        local.survival_of_live(|node| node.is_voter()).held(),
        "learners do not count"
    );
}

#[test]
fn national_serves_each_of_the_63_provinces_from_a_learner() {
    let national = load(NATIONAL);
    let served: BTreeSet<&str> = national
        .sites()
        .iter()
        .filter_map(|site| site.province())
        .collect();
    assert_eq!(served.len(), 63);
    for province in served {
        let site = national.site_of_province(province).unwrap();
        assert!(
            national
                .nodes_at(site.name())
                .any(|node| node.role() == NodeRole::Learner),
            "{} has a learner",
            site.name()
        );
    }
    assert_eq!(national.learners().count(), 63);
    let voters: Vec<&str> = national.voters().map(|node| node.name()).collect();
    assert_eq!(
        voters,
        [
            "central-1",
            "central-2",
            "recovery-1",
            "recovery-2",
            "da-nang-1"
        ]
    );
    assert!(national.planned_survival().held());
    assert_eq!(national.sites_of_role(SiteRole::Quorum).count(), 1);
}

#[test]
fn national_nodes_carry_hosts_of_their_own() {
    let national = load(NATIONAL);
    let hosts: BTreeSet<&str> = national.nodes().iter().map(|node| node.host()).collect();
    assert_eq!(hosts.len(), national.nodes().len());
    assert_eq!(
        national.node("nghe-an-1").unwrap().client_endpoint(),
        "nghe-an-1.banyan.internal:7500"
    );
}

#[test]
fn a_topology_written_out_reads_back_the_same() {
    for text in [LOCAL, NATIONAL] {
        let topology = load(text);
        assert_eq!(load(&topology.to_toml()), topology);
    }
}

#[test]
fn ports_chosen_by_the_system_replace_those_of_the_file() {
    let local = load(LOCAL);
    let chosen = Ports {
        peer: 40_001,
        client: 40_002,
        http: 40_003,
        health: 40_004,
    };
    let id = NodeId::new(6).unwrap();
    let changed = local.with_ports(&BTreeMap::from([(id, chosen)])).unwrap();
    assert_eq!(changed.node_by_id(id).unwrap().ports(), chosen);
    assert_eq!(changed.node("central-1"), local.node("central-1"));

    let collision = Ports {
        peer: 40_001,
        client: 40_001,
        http: 40_003,
        health: 40_004,
    };
    let refused = local
        .with_ports(&BTreeMap::from([(id, collision)]))
        .unwrap_err();
    assert!(
        refused.to_string().contains("nodes[5].client_port = 40001"),
        "{refused}"
    );
}

#[test]
fn hosts_made_for_a_run_replace_those_of_the_file() {
    let local = load(LOCAL);
    let id = NodeId::new(6).unwrap();
    let hosts = BTreeMap::from([(id, "10.77.4.1".to_owned())]);
    let changed = local.with_hosts(&hosts).unwrap();
    assert_eq!(
        changed.node_by_id(id).unwrap().peer_endpoint(),
        "10.77.4.1:7406"
    );
    assert_eq!(changed.node("central-1"), local.node("central-1"));
    let refused = local.with_hosts(&BTreeMap::from([(id, String::new())]));
    assert!(refused.is_err());
}

#[test]
fn machine_in_the_place_of_another_has_an_id_that_no_node_has() {
    let local = load(LOCAL);
    let id = |number| NodeId::new(number).unwrap();
    let changed = local.with_id(id(6), id(8)).unwrap();
    let name = local.node_by_id(id(6)).unwrap().name();
    assert_eq!(changed.node(name).unwrap().id(), id(8));
    assert!(changed.node_by_id(id(6)).is_none());
    assert_eq!(changed.node("central-1"), local.node("central-1"));
    assert!(local.with_id(id(6), id(1)).is_err());
}

#[test]
fn provinces_of_the_shipped_files_exist_and_carry_their_names() {
    let units = Units::current();
    for topology in [load(LOCAL), load(NATIONAL)] {
        for site in topology.sites() {
            let Some(code) = site.province() else {
                continue;
            };
            let code = ProvinceCode::new(code).unwrap();
            let official = units.province_name(code).unwrap();
            assert!(
                site.title().ends_with(official),
                "{} is {official}",
                site.title()
            );
            if site.role() == SiteRole::Province {
                assert_eq!(units.province_slug(code), Some(site.name()));
            }
        }
    }
}
