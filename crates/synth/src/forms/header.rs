//! The first line of a CSV file: which columns stand where.

use super::{COLUMNS, Column};

/// Everything that is wrong with a header, at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderFault {
    /// Names that are no column.
    pub unknown: Vec<String>,
    /// Names that stand more than once.
    pub repeated: Vec<String>,
    /// Columns that every file must have and this one lacks.
    pub missing: Vec<&'static str>,
}

impl HeaderFault {
    fn is_empty(&self) -> bool {
        self.unknown.is_empty() && self.repeated.is_empty() && self.missing.is_empty()
    }
}

impl std::fmt::Display for HeaderFault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        if !self.unknown.is_empty() {
            parts.push(format!("unknown columns: {}", self.unknown.join(", ")));
        }
        if !self.repeated.is_empty() {
            parts.push(format!("columns named twice: {}", self.repeated.join(", ")));
        }
        if !self.missing.is_empty() {
            parts.push(format!("missing columns: {}", self.missing.join(", ")));
        }
        formatter.write_str(&parts.join("; "))
    }
}

/// Reads a header's names into columns.
pub(super) fn columns_of<'a>(
    names: impl Iterator<Item = &'a str>,
) -> Result<Vec<Column>, HeaderFault> {
    let mut fault = HeaderFault::default();
    let mut columns = Vec::new();
    for name in names {
        let name = name.trim();
        match Column::of_name(name) {
            None => fault.unknown.push(shortened(name)),
            Some(column) if columns.contains(&column) => fault.repeated.push(name.to_owned()),
            Some(column) => columns.push(column),
        }
    }
    for column in COLUMNS {
        if column.required() && !columns.contains(column) {
            fault.missing.push(column.name());
        }
    }
    if fault.is_empty() {
        Ok(columns)
    } else {
        Err(fault)
    }
}

/// A name for an error message: a file without a header would otherwise print its first person.
fn shortened(name: &str) -> String {
    if !name.is_empty()
        && name.len() <= 40
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    {
        return name.to_owned();
    }
    "(not a column name)".to_owned()
}
