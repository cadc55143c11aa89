//! banyan: the one command for operators, registrars at a terminal, importers and drills.
//!
//! Each noun has a file under `commands`; what they share is how they fail (`failure`), how they answer (`output`,
//! `shapes`) and how they end (`exit`). Shapes and exit codes are documented in `docs/cli.md`.

mod as_of;
mod checkpoint;
mod commands;
mod exit;
mod failure;
mod freshness;
mod global;
mod input;
mod moment;
mod output;
mod progress;
mod record;
mod rejects;
mod session;
mod shapes;
mod units;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use commands::{
    birth, cluster, completions, death, demo, digest, drill, import, leader, member, person, pin,
    pki, synth,
};
use exit::Exit;
use failure::Failure;
use global::Global;
use nix::sys::stat::{Mode, umask};

/// The national population registry at the command line.
#[derive(Debug, Parser)]
#[command(name = "banyan", version, after_help = ENDINGS, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    noun: Noun,
}

const ENDINGS: &str = "\
Exit codes: 0 done, 1 fault, 2 request at fault, 3 refused by the registry, 4 not found,
5 not now (try again), 6 outcome unknown (retry with the same key), 7 not allowed, 8 done in part.
Shapes of --json answers: docs/cli.md.";

#[derive(Debug, Subcommand)]
enum Noun {
    /// Persons: get, find, history
    #[command(subcommand)]
    Person(person::Command),
    /// Births: register
    #[command(subcommand)]
    Birth(birth::Command),
    /// Deaths: register
    #[command(subcommand)]
    Death(death::Command),
    /// Numbers: explain
    #[command(subcommand)]
    Pin(pin::Command),
    /// Enter collected forms from a CSV or JSON Lines file
    Import(import::Import),
    /// Make a synthetic population as a file of forms
    Synth(synth::Synth),
    /// A cluster on this machine: up, status, down
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Leadership: transfer
    #[command(subcommand)]
    Leader(leader::Command),
    /// Members: add, promote, demote, replace, remove
    #[command(subcommand)]
    Member(member::Command),
    /// Compare the state of all nodes at one position
    Digest(digest::Digest),
    /// Rehearse a loss: run site-down
    #[command(subcommand)]
    Drill(drill::Command),
    /// Development certificates: init, add
    #[command(subcommand)]
    Pki(pki::Command),
    /// Show the whole system at work and prove its promises
    Demo(demo::Demo),
    /// Print a completion script for a shell
    Completions(completions::Completions),
}

fn main() -> ExitCode {
    // Forms, rejected rows, keys and the data of a demonstration's nodes: no one else reads them.
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refused_arguments(&error),
    };
    let output = cli.global.output();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = Failure::new(Exit::Fault, format!("cannot start the runtime: {error}"));
            failure.print(output);
            return failure.exit.into();
        }
    };
    match runtime.block_on(run(cli)) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print(output);
            failure.exit.into()
        }
    }
}

/// Arguments that do not fit; also where `--help` and `--version` end. A program that asked for JSON gets JSON.
fn refused_arguments(error: &clap::Error) -> ExitCode {
    let json = std::env::args().any(|argument| argument == "--json");
    if json && error.use_stderr() {
        let text = error.render().to_string();
        let message = text
            .trim_start_matches("error: ")
            .split("\n\n")
            .next()
            .unwrap_or_default();
        let failure = Failure::usage(message.trim()).with_next("banyan help");
        failure.print(output::Output { json: true });
        return failure.exit.into();
    }
    // Nothing can be done about a terminal that cannot be written to.
    let _ = error.print();
    if error.use_stderr() {
        Exit::Usage.into()
    } else {
        Exit::Done.into()
    }
}

async fn run(cli: Cli) -> Result<Exit, Failure> {
    let global = &cli.global;
    match cli.noun {
        Noun::Person(command) => person::run(global, command).await,
        Noun::Birth(command) => birth::run(global, command).await,
        Noun::Death(command) => death::run(global, command).await,
        Noun::Pin(command) => pin::run(global, &command),
        Noun::Import(command) => import::run(global, &command).await,
        Noun::Synth(command) => synth::run(global, &command),
        Noun::Cluster(command) => cluster::run(global, command).await,
        Noun::Leader(command) => leader::run(global, &command).await,
        Noun::Member(command) => member::run(global, &command).await,
        Noun::Digest(command) => digest::run(global, &command).await,
        Noun::Drill(command) => drill::run(global, command).await,
        Noun::Pki(command) => pki::run(global, &command),
        Noun::Demo(command) => demo::run(global, command).await,
        Noun::Completions(command) => Ok(completions::run(&command)),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use clap::{ArgAction, Command, CommandFactory};

    use super::*;

    #[test]
    fn the_grammar_is_well_formed() {
        Cli::command().debug_assert();
    }

    /// clap takes two arguments of one id for one: what is typed as the one is read as the other, too.
    #[test]
    fn no_argument_has_the_id_of_one_that_goes_everywhere() {
        fn look(command: &Command, global: &[&str], path: &str) {
            for argument in command.get_arguments() {
                let id = argument.get_id().as_str();
                assert!(!global.contains(&id), "{path}: {id}");
            }
            for noun in command.get_subcommands() {
                look(noun, global, &format!("{path} {}", noun.get_name()));
            }
        }
        let command = Cli::command();
        let global: Vec<&str> = command
            .get_arguments()
            .filter(|argument| argument.is_global_set())
            .map(|argument| argument.get_id().as_str())
            .collect();
        assert!(global.contains(&"node"));
        for noun in command.get_subcommands() {
            look(noun, &global, noun.get_name());
        }
    }

    /// The grammar is what scripts rely on. `UPDATE=1 cargo test` writes the file anew; its diff is to be reviewed.
    #[test]
    fn the_grammar_is_the_documented_one() {
        let mut found = String::new();
        let mut command = Cli::command();
        command.build();
        describe(&command, "banyan", &mut found);
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/grammar.txt");
        #[expect(
            clippy::disallowed_methods,
            reason = "the usual way of asking a golden test for new gold"
        )]
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &found).unwrap();
        }
        assert_eq!(found, std::fs::read_to_string(path).unwrap());
    }

    /// One line for each command that does something: its path, its arguments, its own options.
    fn describe(command: &Command, path: &str, text: &mut String) {
        let mut nouns = command
            .get_subcommands()
            .filter(|one| one.get_name() != "help")
            .peekable();
        if nouns.peek().is_none() {
            write!(text, "{path}").unwrap();
            for argument in command.get_arguments().filter(|one| !one.is_global_set()) {
                let takes = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
                let value = argument
                    .get_value_names()
                    .map_or(String::new(), |names| names.join(" "));
                match argument.get_long() {
                    Some("help" | "version") => {}
                    Some(long) if takes => write!(text, " --{long} {value}").unwrap(),
                    Some(long) => write!(text, " --{long}").unwrap(),
                    None => write!(text, " <{value}>").unwrap(),
                }
            }
            text.push('\n');
        }
        for noun in nouns {
            describe(noun, &format!("{path} {}", noun.get_name()), text);
        }
    }

    /// House rule: whoever writes can ask first.
    #[test]
    fn every_write_has_a_dry_run() {
        let grammar = include_str!("grammar.txt");
        for write in [
            "birth register",
            "death register",
            "import",
            "synth",
            "cluster up",
            "cluster down",
            "leader transfer",
            "member add",
            "member promote",
            "member demote",
            "member replace",
            "member remove",
            "drill run site-down",
            "demo",
            "pki init",
            "pki add",
        ] {
            let line = grammar
                .lines()
                .find(|line| line.starts_with(&format!("banyan {write} ")))
                .unwrap();
            assert!(line.contains(" --dry-run"), "{write}");
        }
    }

    #[test]
    fn options_may_stand_before_and_after_the_command() {
        for arguments in [
            ["banyan", "--as", "centre@central", "person", "get", "-"],
            ["banyan", "person", "get", "-", "--as", "centre@central"],
        ] {
            let cli = Cli::try_parse_from(arguments).unwrap();
            assert_eq!(cli.global.principal.as_deref(), Some("centre@central"));
        }
    }

    #[test]
    fn arguments_that_exclude_each_other_are_refused() {
        for wrong in [
            &["banyan", "person", "get"][..],
            &["banyan", "person", "get", "-", "--cmnd", "1"],
            &["banyan", "person", "find", "--pin", "-", "--cmnd", "1"],
            &["banyan", "birth", "register", "--file", "f", "--name", "n"],
            &["banyan", "synth", "--dirt", "1.5"],
            &["banyan", "import", "f", "--batch", "0"],
        ] {
            assert!(Cli::try_parse_from(wrong).is_err(), "{wrong:?}");
        }
    }
}
