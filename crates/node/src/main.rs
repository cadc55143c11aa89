//! `banyand`: runs one registry node, or checks and shows its configuration.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use banyan_node::config::{Loaded, NodeConfig, check_file};
use banyan_node::program::{self, RawValues, exit};
use clap::{Parser, Subcommand};

/// For Rust's code and RocksDB's alike. With glibc's, malloc and free took a sixth of a node's CPU under load: what one thread allocates,
/// another frees.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

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
    program::hide_files();
    let arguments = Arguments::parse();
    let ended = match (arguments.command, arguments.config) {
        (Some(Command::Config(ConfigCommand::Check { files })), _) => check(&files),
        (Some(Command::Config(ConfigCommand::Show { config, json })), _) => show(&config, json),
        (None, Some(config)) => {
            let first_start = program::first_start(arguments.first_start);
            program::run(&config, first_start, RawValues::Refused)
        }
        // clap has refused this already.
        (None, None) => Ok(ExitCode::from(2)),
    };
    program::exit_code("banyand", ended)
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
