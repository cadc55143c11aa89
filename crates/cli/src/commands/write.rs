//! What all writes share: the key, the dry run, the outcome, and how to go on when the outcome is unknown.

use banyan_client::{CallError, SubmitOptions, new_key};
use banyan_domain::IdempotencyKey;
use banyan_wire::v1;
use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use crate::exit::Exit;
use crate::failure::{Failure, Fault};
use crate::global::Global;
use crate::session::{Session, Usual};
use crate::shapes::{Finding, findings};
use crate::{freshness, moment};

/// Arguments of every write of a person.
#[derive(Debug, Args)]
pub(crate) struct Write {
    /// Only ask whether the registry would accept it: nothing is written and no number is given out
    #[arg(long)]
    dry_run: bool,
    /// Idempotency key (UUID of version 7) of an earlier try, to get its outcome; a new one is made otherwise
    #[arg(long, value_name = "UUID", value_parser = read_key)]
    key: Option<IdempotencyKey>,
}

/// An accepted write.
#[derive(Serialize)]
struct Shape {
    outcome: &'static str,
    dry_run: bool,
    replayed: bool,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    person_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<String>,
    version: u32,
    findings: Vec<Finding>,
    position: u64,
    term: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
}

/// Checks a command here, sends it, and tells what became of it.
pub(crate) async fn submit(
    global: &Global,
    write: &Write,
    command: v1::Command,
) -> Result<Exit, Failure> {
    check(&command, Vec::new())?;
    let session = Session::open(global, Usual::Nobody)?;
    let key = write.key.unwrap_or_else(new_key);
    let verb = verb_of(&command);
    let options = SubmitOptions {
        dry_run: write.dry_run,
        first: session.node.clone(),
        deadline: None,
    };
    let submitted = session
        .client
        .submit_with(key, command, &options)
        .await
        .map_err(|error| explain(error, verb, &key))?;
    report(global, write, &key, &submitted.outcome)
}

/// The faults that the registry would find, together with those already found in the arguments, as one failure.
pub(crate) fn check(command: &v1::Command, mut found: Vec<Fault>) -> Result<(), Failure> {
    if let Err(faults) = banyan_wire::command::command_from_wire(command) {
        for fault in faults {
            // An argument that could not be read leaves its field empty; its own fault says more.
            if !found
                .iter()
                .any(|known| concerns(&known.field, &fault.field))
            {
                found.push(Fault {
                    field: fault.field,
                    message: fault.message,
                });
            }
        }
    }
    if found.is_empty() {
        Ok(())
    } else {
        Err(Failure::usage("the request has faults").with_faults(found))
    }
}

/// Whether an argument (`--birth-date`) fills a field of the command (`register_birth.birth_date.month`).
fn concerns(argument: &str, field: &str) -> bool {
    let argument = argument.trim_start_matches('-').replace('-', "_");
    field.split('.').any(|part| part == argument)
}

/// The words of this program that make such a command.
fn verb_of(command: &v1::Command) -> &'static str {
    match command.kind {
        Some(v1::command::Kind::RecordDeath(_)) => "death register",
        _ => "birth register",
    }
}

/// An unknown outcome ends with the command that settles it. What was typed is not repeated: it holds personal data, and
/// standard error is kept in logs.
fn explain(error: CallError, verb: &str, key: &IdempotencyKey) -> Failure {
    let unknown = error.outcome_is_unknown();
    let failure = Failure::from(error);
    if !unknown {
        return failure;
    }
    failure
        .with_advice("The write may or may not have taken effect. The same command with the same key tells, and never does it twice.")
        .with_next(retry_command(verb, &uuid_of(key)))
}

/// The command that settles a write, with its arguments left out.
fn retry_command(verb: &str, key: &str) -> String {
    format!("banyan {verb} --key {key} ...   # the rest as before")
}

/// The command that was typed, for typing it again. Only for commands without personal data in their arguments.
pub(crate) fn same_command() -> String {
    typed(std::env::args()).join(" ")
}

fn typed(arguments: impl Iterator<Item = String>) -> Vec<String> {
    let mut words: Vec<String> = arguments.map(|word| quoted(&word)).collect();
    if let Some(program) = words.first_mut() {
        "banyan".clone_into(program);
    }
    words
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@,+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Reads `--key`: a UUID of version 7, as an earlier try has shown it.
fn read_key(text: &str) -> Result<IdempotencyKey, String> {
    let uuid = Uuid::parse_str(text).map_err(|error| error.to_string())?;
    IdempotencyKey::parse(uuid.as_bytes()).map_err(|fault| fault.to_string())
}

fn uuid_of(key: &IdempotencyKey) -> String {
    Uuid::from_bytes(*key.as_bytes()).to_string()
}

fn report(
    global: &Global,
    write: &Write,
    key: &IdempotencyKey,
    outcome: &v1::Outcome,
) -> Result<Exit, Failure> {
    let accepted = match &outcome.result {
        Some(v1::outcome::Result::Accepted(accepted)) => accepted,
        Some(v1::outcome::Result::Rejected(rejected)) => return Err(Failure::rejected(rejected)),
        None => {
            return Err(Failure::new(
                Exit::Fault,
                "the node answered with an outcome that says nothing",
            ));
        }
    };
    let shape = Shape {
        outcome: "accepted",
        dry_run: write.dry_run,
        replayed: outcome.replayed,
        key: uuid_of(key),
        person_id: (accepted.person_id != 0).then_some(accepted.person_id),
        pin: (!accepted.pin.is_empty()).then(|| accepted.pin.clone()),
        version: accepted.version,
        findings: findings(&accepted.findings),
        position: outcome.position,
        term: outcome.term,
        token: freshness::to_text(&outcome.token),
        time: moment::iso(outcome.time_ms),
    };
    global
        .output()
        .answer(&shape, || words(write.dry_run, outcome, accepted));
    Ok(Exit::Done)
}

fn words(dry_run: bool, outcome: &v1::Outcome, accepted: &v1::Accepted) -> String {
    let mut text = if dry_run {
        "It would be accepted. Nothing was written.".to_owned()
    } else {
        let first = if outcome.replayed {
            "Accepted by an earlier try with this key"
        } else {
            "Accepted"
        };
        format!(
            "{first} at position {}, {} Viet Nam time.\nnumber (PIN)  {}\nversion       {}",
            outcome.position,
            moment::local(outcome.time_ms),
            accepted.pin,
            accepted.version
        )
    };
    for finding in &accepted.findings {
        text.push_str(&format!(
            "\nfinding       {} in {}: kept as written",
            finding.code, finding.field
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use banyan_client::Stats;
    use banyan_domain::Timestamp;

    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        let arguments = ["/usr/bin/banyan", "import", "Hà Nội.csv", "--as", "it's"];
        let words = typed(arguments.iter().map(ToString::to_string));
        assert_eq!(
            words.join(" "),
            r"banyan import 'Hà Nội.csv' --as 'it'\''s'"
        );
    }

    #[test]
    fn an_unknown_outcome_ends_with_the_command_and_its_key_and_nothing_that_was_typed() {
        let key = IdempotencyKey::new(Timestamp(0x0101_0101_0101), [1; 10]);
        let error = CallError::OutcomeUnknown {
            key,
            reason: String::from("no answer within 5000 ms"),
            stats: Stats::default(),
        };
        let failure = explain(error, "death register", &key);
        assert_eq!(failure.exit, Exit::OutcomeUnknown);
        let shown = "banyan death register --key 01010101-0101-7101-8101-010101010101 ...   # the rest as before";
        assert_eq!(failure.next, [shown]);
    }

    #[test]
    fn each_write_names_its_own_command() {
        let death = v1::Command {
            kind: Some(v1::command::Kind::RecordDeath(Box::default())),
            ..Default::default()
        };
        assert_eq!(verb_of(&death), "death register");
        let birth = v1::Command {
            kind: Some(v1::command::Kind::RegisterBirth(Box::default())),
            ..Default::default()
        };
        assert_eq!(verb_of(&birth), "birth register");
    }

    #[test]
    fn a_fault_of_an_argument_hides_the_empty_field_behind_it() {
        assert!(concerns("--birth-date", "register_birth.birth_date"));
        assert!(concerns("--birth-date", "birth_date.month"));
        assert!(!concerns("--birth-date", "document.issued"));
    }
}
