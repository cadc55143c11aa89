//! A ratchet on long files: each one past the seam length has a ceiling that is checked in and only goes down.
//!
//! A long file is not forbidden, since a split that only obeys a number is worse. But growing one is a decision that
//! shows in the diff of the ceilings.

use std::fmt::Write as _;

use super::{Fault, Tree};

/// Where the ceilings are.
pub(crate) const PATH: &str = "crates/xtask/ceilings.toml";

/// Up to here a file needs no ceiling. Past it there is usually a seam to find.
const LINES_FREE: usize = 500;

/// How far a file may shrink below its ceiling before the ceiling must follow.
const SLACK: usize = 25;

pub(crate) fn check(tree: &Tree) -> Vec<Fault> {
    let ceilings = match tree.text(PATH).unwrap_or_default().parse::<toml::Table>() {
        Ok(ceilings) => ceilings,
        Err(error) => return vec![Fault::of_file(PATH, error.message().to_owned())],
    };
    let mut faults = Vec::new();
    for (path, lines) in lengths(tree) {
        let ceiling = ceilings.get(path).map(ceiling_of);
        match ceiling {
            None if lines > LINES_FREE => {
                let rule = format!(
                    "is {lines} lines long; past {LINES_FREE} find a seam, or give it a ceiling in {PATH}"
                );
                faults.push(Fault::of_file(path, rule));
            }
            Some(ceiling) if lines > ceiling => {
                let rule =
                    format!("is {lines} lines long and its ceiling is {ceiling}: find a seam");
                faults.push(Fault::of_file(path, rule));
            }
            Some(ceiling) if lines <= LINES_FREE || lines + SLACK < ceiling => {
                let rule = format!(
                    "{path} has shrunk to {lines} lines: lower or drop its ceiling {ceiling}"
                );
                faults.push(Fault::of_file(PATH, rule));
            }
            _ => {}
        }
    }
    for path in ceilings.keys().filter(|path| tree.text(path).is_none()) {
        faults.push(Fault::of_file(
            PATH,
            format!("{path} is not there any more"),
        ));
    }
    faults
}

/// The file of ceilings for the tree as it is.
pub(crate) fn render(tree: &Tree) -> String {
    let mut long: Vec<(&str, usize)> = lengths(tree)
        .filter(|(_, lines)| *lines > LINES_FREE)
        .collect();
    long.sort_by_key(|(path, lines)| (usize::MAX - lines, *path));
    let mut out = format!(
        "# Ceilings, in lines, of files past {LINES_FREE}: `xtask tidy` lets them shrink and not grow.\n\
         # `cargo run -p banyan-xtask -- ratchet` writes this file.\n"
    );
    for (path, lines) in long {
        writeln!(out, "\"{path}\" = {lines}").expect("writing to a string cannot fail");
    }
    out
}

/// Zero for a value that is no length, so that the file fails its check.
fn ceiling_of(value: &toml::Value) -> usize {
    value
        .as_integer()
        .and_then(|value| usize::try_from(value).ok())
        .unwrap_or(0)
}

fn lengths(tree: &Tree) -> impl Iterator<Item = (&str, usize)> {
    tree.texts_ending(".rs")
        .map(|(path, text)| (path, text.lines().count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(lines: usize, ceilings: &str) -> Vec<String> {
        let tree = Tree::of(&[("a.rs", &"x\n".repeat(lines)), (PATH, ceilings)]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_short_file_needs_no_ceiling() {
        assert_eq!(faults(500, ""), Vec::<String>::new());
    }

    #[test]
    fn a_long_file_needs_one_and_stays_under_it() {
        assert_eq!(
            faults(501, ""),
            [
                "a.rs: is 501 lines long; past 500 find a seam, or give it a ceiling in crates/xtask/ceilings.toml"
            ]
        );
        assert_eq!(faults(600, "\"a.rs\" = 600\n"), Vec::<String>::new());
        assert_eq!(
            faults(601, "\"a.rs\" = 600\n"),
            ["a.rs: is 601 lines long and its ceiling is 600: find a seam"]
        );
    }

    #[test]
    fn a_ceiling_follows_its_file_down() {
        assert_eq!(faults(574, "\"a.rs\" = 600\n").len(), 1);
        assert_eq!(faults(575, "\"a.rs\" = 600\n"), Vec::<String>::new());
        assert_eq!(faults(500, "\"a.rs\" = 510\n").len(), 1);
        assert_eq!(
            faults(1, "\"b.rs\" = 600\n"),
            ["crates/xtask/ceilings.toml: b.rs is not there any more"]
        );
    }

    #[test]
    fn the_written_ceilings_pass() {
        let tree = Tree::of(&[("a.rs", &"x\n".repeat(700)), ("b.rs", &"x\n".repeat(800))]);
        let written = render(&tree);
        assert!(
            written.contains("\"b.rs\" = 800\n\"a.rs\" = 700\n"),
            "{written}"
        );
        assert_eq!(
            faults(700, &written.replace("\"b.rs\" = 800\n", "")),
            Vec::<String>::new()
        );
    }
}
