//! Writes: parse, authorise, envelope, propose; or judge on a read view, for a dry run.

use std::collections::BTreeSet;

use banyan_consensus::ProposeError;
use banyan_domain::limits::BATCH_COMMANDS_MAX;
use banyan_domain::policy::{Authorised, authorise};
use banyan_domain::{
    Actor, ApplyContext, Command, Envelope, Mutation, Outcome, PersonId, Position, Timestamp, apply,
};
use banyan_storage::ReadView;
use banyan_wire::command::{command_from_wire, fingerprint, key_from_wire};
use banyan_wire::errors::{Code, faults_to_wire};
use banyan_wire::outcome::outcome_to_wire;
use banyan_wire::v1::batch_answer::Answer;
use banyan_wire::v1::call::Method;
use banyan_wire::v1::{
    self, AsOf, BatchAnswer, ErrorDetail, SubmitBatchRequest, SubmitBatchResponse, SubmitRequest,
    SubmitResponse,
};

use super::context::{CallContext, ServiceParts};
use super::outcomes;
use super::read::Access;

/// A command that has passed parsing and policy and may be proposed, or judged dry.
struct Prepared {
    envelope: Authorised<Envelope>,
    dry_run: bool,
}

impl ServiceParts {
    pub(super) async fn submit(
        &self,
        context: &CallContext,
        request: &SubmitRequest,
    ) -> Result<SubmitResponse, ErrorDetail> {
        let salt = self.salts(1).pop().unwrap_or_default();
        let prepared = prepare(context.actor(), request, salt)?;
        if prepared.dry_run {
            let view = self.view()?;
            let judged = self.judge(&view, prepared.envelope.get())?;
            let as_of = self.as_of(&view)?;
            let persons = judged.person.into_iter().collect();
            self.record_dry_run(context, persons, &as_of).await?;
            return Ok(SubmitResponse {
                outcome: Some(judged.outcome),
                as_of: Some(as_of),
            });
        }
        let mut outcomes = self.propose(context, vec![prepared.envelope]).await?;
        let outcome = outcomes.pop().map(|outcome| self.outcome(&outcome));
        Ok(SubmitResponse {
            outcome: outcome.transpose()?,
            as_of: None,
        })
    }

    pub(super) async fn submit_batch(
        &self,
        context: &CallContext,
        request: &SubmitBatchRequest,
    ) -> Result<SubmitBatchResponse, ErrorDetail> {
        let submissions = &request.submissions;
        check_size(request)?;
        let mut batch = Batch::default();
        let mut keys = BTreeSet::new();
        for (submission, salt) in submissions.iter().zip(self.salts(submissions.len())) {
            let prepared = prepare(context.actor(), submission, salt).and_then(|prepared| {
                if keys.insert(prepared.envelope.get().key) {
                    return Ok(prepared);
                }
                let text = "an earlier command of this batch carries the same key";
                Err(ErrorDetail::new(Code::KeyTwiceInBatch, text))
            });
            match prepared {
                Err(detail) => batch.answer(Answer::Error(detail)),
                Ok(prepared) if prepared.dry_run => {
                    if batch.view.is_none() {
                        batch.view = Some(self.view()?);
                    }
                    if let Some(view) = &batch.view {
                        let judged = self.judge(view, prepared.envelope.get())?;
                        batch.judged.extend(judged.person);
                        batch.answer(Answer::Outcome(judged.outcome));
                    }
                }
                Ok(prepared) => batch.propose(prepared.envelope),
            }
        }
        // Before anything is proposed: what fails here must not hide what became of the commands.
        let as_of = batch
            .view
            .as_ref()
            .map(|view| self.as_of(view))
            .transpose()?;
        if let Some(as_of) = &as_of {
            let persons = std::mem::take(&mut batch.judged);
            self.record_dry_run(context, persons, as_of).await?;
        }
        let outcomes = self
            .propose(context, std::mem::take(&mut batch.proposed))
            .await?;
        Ok(SubmitBatchResponse {
            answers: batch.answers(outcomes.iter().map(|outcome| {
                self.outcome(outcome)
                    .map_or_else(Answer::Error, Answer::Outcome)
            })),
            as_of,
        })
    }

    /// What this node alone can say against a write: faults of the request, and policy. Faults of single commands of a batch are told with
    /// the answers to the others.
    pub(super) fn check_write(
        &self,
        context: &CallContext,
        method: &Method,
    ) -> Result<(), ErrorDetail> {
        match method {
            Method::Submit(request) => prepare(context.actor(), request, 0).map(|_| ()),
            Method::SubmitBatch(request) => check_size(request),
            _ => Ok(()),
        }
    }

    fn view(&self) -> Result<ReadView, ErrorDetail> {
        self.stores
            .state
            .view()
            .map_err(|fault| outcomes::storage_detail(&fault))
    }

    /// A dry run says what stands in the registry (whether a number is taken, which version is the newest): it is an access like a read.
    async fn record_dry_run(
        &self,
        context: &CallContext,
        persons: Vec<PersonId>,
        as_of: &AsOf,
    ) -> Result<(), ErrorDetail> {
        let access = Access {
            method: "DryRun",
            purpose: None,
            persons,
        };
        self.record_access(context, access, as_of).await
    }

    /// An outcome with the token by which later reads see it. The same on every retry: it follows from the position of the decision.
    fn outcome(&self, outcome: &Outcome) -> Result<v1::Outcome, ErrorDetail> {
        outcomes::settled(outcome)?;
        Ok(v1::Outcome {
            token: self.token(outcome.position),
            ..outcome_to_wire(outcome)
        })
    }

    /// Proposes what policy has allowed, and waits for the outcomes.
    async fn propose(
        &self,
        context: &CallContext,
        envelopes: Vec<Authorised<Envelope>>,
    ) -> Result<Vec<Outcome>, ErrorDetail> {
        if envelopes.is_empty() {
            return Ok(Vec::new());
        }
        let envelopes = envelopes.into_iter().map(Authorised::into_inner).collect();
        self.consensus
            .propose(envelopes, context.remaining())
            .await
            .map_err(|error| match error {
                ProposeError::NoQuorum { .. } if !self.consensus.status().initialized => {
                    ErrorDetail::new(Code::NotFormed, "the cluster has not been formed")
                }
                error => outcomes::propose_detail(&error),
            })
    }

    /// What would become of a command on this state. Nothing is proposed, and no number is allotted.
    fn judge(&self, view: &ReadView, envelope: &Envelope) -> Result<Judged, ErrorDetail> {
        let applied = view
            .applied()
            .map_err(|fault| outcomes::view_detail(&fault))?;
        let place = applied.map(|applied| applied.position).unwrap_or_default();
        let apply_context = ApplyContext {
            position: Position {
                index: place.index + 1,
                ..place
            },
            ordinal: 0,
            time: Timestamp(self.clock.now_ms()),
        };
        let transition =
            apply(view, &apply_context, envelope).map_err(|fault| outcomes::view_detail(&fault))?;
        let person = transition
            .mutations
            .iter()
            .find_map(|mutation| match mutation {
                Mutation::AppendAudit(record) => record.person,
                _ => None,
            });
        let outcome = transition.outcome;
        outcomes::settled(&outcome)?;
        let allotted =
            outcome.result.as_ref().is_ok_and(|_| !outcome.replayed) && allots(&envelope.command);
        let replayed = outcome.replayed;
        let mut outcome = outcome_to_wire(&outcome);
        if !replayed {
            outcome.position = 0;
            outcome.term = 0;
        }
        if allotted && let Some(v1::outcome::Result::Accepted(accepted)) = &mut outcome.result {
            // They would be others by the time of a real submission.
            accepted.pin.clear();
            accepted.person_id = 0;
        }
        Ok(Judged {
            outcome,
            // One that would be new has no record to have been seen.
            person: person.filter(|_| !allotted),
        })
    }
}

/// What a dry run found.
struct Judged {
    outcome: v1::Outcome,
    /// The person whose record was looked at.
    person: Option<PersonId>,
}

/// Whether the command would be given a new number.
fn allots(command: &Command) -> bool {
    match command {
        Command::RegisterPerson(register) => register.pin.is_none(),
        Command::RegisterBirth(_) => true,
        Command::CorrectPerson(_) | Command::RecordDeath(_) => false,
    }
}

fn check_size(request: &SubmitBatchRequest) -> Result<(), ErrorDetail> {
    let count = request.submissions.len();
    if (1..=BATCH_COMMANDS_MAX).contains(&count) {
        return Ok(());
    }
    let text = format!("a batch holds 1 to {BATCH_COMMANDS_MAX} commands, this one {count}");
    Err(ErrorDetail::new(Code::BatchSize, text))
}

/// Parses and authorises one submission.
fn prepare(actor: &Actor, request: &SubmitRequest, salt: u64) -> Result<Prepared, ErrorDetail> {
    // Its age is judged in apply alone, by replicated time: this node's clock may be wrong.
    let key = key_from_wire(&request.idempotency_key).map_err(|fault| ErrorDetail {
        faults: faults_to_wire(std::slice::from_ref(&fault)),
        ..ErrorDetail::new(Code::IdempotencyKeyInvalid, fault.to_string())
    })?;
    let command = request
        .command
        .as_ref()
        .filter(|command| command.kind.is_some())
        .ok_or_else(|| ErrorDetail::new(Code::CommandMissing, "the submission holds no command"))?;
    let (head, parsed) =
        command_from_wire(command).map_err(|faults| ErrorDetail::invalid_fields(&faults))?;
    let envelope = Envelope {
        actor: actor.clone(),
        key,
        fingerprint: fingerprint(command),
        salt,
        head,
        command: parsed,
    };
    let (principal, name) = (actor.principal.as_str(), envelope.command.name());
    let envelope = authorise(envelope).map_err(|denial| {
        tracing::warn!(
            principal,
            command = name.label(),
            reason = denial.reason(),
            "denied"
        );
        ErrorDetail::new(Code::NotAuthorised, denial.reason())
    })?;
    Ok(Prepared {
        envelope,
        dry_run: request.dry_run,
    })
}

/// The answers of a batch in the order sent; those that are proposed are filled in when their outcomes are there.
#[derive(Default)]
struct Batch {
    answers: Vec<Option<Answer>>,
    proposed: Vec<Authorised<Envelope>>,
    view: Option<ReadView>,
    /// Persons whose records dry runs have looked at.
    judged: Vec<PersonId>,
}

impl Batch {
    fn answer(&mut self, answer: Answer) {
        self.answers.push(Some(answer));
    }

    fn propose(&mut self, envelope: Authorised<Envelope>) {
        self.answers.push(None);
        self.proposed.push(envelope);
    }

    fn answers(self, mut outcomes: impl Iterator<Item = Answer>) -> Vec<BatchAnswer> {
        self.answers
            .into_iter()
            .map(|answer| BatchAnswer {
                answer: answer.or_else(|| outcomes.next()),
            })
            .collect()
    }
}
