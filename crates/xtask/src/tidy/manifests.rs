//! Manifests: each crate inherits lints, versions and dependencies from the workspace.

use super::{Fault, Tree};

/// What the rules need of one crate's manifest.
pub(crate) struct Manifest {
    pub(crate) path: String,
    pub(crate) package: String,
    /// Names under `[dependencies]`, also those of one target only. Dev- and build-dependencies ship nothing.
    pub(crate) dependencies: Vec<String>,
    text: String,
    table: toml::Table,
}

impl Manifest {
    fn read(path: &str, text: &str) -> Result<Self, Fault> {
        let table: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| Fault::of_file(path, error.message().to_owned()))?;
        let package = table
            .get("package")
            .and_then(|package| package.get("name"))
            .and_then(toml::Value::as_str)
            .ok_or_else(|| Fault::of_file(path, "the manifest names no package"))?
            .to_owned();
        let names = |section: Option<&toml::Value>| -> Vec<String> {
            let section = section.and_then(toml::Value::as_table);
            section
                .into_iter()
                .flat_map(|section| section.keys().cloned())
                .collect()
        };
        let mut dependencies = names(table.get("dependencies"));
        let targets = table.get("target").and_then(toml::Value::as_table);
        for target in targets.into_iter().flat_map(|targets| targets.values()) {
            dependencies.extend(names(target.get("dependencies")));
        }
        Ok(Self {
            path: path.to_owned(),
            package,
            dependencies,
            text: text.to_owned(),
            table,
        })
    }

    /// The line that names the dependency, from one; zero if it stands in a form that no line search finds.
    pub(crate) fn line_of_dependency(&self, name: &str) -> usize {
        let opens = |line: &str| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
        };
        self.text.lines().position(opens).map_or(0, |at| at + 1)
    }
}

/// The manifests that can be read; [`check`] reports the others.
pub(crate) fn read_all(tree: &Tree) -> Vec<Manifest> {
    tree.crate_folders()
        .filter_map(|folder| {
            let path = format!("{folder}/Cargo.toml");
            Manifest::read(&path, tree.text(&path)?).ok()
        })
        .collect()
}

pub(crate) fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for folder in tree.crate_folders() {
        let path = format!("{folder}/Cargo.toml");
        match Manifest::read(&path, tree.text(&path).unwrap_or_default()) {
            Ok(manifest) => {
                check_inheritance(&manifest, &mut faults);
                check_folder(folder, &manifest, &mut faults);
            }
            Err(fault) => faults.push(fault),
        }
    }
    faults
}

fn inherits(value: Option<&toml::Value>) -> bool {
    value
        .and_then(|value| value.get("workspace"))
        .and_then(toml::Value::as_bool)
        == Some(true)
}

fn check_inheritance(manifest: &Manifest, faults: &mut Vec<Fault>) {
    if !inherits(manifest.table.get("lints")) {
        faults.push(Fault::of_file(
            &manifest.path,
            "must say `[lints] workspace = true`",
        ));
    }
    let package = manifest.table.get("package");
    for key in ["version", "edition", "rust-version", "license", "publish"] {
        if !inherits(package.and_then(|package| package.get(key))) {
            let rule = format!("must say `{key}.workspace = true`");
            faults.push(Fault::of_file(&manifest.path, rule));
        }
    }
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let entries = manifest.table.get(section).and_then(toml::Value::as_table);
        for (name, value) in entries.into_iter().flatten() {
            if !inherits(Some(value)) {
                let line = manifest.line_of_dependency(name);
                let rule = format!("{name}: versions stand in the workspace's table, once");
                faults.push(Fault::at(&manifest.path, line, rule));
            }
        }
    }
}

fn check_folder(folder: &str, manifest: &Manifest, faults: &mut Vec<Fault>) {
    let name = folder.rsplit('/').next().unwrap_or(folder);
    if manifest.package != format!("banyan-{name}") {
        let rule = format!(
            "folder {name} holds package banyan-{name}, not {}",
            manifest.package
        );
        faults.push(Fault::of_file(&manifest.path, rule));
    }
    if matches!(name, "common" | "utils" | "core" | "types") {
        let rule = format!("a crate is named for what it does; {name} says nothing");
        faults.push(Fault::of_file(&manifest.path, rule));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]
name = \"banyan-x\"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish.workspace = true

[lints]
workspace = true

[dependencies]
toml.workspace = true
";

    fn faults(text: &str) -> Vec<String> {
        let tree = Tree::of(&[("crates/x/Cargo.toml", text), ("Cargo.toml", "[workspace]")]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_manifest_that_inherits_everything_is_clean() {
        assert_eq!(faults(GOOD), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_inherited_is_named() {
        let text = GOOD
            .replace("[lints]\nworkspace = true\n", "")
            .replace("edition.workspace = true", "edition = \"2024\"")
            .replace("toml.workspace = true", "toml = \"0.9\"");
        assert_eq!(
            faults(&text),
            [
                "crates/x/Cargo.toml: must say `[lints] workspace = true`",
                "crates/x/Cargo.toml: must say `edition.workspace = true`",
                "crates/x/Cargo.toml:11: toml: versions stand in the workspace's table, once",
            ]
        );
    }

    #[test]
    fn folder_and_package_carry_one_name() {
        let found = faults(&GOOD.replace("banyan-x", "banyan-y"));
        assert_eq!(
            found,
            ["crates/x/Cargo.toml: folder x holds package banyan-x, not banyan-y"]
        );
    }

    #[test]
    fn a_manifest_that_is_no_toml_is_a_fault() {
        assert_eq!(faults("[package").len(), 1);
    }
}
