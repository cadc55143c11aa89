//! `banyand`: runs one registry node, or checks and shows its configuration.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;

use anyhow::Context as _;
use banyan_node::config::{LoadError, Loaded, NodeConfig, check_file};
use banyan_node::node::{Ended, Listeners, Node, StartError};
use banyan_node::{hardening, logging};
use banyan_storage::FirstStart;
use clap::{Parser, Subcommand};
use nix::sys::stat::{Mode, umask};

/// For Rust's code and RocksDB's alike. With glibc's, malloc and free took a sixth of a node's CPU under load: what one thread allocates,
/// another frees.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How the process ends, for a supervisor to tell apart.
mod exit {
    pub(super) const FAILED: u8 = 1;
    pub(super) const CONFIGURATION: u8 = 3;
    pub(super) const DATA_DIRECTORY: u8 = 4;
    pub(super) const LISTEN: u8 = 5;
    pub(super) const CERTIFICATES: u8 = 6;
    pub(super) const FAULT: u8 = 10;
    pub(super) const SECOND_SIGNAL: u8 = 130;
}

const EXIT_CODES: &str = "\
Exit codes:
    0  stopped as asked, or the check found nothing
    1  something else failed
    2  the command line is wrong
    3  the configuration is wrong, or the check found something
    4  the data directory is not usable: never formed, other cluster, node or format, locked, damaged
    5  an address cannot be listened on
    6  certificates or keys are not usable
   10  a fault while running: restarting will not help before the log was read
  130  a second signal ended the process without an orderly stop";

/// One registry node.
#[derive(Parser)]
#[command(name = "banyand", version, after_help = EXIT_CODES, args_conflicts_with_subcommands = true)]
struct Arguments {
    /// The node's configuration file
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// Forms an empty data directory: for the first start of a new node, and for no other
    ///
    /// A node that has lost its data directory has forgotten what it voted for and what it acknowledged. It must not come back under its old
    /// id, so that without this word a node does not start on a directory that was never formed. A directory that is formed is opened as it
    /// is, so that a first start can be repeated until it succeeds; leave the word out of what restarts the node afterwards.
    #[arg(long)]
    first_start: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Checks configuration files, or shows the values in force
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Checks node configurations and topologies: all faults at once, unknown keys too
    Check {
        /// Files to check
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Shows the values in force, defaults included, secrets hidden
    Show {
        /// The node's configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    // Whatever a node writes holds personal data, or tells something about it: no one else reads it.
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    let arguments = Arguments::parse();
    let ended = match (arguments.command, arguments.config) {
        (Some(Command::Config(ConfigCommand::Check { files })), _) => check(&files),
        (Some(Command::Config(ConfigCommand::Show { config, json })), _) => show(&config, json),
        (None, Some(config)) => run(
            &config,
            if arguments.first_start {
                FirstStart::Permitted
            } else {
                FirstStart::Refused
            },
        ),
        // clap has refused this already.
        (None, None) => Ok(ExitCode::from(2)),
    };
    ended.unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "banyand: {error:#}");
        ExitCode::from(code_of(&error))
    })
}

/// The exit code for an error, by the kind of what failed.
fn code_of(error: &anyhow::Error) -> u8 {
    if error.is::<LoadError>() {
        return exit::CONFIGURATION;
    }
    match error.downcast_ref::<StartError>() {
        Some(StartError::DataDirectory(_) | StartError::NotFormed { .. }) => exit::DATA_DIRECTORY,
        Some(StartError::Listen { .. }) => exit::LISTEN,
        Some(StartError::Certificates(_)) => exit::CERTIFICATES,
        _ => exit::FAILED,
    }
}

fn check(files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let mut faulty = false;
    for file in files {
        let report = check_file(file)?;
        if report.faults.is_empty() {
            writeln!(out, "{}: good {}", file.display(), report.kind)?;
            continue;
        }
        faulty = true;
        writeln!(
            out,
            "{}: {} with {} fault(s)",
            file.display(),
            report.kind,
            report.faults.len()
        )?;
        for fault in &report.faults {
            writeln!(out, "  {fault}")?;
        }
    }
    Ok(if faulty {
        ExitCode::from(exit::CONFIGURATION)
    } else {
        ExitCode::SUCCESS
    })
}

fn show(file: &std::path::Path, json: bool) -> anyhow::Result<ExitCode> {
    let Loaded {
        config,
        unknown_keys,
    } = NodeConfig::load(file)?;
    let mut out = io::stdout().lock();
    if json {
        let mut values = config.to_json();
        values["unknown_keys"] = unknown_keys.into();
        writeln!(out, "{}", serde_json::to_string_pretty(&values)?)?;
    } else {
        write!(out, "{}", config.to_lines())?;
        for key in unknown_keys {
            writeln!(out, "unknown: {key}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What the main thread waits for.
enum Wake {
    Signal,
    Ended(Ended),
}

fn run(file: &std::path::Path, first_start: FirstStart) -> anyhow::Result<ExitCode> {
    let Loaded {
        config,
        unknown_keys,
    } = NodeConfig::load(file)?;
    hardening::forbid_core_dumps()?;
    logging::start(config.log()).context("cannot start logging")?;
    let (wake, woken) = mpsc::channel();
    // Before the stores are opened: a signal during a long recovery is then not lost.
    watch_signals(wake.clone())?;
    let listeners = Listeners::bind(&config)?;
    let node = Node::start(config, listeners, unknown_keys, first_start)?;
    node.on_ended(move |ended| {
        let _ = wake.send(Wake::Ended(ended));
    });
    match woken
        .recv()
        .context("nothing is left that could end the process")?
    {
        Wake::Signal => {
            node.stop();
            Ok(ExitCode::SUCCESS)
        }
        Wake::Ended(ended) => {
            // Everything durable is durable already, and a faulty store is not to be touched again.
            let _ = writeln!(io::stderr(), "banyand: stopped by a fault: {ended}");
            exit_at_once(exit::FAULT);
        }
    }
}

/// Ends the process without running anything more. An ordinary exit would tear RocksDB down while other threads are in it, and the process
/// would die of that, under another exit code.
fn exit_at_once(code: u8) -> ! {
    signal_hook::low_level::exit(i32::from(code))
}

/// The first SIGTERM or SIGINT asks for an orderly stop; the second ends the process at once.
fn watch_signals(wake: mpsc::Sender<Wake>) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("cannot make the runtime for signals")?;
    let (mut terminate, mut interrupt) = {
        let _in_runtime = runtime.enter();
        (
            signal(SignalKind::terminate()).context("cannot watch SIGTERM")?,
            signal(SignalKind::interrupt()).context("cannot watch SIGINT")?,
        )
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                for count in 1_u32.. {
                    tokio::select! {
                        _ = terminate.recv() => {}
                        _ = interrupt.recv() => {}
                    }
                    if count > 1 {
                        exit_at_once(exit::SECOND_SIGNAL);
                    }
                    let _ = wake.send(Wake::Signal);
                }
            });
        })
        .context("cannot start the thread for signals")?;
    Ok(())
}
