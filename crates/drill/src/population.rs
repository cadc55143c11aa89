//! A synthetic population as a file, and its rows as the importer takes them.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::Path;

use banyan_domain::{IdempotencyKey, Timestamp};
use banyan_synth::forms::{self, Format, Reader};
use banyan_synth::{Population, PopulationSpec};

use crate::import::{Fault, Row, keys_made};

/// Writes the forms of that many citizens as CSV. The same arguments give the same bytes. Returns the number of rows.
///
/// # Errors
/// What the file system says.
pub fn write(path: &Path, citizens: u64, seed: u64) -> io::Result<u64> {
    let out = BufWriter::new(File::create(path)?);
    let spec = PopulationSpec {
        citizens,
        seed,
        dirt: 0.0,
    };
    Ok(Population::new(spec).write(out, Format::Csv)?.rows)
}

/// Reads a file of forms, row by row; keys are of the time of [`keys_made`].
///
/// # Errors
/// The file cannot be opened, or its head is not that of a file of forms.
pub fn rows(path: &Path) -> io::Result<impl Iterator<Item = io::Result<Row>> + Send + use<>> {
    let file = File::open(path)?;
    let made = keys_made(file.metadata()?.modified().ok());
    let reader = Reader::open(BufReader::new(file), Format::Csv).map_err(io::Error::other)?;
    Ok(reader.map(move |row| row.map(|row| importable(row, made))))
}

/// A row of forms as the importer takes it, under a key made at a time.
pub fn importable(row: forms::Row, made: Timestamp) -> Row {
    Row {
        line: row.line,
        end_offset: row.end_offset,
        form: row.form_number,
        key: IdempotencyKey::new(made, row.key_bits),
        content: row.content.map_err(|faults| {
            faults
                .into_iter()
                .map(|fault| Fault {
                    field: fault.column,
                    message: fault.message,
                })
                .collect()
        }),
    }
}
