//! Rules for every text: white space, openings, size, words that mark unfinished work, paths of one machine.

use super::source::code_only;
use super::tree::FILE_BYTES_MAX;
use super::{Fault, Tree};

/// Endings of the texts that these rules speak of. Data files keep whatever bytes their source has.
const ENDINGS: &[&str] = &[
    ".rs", ".toml", ".md", ".proto", ".sh", ".yml", ".yaml", "Makefile", ".ci/run", ".txt", ".lock",
];

/// Marks of unfinished work, each put together here so that this file does not hold them.
const UNFINISHED: &[(&str, &str)] = &[
    (
        concat!("FIX", "ME"),
        "mend it, or say what is missing and why it may be",
    ),
    (
        concat!("XX", "X"),
        "mend it, or say what is missing and why it may be",
    ),
    (
        concat!("for", " now"),
        "say until when and why, or finish it",
    ),
];

/// Code that never lands.
const UNFINISHED_CODE: &[(&str, &str)] = &[
    (concat!("db", "g!("), "a trace for debugging"),
    (concat!("to", "do!("), "unfinished code"),
    (concat!("unimple", "mented!("), "unfinished code"),
    (
        concat!("#[ig", "nore"),
        "a test that does not run proves nothing: mend it or delete it",
    ),
    (concat!("allow(dead", "_code)"), "delete what nothing uses"),
    (concat!("assert!(tr", "ue"), "proves nothing"),
];

/// Paths that mean something on one machine only.
const MACHINE_PATHS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("../sha", "red"),
    concat!("/ro", "ot/"),
    concat!("/tmp/ba", "nyan"),
    concat!(".lib", "rary/"),
];

pub(crate) fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, file) in tree.files() {
        if file.bytes > FILE_BYTES_MAX {
            let rule = format!(
                "is {} bytes long; a file holds at most {FILE_BYTES_MAX}",
                file.bytes
            );
            faults.push(Fault::of_file(path, rule));
        }
    }
    for (path, text) in tree.texts() {
        if ENDINGS.iter().any(|ending| path.ends_with(ending)) {
            check_lines(path, text, &mut faults);
            check_end(path, text, &mut faults);
        }
        if path.ends_with(".rs") {
            check_opening(path, text, &mut faults);
            check_code(path, text, &mut faults);
        }
    }
    faults
}

fn check_lines(path: &str, text: &str, faults: &mut Vec<Fault>) {
    let tabs_allowed = path.ends_with("Makefile");
    for (index, line) in text.lines().enumerate() {
        let mut refuse = |rule: String| faults.push(Fault::at(path, index + 1, rule));
        if line.ends_with([' ', '\t', '\r']) {
            refuse("trailing white space".to_owned());
        }
        if line.contains('\t') && !tabs_allowed {
            refuse("a tab; indent with spaces".to_owned());
        }
        for (mark, way_out) in UNFINISHED {
            if contains_word(line, mark) {
                refuse(format!("`{mark}`: {way_out}"));
            }
        }
        for machine in MACHINE_PATHS
            .iter()
            .filter(|machine| line.contains(**machine))
        {
            refuse(format!("`{machine}` is a path of one machine"));
        }
    }
}

fn contains_word(line: &str, word: &str) -> bool {
    let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    line.match_indices(word).any(|(at, _)| {
        !letter(line[..at].chars().next_back()) && !letter(line[at + word.len()..].chars().next())
    })
}

fn check_end(path: &str, text: &str, faults: &mut Vec<Fault>) {
    if !text.is_empty() && !text.ends_with('\n') {
        faults.push(Fault::of_file(path, "does not end with a line break"));
    }
    if text.ends_with("\n\n") {
        faults.push(Fault::of_file(path, "ends with an empty line"));
    }
}

fn check_opening(path: &str, text: &str, faults: &mut Vec<Fault>) {
    if !text.starts_with("//! ") {
        faults.push(Fault::at(
            path,
            1,
            "must open with `//!` and one sentence of purpose",
        ));
    }
}

fn check_code(path: &str, text: &str, faults: &mut Vec<Fault>) {
    for (index, line) in code_only(text).lines().enumerate() {
        for (code, why) in UNFINISHED_CODE
            .iter()
            .filter(|(code, _)| line.contains(code))
        {
            let code = code.trim_end_matches('(');
            faults.push(Fault::at(path, index + 1, format!("`{code}`: {why}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> Vec<String> {
        let mut found = check(&Tree::of(&[(path, text)]));
        found.sort();
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_clean_file_has_no_fault() {
        assert_eq!(
            faults("a.rs", "//! Says what it is for.\n\nfn main() {}\n"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn white_space_and_openings_are_told_by_line() {
        assert_eq!(
            faults("a.rs", "fn main() {} \n\tx\n\n"),
            [
                "a.rs: ends with an empty line",
                "a.rs:1: must open with `//!` and one sentence of purpose",
                "a.rs:1: trailing white space",
                "a.rs:2: a tab; indent with spaces",
            ]
        );
        assert_eq!(
            faults("a.md", "text"),
            ["a.md: does not end with a line break"]
        );
        assert_eq!(faults("Makefile", "all:\n\techo\n"), Vec::<String>::new());
    }

    #[test]
    fn marks_of_unfinished_work_are_refused() {
        let text = format!(
            "//! Opens.\nfn f() {{ {}) }}\n#[{}]\n// {}: later\n",
            concat!("to", "do!("),
            concat!("ig", "nore"),
            concat!("FIX", "ME")
        );
        let found = faults("a.rs", &text);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("a.rs:2: "), "{found:?}");
        assert!(found[2].starts_with("a.rs:4: "), "{found:?}");
    }

    #[test]
    fn such_words_inside_longer_ones_or_in_strings_of_code_are_no_marks() {
        assert_eq!(faults("a.md", "looked for nowhere\n"), Vec::<String>::new());
        let text = format!("//! Opens.\nlet rule = \"{}\";\n", concat!("db", "g!(x)"));
        assert_eq!(faults("a.rs", &text), Vec::<String>::new());
    }

    #[test]
    fn paths_of_one_machine_are_refused() {
        let text = format!("see {}x/design.md\n", concat!("/wo", "rk/"));
        assert_eq!(faults("docs/a.md", &text).len(), 1);
    }

    #[test]
    fn a_file_past_the_limit_is_refused_and_not_read() {
        let tree = Tree::default().with_bytes("big.csv", FILE_BYTES_MAX + 1);
        let found: Vec<String> = check(&tree).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            ["big.csv: is 1048577 bytes long; a file holds at most 1048576"]
        );
    }
}
