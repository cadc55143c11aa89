//! `banyan-bench-node`: the node that `banyand` runs, with raw values. For clusters that are measured, and for nothing else: a registry has neither
//! the service nor the entries, and no configuration of `banyand` leads to them (ADR 0027).

use std::path::PathBuf;
use std::process::ExitCode;

use banyan_node::program::{self, RawValues};
use clap::Parser;

/// As in `banyand`: both are measured.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// One node of a cluster that carries raw values: for measurements only.
#[derive(Parser)]
#[command(name = "banyan-bench-node", version)]
struct Arguments {
    /// The node's configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Forms an empty data directory
    #[arg(long)]
    first_start: bool,
}

fn main() -> ExitCode {
    program::hide_files();
    let arguments = Arguments::parse();
    let first_start = program::first_start(arguments.first_start);
    let ended = program::run(&arguments.config, first_start, RawValues::Carried);
    program::exit_code("banyan-bench-node", ended)
}
