//! Rows that did not get in: each fault with its line, its field and its reason.

use banyan_wire::v1;

use super::{Fault, Progress};

/// A row that did not get in; one for each fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    pub line: u64,
    pub form: String,
    /// Empty where the row as a whole was refused.
    pub field: String,
    /// `BNY-nnnn`; empty for a row that could not be read.
    pub code: String,
    pub reason: String,
}

/// What is kept of a row while its command is under way.
pub(super) struct RowMark {
    pub(super) line: u64,
    pub(super) end_offset: u64,
    pub(super) form: String,
    /// `None`: sent, and the next of the answers is this row's.
    pub(super) faults: Option<Vec<Fault>>,
}

pub(super) fn settle_outcome(
    mark: &RowMark,
    outcome: &v1::Outcome,
    progress: &mut Progress,
    rejects: &mut Vec<Reject>,
) {
    match &outcome.result {
        Some(v1::outcome::Result::Accepted(_)) => {
            progress.imported += 1;
            progress.replayed += u64::from(outcome.replayed);
        }
        Some(v1::outcome::Result::Rejected(rejected)) => {
            rejects.extend(reject_each(
                mark,
                &rejected.code,
                &rejected.message,
                &rejected.faults,
            ));
        }
        None => rejects.push(whole_row(mark, "", "the answer held no outcome")),
    }
}

pub(super) fn unreadable(mark: &RowMark, faults: &[Fault]) -> Vec<Reject> {
    if faults.is_empty() {
        return vec![whole_row(mark, "", "the row could not be read")];
    }
    faults
        .iter()
        .map(|fault| Reject {
            field: fault.field.clone(),
            ..whole_row(mark, "", &fault.message)
        })
        .collect()
}

pub(super) fn refused(mark: &RowMark, detail: &v1::ErrorDetail) -> Vec<Reject> {
    reject_each(mark, &detail.code, &detail.message, &detail.faults)
}

fn reject_each(
    mark: &RowMark,
    code: &str,
    message: &str,
    faults: &[v1::FieldFault],
) -> Vec<Reject> {
    if faults.is_empty() {
        return vec![whole_row(mark, code, message)];
    }
    faults
        .iter()
        .map(|fault| Reject {
            field: fault.field.clone(),
            ..whole_row(mark, code, &fault.message)
        })
        .collect()
}

fn whole_row(mark: &RowMark, code: &str, reason: &str) -> Reject {
    Reject {
        line: mark.line,
        form: mark.form.clone(),
        field: String::new(),
        code: code.to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_of_a_row_is_told_with_line_and_field() {
        let mark = RowMark {
            line: 7,
            end_offset: 900,
            form: "F-7".to_owned(),
            faults: None,
        };
        let fault = |field: &str| v1::FieldFault {
            field: field.to_owned(),
            message: "must be a date".to_owned(),
        };
        let told = reject_each(&mark, "BNY-0101", "two faults", &[fault("a"), fault("b")]);
        assert_eq!(told.len(), 2);
        assert_eq!((told[1].line, told[1].field.as_str()), (7, "b"));
        assert_eq!(
            unreadable(&mark, &[])[0].reason,
            "the row could not be read"
        );
    }
}
