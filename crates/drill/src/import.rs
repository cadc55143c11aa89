//! The importer: rows of a file become commands, batches of commands go through the replicated path, many at once.
//!
//! Every row has an idempotency key that depends on the file, its time and the row alone, so a run that was broken off, and a batch whose answer was
//! lost, are sent again without a second effect. Progress is told in the order of the file: everything up to
//! [`Progress::end_offset`] is settled, and a later run may start there.

mod reject;

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant, SystemTime};

use banyan_client::{CallError, Client, Submission, SubmitOptions, new_key};
use banyan_domain::limits::KEY_WINDOW_MS;
use banyan_domain::{IdempotencyKey, Timestamp};
use banyan_wire::v1;
use tokio::task::JoinHandle;

use crate::access;
use crate::history::Pin;

pub use reject::Reject;
use reject::{RowMark, refused, settle_outcome, unreadable};

/// Rows in one call at most: the protocol's bound.
pub const BATCH_ROWS_MAX: usize = 1000;

/// One row of a file, read or unreadable.
#[derive(Debug, Clone)]
pub struct Row {
    /// From 1, as an editor counts.
    pub line: u64,
    /// Bytes of the file up to the end of this row.
    pub end_offset: u64,
    /// The form's number, or empty.
    pub form: String,
    /// The same whenever this row of this file is sent.
    pub key: IdempotencyKey,
    pub content: Result<v1::Command, Vec<Fault>>,
}

/// What is wrong with one field of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub field: String,
    pub message: String,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows with a definite outcome.
    pub settled: u64,
    /// Rows that are in the registry now.
    pub imported: u64,
    /// Of those, rows that were in it before, from an earlier try.
    pub replayed: u64,
    /// Rows that were refused or could not be read.
    pub rejected: u64,
    /// The last settled row's line.
    pub line: u64,
    /// Everything up to this byte of the file is settled.
    pub end_offset: u64,
}

/// How to import.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Rows in one call, 1 to 1000.
    pub batch_rows: usize,
    /// Calls under way at once.
    pub in_flight: usize,
    /// How long one batch is tried again before the import gives up.
    pub patience: Duration,
    /// Keep the number of every so-manieth imported person, for those who read some of them afterwards; 0: of none.
    pub sample_every: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            batch_rows: 500,
            in_flight: 8,
            patience: Duration::from_secs(120),
            sample_every: 0,
        }
    }
}

/// What an import did.
#[derive(Debug, Clone)]
pub struct Summary {
    pub progress: Progress,
    pub elapsed: Duration,
    /// Numbers of some imported persons, see [`Options::sample_every`].
    pub sample: Vec<Pin>,
}

impl Summary {
    /// Rows imported for each second of the run.
    pub fn imported_per_second(&self) -> f64 {
        self.progress.imported as f64 / self.elapsed.as_secs_f64().max(0.001)
    }
}

/// Why an import stopped. What is settled stays settled; the next run goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(
        "batches hold 1 to {BATCH_ROWS_MAX} rows, not {rows}, and 1 to 64 are under way at once, not {in_flight}"
    )]
    Options { rows: usize, in_flight: usize },
    #[error("cannot read on after line {line}")]
    Read {
        line: u64,
        #[source]
        source: io::Error,
    },
    #[error("cannot write down the progress at line {line}")]
    Observe {
        line: u64,
        #[source]
        source: io::Error,
    },
    #[error("rows {from} to {to} could not be settled")]
    Submit {
        from: u64,
        to: u64,
        #[source]
        source: Box<CallError>,
    },
    #[error("the task that sent rows {from} to {to} was lost")]
    Lost { from: u64, to: u64 },
    #[error("no client to send with")]
    NoClient,
}

/// When the keys of a file's rows are said to be made: when the file was last changed, so that the same file gives the same keys
/// again, or now, where that is unknown or so long ago that keys might expire while the import goes on.
pub fn keys_made(changed: Option<SystemTime>) -> Timestamp {
    let changed = changed
        .and_then(|changed| changed.duration_since(SystemTime::UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_millis()).ok());
    still_good(changed.map(Timestamp), new_key().made())
}

/// The time, unless half the window of keys has passed since, or it is yet to come.
pub fn still_good(made: Option<Timestamp>, now: Timestamp) -> Timestamp {
    made.filter(|made| (now.get() - KEY_WINDOW_MS / 2..=now.get()).contains(&made.get()))
        .unwrap_or(now)
}

/// Sends all rows, batch after batch, several at once and in turn through the clients given; tells progress and rejected rows
/// in the order of the file.
///
/// # Errors
/// [`ImportError`] at the first thing that stops the import; batches under way are awaited first, and those before the
/// failed one are told.
pub async fn run(
    clients: &[Client],
    rows: impl Iterator<Item = io::Result<Row>>,
    options: &Options,
    observe: &mut (dyn FnMut(&Progress, &[Reject]) -> io::Result<()> + Send),
) -> Result<Summary, ImportError> {
    if !(1..=BATCH_ROWS_MAX).contains(&options.batch_rows) || !(1..=64).contains(&options.in_flight)
    {
        let (rows, in_flight) = (options.batch_rows, options.in_flight);
        return Err(ImportError::Options { rows, in_flight });
    }
    if clients.is_empty() {
        return Err(ImportError::NoClient);
    }
    let start = Instant::now();
    let mut rows = rows;
    let mut progress = Progress::default();
    let mut sample = Sample {
        every: options.sample_every,
        pins: Vec::new(),
    };
    let mut under_way: VecDeque<Batch> = VecDeque::new();
    let mut sent = 0;
    let mut exhausted = false;
    loop {
        while !exhausted && under_way.len() < options.in_flight {
            let batch = gather(&mut rows, options.batch_rows, progress.line)?;
            exhausted = batch.len() < options.batch_rows;
            if !batch.is_empty() {
                let client = clients[sent % clients.len()].clone();
                sent += 1;
                under_way.push_back(Batch::send(client, batch, options.patience));
            }
        }
        // The oldest first: progress is told in the order of the file.
        let Some(batch) = under_way.pop_front() else {
            break;
        };
        let rejects = batch.settle(&mut progress, &mut sample).await?;
        observe(&progress, &rejects).map_err(|source| ImportError::Observe {
            line: progress.line,
            source,
        })?;
    }
    Ok(Summary {
        progress,
        elapsed: start.elapsed(),
        sample: sample.pins,
    })
}

fn gather(
    rows: &mut impl Iterator<Item = io::Result<Row>>,
    count: usize,
    line: u64,
) -> Result<Vec<Row>, ImportError> {
    let mut batch = Vec::with_capacity(count);
    for row in rows.take(count) {
        batch.push(row.map_err(|source| ImportError::Read { line, source })?);
    }
    Ok(batch)
}

/// Numbers of some of the imported persons.
struct Sample {
    every: u64,
    pins: Vec<Pin>,
}

impl Sample {
    fn take(&mut self, outcome: &v1::Outcome, imported: u64) {
        if let Some(v1::outcome::Result::Accepted(accepted)) = &outcome.result
            && self.every > 0
            && imported.is_multiple_of(self.every)
        {
            self.pins.push(Pin(accepted.pin.clone()));
        }
    }
}

type Answers = Vec<Result<v1::Outcome, CallError>>;

struct Batch {
    marks: Vec<RowMark>,
    answers: JoinHandle<Result<Answers, CallError>>,
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.answers.abort();
    }
}

impl Batch {
    fn send(client: Client, rows: Vec<Row>, patience: Duration) -> Batch {
        let mut marks = Vec::with_capacity(rows.len());
        let mut submissions = Vec::with_capacity(rows.len());
        for row in rows {
            let faults = match row.content {
                Ok(command) => {
                    submissions.push(Submission {
                        key: row.key,
                        command,
                    });
                    None
                }
                Err(faults) => Some(faults),
            };
            marks.push(RowMark {
                line: row.line,
                end_offset: row.end_offset,
                form: row.form,
                faults,
            });
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "held by the batch: awaited in `settle`, aborted when the batch is dropped"
        )]
        let answers = tokio::spawn(async move {
            if submissions.is_empty() {
                Ok(Vec::new())
            } else {
                submit(&client, submissions, patience).await
            }
        });
        Batch { marks, answers }
    }

    fn failed(&self, source: CallError) -> ImportError {
        let (from, to) = self.lines();
        ImportError::Submit {
            from,
            to,
            source: Box::new(source),
        }
    }

    fn lines(&self) -> (u64, u64) {
        (
            self.marks.first().map_or(0, |mark| mark.line),
            self.marks.last().map_or(0, |mark| mark.line),
        )
    }

    async fn settle(
        mut self,
        progress: &mut Progress,
        sample: &mut Sample,
    ) -> Result<Vec<Reject>, ImportError> {
        let answers = match (&mut self.answers).await {
            Ok(Ok(answers)) => answers,
            Ok(Err(error)) => return Err(self.failed(error)),
            Err(_) => {
                let (from, to) = self.lines();
                return Err(ImportError::Lost { from, to });
            }
        };
        let mut answers = answers.into_iter();
        let mut rejects = Vec::new();
        for mark in &self.marks {
            let before = rejects.len();
            match &mark.faults {
                Some(faults) => rejects.extend(unreadable(mark, faults)),
                None => match answers.next() {
                    Some(Ok(outcome)) => {
                        settle_outcome(mark, &outcome, progress, &mut rejects);
                        sample.take(&outcome, progress.imported);
                    }
                    Some(Err(CallError::Refused { detail, .. })) => {
                        rejects.extend(refused(mark, &detail));
                    }
                    Some(Err(error)) => return Err(self.failed(error)),
                    None => {
                        let (from, to) = self.lines();
                        return Err(ImportError::Lost { from, to });
                    }
                },
            }
            progress.rejected += u64::from(rejects.len() > before);
            progress.settled += 1;
            progress.line = mark.line;
            progress.end_offset = mark.end_offset;
        }
        Ok(rejects)
    }
}

/// Sends one batch until every row has a definite answer or patience ends.
async fn submit(
    client: &Client,
    submissions: Vec<Submission>,
    patience: Duration,
) -> Result<Answers, CallError> {
    let options = SubmitOptions {
        deadline: Some(patience),
        ..SubmitOptions::default()
    };
    let answers = client
        .submit_batch_with(submissions.clone(), &options)
        .await?
        .answers;
    settle_stragglers(client, &submissions, answers, patience).await
}

/// Rows whose answer was not definite, in a batch whose others were: sent again with their keys, until they are.
async fn settle_stragglers(
    client: &Client,
    submissions: &[Submission],
    mut answers: Answers,
    patience: Duration,
) -> Result<Answers, CallError> {
    let end = Instant::now() + patience;
    loop {
        let open: Vec<usize> = answers
            .iter()
            .enumerate()
            .filter(|(_, answer)| matches!(answer, Err(error) if access::try_again(error)))
            .map(|(index, _)| index)
            .collect();
        if open.is_empty() || Instant::now() >= end {
            return Ok(answers);
        }
        let again = open
            .iter()
            .map(|index| submissions[*index].clone())
            .collect();
        let left = end.saturating_duration_since(Instant::now());
        let options = SubmitOptions {
            deadline: Some(left),
            ..SubmitOptions::default()
        };
        let settled = client.submit_batch_with(again, &options).await?.answers;
        for (index, answer) in open.into_iter().zip(settled) {
            answers[index] = answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_of_the_time_of_a_young_file_and_else_of_now() {
        let now = Timestamp(1_790_000_000_000);
        let ago = |ms: i64| Timestamp(now.get() - ms);
        let half = KEY_WINDOW_MS / 2;
        assert_eq!(still_good(Some(ago(half)), now), ago(half));
        for none in [None, Some(ago(half + 1)), Some(ago(-1))] {
            assert_eq!(still_good(none, now), now);
        }
    }
}
