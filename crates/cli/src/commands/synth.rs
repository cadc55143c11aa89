//! `banyan synth`: a deterministic synthetic population as a file of forms.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use banyan_synth::forms::Format;
use banyan_synth::{Population, PopulationSpec, Summary};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::output::note;

/// How forms are written and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArgument {
    Csv,
    Jsonl,
}

impl From<FormatArgument> for Format {
    fn from(format: FormatArgument) -> Self {
        match format {
            FormatArgument::Csv => Self::Csv,
            FormatArgument::Jsonl => Self::JsonLines,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Synth {
    /// Number of persons
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    citizens: u64,
    /// Seed: the same seed and number give the same bytes
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Share of rows to spoil, 0 to 1; above 0 the last line is cut off as well
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    dirt: f64,
    /// File to write; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
    /// Format [default: by the file's name, else csv]
    #[arg(long, value_enum)]
    format: Option<FormatArgument>,
    /// Write over a file that exists
    #[arg(long)]
    force: bool,
    /// Only say what would be written
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Shape {
    dry_run: bool,
    out: String,
    rows: u64,
    citizens: u64,
    households: u64,
    with_pin: u64,
    with_cmnd: u64,
    dirt: std::collections::BTreeMap<&'static str, u64>,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("must be a number from 0 to 1".to_owned()),
    }
}

pub(crate) fn run(global: &Global, synth: &Synth) -> Result<Exit, Failure> {
    let population = Population::new(PopulationSpec {
        citizens: synth.citizens,
        seed: synth.seed,
        dirt: synth.dirt,
    });
    let format = synth
        .format
        .map(Format::from)
        .or_else(|| Format::of_path(&synth.out))
        .unwrap_or(Format::Csv);
    let to_stdout = synth.out.as_os_str() == "-";
    let written = if synth.dry_run {
        population.write(io::sink(), format)
    } else if to_stdout {
        population.write(
            BufWriter::with_capacity(1 << 16, io::stdout().lock()),
            format,
        )
    } else {
        create(&synth.out, synth.force)?;
        File::create(&synth.out)
            .and_then(|file| population.write(BufWriter::with_capacity(1 << 16, file), format))
    };
    let summary = match written {
        Ok(summary) => summary,
        // `banyan synth | head` is no fault.
        Err(error) if to_stdout && error.kind() == io::ErrorKind::BrokenPipe => {
            return Ok(Exit::Done);
        }
        Err(error) => {
            return Err(Failure::new(
                Exit::Fault,
                format!("cannot write {}: {error}", synth.out.display()),
            ));
        }
    };
    report(global, synth, &summary, to_stdout && !synth.dry_run);
    Ok(Exit::Done)
}

fn create(path: &Path, force: bool) -> Result<(), Failure> {
    if path.exists() && !force {
        return Err(Failure::usage(format!(
            "{} exists; --force writes over it",
            path.display()
        )));
    }
    Ok(())
}

fn report(global: &Global, synth: &Synth, summary: &Summary, rows_on_stdout: bool) {
    let shape = Shape {
        dry_run: synth.dry_run,
        out: synth.out.display().to_string(),
        rows: summary.rows,
        citizens: summary.citizens,
        households: summary.households,
        with_pin: summary.with_pin,
        with_cmnd: summary.with_cmnd,
        dirt: summary
            .dirt
            .iter()
            .map(|(dirt, count)| (dirt.name(), *count))
            .collect(),
    };
    let words = || {
        let mut text = format!(
            "{} rows: {} persons in {} households, {} with a number, {} with an old card",
            shape.rows, shape.citizens, shape.households, shape.with_pin, shape.with_cmnd
        );
        for (name, count) in &shape.dirt {
            text.push_str(&format!("\n  spoilt: {count} {name}"));
        }
        text
    };
    match (rows_on_stdout, global.json) {
        // The rows are on standard output already.
        (true, true) => note(&serde_json::to_string(&shape).unwrap_or_default()),
        (true, false) => note(&words()),
        (false, _) => global.output().answer(&shape, words),
    }
}
