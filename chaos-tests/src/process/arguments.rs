//! The command line of `banyan-chaos`.

use std::path::PathBuf;

use clap::Parser;

use super::start::Wanted;

/// Seven real nodes under real faults and load; says whether every promise held.
///
/// Exit codes: 0 every promise held, 1 one did not, 2 the run itself failed.
#[derive(Debug, Clone, Parser)]
#[command(name = "banyan-chaos", max_term_width = 100)]
pub struct Arguments {
    /// For how long there are load and faults; healing and the last comparison come after that
    #[arg(long, value_name = "NUMBER", default_value_t = 10.0, value_parser = minutes)]
    pub(super) minutes: f64,
    /// Draws the same faults as another run did, as far as the nodes allow
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Kinds of faults, by their names in reports; without it all that are possible here
    #[arg(long, value_name = "KIND,…", value_delimiter = ',')]
    pub(super) faults: Vec<String>,
    #[arg(long, value_enum, default_value_t = Wanted::Auto)]
    pub(super) network: Wanted,
    /// Clients that register, correct and record deaths, beside those of registers
    #[arg(long, value_name = "NUMBER", default_value_t = 4)]
    pub(super) clients: usize,
    /// Disks that answer syncs without doing them: a run that must end with code 1 as soon as power is lost
    #[arg(long)]
    pub(super) lying_disks: bool,
    /// Where the report goes
    #[arg(long, value_name = "FILE", default_value = "target/proof/chaos.json")]
    pub(super) report: PathBuf,
    /// Where the run has its folder; it stays there when a promise did not hold
    #[arg(long, value_name = "FOLDER", default_value = "target/chaos")]
    pub(super) dir: PathBuf,
}

fn minutes(text: &str) -> Result<f64, String> {
    const MOST: f64 = 7.0 * 24.0 * 60.0;
    match text.parse::<f64>() {
        Ok(minutes) if (0.1..=MOST).contains(&minutes) => Ok(minutes),
        _ => Err(format!("must be a number from 0.1 to {MOST}")),
    }
}
