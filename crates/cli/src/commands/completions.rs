//! `banyan completions`: what a shell needs to complete commands.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::exit::Exit;
use crate::output::put;

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(completions: &Completions) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(
        completions.shell,
        &mut crate::Cli::command(),
        "banyan",
        &mut script,
    );
    put(&String::from_utf8_lossy(&script));
    Exit::Done
}
