//! What is wrong with a read: every fault of every field, told in one answer.

use banyan_domain::{FieldFault, Text, ValueFault};
use banyan_wire::errors::Code;
use banyan_wire::v1::ErrorDetail;

use super::read::Purpose;

/// Gathers what is wrong with a request.
#[derive(Default)]
pub(super) struct Faults(pub(super) Vec<FieldFault>);

impl Faults {
    pub(super) fn take<T>(&mut self, field: &str, parsed: Result<T, ValueFault>) -> Option<T> {
        parsed.map_err(|fault| self.0.push(fault.at(field))).ok()
    }

    pub(super) fn take_all<T>(&mut self, parsed: Result<T, Vec<FieldFault>>) -> Option<T> {
        parsed.map_err(|faults| self.0.extend(faults)).ok()
    }

    pub(super) fn purpose(&mut self, text: &str) -> Option<Purpose> {
        self.take("purpose", Text::optional(text))
    }

    /// How many the caller wants at most: `usual` for 0, and never more than `bound`.
    pub(super) fn limit(&mut self, field: &str, asked: u32, usual: usize, bound: usize) -> usize {
        match usize::try_from(asked) {
            Ok(0) => usual,
            Ok(limit) if limit <= bound => limit,
            _ => {
                let rule = format!("{field} {asked} exceeds maximum {bound}");
                self.0.push(FieldFault::new(field, rule));
                usual
            }
        }
    }

    /// The value, if no fault was found at all.
    pub(super) fn none<T>(self, value: T) -> Result<T, ErrorDetail> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(ErrorDetail::invalid_fields(&self.0))
        }
    }
}

pub(super) fn incomplete(text: &str) -> ErrorDetail {
    ErrorDetail::new(Code::QueryIncomplete, text)
}
