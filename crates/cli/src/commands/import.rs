//! `banyan import`: a file of collected forms into the registry, row by row, able to go on where it stopped.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use banyan_client::new_key;
use banyan_domain::Timestamp;
use banyan_drill::import::{self, ImportError, Progress, Reject};
use banyan_drill::population::importable;
use banyan_synth::forms::{self, Format, Reader};
use clap::Args;
use serde::Serialize;

use super::synth::FormatArgument;
use super::write::same_command;
use crate::checkpoint::{Checkpoint, CheckpointError, State, content_mark};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::output::note;
use crate::progress::ImportBar;
use crate::rejects::RejectsFile;
use crate::session::{Session, Usual};

/// Faulty rows that a dry run lists.
const DRY_RUN_LISTED_MAX: usize = 20;

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// File of forms; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Format [default: by the file's name, else csv]
    #[arg(long, value_enum)]
    format: Option<FormatArgument>,
    /// File for refused rows [default: FILE.rejected.csv]
    #[arg(long, value_name = "FILE")]
    rejected: Option<PathBuf>,
    /// File that remembers how far an import came [default: FILE.progress.json]
    #[arg(long, value_name = "FILE")]
    progress: Option<PathBuf>,
    /// Begin anew, whatever an earlier import left (rows that are in already are answered as before)
    #[arg(long)]
    restart: bool,
    /// Rows in one call
    #[arg(long, value_name = "COUNT", default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch: u16,
    /// Calls under way at once
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    in_flight: u16,
    /// Seconds for which a batch is tried again while the cluster cannot take it
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    patience: u64,
    /// Only check the rows here: nothing is sent, no file is written
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Shape {
    dry_run: bool,
    file: String,
    rows: u64,
    imported: u64,
    replayed: u64,
    rejected: u64,
    resumed_from_row: u64,
    seconds: f64,
    per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_file: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rejects: Vec<Listed>,
}

/// A refused row, as the file of refused rows has it.
#[derive(Serialize)]
struct Listed {
    line: u64,
    form_number: String,
    field: String,
    reason: String,
    code: String,
}

type Input = Box<dyn BufRead + Send>;

/// An opened input.
struct Source {
    reader: Reader<Input>,
    /// Bytes and mark of the content; a pipe has neither.
    file: Option<(u64, String)>,
    /// When the keys of the rows are said to be made, if no earlier run has said it.
    keys_made: Timestamp,
}

pub(crate) async fn run(global: &Global, import: &Import) -> Result<Exit, Failure> {
    let source = open(import)?;
    if import.dry_run {
        check_only(global, import, source.reader)
    } else {
        send(global, import, source).await
    }
}

fn open(import: &Import) -> Result<Source, Failure> {
    let path = &import.file;
    let format = import
        .format
        .map(Format::from)
        .or_else(|| Format::of_path(path))
        .unwrap_or(Format::Csv);
    let cannot = |error: io::Error| {
        let exit = if error.kind() == io::ErrorKind::NotFound {
            Exit::NotFound
        } else {
            Exit::Fault
        };
        Failure::new(exit, format!("cannot read {}: {error}", path.display()))
    };
    let (input, file, changed): (Input, _, _) = if from_pipe(path) {
        (
            Box::new(BufReader::with_capacity(1 << 16, io::stdin())),
            None,
            None,
        )
    } else {
        let mut file = File::open(path).map_err(cannot)?;
        let metadata = file.metadata().map_err(cannot)?;
        let mark = content_mark(&mut file).map_err(cannot)?;
        (
            Box::new(BufReader::with_capacity(1 << 16, file)),
            Some((metadata.len(), mark)),
            metadata.modified().ok(),
        )
    };
    let reader = Reader::open(input, format).map_err(|error| {
        let failure = Failure::because(Exit::Usage, &error);
        match error {
            forms::OpenError::Header(_) | forms::OpenError::Empty => {
                failure.with_next("banyan synth --citizens 1   # shows the columns")
            }
            _ => failure,
        }
    })?;
    Ok(Source {
        reader,
        file,
        keys_made: import::keys_made(changed),
    })
}

fn from_pipe(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Reads every row and tells what is wrong, without the registry.
fn check_only(global: &Global, import: &Import, reader: Reader<Input>) -> Result<Exit, Failure> {
    let started = Instant::now();
    let (mut rows, mut rejected) = (0, 0);
    let mut listed = Vec::new();
    for row in reader {
        let row =
            row.map_err(|error| Failure::new(Exit::Fault, format!("cannot read on: {error}")))?;
        rows += 1;
        let Err(faults) = row.content else { continue };
        rejected += 1;
        for fault in faults {
            if listed.len() < DRY_RUN_LISTED_MAX {
                listed.push(Listed {
                    line: row.line,
                    form_number: row.form_number.clone(),
                    field: fault.column,
                    reason: fault.message,
                    code: String::new(),
                });
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let shape = Shape {
        dry_run: true,
        file: import.file.display().to_string(),
        rows,
        imported: 0,
        replayed: 0,
        rejected,
        resumed_from_row: 0,
        seconds,
        per_second: rows as f64 / seconds.max(0.001),
        rejected_file: None,
        rejects: listed,
    };
    global.output().answer(&shape, || {
        let mut text =
            format!("{rows} rows read, {rejected} of them with faults. Nothing was sent.");
        for reject in &shape.rejects {
            text.push_str(&format!(
                "\n  line {}: {}: {}",
                reject.line, reject.field, reject.reason
            ));
        }
        text
    });
    Ok(if rejected == 0 {
        Exit::Done
    } else {
        Exit::Partial
    })
}

/// What is kept while rows are sent.
struct Ledger {
    start: State,
    state: State,
    rejects: RejectsFile,
    checkpoint: Option<Checkpoint>,
    bar: ImportBar,
    by_bytes: bool,
}

impl Ledger {
    fn observe(&mut self, progress: &Progress, rejects: &[Reject]) -> io::Result<()> {
        self.rejects.append(rejects)?;
        self.state = self.start.advanced(progress, self.rejects.bytes());
        self.bar.update(
            if self.by_bytes {
                progress.end_offset
            } else {
                progress.settled
            },
            progress,
        );
        self.save(false)
    }

    fn save(&mut self, now: bool) -> io::Result<()> {
        match &mut self.checkpoint {
            Some(checkpoint) => checkpoint.save(&self.state, now),
            None => Ok(()),
        }
    }
}

async fn send(global: &Global, import: &Import, source: Source) -> Result<Exit, Failure> {
    let session = Session::open(global, Usual::Nobody)?;
    let mut ledger = ledger(global, import, source.file, source.keys_made)?;
    let mut reader = source.reader;
    let skipped = reader.skip_rows(ledger.start.rows);
    skipped.map_err(|error| Failure::new(Exit::Fault, format!("cannot read on: {error}")))?;
    if ledger.start.rows > 0 && !global.json {
        note(&format!("going on after row {}", ledger.start.rows));
    }
    let options = import::Options {
        batch_rows: usize::from(import.batch),
        in_flight: usize::from(import.in_flight),
        patience: Duration::from_secs(import.patience),
        sample_every: 0,
    };
    let made = ledger.start.keys_made();
    let rows = reader.map(|row| row.map(|row| importable(row, made)));
    let ended = import::run(
        &[session.client],
        rows,
        &options,
        &mut |progress, rejects| ledger.observe(progress, rejects),
    )
    .await;
    ledger.bar.clear();
    let saved = ledger.save(true);
    let summary = ended.map_err(|error| stopped(import, error, &ledger))?;
    saved
        .and_then(|()| {
            ledger
                .checkpoint
                .as_ref()
                .map_or(Ok(()), Checkpoint::remove)
        })
        .map_err(|error| {
            Failure::new(
                Exit::Fault,
                format!("all rows are settled, but the progress file cannot be removed: {error}"),
            )
        })?;
    Ok(report(global, import, &ledger, &summary))
}

fn ledger(
    global: &Global,
    import: &Import,
    file: Option<(u64, String)>,
    keys_made: Timestamp,
) -> Result<Ledger, Failure> {
    let pipe = file.is_none();
    let checkpoint = (!pipe || import.progress.is_some()).then(|| {
        Checkpoint::new(
            import
                .progress
                .clone()
                .unwrap_or_else(|| beside(&import.file, "progress.json")),
        )
    });
    let (length, mark) = file.map_or((None, "standard input".to_owned()), |(bytes, mark)| {
        (Some(bytes), mark)
    });
    let start = match &checkpoint {
        Some(checkpoint) if !import.restart => {
            earlier(checkpoint, &mark)?.map(|state| state.with_good_keys(new_key().made()))
        }
        _ => None,
    }
    .unwrap_or_else(|| State::start(mark, keys_made));
    let path = import
        .rejected
        .clone()
        .unwrap_or_else(|| beside(&import.file, "rejected.csv"));
    let rejects = RejectsFile::resumed(&path, start.rejects_bytes).map_err(|error| {
        Failure::new(
            Exit::Fault,
            format!("cannot use {}: {error}", path.display()),
        )
    })?;
    Ok(Ledger {
        state: start.clone(),
        start,
        rejects,
        checkpoint,
        bar: ImportBar::new(length, global.json),
        by_bytes: length.is_some(),
    })
}

fn earlier(checkpoint: &Checkpoint, mark: &str) -> Result<Option<State>, Failure> {
    checkpoint.load(mark).map_err(|error| {
        let failure = Failure::because(Exit::Usage, &error);
        match error {
            CheckpointError::OtherContent { .. } | CheckpointError::Malformed { .. } => failure
                .with_advice(
                    "Begin anew with --restart: rows that are in already are not entered twice.",
                ),
            CheckpointError::Read { .. } => failure,
        }
    })
}

/// `forms.csv` and `rejected.csv` make `forms.csv.rejected.csv`; a pipe's files stand in the current directory.
fn beside(file: &Path, extension: &str) -> PathBuf {
    if from_pipe(file) {
        return PathBuf::from(format!("stdin.{extension}"));
    }
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

/// The import stopped: what is settled stays settled, and the same command goes on from there.
fn stopped(import: &Import, error: ImportError, ledger: &Ledger) -> Failure {
    let settled = ledger.state.rows;
    let failure = match error {
        ImportError::Submit { from, to, source } => {
            let mut failure = Failure::from(*source);
            failure.message = format!("lines {from} to {to}: {}", failure.message);
            failure
        }
        other => Failure::because(Exit::Fault, &other),
    };
    let failure = failure.with_advice(format!(
        "{settled} rows are settled. The same command goes on from there; rows that were under way are not entered twice."
    ));
    if from_pipe(&import.file) {
        failure
    } else {
        failure.with_next(same_command())
    }
}

fn report(global: &Global, import: &Import, ledger: &Ledger, summary: &import::Summary) -> Exit {
    let state = &ledger.state;
    let shape = Shape {
        dry_run: false,
        file: import.file.display().to_string(),
        rows: state.rows,
        imported: state.imported,
        replayed: state.replayed,
        rejected: state.rejected,
        resumed_from_row: ledger.start.rows,
        seconds: summary.elapsed.as_secs_f64(),
        per_second: summary.imported_per_second(),
        rejected_file: ledger.rejects.path().map(|path| path.display().to_string()),
        rejects: Vec::new(),
    };
    global.output().answer(&shape, || {
        let mut text = format!(
            "{} rows: {} in the registry ({} of them were before), {} refused; {:.1} s, {:.0} persons/s",
            shape.rows, shape.imported, shape.replayed, shape.rejected, shape.seconds, shape.per_second
        );
        if let Some(path) = &shape.rejected_file {
            text.push_str(&format!("\nrefused rows, with line, field and reason: {path}"));
        }
        text
    });
    if state.rejected == 0 {
        Exit::Done
    } else {
        Exit::Partial
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stand_beside_the_input() {
        assert_eq!(
            beside(Path::new("a/forms.csv"), "rejected.csv"),
            PathBuf::from("a/forms.csv.rejected.csv")
        );
        assert_eq!(
            beside(Path::new("-"), "progress.json"),
            PathBuf::from("stdin.progress.json")
        );
    }
}
