//! One form as a flat row of strings.

use super::column::{COLUMNS, Column};

/// One collected form: a value for each column, empty where the form says nothing.
///
/// `Debug` prints the form's number only, because the rest is personal data.
#[derive(Clone, PartialEq, Eq)]
pub struct Form {
    values: Vec<String>,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            values: vec![String::new(); COLUMNS.len()],
        }
    }
}

impl std::fmt::Debug for Form {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Form")
            .field("form_number", &self.get(Column::FormNumber))
            .finish_non_exhaustive()
    }
}

impl Form {
    /// An empty form.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a column; empty where the form says nothing.
    #[must_use]
    pub fn get(&self, column: Column) -> &str {
        &self.values[column.position()]
    }

    /// Puts a value into a column.
    pub fn set(&mut self, column: Column, value: impl AsRef<str>) {
        let slot = &mut self.values[column.position()];
        slot.clear();
        slot.push_str(value.as_ref());
    }

    /// The value of a column for appending to.
    pub fn value_mut(&mut self, column: Column) -> &mut String {
        &mut self.values[column.position()]
    }

    /// Takes the value out and leaves the column empty.
    pub(super) fn take(&mut self, column: Column) -> String {
        std::mem::take(&mut self.values[column.position()])
    }

    /// Empties every column and keeps their memory.
    pub fn clear(&mut self) {
        for value in &mut self.values {
            value.clear();
        }
    }

    /// The values in the order of [`COLUMNS`].
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(String::as_str)
    }
}
