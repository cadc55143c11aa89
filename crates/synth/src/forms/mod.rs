//! Collected forms (DC01) as flat rows: the one shape in which persons enter and leave as CSV or JSON Lines.
//!
//! [`Writer`] writes rows, [`Reader`] reads them back as commands. Column names are stable ([`Column`]); a file may
//! hold them in any order and leave out those it does not need. One line holds one row: a quoted line break is
//! refused, so that a stray quotation mark costs its own line and never the rest of the file.

mod column;
mod command;
mod form;
mod header;
mod json;
mod reader;
mod writer;

pub use column::{COLUMNS, Column};
pub use command::{column_of, command_of, parse_date};
pub use form::Form;
pub use header::HeaderFault;
pub use reader::{LINE_BYTES_MAX, OpenError, Reader, Row};
pub use writer::Writer;

use std::path::Path;

/// How rows are written in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values (RFC 4180, one record to a line), the first line naming the columns.
    Csv,
    /// One JSON object to a line, its members named after the columns, its values strings.
    JsonLines,
}

impl Format {
    /// The format that a file's name suggests: `.csv`, or `.jsonl`, `.ndjson` and `.json` for JSON Lines.
    #[must_use]
    pub fn of_path(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" | "json" => Some(Self::JsonLines),
            _ => None,
        }
    }
}

/// What is wrong with one field of one row. The message states the rule, never the value.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FormFault {
    /// Name of the column, or `row` where the line as a whole cannot be read.
    pub column: String,
    /// The rule that does not hold.
    pub message: String,
}

impl FormFault {
    /// A fault of one column.
    #[must_use]
    pub fn of(column: Column, message: impl Into<String>) -> Self {
        Self {
            column: column.name().to_owned(),
            message: message.into(),
        }
    }

    /// A fault of the line as a whole.
    #[must_use]
    pub fn of_row(message: impl Into<String>) -> Self {
        Self {
            column: "row".to_owned(),
            message: message.into(),
        }
    }
}
