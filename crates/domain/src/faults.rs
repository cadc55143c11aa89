//! What is wrong with a request, field by field, gathered so that one answer names all of it.

use std::fmt;

/// One fault of one field.
///
/// The message says the rule and the bound; it never holds the value of a personal field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldFault {
    /// Dotted path of the field, for instance `data.birth_date.month`.
    pub field: String,
    /// What the rule is and how it was broken, lower case, no full stop.
    pub message: String,
}

impl FieldFault {
    /// A fault of a field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }

    /// The same fault seen from one level further out: `month` under `birth_date` is `birth_date.month`.
    #[must_use]
    pub fn under(mut self, parent: &str) -> Self {
        if self.field.is_empty() {
            self.field.push_str(parent);
        } else if !parent.is_empty() {
            self.field = format!("{parent}.{}", self.field);
        }
        self
    }
}

impl fmt::Display for FieldFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// One rule broken by one value; becomes a [`FieldFault`] where the name of the field is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueFault(pub String);

impl ValueFault {
    /// A fault that says the rule.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// The fault of a named field.
    #[must_use]
    pub fn at(self, field: impl Into<String>) -> FieldFault {
        FieldFault {
            field: field.into(),
            message: self.0,
        }
    }
}
