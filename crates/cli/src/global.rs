//! Arguments that every command takes.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::output::Output;

/// Options that may stand before or after any command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// Act as this principal of the contexts file, for instance registrar@nghe-an
    #[arg(
        long = "as",
        value_name = "PRINCIPAL",
        global = true,
        env = "BANYAN_AS"
    )]
    pub(crate) principal: Option<String>,

    /// File with the contexts [default: ./target/demo/contexts.toml, then ~/.config/banyan/contexts.toml]
    #[arg(long, value_name = "FILE", global = true, env = "BANYAN_CONTEXTS")]
    pub(crate) contexts: Option<PathBuf>,

    /// Ask this node, and no other for a read
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) node: Option<String>,

    /// Answer with one JSON document
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS", global = true, default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
}

impl Global {
    /// Where and how to answer.
    pub(crate) fn output(&self) -> Output {
        Output { json: self.json }
    }

    /// Time for a whole call.
    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}
