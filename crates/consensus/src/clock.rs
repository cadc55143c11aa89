//! Wall time as a parameter: the proposer stamps it, and the simulator owns it.

use banyan_domain::Timestamp;

/// Tells wall time. Only the proposer of a leader reads one.
///
/// A leader whose clock is more than five seconds from most voters' must refuse to propose. The voters do not exchange
/// their clocks yet, so nothing checks that here; apply's rule "the later of the last and the new stamp" bounds what a
/// slow clock does, and nothing but the operator's time service bounds a fast one.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the epoch.
    fn now(&self) -> Timestamp;
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
}
