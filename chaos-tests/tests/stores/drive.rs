//! Carries out a script on one side, and keeps every answer.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use banyan_consensus::{LogDisk as _, StateDisk};
use banyan_domain::{Outcome, Position};
use banyan_storage::{EntryResult, InstallError, LogBounds, LogDone, LogRecord, StateEntry};
use bytes::Bytes;
use futures::future::join_all;
use tokio::sync::oneshot;

use crate::script::{Near, Op, Script, Step};
use crate::side::Side;

/// Virtual time in which a simulated disk has done whatever it can do.
const LONG: Duration = Duration::from_secs(2);

/// One thing that a side said.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Said(String),
    Bounds(LogBounds),
    Read(Vec<LogRecord>),
    Outcomes(Vec<(Position, Vec<Outcome>)>),
    Shown(([u8; 32], u64), Vec<String>),
}

/// A refusal by its words; of a fault, only that it is one.
pub(crate) fn refused(error: &io::Error) -> Answer {
    Answer::Said(match error.kind() {
        io::ErrorKind::InvalidInput => format!("refused: {error}"),
        _ => "a fault".to_owned(),
    })
}

/// Callbacks of one node.
#[derive(Default)]
pub(crate) struct Callbacks {
    asked: u64,
    /// Which ones ran, in their order, and whether with success.
    ran: Arc<Mutex<Vec<(u64, bool)>>>,
    waiting: Vec<oneshot::Receiver<()>>,
}

impl Callbacks {
    /// Calls with a callback, and says what the call itself said.
    pub(crate) fn ask(&mut self, call: impl FnOnce(LogDone) -> io::Result<()>) -> Answer {
        self.asked += 1;
        let (number, ran) = (self.asked, Arc::clone(&self.ran));
        let (sender, waiting) = oneshot::channel();
        let done: LogDone = Box::new(move |result| {
            ran.lock().unwrap().push((number, result.is_ok()));
            // The test may have ended.
            let _ = sender.send(());
        });
        match call(done) {
            Ok(()) => {
                self.waiting.push(waiting);
                Answer::Said("taken".to_owned())
            }
            Err(error) => refused(&error),
        }
    }

    /// Waits for all, and says in which order they ran.
    pub(crate) async fn all(&mut self) -> Answer {
        for waiting in self.waiting.drain(..) {
            waiting.await.unwrap();
        }
        Answer::Said(format!(
            "ran: {:?}",
            std::mem::take(&mut *self.ran.lock().unwrap())
        ))
    }
}

struct Node<S> {
    /// Always there but while it is opened again.
    side: Option<S>,
    callbacks: Callbacks,
    answers: Vec<Answer>,
}

/// Carries out a script, and returns the nodes with the answers of each step.
pub(crate) async fn drive<S: Side>(sides: Vec<S>, script: &Script) -> (Vec<S>, Vec<Vec<Answer>>) {
    let mut nodes: Vec<Node<S>> = sides
        .into_iter()
        .map(|side| Node {
            side: Some(side),
            callbacks: Callbacks::default(),
            answers: Vec::new(),
        })
        .collect();
    let mut answers = Vec::new();
    for step in &script.steps {
        if let Op::Install(from) = step.op {
            let newest = nodes[from].side().state().newest_checkpoint();
            nodes[step.node].install(newest).await;
        } else {
            nodes[step.node].carry_out(step, script).await;
        }
        let node = &mut nodes[step.node];
        node.look();
        node.side().pause(step.pause).await;
        answers.push(std::mem::take(&mut node.answers));
    }
    let sides = nodes.into_iter().filter_map(|node| node.side).collect();
    (sides, answers)
}

impl<S: Side> Node<S> {
    fn side(&self) -> &S {
        self.side.as_ref().unwrap()
    }

    fn bounds(&self) -> LogBounds {
        self.side().log().bounds()
    }

    /// Where the next entry belongs.
    fn next(&self, script: &Script) -> u64 {
        let bounds = self.bounds();
        let last = bounds.last.or(bounds.purged);
        last.map_or(script.begins, |last| last + 1)
    }

    fn applied(&self) -> u64 {
        let applied = self.side().state().applied();
        applied.map_or(0, |applied| applied.position.index)
    }

    fn place(&self, near: Near, script: &Script) -> u64 {
        let next = self.next(script);
        match near {
            Near::First(by) => self
                .bounds()
                .first
                .unwrap_or(next)
                .saturating_add_signed(by),
            Near::Last(by) => next.saturating_sub(1).saturating_add_signed(by),
            Near::Applied(by) => self.applied().saturating_add_signed(by),
        }
    }

    fn say(&mut self, what: impl Into<String>) {
        self.answers.push(Answer::Said(what.into()));
    }

    /// Everything that can be asked without waiting.
    fn look(&mut self) {
        let (log, state) = (self.side().log(), self.side().state());
        let newest = state.newest_checkpoint().map(|newest| {
            (
                S::State::position_of(&newest),
                S::State::membership_of(&newest),
            )
        });
        let said = format!(
            "vote {:?}, committed {:?}, applied {:?}, membership {:?}, newest checkpoint {newest:?}",
            log.read_vote(),
            log.read_committed(),
            state.applied(),
            state.membership(),
        );
        let bounds = Answer::Bounds(log.bounds());
        self.answers.extend([Answer::Said(said), bounds]);
    }

    fn look_at_state(&mut self) {
        let shown = Answer::Shown(self.side().digest(), self.side().shown());
        self.answers.push(shown);
    }

    async fn carry_out(&mut self, step: &Step, script: &Script) {
        match &step.op {
            Op::Append {
                shift,
                hole,
                sizes,
                term,
            } => {
                let from = match (self.bounds().last, self.bounds().purged) {
                    // Any index may be the first of all; it is the script's.
                    (None, None) => script.begins,
                    _ => self.next(script).saturating_add_signed(*shift),
                };
                let records = records(from, *hole, sizes, *term);
                self.append(records);
            }
            Op::Read {
                from,
                until,
                bytes_max,
            } => self.read(*from, *until, *bytes_max, script),
            Op::Truncate(near) => {
                let index = near.map(|near| self.place(near, script));
                let log = self.side.as_ref().unwrap().log();
                let answer = self.callbacks.ask(|done| log.truncate_after(index, done));
                self.answers.push(answer);
            }
            Op::Purge(near) => {
                let index = self.place(*near, script);
                let marker = Bytes::from(format!("purged {index}"));
                let log = self.side.as_ref().unwrap().log();
                let answer = self.callbacks.ask(|done| log.purge(index, marker, done));
                self.answers.push(answer);
            }
            Op::Vote(vote) => self.vote(*vote),
            Op::Committed(committed) => {
                let committed = Bytes::copy_from_slice(&committed.to_be_bytes());
                let result = self.side().log().save_committed(committed);
                self.say(format!("{:?}", result.is_ok()));
            }
            Op::Apply { count, calls } => {
                let entries = self.entries(*count, script);
                self.apply(entries, *calls, script).await;
            }
            Op::ApplyAhead(count) => self.apply_ahead(*count, script).await,
            Op::Checkpoint => self.checkpoint().await,
            Op::Wait => self.wait().await,
            Op::Reopen { checkpoint } => self.reopen(*checkpoint, script).await,
            Op::Install(_) => unreachable!("two nodes take part in it"),
        }
    }

    fn append(&mut self, records: Vec<LogRecord>) {
        let log = self.side.as_ref().unwrap().log();
        let answer = self.callbacks.ask(|done| log.append(records, done));
        self.answers.push(answer);
    }

    fn vote(&mut self, vote: u64) {
        let vote = Bytes::copy_from_slice(&vote.to_be_bytes());
        let log = self.side.as_ref().unwrap().log();
        let answer = self.callbacks.ask(|done| log.save_vote(vote, done));
        self.answers.push(answer);
    }

    fn read(&mut self, from: Near, until: Near, bytes_max: usize, script: &Script) {
        let bounds = self.bounds();
        let mut from = self.place(from, script);
        if bounds.first != bounds.purged.map(|purged| purged + 1) {
            // What was there before the log began was never purged: to ask for it is a fault, and another test's.
            from = from.max(bounds.first.unwrap_or(0));
        }
        let range = from..self.place(until, script);
        let answer = match self.side().log().read(range, bytes_max) {
            Ok(records) => Answer::Read(records),
            Err(error) => refused(&error),
        };
        self.answers.push(answer);
    }

    /// The next entries that are not applied and that the log has.
    fn entries(&self, count: usize, script: &Script) -> Vec<StateEntry> {
        let (from, end) = (self.applied(), self.next(script).saturating_sub(1));
        let count = count.min(usize::try_from(end.saturating_sub(from)).unwrap());
        script
            .entries
            .iter()
            .skip(usize::try_from(from).unwrap())
            .take(count)
            .map(|(entry, _)| entry.clone())
            .collect()
    }

    async fn apply(&mut self, entries: Vec<StateEntry>, calls: usize, script: &Script) {
        let piece = entries.len().div_ceil(calls).max(1);
        let state = self.side().state();
        let mut pending = vec![state.apply(entries.iter().take(piece).cloned().collect())];
        for entries in entries.chunks(piece).skip(1) {
            pending.push(state.apply(entries.to_vec()));
        }
        let results = join_all(pending).await;
        self.results(results, script);
    }

    fn results(&mut self, results: Vec<io::Result<Vec<EntryResult>>>, script: &Script) {
        for results in results {
            let answer = match results {
                Ok(results) => outcomes(results, script),
                Err(error) => refused(&error),
            };
            self.answers.push(answer);
        }
        self.look_at_state();
    }

    /// The state waits for the log.
    async fn apply_ahead(&mut self, count: usize, script: &Script) {
        let (applied, next) = (self.applied(), self.next(script));
        let first = usize::try_from(applied).unwrap();
        if applied + 1 != next || first + count > script.entries.len() {
            return self.say("the log is not where the state is");
        }
        let entries = script.entries[first..first + count]
            .iter()
            .map(|(entry, _)| entry.clone())
            .collect();
        let pending = self.side().state().apply(entries);
        self.side().pause(LONG).await;
        let waits = self.applied();
        self.say(format!("applied {waits} before the log has it"));
        self.append(records(next, false, &vec![40; count], 7));
        let results = pending.await;
        self.results(vec![results], script);
    }

    async fn checkpoint(&mut self) {
        let answer = match self.side().state().checkpoint().await {
            Ok(checkpoint) => Answer::Said(format!(
                "checkpoint with {:?} at {}",
                S::State::membership_of(&checkpoint),
                S::State::position_of(&checkpoint)
            )),
            Err(error) => refused(&error),
        };
        self.answers.push(answer);
    }

    async fn install(&mut self, newest: Option<<S::State as StateDisk>::Checkpoint>) {
        let Some(newest) = newest else {
            return self.say("nothing to install");
        };
        let state = self.side().state();
        let received = state.receive(newest).unwrap();
        let said = match state.install(received).await {
            Ok(applied) => format!("installed {applied:?}"),
            Err(error @ InstallError::Older { .. }) => error.to_string(),
            Err(_) => "a fault".to_owned(),
        };
        self.say(said);
        self.look_at_state();
    }

    async fn wait(&mut self) {
        let ran = self.callbacks.all().await;
        self.answers.push(ran);
        let bounds = self.bounds();
        let all = bounds.first.unwrap_or(0)..u64::MAX;
        let records = self.side().log().read(all, usize::MAX).unwrap();
        self.answers.push(Answer::Read(records));
    }

    async fn reopen(&mut self, checkpoint: bool, script: &Script) {
        // Behind everything else, so that all of it is synced when this is.
        self.vote(self.applied());
        self.wait().await;
        let applied = self.applied();
        // Without a checkpoint the simulated process may lose what the stores write at their close, and must find it in the log.
        if applied > 0 && (checkpoint || applied >= self.next(script)) {
            self.checkpoint().await;
        }
        let side = self.side.take().unwrap();
        self.side = Some(side.reopened().await);
        self.wait().await;
        let lost = applied - self.applied();
        let again = self.entries(usize::try_from(lost).unwrap(), script);
        self.side().state().apply(again).await.unwrap();
        if applied > 0 {
            self.checkpoint().await;
        }
        self.look_at_state();
    }
}

/// Outcomes, and what the domain's reference model expected where it expected something else.
fn outcomes(results: Vec<EntryResult>, script: &Script) -> Answer {
    let results = results.into_iter().map(|result| {
        let index = usize::try_from(result.position.index).unwrap();
        let (entry, expected) = &script.entries[index - 1];
        assert_eq!(entry.position, result.position);
        assert_eq!(
            *expected, result.outcomes,
            "seed {}, index {index}",
            script.seed
        );
        (result.position, result.outcomes)
    });
    Answer::Outcomes(results.collect())
}

/// Entries from an index on, whose bytes say which they are.
pub(crate) fn records(from: u64, hole: bool, sizes: &[usize], term: u64) -> Vec<LogRecord> {
    let last = sizes.len().saturating_sub(1);
    sizes
        .iter()
        .enumerate()
        .map(|(place, size)| {
            let index = from + place as u64 + u64::from(hole && place == last && place > 0);
            let mut bytes = vec![0; *size];
            blake3::Hasher::new()
                .update(&index.to_be_bytes())
                .update(&term.to_be_bytes())
                .finalize_xof()
                .fill(&mut bytes);
            LogRecord {
                index,
                term,
                bytes: bytes.into(),
            }
        })
        .collect()
}
