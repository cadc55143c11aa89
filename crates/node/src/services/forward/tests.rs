//! Whom a node may speak for, and what a caller is told in the end.

use banyan_domain::{Principal, Role};

use super::*;

fn local() -> Topology {
    let text = include_str!("../../../../../cluster/local.toml");
    Topology::parse(text)
        .expect("the local cluster is valid")
        .topology
}

fn actor(role: Role) -> Actor {
    Actor {
        principal: Principal::new("somebody@somewhere").expect("a principal"),
        role,
        admitted_by: NodeId(6),
    }
}

fn registrar(area: &str) -> Actor {
    let area = AreaCode::parse(area).expect("an area");
    actor(Role::Registrar { area })
}

#[test]
fn a_province_speaks_for_its_own_registrars_and_for_nobody_else() {
    let topology = local();
    let nghe_an = topology.node("nghe-an-1").expect("a node").id().get();
    let may = |actor: &Actor| may_speak_for(&topology, NodeId(nghe_an), actor);
    assert!(may(&registrar("40")), "its province");
    let ward = Units::current()
        .wards()
        .find(|(_, _, province)| province.as_str() == "40")
        .map(|(ward, _, _)| ward)
        .expect("a ward");
    assert!(may(&registrar(ward.as_str())), "a ward of it");
    assert!(!may(&registrar("27")), "another province");
    assert!(!may(&registrar("99999")), "a ward of no list");
    assert!(!may(&actor(Role::Centre)), "the centre");
    assert!(!may(&actor(Role::Operator)), "an operator");
}

#[test]
fn the_sites_that_issue_speak_for_all_and_an_unknown_node_for_nobody() {
    let topology = local();
    for name in ["central-1", "recovery-2", "da-nang-1"] {
        let node = NodeId(topology.node(name).expect("a node").id().get());
        assert!(may_speak_for(&topology, node, &actor(Role::Centre)));
        assert!(may_speak_for(&topology, node, &registrar("27")));
    }
    assert!(!may_speak_for(&topology, NodeId(99), &registrar("40")));
}

#[test]
fn a_call_that_may_have_been_proposed_ends_in_unknown_and_nothing_else() {
    let gone = || outcomes::no_leader();
    assert_eq!(settled(gone(), false).known_code(), Some(Code::NoLeader));
    let unknown = settled(gone(), true);
    assert_eq!(unknown.known_code(), Some(Code::OutcomeUnknown));
    assert!(unknown.outcome_unknown);
    assert!(is_passing(&doubtful(gone(), true)));
    let refused = ErrorDetail::new(Code::NotAuthorised, "no");
    assert!(!is_passing(&refused));
}
