//! Who may list whom: the rows of the policy about scans.

use banyan_domain::policy::{Action, Denial, Fields, Resource, decide};
use banyan_domain::{Actor, AreaCode, ProvinceCode, Role, Sex};

use crate::fixtures::{actor, centre, person, province};

const ALL: Result<Fields, Denial> = Ok(Fields::All);
const IDENTITY: Result<Fields, Denial> = Ok(Fields::Identity);
const OUTSIDE: Result<Fields, Denial> = Err(Denial::OutsideArea);
const ROLE: Result<Fields, Denial> = Err(Denial::Role);

fn registrar(area: &str) -> Actor {
    let area = AreaCode::parse(area).unwrap();
    actor("registrar@somewhere", Role::Registrar { area })
}

#[test]
fn only_the_registrars_of_a_whole_province_and_the_centre_scan_it() {
    let data = person("Trần Thị Lan", "1975", Sex::Female, &province("40"));
    let here = Resource::Scope(ProvinceCode::new("40").ok());
    let everyone = Resource::Scope(None);
    let form = Resource::Registration {
        data: &data,
        pin: None,
    };
    // Registrar of 40, of 42, of a district and a ward in 40; centre; operator.
    let table = [
        (
            "its numbers",
            here,
            [ALL, OUTSIDE, OUTSIDE, OUTSIDE, ALL, ROLE],
        ),
        (
            "everyone",
            everyone,
            [OUTSIDE, OUTSIDE, OUTSIDE, OUTSIDE, ALL, ROLE],
        ),
        (
            "a record of no district",
            Resource::Record(&data),
            [ALL, OUTSIDE, OUTSIDE, OUTSIDE, ALL, ROLE],
        ),
        (
            "an unread record",
            Resource::UnreadRecord,
            [IDENTITY, IDENTITY, IDENTITY, IDENTITY, ALL, ROLE],
        ),
        ("a form", form, [ROLE, ROLE, ROLE, ROLE, ALL, ROLE]),
        ("the cluster", Resource::Cluster, [ROLE; 6]),
    ];
    let actors = [
        registrar("40"),
        registrar("42"),
        registrar("412"),
        registrar("16669"),
        centre(),
        actor("operator@central", Role::Operator),
    ];
    for (what, resource, cells) in &table {
        for (number, (actor, cell)) in actors.iter().zip(cells).enumerate() {
            let decided = decide(actor, Action::ScanPersons, resource);
            assert_eq!(decided, *cell, "{what}, actor {number}");
        }
    }
}
