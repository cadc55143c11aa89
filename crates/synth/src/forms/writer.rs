//! Writing forms as CSV or JSON Lines.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::ser::{SerializeMap, Serializer};

use super::{COLUMNS, Column, Form, Format};

/// Writes forms, one line each. Buffering is the caller's: hand in a `BufWriter`.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    format: Format,
    line: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Starts a file; CSV gets its header at once.
    ///
    /// # Errors
    /// Whatever the output reports.
    pub fn new(out: W, format: Format) -> io::Result<Self> {
        let mut writer = Self {
            out,
            format,
            line: Vec::with_capacity(2048),
        };
        if format == Format::Csv {
            writer.line.clear();
            write_record(&mut writer.line, COLUMNS.iter().map(|column| column.name()));
            writer.out.write_all(&writer.line)?;
        }
        Ok(writer)
    }

    /// Writes one form. JSON objects leave out what the form does not say.
    ///
    /// # Errors
    /// Whatever the output reports.
    pub fn write(&mut self, form: &Form) -> io::Result<()> {
        self.encode(form)?;
        self.out.write_all(&self.line)
    }

    /// The line of one form, its line feed included.
    pub(crate) fn encode(&mut self, form: &Form) -> io::Result<&[u8]> {
        self.line.clear();
        match self.format {
            Format::Csv => write_record(&mut self.line, form.values()),
            Format::JsonLines => {
                let mut serializer = serde_json::Serializer::new(&mut self.line);
                let mut map = serializer.serialize_map(None)?;
                for column in COLUMNS {
                    let value = form.get(*column);
                    if !value.is_empty() {
                        map.serialize_entry(Column::name(*column), value)?;
                    }
                }
                map.end()?;
                self.line.push(b'\n');
            }
        }
        Ok(&self.line)
    }

    /// Writes bytes as they are: how malformed lines get into a file.
    pub(crate) fn write_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// Flushes and hands the output back.
    ///
    /// # Errors
    /// Whatever the output reports.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Appends one CSV record and a line feed. Line breaks inside a value become spaces: one line holds one row.
fn write_record<'a>(out: &mut Vec<u8>, values: impl Iterator<Item = &'a str>) {
    let mut core = csv_core::Writer::new();
    let mut chunk = [0; 512];
    for (position, value) in values.enumerate() {
        if position > 0 {
            let (_, written) = core.delimiter(&mut chunk);
            out.extend_from_slice(&chunk[..written]);
        }
        let value = single_line(value);
        let mut rest = value.as_bytes();
        loop {
            let (result, taken, written) = core.field(rest, &mut chunk);
            out.extend_from_slice(&chunk[..written]);
            rest = &rest[taken..];
            if result == csv_core::WriteResult::InputEmpty {
                break;
            }
        }
    }
    let (_, written) = core.terminator(&mut chunk);
    out.extend_from_slice(&chunk[..written]);
}

fn single_line(value: &str) -> Cow<'_, str> {
    if value.contains(['\n', '\r']) {
        value.replace(['\n', '\r'], " ").into()
    } else {
        value.into()
    }
}
