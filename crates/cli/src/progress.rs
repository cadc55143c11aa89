//! Bars and lines for long work, on standard error; lines only where that is no terminal.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use banyan_drill::import::Progress;
use banyan_drill::observer::Observer;
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::note;

/// Lines take the place of a bar in a log, this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows how far an import is.
#[derive(Debug)]
pub(crate) struct ImportBar {
    bar: Option<ProgressBar>,
    quiet: bool,
    told: Instant,
    started: Instant,
}

impl ImportBar {
    /// A bar over `length` bytes or rows; without a length it only counts. Nothing is shown where `quiet`.
    pub(crate) fn new(length: Option<u64>, quiet: bool) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| match length {
            Some(length) => ProgressBar::new(length)
                .with_style(style("{bar:40} {percent:>3} %  {msg}  {eta} left")),
            None => ProgressBar::new_spinner().with_style(style("{spinner}  {msg}")),
        });
        Self {
            bar,
            quiet,
            told: Instant::now(),
            started: Instant::now(),
        }
    }

    /// Moves to `place` in the file.
    pub(crate) fn update(&mut self, place: u64, progress: &Progress) {
        let rate = progress.settled as f64 / self.started.elapsed().as_secs_f64().max(0.001);
        let text = format!(
            "{} rows, {} refused, {rate:.0}/s",
            progress.settled, progress.rejected
        );
        if let Some(bar) = &self.bar {
            bar.set_position(place);
            bar.set_message(text);
        } else if !self.quiet && self.told.elapsed() >= LINE_EVERY {
            note(&text);
            self.told = Instant::now();
        }
    }

    /// Takes the bar off the screen.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The template is fixed, so that a fault in it shows in the first test; a plain bar is good enough to go on with.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Tells on standard error what a drill or the demonstration does.
#[derive(Debug)]
pub(crate) struct Narrator {
    quiet: bool,
    started: Instant,
    bar: Option<ImportBar>,
}

impl Narrator {
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            quiet,
            started: Instant::now(),
            bar: None,
        }
    }

    fn line(&mut self, text: &str) {
        if let Some(bar) = self.bar.take() {
            bar.clear();
        }
        if !self.quiet {
            note(&format!(
                "[{:>6.1} s] {text}",
                self.started.elapsed().as_secs_f64()
            ));
        }
    }
}

impl Observer for Narrator {
    fn phase(&mut self, what: &str) {
        self.line(what);
    }

    fn note(&mut self, what: &str) {
        self.line(&format!("  {what}"));
    }

    fn importing(&mut self, progress: &Progress, total: u64) {
        let quiet = self.quiet;
        self.bar
            .get_or_insert_with(|| ImportBar::new(Some(total), quiet))
            .update(progress.settled, progress);
    }
}
