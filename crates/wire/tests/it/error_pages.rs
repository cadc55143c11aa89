//! Each code has a page, each page a code, and the head of a page says what the table says.

use std::collections::BTreeSet;
use std::path::PathBuf;

use banyan_wire::errors::{Code, Kind, Row};

/// Headings that every page has.
const SECTIONS: [&str; 4] = [
    "## What it means",
    "## Why it happens",
    "## What to do",
    "## Example",
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors")
}

/// The two lines that open a page.
fn opening(row: &Row) -> String {
    let kind = match row.kind {
        Kind::Request => "request",
        Kind::Denied => "denied",
        Kind::Rejection => "rejection",
        Kind::Unavailable => "unavailable",
        Kind::Fault => "fault",
    };
    let (label, name, title, http) = (row.label, row.name, row.title, row.http);
    let mut title = title.to_owned();
    title[..1].make_ascii_uppercase();
    format!(
        "# {label} {name}\n\n{title}. Kind: {kind}; gRPC {:?}; HTTP {http}.\n",
        row.grpc
    )
}

#[test]
fn each_code_has_a_page_that_says_what_the_table_says() {
    let mut wrong = Vec::new();
    for code in Code::ALL {
        let page = std::fs::read_to_string(folder().join(format!("{}.md", code.label())));
        let page = page.unwrap_or_default();
        if !page.starts_with(&opening(code.row())) {
            wrong.push(format!(
                "{}: must begin with\n{}",
                code.page(),
                opening(code.row())
            ));
        }
        if !page.contains(code.row().next) {
            wrong.push(format!("{}: must say `{}`", code.page(), code.row().next));
        }
        let lacking = SECTIONS.iter().filter(|section| !page.contains(**section));
        wrong.extend(lacking.map(|section| format!("{}: lacks `{section}`", code.page())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_page_has_a_code() {
    let known: BTreeSet<String> = Code::ALL
        .iter()
        .map(|code| format!("{}.md", code.label()))
        .collect();
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name != "README.md" {
            found.insert(name);
        }
    }
    assert_eq!(found, known);
}

#[test]
fn the_index_names_each_code_once() {
    let index = std::fs::read_to_string(folder().join("README.md")).unwrap();
    for code in Code::ALL {
        let link = format!("[{0}]({0}.md)", code.label());
        assert_eq!(index.matches(&link).count(), 1, "{link}");
    }
}
