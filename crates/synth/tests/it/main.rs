//! The population as a whole, and forms on their way out and in.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod forms;
mod population;

use banyan_synth::forms::{Format, Reader, Row};
use banyan_synth::{Population, PopulationSpec, Summary};

/// A population's file and what was said of it.
fn written(citizens: u64, seed: u64, dirt: f64, format: Format) -> (Vec<u8>, Summary) {
    let mut bytes = Vec::new();
    let summary = Population::new(PopulationSpec {
        citizens,
        seed,
        dirt,
    })
    .write(&mut bytes, format)
    .unwrap();
    (bytes, summary)
}

/// All rows of a file.
fn rows(bytes: &[u8], format: Format) -> Vec<Row> {
    Reader::open(bytes, format)
        .unwrap()
        .map(Result::unwrap)
        .collect()
}
