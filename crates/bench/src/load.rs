//! The one load generator: closed loop with so many callers, or open loop at a rate.
//!
//! All systems get their load from this code, on the same runtime, with the same histogram. What a caller sends is made before its
//! clock starts. A call counts when it was sent after the warm-up and before the end, however late its answer comes; throughput counts only
//! answers within that time. In an open loop the clock of a call starts when it was *due*, so that a system that stalls is charged
//! for the calls which it kept from being sent (no coordinated omission).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::figures::{Figures, Recorder};

/// A call without an answer is given up after this, and counts as an error.
const CALL_WITHIN: Duration = Duration::from_secs(20);
/// Calls under way in an open loop; past it, a call that is due counts as an error and is not sent.
const OPEN_CALLS_MAX: usize = 20_000;

/// Why a call has no answer of the kind that was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The system has no room for it at the moment, and says so. Only systems that are asked to do more than they can are told apart so.
    Refused {
        /// Whether it says when to come back.
        hint: bool,
    },
    /// Anything else, in words without personal data.
    Error(String),
}

impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure::Error(text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused { .. } => f.write_str("refused for overload"),
            Failure::Error(text) => f.write_str(text),
        }
    }
}

/// One kind of call to one system.
pub(crate) trait Target: Send + Sync + 'static {
    /// What is sent.
    type Request: Send;

    /// Makes the next request, for the caller of that number.
    fn request(&self, slot: usize) -> Self::Request;

    /// Sends it. Answers how many operations were acknowledged: 1, or the records of a batch.
    fn call(
        &self,
        slot: usize,
        request: Self::Request,
    ) -> impl Future<Output = Result<u64, Failure>> + Send;
}

/// How long a run takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Window {
    /// First calls, which do not count.
    pub(crate) warm_up: Duration,
    /// The time that counts.
    pub(crate) counted: Duration,
}

impl Window {
    /// Both together.
    pub(crate) fn total(&self) -> Duration {
        self.warm_up + self.counted
    }
}

/// When calls count.
#[derive(Clone, Copy)]
struct Span {
    from: Instant,
    until: Instant,
}

impl Span {
    fn starting_now(window: Window) -> Span {
        let from = Instant::now() + window.warm_up;
        Span {
            from,
            until: from + window.counted,
        }
    }

    fn holds(&self, moment: Instant) -> bool {
        moment >= self.from && moment < self.until
    }

    fn record(
        &self,
        recorder: &Recorder,
        slot: usize,
        sent: Instant,
        answer: Result<u64, Failure>,
    ) {
        if self.holds(sent) {
            let now = Instant::now();
            recorder.record(slot, now - sent, answer, now < self.until);
        }
    }
}

async fn call<T: Target>(target: &T, slot: usize, request: T::Request) -> Result<u64, Failure> {
    tokio::time::timeout(CALL_WITHIN, target.call(slot, request))
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {CALL_WITHIN:?}").into()))
}

/// So many callers, each with one call under way.
pub(crate) async fn closed<T: Target>(target: &Arc<T>, slots: usize, window: Window) -> Figures {
    let recorder = Arc::new(Recorder::new());
    let span = Span::starting_now(window);
    let mut callers = JoinSet::new();
    for slot in 0..slots {
        let (target, recorder) = (Arc::clone(target), Arc::clone(&recorder));
        callers.spawn(async move {
            while Instant::now() < span.until {
                let request = target.request(slot);
                let sent = Instant::now();
                let answer = call(&*target, slot, request).await;
                let failed = answer.is_err();
                span.record(&recorder, slot, sent, answer);
                if failed {
                    // A system that refuses at once is not to be measured by how fast it can be asked again.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        });
    }
    callers.join_all().await;
    recorder.figures(window.counted)
}

/// So many calls, with `slots` under way at once, and nothing measured.
///
/// # Errors
/// The first call that failed.
pub(crate) async fn drain<T: Target>(
    target: &Arc<T>,
    slots: usize,
    calls: u64,
) -> Result<(), Failure> {
    let left = Arc::new(AtomicU64::new(calls));
    let mut callers = JoinSet::new();
    for slot in 0..slots {
        let (target, left) = (Arc::clone(target), Arc::clone(&left));
        callers.spawn(async move {
            let take = |left: u64| left.checked_sub(1);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_ok()
            {
                let request = target.request(slot);
                call(&*target, slot, request).await?;
            }
            Ok(())
        });
    }
    callers.join_all().await.into_iter().collect()
}

/// Calls at an even rate, for slots in turn, whatever their answers do.
///
/// A thread of its own sends them: the runtime's timers are no finer than a millisecond, and their lateness would be in every latency. What
/// lateness is left, because the machine has no more time for the generator, is told in the figures.
pub(crate) async fn open<T: Target>(
    target: &Arc<T>,
    slots: usize,
    per_second: f64,
    window: Window,
) -> Figures {
    let recorder = Arc::new(Recorder::new());
    let runtime = tokio::runtime::Handle::current();
    let (sending_target, sending_recorder) = (Arc::clone(target), Arc::clone(&recorder));
    let sender = tokio::task::spawn_blocking(move || {
        let mut calls = JoinSet::new();
        let start = Instant::now();
        let span = Span::starting_now(window);
        let interval = 1.0 / per_second.max(0.001);
        for number in 0_u64.. {
            let due = start + Duration::from_secs_f64(interval * number as f64);
            if due >= span.until {
                break;
            }
            let wait = due.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                std::thread::sleep(wait);
            }
            while calls.try_join_next().is_some() {}
            let slot = usize::try_from(number).unwrap_or(0) % slots.max(1);
            if calls.len() >= OPEN_CALLS_MAX {
                let full = format!("{OPEN_CALLS_MAX} calls are under way already");
                span.record(&sending_recorder, slot, due, Err(full.into()));
                continue;
            }
            let (target, recorder) = (Arc::clone(&sending_target), Arc::clone(&sending_recorder));
            let sending = async move {
                let request = target.request(slot);
                let now = Instant::now();
                if span.holds(now) {
                    recorder.sent(slot, now.saturating_duration_since(due));
                }
                let answer = call(&*target, slot, request).await;
                span.record(&recorder, slot, due, answer);
            };
            calls.spawn_on(sending, &runtime);
        }
        calls
    });
    if let Ok(calls) = sender.await {
        calls.join_all().await;
    }
    recorder.figures(window.counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers after a pause, and stalls once.
    struct Sleeper {
        calls: AtomicU64,
        stall_at: u64,
        stall: Duration,
        gate: tokio::sync::Semaphore,
    }

    impl Sleeper {
        fn new(stall_at: u64, stall: Duration) -> Arc<Sleeper> {
            Arc::new(Sleeper {
                calls: AtomicU64::new(0),
                stall_at,
                stall,
                gate: tokio::sync::Semaphore::new(1),
            })
        }
    }

    impl Target for Sleeper {
        type Request = u64;

        fn request(&self, _slot: usize) -> u64 {
            self.calls.fetch_add(1, Ordering::Relaxed)
        }

        async fn call(&self, _slot: usize, number: u64) -> Result<u64, Failure> {
            // One at a time, so that a stall keeps all others waiting.
            let _turn = self
                .gate
                .acquire()
                .await
                .map_err(|error| error.to_string())?;
            if number == self.stall_at {
                tokio::time::sleep(self.stall).await;
            }
            Ok(1)
        }
    }

    const WINDOW: Window = Window {
        warm_up: Duration::ZERO,
        counted: Duration::from_millis(600),
    };

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn open_loop_charges_a_stall_to_the_calls_that_were_due_in_it() {
        let target = Sleeper::new(10, Duration::from_millis(300));
        let figures = open(&target, 4, 1000.0, WINDOW).await;
        assert_eq!(figures.errors, 0, "{figures:?}");
        // About half of the calls were due in the stall, and waited half of it in the mean.
        assert!(figures.p90_us > 100_000, "{figures:?}");
        assert!(figures.calls > 500, "{figures:?}");
        let sending = figures.sending.unwrap();
        assert!(sending.per_second > 0.0, "{sending:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn open_loop_tells_refusals_from_errors() {
        struct Full(AtomicU64);
        impl Target for Full {
            type Request = ();
            fn request(&self, _slot: usize) {}
            async fn call(&self, _slot: usize, (): ()) -> Result<u64, Failure> {
                match self.0.fetch_add(1, Ordering::Relaxed) % 4 {
                    0 => Ok(1),
                    1 => Err("broken".to_owned().into()),
                    rest => Err(Failure::Refused { hint: rest == 2 }),
                }
            }
        }
        let target = Arc::new(Full(AtomicU64::new(0)));
        let figures = open(&target, 4, 1000.0, WINDOW).await;
        let refusals = figures.refusals.unwrap();
        assert!(figures.calls.abs_diff(figures.errors) <= 1);
        assert!(refusals.count.abs_diff(2 * figures.errors) <= 2);
        assert!(refusals.hinted.abs_diff(figures.errors) <= 1);
        assert_eq!(figures.error.as_deref(), Some("broken"));
    }

    #[tokio::test]
    async fn closed_loop_counts_what_was_acknowledged() {
        let target = Sleeper::new(u64::MAX, Duration::ZERO);
        let figures = closed(&target, 3, WINDOW).await;
        let asked = target.calls.load(Ordering::Relaxed);
        assert!(figures.calls > 0 && figures.calls <= asked);
        assert!(figures.operations <= figures.calls);
    }

    #[tokio::test]
    async fn drain_makes_exactly_the_calls_asked_for() {
        let target = Sleeper::new(u64::MAX, Duration::ZERO);
        drain(&target, 7, 100).await.unwrap();
        assert_eq!(target.calls.load(Ordering::Relaxed), 100);
    }
}
