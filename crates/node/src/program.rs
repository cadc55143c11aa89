//! A node as a process: started from a configuration file, stopped by signals, ended by faults, known by its exit code. `banyand` is this and a
//! command line; the bench starts the same node with raw values, which no configuration allows (ADR 0027).

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;

use anyhow::Context as _;
use banyan_consensus::StartError as ConsensusError;
use nix::sys::stat::{Mode, umask};

use crate::config::{LoadError, Loaded, NodeConfig};
use crate::node::{Ended, Listeners, Node, StartError};
use crate::{hardening, logging};

pub use banyan_consensus::RawValues;
pub use banyan_storage::FirstStart;

/// How the process ends, for a supervisor to tell apart.
pub mod exit {
    /// Something that has no code of its own.
    pub const FAILED: u8 = 1;
    /// The configuration is wrong.
    pub const CONFIGURATION: u8 = 3;
    /// The data directory is not usable.
    pub const DATA_DIRECTORY: u8 = 4;
    /// An address cannot be listened on.
    pub const LISTEN: u8 = 5;
    /// Certificates or keys are not usable.
    pub const CERTIFICATES: u8 = 6;
    /// A fault while running.
    pub const FAULT: u8 = 10;
    /// A second signal ended the process.
    pub const SECOND_SIGNAL: u8 = 130;
}

/// Keeps what this process writes from everyone else: it holds personal data, or tells something about it.
pub fn hide_files() {
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
}

/// Whether an empty data directory may be formed, from the word `--first-start`.
#[must_use]
pub fn first_start(given: bool) -> FirstStart {
    if given {
        FirstStart::Permitted
    } else {
        FirstStart::Refused
    }
}

/// The exit code of a program that has ended so; what failed is printed under the program's name.
pub fn exit_code(program: &str, ended: anyhow::Result<ExitCode>) -> ExitCode {
    ended.unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "{program}: {error:#}");
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
        // Its log and its state cannot be recovered: another start would end as this one.
        Some(StartError::Consensus(ConsensusError::Recovery(_))) => exit::FAULT,
        _ => exit::FAILED,
    }
}

/// What the main thread waits for.
enum Wake {
    Signal,
    Ended(Ended),
}

/// Runs a node until a signal asks it to stop or a fault ends it. Blocks.
///
/// # Errors
/// That it does not start; [`exit_code`] tells the kinds apart.
pub fn run(
    file: &Path,
    first_start: FirstStart,
    raw_values: RawValues,
) -> anyhow::Result<ExitCode> {
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
    if raw_values == RawValues::Carried {
        tracing::warn!("this node carries raw values: it is for measurements, and no registry");
    }
    let node = Node::start_with(config, listeners, unknown_keys, first_start, raw_values)?;
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
            let _ = writeln!(io::stderr(), "stopped by a fault: {ended}");
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
