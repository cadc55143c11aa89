//! Writing answers: a table for people or one JSON document for programs, never both.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

/// Columns that a record's card takes at most.
const CARD_WIDTH: u16 = 110;

/// Where answers go and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// One JSON document on standard output instead of text.
    pub(crate) json: bool,
}

impl Output {
    /// Writes an answer: `value` as JSON, or the text that `human` makes.
    pub(crate) fn answer<T: Serialize>(self, value: &T, human: impl FnOnce() -> String) {
        if self.json {
            self.json(value);
        } else {
            put(&human());
        }
    }

    /// Writes one of many JSON documents, on a line of its own.
    pub(crate) fn json_line<T: Serialize>(self, value: &T) {
        match serde_json::to_string(value) {
            Ok(text) => put(&text),
            Err(error) => note(&format!("the answer cannot be written as JSON: {error}")),
        }
    }

    /// Writes one JSON document.
    pub(crate) fn json<T: Serialize>(self, value: &T) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => put(&text),
            Err(error) => note(&format!("the answer cannot be written as JSON: {error}")),
        }
    }
}

/// Writes text and a line feed to standard output. A reader that has gone away (`| head`) is no fault.
pub(crate) fn put(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = out.write_all(b"\n");
    }
    let _ = out.flush();
}

/// Writes a line for the person at the terminal to standard error.
pub(crate) fn note(text: &str) {
    let mut out = io::stderr().lock();
    let _ = writeln!(out, "{text}");
}

/// An empty table in the house style; columns are added by the caller.
pub(crate) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = bare_table();
    table.set_header(header);
    table
}

/// A table without a header, for a record's fields; long values go on in the next line.
pub(crate) fn card_table() -> Table {
    let mut table = bare_table();
    table
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(CARD_WIDTH);
    table
}

/// A table as text, without the blanks that fill up its last column.
pub(crate) fn text_of(table: &Table) -> String {
    table.trim_fmt()
}

/// A table without a header.
pub(crate) fn bare_table() -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table
}
