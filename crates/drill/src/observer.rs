//! Who watches a drill: the command line with its bars and lines, a test with nothing.

use crate::import::Progress;

/// Told what a long run does. Nothing that it is told holds a person's data.
pub trait Observer: Send {
    /// A part begins.
    fn phase(&mut self, what: &str);
    /// Something worth a line happened in the current part.
    fn note(&mut self, what: &str);
    /// An import moved on; `total` rows are expected.
    fn importing(&mut self, progress: &Progress, total: u64);
}

/// Writes what it is told as log lines.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traced;

impl Observer for Traced {
    fn phase(&mut self, what: &str) {
        tracing::info!(phase = what, "drill");
    }

    fn note(&mut self, what: &str) {
        tracing::info!(note = what, "drill");
    }

    fn importing(&mut self, progress: &Progress, total: u64) {
        tracing::debug!(settled = progress.settled, total, "import");
    }
}
