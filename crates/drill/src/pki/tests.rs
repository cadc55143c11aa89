//! Who signs whom, and that no key is ever lost.

use banyan_wire::identity::Identity;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

use super::*;

fn made() -> (tempfile::TempDir, Topology) {
    let topology = Topology::parse(include_str!("../../../../cluster/local.toml"))
        .unwrap()
        .topology;
    let folder = tempfile::tempdir().unwrap();
    create(&Options {
        directory: folder.path(),
        topology: &topology,
        valid_days: 30,
    })
    .unwrap();
    (folder, topology)
}

fn pem(path: PathBuf) -> Pem {
    Pem::iter_from_buffer(&fs::read(path).unwrap())
        .next()
        .unwrap()
        .unwrap()
}

#[test]
fn each_leaf_is_signed_by_its_own_authority_and_by_no_other() {
    let (folder, _topology) = made();
    let at = |name: &str| folder.path().join(name);
    for (leaf, signer) in [
        ("nodes/nghe-an-1/peer.pem", "peer"),
        ("nodes/nghe-an-1/server.pem", "server"),
        ("clients/registrar@nghe-an.pem", "client"),
        ("clients/centre@central.pem", "client"),
        ("clients/operator@central.pem", "operator"),
    ] {
        let leaf_pem = pem(at(leaf));
        let certificate = leaf_pem.parse_x509().unwrap();
        for authority in ["peer", "client", "operator", "server"] {
            let authority_pem = pem(at(&format!("{authority}-ca.pem")));
            let issuer = authority_pem.parse_x509().unwrap();
            let signed = certificate
                .verify_signature(Some(issuer.public_key()))
                .is_ok();
            assert_eq!(signed, authority == signer, "{leaf} and {authority}");
        }
    }
}

#[test]
fn node_certificate_carries_one_identity_and_its_address() {
    let (folder, topology) = made();
    let node = topology.node("nghe-an-1").unwrap();
    let parsed = pem(node_directory(folder.path(), node.name()).join("peer.pem"));
    let certificate = parsed.parse_x509().unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    let uris = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
    let identity = Identity::of_uris(uris).unwrap();
    assert_eq!(identity.to_string(), identities::of_node(&topology, node));
    let address: std::net::Ipv4Addr = node.host().parse().unwrap();
    assert!(
        names.value.general_names.iter().any(
            |name| matches!(name, GeneralName::IPAddress(bytes) if *bytes == address.octets())
        )
    );
}

#[test]
fn keys_are_for_their_owner_only_and_are_never_overwritten() {
    let (folder, topology) = made();
    for key in [
        "peer-ca.key",
        "nodes/central-1/server.key",
        "clients/centre@central.key",
    ] {
        let mode = fs::metadata(folder.path().join(key))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    let again = create(&Options {
        directory: folder.path(),
        topology: &topology,
        valid_days: 30,
    });
    assert!(matches!(again, Err(PkiError::NotEmpty { .. })));
}

#[test]
fn a_node_that_comes_later_is_signed_by_the_same_authorities_and_has_no_keys_yet() {
    let (folder, topology) = made();
    let old = topology.node("central-2").unwrap().id();
    let renewed = topology
        .with_id(old, banyan_topology::NodeId::new(8).unwrap())
        .unwrap();
    let options = Options {
        directory: folder.path(),
        topology: &renewed,
        valid_days: 30,
    };
    let refused = add_node(&options, "central-2");
    assert!(matches!(refused, Err(PkiError::NodeExists { .. })));
    let refused = add_node(&options, "central-9");
    assert!(matches!(refused, Err(PkiError::NoNode { .. })));
    fs::remove_dir_all(node_directory(folder.path(), "central-2")).unwrap();
    let would = check_add_node(&options, "central-2").unwrap();
    assert!(!would.exists());
    let made = add_node(&options, "central-2").unwrap();
    assert_eq!(made, would);
    for (leaf, authority) in [("peer", "peer"), ("server", "server")] {
        let leaf = pem(made.join(format!("{leaf}.pem")));
        let leaf = leaf.parse_x509().unwrap();
        let authority = pem(folder.path().join(format!("{authority}-ca.pem")));
        let authority = authority.parse_x509().unwrap();
        assert_eq!(leaf.issuer(), authority.subject());
        leaf.verify_signature(Some(authority.public_key())).unwrap();
    }
    let text = String::from_utf8_lossy(&pem(made.join("peer.pem")).contents).into_owned();
    assert!(text.contains("/peer/8/voter"), "the new id is in it");
    // Half an infrastructure signs nothing, and leaves nothing behind.
    fs::remove_dir_all(&made).unwrap();
    fs::remove_file(folder.path().join("server-ca.key")).unwrap();
    let refused = add_node(&options, "central-2");
    assert!(matches!(refused, Err(PkiError::Read { .. })), "{refused:?}");
    assert!(!made.exists());
}

#[test]
fn a_directory_that_others_could_enter_is_closed_to_them() {
    let (_, topology) = made();
    let folder = tempfile::tempdir().unwrap();
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.path(), open).unwrap();
    create(&Options {
        directory: folder.path(),
        topology: &topology,
        valid_days: 30,
    })
    .unwrap();
    for directory in ["", "nodes", "nodes/central-1", "clients"] {
        let metadata = fs::metadata(folder.path().join(directory)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o700, "{directory}");
    }
}

#[test]
fn validity_has_bounds() {
    let (_, topology) = made();
    let folder = tempfile::tempdir().unwrap();
    let made = create(&Options {
        directory: folder.path(),
        topology: &topology,
        valid_days: 0,
    });
    assert!(matches!(made, Err(PkiError::Validity { days: 0 })));
}
