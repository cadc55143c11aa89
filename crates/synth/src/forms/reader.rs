//! Reading forms from CSV or JSON Lines, one row at a time, each with its own verdict.

use std::io::{self, BufRead, Read};

use banyan_wire::v1;

use super::{COLUMNS, Column, Form, FormFault, Format, HeaderFault, command, header, json};

/// Longest line that is read, in bytes. A longer one is refused and skipped without being held in memory.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// Why a file cannot be read as forms at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The input failed.
    #[error("cannot read the header")]
    Io(#[from] io::Error),
    /// The file holds nothing.
    #[error("file is empty: a CSV file starts with a line that names its columns")]
    Empty,
    /// The first line is not text, has an open quotation mark or is too long.
    #[error("header cannot be read: {0}")]
    Malformed(String),
    /// The header's names do not fit.
    #[error("header does not fit: {0}")]
    Header(HeaderFault),
}

/// One row of a file.
#[derive(Debug)]
pub struct Row {
    /// Line in the file, from 1; a CSV header is line 1.
    pub line: u64,
    /// Number of the row among the rows, from 0; blank lines are not counted.
    pub ordinal: u64,
    /// Bytes of the file up to the end of this line.
    pub end_offset: u64,
    /// What the row's idempotency key has beside its time: the same whenever the same file is read.
    pub key_bits: [u8; 10],
    /// The form's number where it could be read, else empty.
    pub form_number: String,
    /// The command, or everything that is wrong with the row.
    pub content: Result<v1::Command, Vec<FormFault>>,
}

/// Reads rows. One bad line never disturbs its neighbours.
pub struct Reader<R: BufRead> {
    input: R,
    format: Format,
    columns: Vec<Column>,
    splitter: Splitter,
    line: Vec<u8>,
    line_count: u64,
    row_count: u64,
    offset: u64,
}

impl<R: BufRead> std::fmt::Debug for Reader<R> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Reader")
            .field("format", &self.format)
            .field("line_count", &self.line_count)
            .finish_non_exhaustive()
    }
}

/// How a line ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    /// Nothing was left.
    Nothing,
    /// With a line feed.
    Feed,
    /// With the end of the file.
    File,
    /// It passed [`LINE_BYTES_MAX`]; the rest of it was skipped.
    TooLong,
}

impl<R: BufRead> Reader<R> {
    /// Starts reading; of a CSV file the header is read and checked at once.
    ///
    /// # Errors
    /// [`OpenError`] if the header does not fit; nothing has been read as a row then.
    pub fn open(input: R, format: Format) -> Result<Self, OpenError> {
        let mut reader = Self {
            input,
            format,
            columns: COLUMNS.to_vec(),
            splitter: Splitter::new(),
            line: Vec::with_capacity(4096),
            line_count: 0,
            row_count: 0,
            offset: 0,
        };
        if format == Format::Csv {
            reader.read_header()?;
        }
        Ok(reader)
    }

    fn read_header(&mut self) -> Result<(), OpenError> {
        match self.next_line()? {
            LineEnd::Nothing => return Err(OpenError::Empty),
            LineEnd::TooLong => {
                return Err(OpenError::Malformed(format!(
                    "line is longer than {LINE_BYTES_MAX} bytes"
                )));
            }
            LineEnd::Feed | LineEnd::File => {}
        }
        let text = std::str::from_utf8(&self.line).map_err(|error| {
            OpenError::Malformed(format!("byte {} is not UTF-8", error.valid_up_to() + 1))
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        self.splitter.split(&text).map_err(OpenError::Malformed)?;
        self.columns = header::columns_of(self.splitter.fields()).map_err(OpenError::Header)?;
        Ok(())
    }

    /// Passes over the next `count` rows without parsing them: how an interrupted import goes on.
    ///
    /// # Errors
    /// Whatever the input reports.
    pub fn skip_rows(&mut self, count: u64) -> io::Result<()> {
        let wanted = self.row_count.saturating_add(count);
        while self.row_count < wanted {
            if self.next_line()? == LineEnd::Nothing {
                break;
            }
            if !self.line_is_blank() {
                self.row_count += 1;
            }
        }
        Ok(())
    }

    /// Reads one line into `self.line`, without its line break.
    fn next_line(&mut self) -> io::Result<LineEnd> {
        self.line.clear();
        let bound = LINE_BYTES_MAX as u64 + 1;
        let read = self
            .input
            .by_ref()
            .take(bound)
            .read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(LineEnd::Nothing);
        }
        self.offset += read as u64;
        self.line_count += 1;
        let end = if self.line.last() == Some(&b'\n') {
            self.line.pop();
            LineEnd::Feed
        } else if read as u64 == bound {
            self.skip_line()?;
            return Ok(LineEnd::TooLong);
        } else {
            LineEnd::File
        };
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        Ok(end)
    }

    /// Passes over the rest of a line that is too long to hold.
    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                return Ok(());
            }
            let (length, done) = match buffer.iter().position(|byte| *byte == b'\n') {
                Some(position) => (position + 1, true),
                None => (buffer.len(), false),
            };
            self.input.consume(length);
            self.offset += length as u64;
            if done {
                return Ok(());
            }
        }
    }

    fn line_is_blank(&self) -> bool {
        self.line.iter().all(u8::is_ascii_whitespace)
    }

    /// The form in `self.line`.
    fn form(&mut self) -> Result<Form, Vec<FormFault>> {
        let text = std::str::from_utf8(&self.line).map_err(|error| {
            vec![FormFault::of_row(format!(
                "byte {} of the line is not UTF-8",
                error.valid_up_to() + 1
            ))]
        })?;
        if self.format == Format::JsonLines {
            return json::form_of(text.strip_prefix('\u{feff}').unwrap_or(text));
        }
        self.splitter
            .split(text)
            .map_err(|message| vec![FormFault::of_row(message)])?;
        let found = self.splitter.field_count();
        if found != self.columns.len() {
            let expected = self.columns.len();
            return Err(vec![FormFault::of_row(format!(
                "row has {found} fields, the header {expected}"
            ))]);
        }
        let mut form = Form::new();
        for (column, value) in self.columns.iter().zip(self.splitter.fields()) {
            if !value.is_empty() {
                form.set(*column, value);
            }
        }
        Ok(form)
    }

    fn row(&mut self, end: LineEnd) -> Row {
        let ordinal = self.row_count;
        self.row_count += 1;
        let mut form_number = String::new();
        let content = if end == LineEnd::TooLong {
            Err(vec![FormFault::of_row(format!(
                "line is longer than {LINE_BYTES_MAX} bytes"
            ))])
        } else {
            self.form().and_then(|form| {
                form.get(Column::FormNumber).clone_into(&mut form_number);
                command::command_of(form)
            })
        };
        let content = content.map_err(|mut faults| {
            if end == LineEnd::File && faults.iter().any(|fault| fault.column == "row") {
                faults.push(FormFault::of_row(
                    "file ends inside this row: it may have been cut off",
                ));
            }
            faults
        });
        Row {
            line: self.line_count,
            ordinal,
            end_offset: self.offset,
            key_bits: key_bits(ordinal, &self.line),
            form_number,
            content,
        }
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.next_line() {
                Err(error) => return Some(Err(error)),
                Ok(LineEnd::Nothing) => return None,
                Ok(end) if end != LineEnd::TooLong && self.line_is_blank() => {}
                Ok(end) => return Some(Ok(self.row(end))),
            }
        }
    }
}

/// What a row's idempotency key has beside its time. All rows of a file share the time, so the ordinal by the thousand comes
/// first, where RFC 9562 §6.2 puts a counter, and keys arrive nearly in their order; then BLAKE3 of ordinal and line.
fn key_bits(ordinal: u64, line: &[u8]) -> [u8; 10] {
    let mut hasher = blake3::Hasher::new_derive_key("banyan form row, key of its import, 1");
    hasher.update(&ordinal.to_le_bytes());
    hasher.update(line);
    let mut bits = [0; 10];
    bits[3..].copy_from_slice(&hasher.finalize().as_bytes()[..7]);
    // A UUIDv7 takes four bits of the first byte, eight of the second and six of the third.
    let thousand = ordinal >> 10;
    bits[0] = (thousand >> 14).to_le_bytes()[0] & 0x0f;
    bits[1] = (thousand >> 6).to_le_bytes()[0];
    bits[2] = thousand.to_le_bytes()[0] & 0x3f;
    bits
}

/// Splits one CSV line into fields.
struct Splitter {
    core: csv_core::Reader,
    input: Vec<u8>,
    text: Vec<u8>,
    ends: Vec<usize>,
    count: usize,
}

impl Splitter {
    fn new() -> Self {
        Self {
            core: csv_core::Reader::new(),
            input: Vec::new(),
            text: vec![0; LINE_BYTES_MAX + 1],
            // Twice the columns there are, so that a row with too many fields is counted and not cut.
            ends: vec![0; COLUMNS.len() * 2],
            count: 0,
        }
    }

    /// Splits; the message says what is malformed.
    fn split(&mut self, line: &str) -> Result<(), String> {
        self.core.reset();
        self.input.clear();
        self.input.extend_from_slice(line.as_bytes());
        self.input.push(b'\n');
        self.count = 0;
        let (result, _, _, count) =
            self.core
                .read_record(&self.input, &mut self.text, &mut self.ends);
        match result {
            csv_core::ReadRecordResult::Record => {
                self.count = count;
                Ok(())
            }
            csv_core::ReadRecordResult::OutputEndsFull => {
                Err(format!("row has more than {} fields", self.ends.len()))
            }
            // The line feed was taken as part of a quoted field, so the quotation mark was never closed.
            _ => Err("quotation mark is not closed on its line".to_owned()),
        }
    }

    fn field_count(&self) -> usize {
        self.count
    }

    fn fields(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends[..self.count].iter().map(move |end| {
            let bytes = &self.text[start..*end];
            start = *end;
            // The line was UTF-8 and fields are cut at ASCII bytes only.
            std::str::from_utf8(bytes).unwrap_or_default()
        })
    }
}
