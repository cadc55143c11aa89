//! Which crate may use which: the arrows of `docs/ARCHITECTURE.md`, read from each manifest.

use super::manifests::{self, Manifest};
use super::{Fault, Tree};

/// What each crate may name among ours. A crate that is not here is a fault: a new room needs a decision.
const ARROWS: &[(&str, &[&str])] = &[
    ("banyan-domain", &[]),
    ("banyan-topology", &[]),
    ("banyan-wire", &["banyan-domain"]),
    ("banyan-synth", &["banyan-domain", "banyan-wire"]),
    ("banyan-storage", &["banyan-domain", "banyan-wire"]),
    (
        "banyan-consensus",
        &["banyan-domain", "banyan-wire", "banyan-storage"],
    ),
    (
        "banyan-node",
        &[
            "banyan-consensus",
            "banyan-storage",
            "banyan-wire",
            "banyan-domain",
            "banyan-topology",
        ],
    ),
    ("banyan-client", &["banyan-wire", "banyan-domain"]),
    (
        "banyan-drill",
        &[
            "banyan-client",
            "banyan-synth",
            "banyan-topology",
            "banyan-wire",
            "banyan-domain",
        ],
    ),
    (
        "banyan-cli",
        &[
            "banyan-client",
            "banyan-drill",
            "banyan-synth",
            "banyan-topology",
            "banyan-wire",
            "banyan-domain",
        ],
    ),
    (
        "banyan-chaos-tests",
        &[
            "banyan-drill",
            "banyan-node",
            "banyan-consensus",
            "banyan-storage",
            "banyan-synth",
            "banyan-client",
            "banyan-topology",
            "banyan-wire",
            "banyan-domain",
        ],
    ),
    (
        "banyan-bench",
        &[
            "banyan-node",
            "banyan-drill",
            "banyan-client",
            "banyan-synth",
            "banyan-topology",
            "banyan-wire",
            "banyan-domain",
        ],
    ),
    ("banyan-xtask", &[]),
];

/// Libraries that exactly one crate may name, with those that may besides it. Their own helpers count with them.
const OWNED: &[(&str, &[&str])] = &[
    ("rocksdb", &["banyan-storage"]),
    ("openraft", &["banyan-consensus", "banyan-chaos-tests"]),
];

/// Libraries that a crate must not depend on, to be pure or to stay below an edge.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "banyan-domain",
        &[
            "tokio",
            "tonic",
            "axum",
            "clap",
            "rand",
            "futures",
            "async-trait",
            "prost",
        ],
    ),
    (
        "banyan-topology",
        &["tokio", "tonic", "axum", "clap", "rand"],
    ),
    ("banyan-storage", &["tonic", "axum", "clap"]),
    ("banyan-consensus", &["axum", "clap"]),
    ("banyan-wire", &["axum", "clap", "rand"]),
];

pub(crate) fn check(tree: &Tree) -> Vec<Fault> {
    let manifests = manifests::read_all(tree);
    manifests.iter().flat_map(check_manifest).collect()
}

fn check_manifest(manifest: &Manifest) -> Vec<Fault> {
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == manifest.package) else {
        let rule = format!(
            "package {} has no arrows: decide what it may use and write it into xtask's table and \
             docs/ARCHITECTURE.md",
            manifest.package
        );
        return vec![Fault::of_file(&manifest.path, rule)];
    };
    let refuse =
        |name: &str, why: String| Fault::at(&manifest.path, manifest.line_of_dependency(name), why);
    let mut faults = Vec::new();
    for name in &manifest.dependencies {
        if name.starts_with("banyan-") && !allowed.contains(&name.as_str()) {
            faults.push(refuse(
                name,
                format!("{} may not use {name}", manifest.package),
            ));
        }
        for (library, owners) in OWNED {
            let same = name == library || name.starts_with(&format!("{library}-"));
            if same && !owners.contains(&manifest.package.as_str()) {
                faults.push(refuse(
                    name,
                    format!("only {} may name {name}", owners.join(", ")),
                ));
            }
        }
        let forbidden = FORBIDDEN
            .iter()
            .find(|(package, _)| *package == manifest.package);
        if forbidden.is_some_and(|(_, names)| names.contains(&name.as_str())) {
            faults.push(refuse(
                name,
                format!("{} may not depend on {name}", manifest.package),
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(package: &str, dependencies: &[&str]) -> Vec<String> {
        let mut text = format!("[package]\nname = \"{package}\"\n\n[dependencies]\n");
        for name in dependencies {
            text.push_str(&format!("{name}.workspace = true\n"));
        }
        let tree = Tree::of(&[("crates/x/Cargo.toml", &text)]);
        let mut found = check(&tree);
        found.sort();
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_arrow_of_the_house_is_allowed() {
        assert_eq!(
            faults("banyan-node", &["banyan-consensus", "tokio"]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn arrows_against_the_house_are_all_reported_with_their_lines() {
        assert_eq!(
            faults("banyan-domain", &["blake3", "banyan-wire", "tokio"]),
            [
                "crates/x/Cargo.toml:6: banyan-domain may not use banyan-wire",
                "crates/x/Cargo.toml:7: banyan-domain may not depend on tokio",
            ]
        );
    }

    #[test]
    fn only_the_owner_names_a_library_and_its_helpers() {
        assert_eq!(
            faults("banyan-node", &["rocksdb", "openraft-rt"]),
            [
                "crates/x/Cargo.toml:5: only banyan-storage may name rocksdb",
                "crates/x/Cargo.toml:6: only banyan-consensus, banyan-chaos-tests may name openraft-rt",
            ]
        );
    }

    #[test]
    fn a_new_crate_needs_a_decision() {
        let found = faults("banyan-utils", &[]);
        assert!(
            found[0].contains("package banyan-utils has no arrows"),
            "{found:?}"
        );
    }
}
