//! `banyan-chaos`: real processes under faults drawn from a seed. See `banyan_chaos_tests::process`.

use std::process::ExitCode;

use banyan_chaos_tests::process::{arguments::Arguments, run};
use clap::Parser as _;

fn main() -> ExitCode {
    run::main(&Arguments::parse())
}
