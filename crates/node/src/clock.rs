//! The one place in this crate that reads the system's clocks.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall-clock and monotonic time, as a parameter of whoever needs one.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970-01-01 UTC.
    fn now_ms(&self) -> i64;
    /// A reading that never goes back.
    fn monotonic(&self) -> Instant;
}

/// Shared by the parts of a node.
pub type SharedClock = Arc<dyn Clock>;

/// The clocks of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the place that the ban points to"
    )]
    fn now_ms(&self) -> i64 {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "this is the place that the ban points to"
    )]
    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}
