//! Log lines: what is let through, and in which form.
//!
//! No line may hold personal data. Crates that handle raw bytes of requests (TLS, HTTP, gRPC) and the consensus
//! library are capped, whatever level is asked for: at their lower levels they print what they carry.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::{LogFormat, LogSettings};

/// Libraries that see request bodies or log entries, and the most that they may say.
const CAPS: [(&str, LevelFilter); 8] = [
    ("h2", LevelFilter::WARN),
    ("hyper", LevelFilter::WARN),
    ("hyper_util", LevelFilter::WARN),
    ("rustls", LevelFilter::WARN),
    ("tonic", LevelFilter::WARN),
    ("tower", LevelFilter::WARN),
    ("axum", LevelFilter::WARN),
    ("openraft", LevelFilter::WARN),
];

/// The filter for a level: everything at that level, the capped libraries no lower than their cap.
#[must_use]
pub fn filter(level: LevelFilter) -> EnvFilter {
    let mut filter = EnvFilter::default().add_directive(level.into());
    for (library, cap) in CAPS {
        // `LevelFilter` orders by verbosity: OFF is the least.
        let allowed = level.min(cap);
        if let Ok(directive) = format!("{library}={allowed}").parse() {
            filter = filter.add_directive(directive);
        }
    }
    filter
}

/// A subscriber that writes lines in the configured form to `writer`.
pub fn subscriber<W>(settings: &LogSettings, writer: W) -> impl tracing::Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_target(true);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match settings.format() {
        LogFormat::Human => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter(settings.level())))
}

/// Sends this process's log lines to standard error.
///
/// # Errors
/// A subscriber is set already.
pub fn start(settings: &LogSettings) -> Result<(), TryInitError> {
    subscriber(settings, io::stderr).try_init()
}

/// An error and all that caused it, on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_sees_bodies_stays_capped_at_every_level() {
        let text = filter(LevelFilter::TRACE).to_string();
        assert!(
            text.contains("h2=warn") && text.contains("openraft=warn"),
            "{text}"
        );
        let text = filter(LevelFilter::ERROR).to_string();
        assert!(text.contains("h2=error"), "{text}");
    }
}
