//! Gathers the faults of a message, so that one answer names all of them.

use banyan_domain::{FieldFault, ValueFault};

/// Faults found so far. Paths are built only once there is a fault.
#[derive(Default)]
pub(crate) struct Gather {
    found: Vec<FieldFault>,
}

impl Gather {
    /// Keeps a value, or notes why its field is at fault.
    pub(crate) fn value<T>(&mut self, field: &str, value: Result<T, ValueFault>) -> Option<T> {
        value.map_err(|fault| self.found.push(fault.at(field))).ok()
    }

    /// Keeps a value of several fields, or notes its faults below the field.
    pub(crate) fn nested<T>(
        &mut self,
        field: &str,
        value: Result<T, Vec<FieldFault>>,
    ) -> Option<T> {
        value
            .map_err(|faults| {
                self.found
                    .extend(faults.into_iter().map(|fault| fault.under(field)))
            })
            .ok()
    }

    /// Reads a text that may be empty, which means that the value is not given.
    pub(crate) fn optional<T>(
        &mut self,
        field: &str,
        text: &str,
        read: impl FnOnce(&str) -> Result<T, ValueFault>,
    ) -> Option<T> {
        if text.is_empty() {
            None
        } else {
            self.value(field, read(text))
        }
    }

    /// Reads a message that must be there.
    pub(crate) fn required<M, T>(
        &mut self,
        field: &str,
        message: Option<&M>,
        read: impl FnOnce(&M) -> Result<T, Vec<FieldFault>>,
    ) -> Option<T> {
        match message {
            Some(message) => self.nested(field, read(message)),
            None => {
                self.missing(field);
                None
            }
        }
    }

    /// Reads a message that may be absent.
    pub(crate) fn maybe<M, T>(
        &mut self,
        field: &str,
        message: Option<&M>,
        read: impl FnOnce(&M) -> Result<T, Vec<FieldFault>>,
    ) -> Option<T> {
        message.and_then(|message| self.nested(field, read(message)))
    }

    /// Reads an enumeration whose zero means "not given".
    pub(crate) fn maybe_code<T>(
        &mut self,
        field: &str,
        code: i32,
        read: impl FnOnce(i32) -> Option<T>,
    ) -> Option<T> {
        if code == 0 {
            return None;
        }
        let value = read(code);
        if value.is_none() {
            self.add(
                field,
                format!("value {code} is none that this version knows"),
            );
        }
        value
    }

    /// Reads an enumeration that must be given.
    pub(crate) fn code<T>(
        &mut self,
        field: &str,
        code: i32,
        read: impl FnOnce(i32) -> Option<T>,
    ) -> Option<T> {
        if code == 0 {
            self.missing(field);
        }
        self.maybe_code(field, code, read)
    }

    /// Notes a field that must be given.
    pub(crate) fn missing(&mut self, field: &str) {
        self.add(field, "must be given");
    }

    /// Notes a fault.
    pub(crate) fn add(&mut self, field: &str, message: impl Into<String>) {
        self.found.push(FieldFault::new(field, message));
    }

    /// The whole value if nothing was at fault, else every fault.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<T, Vec<FieldFault>> {
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => {
                if self.found.is_empty() {
                    self.add("", "is incomplete");
                }
                Err(self.found)
            }
        }
    }
}

/// The faults as seen from the path at which the message stands.
pub(crate) fn at_path<T>(
    path: &str,
    value: Result<T, Vec<FieldFault>>,
) -> Result<T, Vec<FieldFault>> {
    value.map_err(|faults| faults.into_iter().map(|fault| fault.under(path)).collect())
}
