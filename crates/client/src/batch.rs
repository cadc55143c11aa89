//! Many writes in one call, each with its own key and its own outcome.

use banyan_domain::IdempotencyKey;
use banyan_domain::limits::BATCH_COMMANDS_MAX;
use banyan_wire::errors::Code;
use banyan_wire::v1;
use banyan_wire::v1::{BatchAnswer, ErrorDetail, batch_answer};
use tonic::Status;

use crate::client::{Client, is_about_the_key, reason_of_key, write_error};
use crate::error::CallError;
use crate::journey::End;
use crate::link::timed;
use crate::options::{Stats, SubmitOptions};
use crate::trouble::{Next, Trouble};

/// One write of a batch.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Its key; a batch does not hold the same key twice.
    pub key: IdempotencyKey,
    /// What to do.
    pub command: v1::Command,
}

/// What became of a batch.
#[derive(Debug, Clone)]
pub struct BatchSubmitted {
    /// One answer for each submission, in the order sent. An `Ok` outcome may be a rejection; its `result` is present.
    pub answers: Vec<Result<v1::Outcome, CallError>>,
    /// What the call took. Each try after the first sent only submissions without an answer.
    pub stats: Stats,
}

impl Client {
    /// Sends up to 1000 commands until each has an outcome or was refused. Where the answer to all of them is larger than
    /// a message may be, they are sent again in smaller batches under the same keys.
    ///
    /// # Errors
    /// [`CallError::Refused`] with BNY-0103 for an empty or too large batch. Everything else is told for each submission.
    pub async fn submit_batch(
        &self,
        submissions: Vec<Submission>,
    ) -> Result<BatchSubmitted, CallError> {
        self.submit_batch_with(submissions, &SubmitOptions::default())
            .await
    }

    /// [`Client::submit_batch`] with options for this one batch.
    ///
    /// # Errors
    /// As [`Client::submit_batch`], and [`CallError::UnknownEndpoint`] for an endpoint that the context does not have.
    pub async fn submit_batch_with(
        &self,
        submissions: Vec<Submission>,
        options: &SubmitOptions,
    ) -> Result<BatchSubmitted, CallError> {
        check_size(submissions.len())?;
        let mut journey = self.write_journey(options)?;
        let mut ledger = Ledger::new(submissions, options.dry_run);
        let end = loop {
            let answer = journey
                .run(|link, time| {
                    let mut request = timed(ledger.request(), time);
                    request.get_mut().hint_leader = !link.forwarding;
                    let wanted = request.get_ref().submissions.len();
                    async move {
                        let response = link.registry().submit_batch(request).await?;
                        complete(response.into_inner().answers, wanted)
                    }
                })
                .await;
            if journey.maybe_applied() {
                ledger.note_unknown();
            }
            match answer {
                Ok(answers) => {
                    journey.note_leader();
                    if let Some(trouble) = ledger.settle(answers, &journey.stats())
                        && let Err(end) = journey.go_on(trouble).await
                    {
                        break Some(end);
                    }
                }
                Err(End::Refused(trouble)) if trouble.is_answer_lost() && ledger.shrink() => {}
                Err(end) => break Some(end),
            }
            if ledger.is_settled() {
                break None;
            }
        };
        let stats = journey.stats();
        Ok(BatchSubmitted {
            answers: ledger.close(end.as_ref(), &stats),
            stats,
        })
    }
}

/// A batch holds 1 to 1000 commands; the node would refuse it just so.
fn check_size(count: usize) -> Result<(), CallError> {
    if (1..=BATCH_COMMANDS_MAX).contains(&count) {
        return Ok(());
    }
    let text = format!("a batch of {count} commands; it must hold 1 to {BATCH_COMMANDS_MAX}");
    let detail = Box::new(ErrorDetail::new(Code::BatchSize, text));
    Err(CallError::Refused {
        detail,
        stats: Stats::default(),
    })
}

/// Answers that say something for each command. A node that answers otherwise may still have proposed them.
fn complete(answers: Vec<BatchAnswer>, wanted: usize) -> Result<Vec<BatchAnswer>, Status> {
    if answers.len() == wanted {
        return Ok(answers);
    }
    let text = format!("{} answers to {wanted} commands", answers.len());
    Err(Status::unknown(text))
}

/// Which submissions have their answer, and which may have been proposed without one.
struct Ledger {
    dry_run: bool,
    /// Submissions that one request carries at most.
    request_max: usize,
    entries: Vec<Entry>,
}

struct Entry {
    key: IdempotencyKey,
    /// Present until the entry is answered.
    command: Option<v1::Command>,
    maybe_applied: bool,
    answer: Option<Result<v1::Outcome, CallError>>,
}

impl Ledger {
    fn new(submissions: Vec<Submission>, dry_run: bool) -> Self {
        let request_max = submissions.len();
        let entries = submissions
            .into_iter()
            .map(|submission| Entry {
                key: submission.key,
                command: Some(submission.command),
                maybe_applied: false,
                answer: None,
            })
            .collect();
        Self {
            dry_run,
            request_max,
            entries,
        }
    }

    fn open(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries
            .iter_mut()
            .filter(|entry| entry.answer.is_none())
    }

    fn is_settled(&self) -> bool {
        self.entries.iter().all(|entry| entry.answer.is_some())
    }

    /// Halves what a request carries; false if it is one submission already.
    fn shrink(&mut self) -> bool {
        let open = self.open().count();
        let halved = self.request_max.min(open) / 2;
        if halved > 0 {
            self.request_max = halved;
        }
        halved > 0
    }

    /// A request with the submissions that have no answer yet, in the order sent, as many as one may carry.
    fn request(&self) -> v1::SubmitBatchRequest {
        let submissions = self
            .entries
            .iter()
            .filter(|entry| entry.answer.is_none())
            .take(self.request_max)
            .map(|entry| v1::SubmitRequest {
                idempotency_key: entry.key.as_bytes().to_vec().into(),
                command: entry.command.clone(),
                dry_run: self.dry_run,
                hint_leader: true,
            })
            .collect();
        v1::SubmitBatchRequest {
            submissions,
            hint_leader: true,
        }
    }

    /// Everything without an answer may have been proposed.
    fn note_unknown(&mut self) {
        self.open().for_each(|entry| entry.maybe_applied = true);
    }

    /// Takes the answers to the last request. Returns the trouble of the first one that wants another try.
    fn settle(&mut self, answers: Vec<BatchAnswer>, stats: &Stats) -> Option<Trouble> {
        let dry_run = self.dry_run;
        let mut again: Option<Trouble> = None;
        for (entry, answer) in self.open().zip(answers) {
            let trouble = match answer.answer {
                Some(batch_answer::Answer::Outcome(outcome)) if outcome.result.is_some() => {
                    let unknown = entry.maybe_applied && !dry_run && is_about_the_key(&outcome);
                    entry.answer = Some(if unknown {
                        Err(CallError::OutcomeUnknown {
                            key: entry.key,
                            reason: reason_of_key(&outcome),
                            stats: stats.clone(),
                        })
                    } else {
                        Ok(outcome)
                    });
                    entry.command = None;
                    continue;
                }
                Some(batch_answer::Answer::Error(detail)) => Trouble::of_detail(detail),
                // An outcome without a result, or nothing: a node that answers so may have proposed it.
                _ => Trouble::of_status(&Status::unknown("the answer holds no outcome")),
            };
            entry.maybe_applied |= trouble.maybe_applied;
            if trouble.next == Next::Refused {
                let unknown = entry.maybe_applied && !dry_run;
                let end = End::Refused(trouble);
                entry.answer = Some(Err(write_error(end, entry.key, unknown, stats.clone())));
                entry.command = None;
            } else {
                again.get_or_insert(trouble);
            }
        }
        // What one entry must fear the others need not: each keeps its own mark.
        again.map(|trouble| Trouble {
            maybe_applied: false,
            ..trouble
        })
    }

    /// One answer for each submission; those still open end as the call ended.
    fn close(self, end: Option<&End>, stats: &Stats) -> Vec<Result<v1::Outcome, CallError>> {
        let dry_run = self.dry_run;
        self.entries
            .into_iter()
            .map(|entry| {
                entry.answer.unwrap_or_else(|| {
                    let end = end.map_or(End::Expired(None), End::clone);
                    let unknown = entry.maybe_applied && !dry_run;
                    Err(write_error(end, entry.key, unknown, stats.clone()))
                })
            })
            .collect()
    }
}
