//! One register as `porcupine-rs` knows it: which answers an operation may have in which state.
//!
//! A write without an answer needs no second state. Whether a compare-and-set has its effect follows from the state that it meets, so that
//! it is an operation that returns at the end of time and fits either way: where it meets the version that it expects it has its effect,
//! elsewhere none, and after everything else nobody can tell.

use std::time::Duration;

use porcupine_rs::{CheckResult, LinearizationInfo, Model};

use super::record::{Act, Answer, Level, Operation, Read, Value, Write};

/// The model.
#[derive(Debug, Clone, Copy)]
pub struct Register;

impl Model for Register {
    type State = Value;
    type Op = Act;
    type Metadata = String;

    fn init() -> Value {
        Value::BIRTH
    }

    fn step(state: &Value, act: &Act) -> (bool, Value) {
        match act {
            Act::Read(read) => (read.value == *state, *state),
            Act::Write(write) if write.expected == state.version => {
                let next = Value {
                    version: state.version + 1,
                    writing: write.writing,
                };
                (may_have_taken_effect(write, next), next)
            }
            Act::Write(write) => {
                let fits = matches!(write.answer, Answer::Conflict | Answer::Unknown);
                (fits, *state)
            }
        }
    }
}

fn may_have_taken_effect(write: &Write, next: Value) -> bool {
    match write.answer {
        Answer::Accepted { version } => version == next.version,
        Answer::Conflict => false,
        Answer::Unknown => true,
    }
}

/// What the checker says of one register.
pub type Judgement = (CheckResult, LinearizationInfo<Register>);

/// Whether the writes and the linearizable reads of one register are linearizable; looks for at most `within`.
pub fn judge(operations: &[&Operation], within: Duration) -> Judgement {
    let history: Vec<_> = operations
        .iter()
        .filter(|operation| is_ordered(operation))
        .map(|operation| porcupine_rs::Operation::<Register> {
            client_id: u32::try_from(operation.client).ok(),
            call_time: nanoseconds(operation.called),
            return_time: operation.returned.map_or(i64::MAX, nanoseconds),
            op: operation.act,
            metadata: Some(operation.node.clone()),
        })
        .collect();
    match porcupine_rs::check_operations_timeout(&history, within) {
        // Only a history that does not fit is worth a second look, which keeps how far the orders went.
        CheckResult::Illegal => {
            let (_, info) = porcupine_rs::check_operations_info_timeout(&history, within);
            (CheckResult::Illegal, info)
        }
        other => (other, LinearizationInfo::empty()),
    }
}

/// Session and local reads may be of an older state.
fn is_ordered(operation: &Operation) -> bool {
    matches!(
        operation.act,
        Act::Write(_)
            | Act::Read(Read {
                level: Level::Linearizable,
                ..
            })
    )
}

fn nanoseconds(time: Duration) -> i64 {
    // The last but one moment at most: the last is that of answers that never came.
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX - 1)
}
