//! Waiting for a condition with a deadline; nothing here sleeps for luck.

use std::time::{Duration, Instant};

const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// The condition did not come true in time.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what} did not happen within {} s: {last}", deadline.as_secs_f32())]
pub struct Elapsed {
    /// What was waited for.
    pub what: String,
    pub deadline: Duration,
    /// What stood in the way at the last look.
    pub last: String,
}

/// Asks `probe` again and again, until it answers `Ok` or the deadline passes; `Err` says what still stands in the way.
///
/// # Errors
/// [`Elapsed`] with the probe's last answer. A probe that hangs counts as one that stands in the way.
pub async fn condition<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T, Elapsed> {
    let end = Instant::now() + deadline;
    let mut pause = PAUSE_MIN;
    let mut last = "not asked yet".to_owned();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(reason)) => last = reason,
            Err(_) => last = format!("{last}; the last look did not come back"),
        }
        if Instant::now() + pause >= end {
            return Err(Elapsed {
                what: what.to_owned(),
                deadline,
                last,
            });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(PAUSE_MAX);
    }
}
