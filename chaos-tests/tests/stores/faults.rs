//! What a node may still do after its first fault: read, and nothing else.

use banyan_consensus::{LogDisk as _, StateDisk as _};
use banyan_domain::Position;
use banyan_storage::{EntryKind, StateEntry};
use bytes::Bytes;

use crate::drive::{Answer, Callbacks, records, refused};
use crate::side::Side;

/// What brings it about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// None, but a checkpoint of nothing is refused.
    NothingToCheckpoint,
    /// An entry is asked for that was never there and never purged.
    MissingEntry,
    /// An entry is applied out of order.
    OutOfOrder,
    /// The same, while an entry before it waits for the log.
    OutOfOrderBehindAnother,
}

impl Fault {
    pub(crate) const ALL: [Self; 4] = [
        Self::NothingToCheckpoint,
        Self::MissingEntry,
        Self::OutOfOrder,
        Self::OutOfOrderBehindAnother,
    ];
}

fn blank(index: u64) -> StateEntry {
    StateEntry {
        position: Position { term: 1, index },
        kind: EntryKind::Blank,
    }
}

fn said<T>(result: Result<T, std::io::Error>) -> Answer {
    result.map_or_else(|error| refused(&error), |_| Answer::Said("done".to_owned()))
}

/// Brings the fault about, and then tries everything.
pub(crate) async fn run<S: Side>(side: S, fault: Fault) -> Vec<Answer> {
    let (log, state) = (side.log(), side.state());
    let mut callbacks = Callbacks::default();
    let mut answers = Vec::new();
    answers.push(callbacks.ask(|done| log.append(records(1, false, &[30; 9], 1), done)));
    answers.push(callbacks.all().await);
    // Asks for nothing, where there was nothing.
    answers.push(said(log.read(0..0, 1_000)));
    if matches!(fault, Fault::NothingToCheckpoint) {
        answers.push(said(state.checkpoint().await));
    }
    answers.push(said(state.apply((1..=4).map(blank).collect()).await));
    answers.push(said(state.checkpoint().await));
    let received = state.receive(state.newest_checkpoint().unwrap()).unwrap();
    match fault {
        Fault::NothingToCheckpoint => {}
        Fault::MissingEntry => answers.push(said(log.read(0..3, 1_000))),
        Fault::OutOfOrder => answers.push(said(state.apply(vec![blank(6)]).await)),
        Fault::OutOfOrderBehindAnother => {
            answers.push(said(state.apply(vec![blank(5)]).await));
            answers.push(said(state.apply(vec![blank(5)]).await));
        }
    }

    let empty = || Bytes::from_static(b"after");
    answers.push(callbacks.ask(|done| log.append(records(10, false, &[30], 1), done)));
    answers.push(callbacks.ask(|done| log.append(records(15, false, &[30], 1), done)));
    answers.push(callbacks.ask(|done| log.save_vote(empty(), done)));
    answers.push(said(log.save_committed(empty())));
    answers.push(callbacks.ask(|done| log.truncate_after(Some(9), done)));
    answers.push(callbacks.ask(|done| log.purge(2, empty(), done)));
    answers.push(callbacks.ask(|done| log.purge(8, empty(), done)));
    answers.push(callbacks.all().await);
    let next = state.applied().unwrap().position.index + 1;
    answers.push(said(state.apply(vec![blank(next)]).await));
    answers.push(said(state.apply(Vec::new()).await));
    answers.push(said(state.checkpoint().await));
    let installed = state.install(received).await;
    answers.push(Answer::Said(match installed {
        Ok(applied) => format!("{applied:?}"),
        Err(error) if error.to_string().contains("older") => error.to_string(),
        Err(_) => "a fault".to_owned(),
    }));
    // A node works on one received checkpoint at a time.
    answers.push(said(state.receive(state.newest_checkpoint().unwrap())));
    answers.push(Answer::Bounds(log.bounds()));
    answers.push(Answer::Read(log.read(4..7, 50).unwrap()));
    answers.push(Answer::Said(format!(
        "{:?} {:?} {:?}",
        log.read_vote(),
        log.read_committed(),
        state.applied()
    )));
    answers
}
