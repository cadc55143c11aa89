//! Time as a parameter: the proposer stamps wall time, staleness is measured in boot time, and the simulator owns both.

use std::time::Duration;

use banyan_domain::Timestamp;
use nix::time::{ClockId, clock_gettime};

/// Tells wall time, which only the proposer of a leader reads, and boot time, by which a node measures how stale it may be.
///
/// A leader whose clock is far from most voters' refuses to propose ([`ClockVerdict`](crate::ClockVerdict)); apply's rule "the later of the last and the
/// new stamp" bounds what a slow clock does.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the epoch.
    fn now(&self) -> Timestamp;

    /// Time since the machine was started, the time that it was suspended included. Never goes back, and no setting of the
    /// wall clock moves it. Two machines' readings have nothing to do with each other.
    fn boot_time(&self) -> Duration;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the registry asks the machine for the time of a proposal"
    )]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp(since.map_or(0, |elapsed| {
            i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
        }))
    }

    fn boot_time(&self) -> Duration {
        // The clock exists on every Linux since 2.6.39, and reading it cannot fail then.
        clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
    }
}
