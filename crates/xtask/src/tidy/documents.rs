//! Documents: the index of decisions is complete, and links inside the repository lead somewhere.

use std::collections::BTreeSet;

use super::{Fault, Tree};

const ADR_FOLDER: &str = "docs/adr/";
const ADR_INDEX: &str = "docs/adr/README.md";

/// Headings that each decision has, in this order.
const ADR_SECTIONS: &[&str] = &["## Context", "## Decision", "## Consequences"];

pub(crate) fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = check_decisions(tree);
    for (path, text) in tree.texts_ending(".md") {
        faults.extend(check_links(tree, path, text));
    }
    faults
}

fn check_decisions(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    let index = tree.text(ADR_INDEX).unwrap_or_default();
    let mut expected = 1;
    for (path, text) in tree.texts_ending(".md") {
        let Some(name) = path
            .strip_prefix(ADR_FOLDER)
            .filter(|name| *name != "README.md")
        else {
            continue;
        };
        let number = name.get(..4).and_then(|digits| digits.parse::<u32>().ok());
        if number != Some(expected) {
            let rule = format!("decisions are numbered without a gap; {expected:04} comes here");
            faults.push(Fault::of_file(path, rule));
        }
        expected = number.unwrap_or(expected) + 1;
        if !index.contains(&format!("({name})")) {
            faults.push(Fault::of_file(ADR_INDEX, format!("does not link {name}")));
        }
        check_decision(path, text, &mut faults);
    }
    faults
}

fn check_decision(path: &str, text: &str, faults: &mut Vec<Fault>) {
    if !text.starts_with("# ") {
        faults.push(Fault::at(path, 1, "must open with its title"));
    }
    if !text.lines().any(|line| line.starts_with("Status: ")) {
        faults.push(Fault::of_file(path, "has no line `Status: ...`"));
    }
    let mut rest = text;
    for section in ADR_SECTIONS {
        match rest.find(&format!("\n{section}\n")) {
            Some(at) => rest = &rest[at + 1..],
            None => faults.push(Fault::of_file(
                path,
                format!("lacks `{section}`, or it is out of order"),
            )),
        }
    }
}

fn check_links(tree: &Tree, path: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let folders: BTreeSet<&str> = tree
        .files()
        .keys()
        .flat_map(|path| path.match_indices('/').map(|(at, _)| &path[..at]))
        .collect();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for target in links(line) {
            let resolved = resolve(path, target);
            let exists = tree.files().contains_key(&resolved)
                || folders.contains(resolved.trim_end_matches('/'));
            if !exists {
                faults.push(Fault::at(
                    path,
                    index + 1,
                    format!("links {target}, which is not there"),
                ));
            }
        }
    }
    faults
}

/// The relative targets of a line's Markdown links, without their anchors.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?.split('#').next()?;
        let elsewhere = target.is_empty() || target.contains(':') || target.starts_with('/');
        (!elsewhere).then_some(target)
    })
}

fn resolve(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECISION: &str =
        "# One\n\nStatus: accepted\n\n## Context\n\n## Decision\n\n## Consequences\n";

    fn faults(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn an_indexed_decision_with_its_sections_is_clean() {
        let index = "[One](0001-one.md)\n";
        assert_eq!(
            faults(&[
                ("docs/adr/README.md", index),
                ("docs/adr/0001-one.md", DECISION)
            ]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn gaps_missing_rows_and_missing_sections_are_told() {
        let found = faults(&[
            ("docs/adr/README.md", "[One](0001-one.md)\n"),
            (
                "docs/adr/0001-one.md",
                &DECISION.replace("## Decision\n", ""),
            ),
            (
                "docs/adr/0003-three.md",
                &DECISION.replace("Status: accepted", ""),
            ),
        ]);
        assert_eq!(
            found,
            [
                "docs/adr/0001-one.md: lacks `## Decision`, or it is out of order",
                "docs/adr/0003-three.md: decisions are numbered without a gap; 0002 comes here",
                "docs/adr/README.md: does not link 0003-three.md",
                "docs/adr/0003-three.md: has no line `Status: ...`",
            ]
        );
    }

    #[test]
    fn links_lead_somewhere() {
        let text = "[a](../README.md) [b](adr/) [c](gone.md#x) [d](https://e.org) [e](#here)\n\
                    ```\n[f](code.md)\n```\n";
        let found = faults(&[
            ("docs/a.md", text),
            ("README.md", ""),
            ("docs/adr/README.md", ""),
        ]);
        assert_eq!(found, ["docs/a.md:1: links gone.md, which is not there"]);
    }
}
