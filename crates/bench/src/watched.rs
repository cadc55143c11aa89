//! The longest time in which no call was acknowledged to any client, while something is done to the system.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::figures::Figures;
use crate::load::{self, Failure, Target, Window};

/// Counts the time between acknowledgements.
struct Watched<T> {
    inner: Arc<T>,
    since: Instant,
    /// Nanoseconds from `since` to the newest acknowledgement.
    newest: AtomicU64,
    /// The longest time between two of them.
    longest: AtomicU64,
}

impl<T> Watched<T> {
    fn new(inner: Arc<T>) -> Watched<T> {
        Watched {
            inner,
            since: Instant::now(),
            newest: AtomicU64::new(0),
            longest: AtomicU64::new(0),
        }
    }

    fn acknowledged(&self) {
        let now = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let before = self.newest.fetch_max(now, Ordering::Relaxed);
        self.longest
            .fetch_max(now.saturating_sub(before), Ordering::Relaxed);
    }

    /// Forgets what was before: the kill is next.
    fn forget(&self) {
        self.longest.store(0, Ordering::Relaxed);
    }

    /// The longest time, one that has not ended included.
    fn longest(&self) -> Duration {
        self.acknowledged();
        Duration::from_nanos(self.longest.load(Ordering::Relaxed))
    }
}

impl<T: Target> Target for Watched<T> {
    type Request = T::Request;

    fn request(&self, slot: usize) -> T::Request {
        self.inner.request(slot)
    }

    async fn call(&self, slot: usize, request: T::Request) -> Result<u64, Failure> {
        let answer = self.inner.call(slot, request).await;
        if answer.is_ok() {
            self.acknowledged();
        }
        answer
    }
}

/// Load, and `event` in it, `before` after its start. The figures tell of the whole window; `stop_ms` counts from the event to the end of the
/// window, one that has not ended by then included. Also what the event answered.
///
/// # Errors
/// Those of the event.
pub(crate) async fn interrupted<T: Target, A>(
    target: &Arc<T>,
    writers: usize,
    window: Window,
    before: Duration,
    event: impl AsyncFnOnce() -> anyhow::Result<A>,
) -> anyhow::Result<(Figures, A)> {
    let watched = Arc::new(Watched::new(Arc::clone(target)));
    let ends = Instant::now() + window.total();
    let interrupting = async {
        tokio::time::sleep(before).await;
        watched.forget();
        event().await
    };
    let watching = async {
        // Not when the last call has come back, or the event is over: writers that have ended acknowledge nothing.
        tokio::time::sleep(ends.saturating_duration_since(Instant::now())).await;
        watched.longest()
    };
    let loading = load::closed(&watched, writers, window);
    let (mut figures, longest, answer) = tokio::join!(loading, watching, interrupting);
    figures.stop_ms = Some(longest.as_secs_f64() * 1000.0);
    Ok((figures, answer?))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Server {
        gone: std::sync::atomic::AtomicBool,
    }

    impl Target for Server {
        type Request = ();

        fn request(&self, _slot: usize) {}

        async fn call(&self, _slot: usize, (): ()) -> Result<u64, Failure> {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if self.gone.load(Ordering::Relaxed) {
                return Err("gone".to_owned().into());
            }
            Ok(1)
        }
    }

    #[tokio::test]
    async fn stop_is_the_time_without_an_acknowledgement() {
        let server = Arc::new(Server {
            gone: std::sync::atomic::AtomicBool::new(false),
        });
        let watched = Arc::new(Watched::new(Arc::clone(&server)));
        load::drain(&watched, 2, 10).await.unwrap();
        watched.forget();
        server.gone.store(true, Ordering::Relaxed);
        assert!(load::drain(&watched, 1, 1).await.is_err());
        tokio::time::sleep(Duration::from_millis(120)).await;
        server.gone.store(false, Ordering::Relaxed);
        load::drain(&watched, 2, 10).await.unwrap();
        assert!(watched.longest() >= Duration::from_millis(120));
    }

    #[tokio::test]
    async fn interruption_is_counted_from_the_event_and_until_the_window_ends() {
        let server = Arc::new(Server {
            gone: std::sync::atomic::AtomicBool::new(false),
        });
        let window = Window {
            warm_up: Duration::ZERO,
            counted: Duration::from_millis(300),
        };
        let before = Duration::from_millis(50);
        let ending = async || {
            server.gone.store(true, Ordering::Relaxed);
            Ok("ended")
        };
        let (figures, answer) = interrupted(&server, 2, window, before, ending)
            .await
            .unwrap();
        assert_eq!(answer, "ended");
        assert!(figures.calls > 0 && figures.errors > 0, "{figures:?}");
        // It never came back: counted to the end of the window, which is at least so long after the event.
        assert!(figures.stop_ms >= Some(200.0), "{figures:?}");
        let failing = async || -> anyhow::Result<()> { anyhow::bail!("no such node") };
        assert!(
            interrupted(&server, 2, window, before, failing)
                .await
                .is_err()
        );
    }
}
