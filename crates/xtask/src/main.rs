//! Checks and chores of the repository: `cargo run -p banyan-xtask -- tidy`.
#![expect(
    clippy::print_stdout,
    reason = "a command line tool answers on standard output"
)]

mod tidy;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

const USAGE: &str = "usage: xtask <command>

  tidy      check the house rules that no compiler knows; every fault at once
  ratchet   write the present lengths of long files as their ceilings";

fn main() -> Result<ExitCode> {
    // Two levels above this package; cargo always runs it from a checkout.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .context("the package lies two folders below the root")?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => tidy(root),
        ["ratchet"] => ratchet(root),
        _ => {
            println!("{USAGE}");
            Ok(ExitCode::from(2))
        }
    }
}

fn tidy(root: &Path) -> Result<ExitCode> {
    let tree = tidy::Tree::read(root)?;
    let faults = tidy::check(&tree);
    for fault in &faults {
        println!("{fault}");
    }
    println!(
        "tidy: {} files, {} fault(s)",
        tree.files().len(),
        faults.len()
    );
    Ok(if faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn ratchet(root: &Path) -> Result<ExitCode> {
    let tree = tidy::Tree::read(root)?;
    let path = root.join(tidy::ratchet::PATH);
    std::fs::write(&path, tidy::ratchet::render(&tree))
        .with_context(|| path.display().to_string())?;
    println!("wrote {}", path.display());
    Ok(ExitCode::SUCCESS)
}
