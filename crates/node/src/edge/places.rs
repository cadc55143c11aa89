//! Places for the requests that a node serves at one time, and what those are told who find none.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use banyan_consensus::RetryHint;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The hint follows the load at this pace.
const WINDOW: Duration = Duration::from_millis(100);
/// Without a refusal for this long the overload is over, and the hint starts anew.
const CALM: Duration = Duration::from_secs(2);

/// A bound on requests served at one time.
pub struct Places {
    free: Arc<Semaphore>,
    /// Places given back since the start.
    ended: Arc<AtomicUsize>,
    refusals: Mutex<Refusals>,
}

#[derive(Default)]
struct Refusals {
    hint: RetryHint,
    /// When the window began, and what happened before it.
    since: Option<Instant>,
    ended_before: usize,
    /// Refusals in it.
    count: usize,
}

/// A place that is taken, until this is dropped.
pub struct Place {
    ended: Arc<AtomicUsize>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts what is under way. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicUsize>);

/// Something that is counted, until this is dropped.
#[derive(Debug)]
pub struct Counted(Counter);

impl Counter {
    /// Counts one more, and says how many there were before.
    #[must_use]
    pub fn count(&self) -> (Counted, usize) {
        let before = self.0.fetch_add(1, Ordering::AcqRel);
        (Counted(self.clone()), before)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Places {
    /// So many requests at one time.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(count)),
            ended: Arc::default(),
            refusals: Mutex::default(),
        }
    }

    /// Takes a place, at once or not at all.
    ///
    /// # Errors
    /// After which time to come back, where none is free.
    pub fn take(&self, now: Instant) -> Result<Place, Duration> {
        match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => Ok(Place {
                ended: Arc::clone(&self.ended),
                _permit: permit,
            }),
            Err(_) => {
                let ended = self.ended.load(Ordering::Relaxed);
                let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
                Err(refusals.next(now, ended))
            }
        }
    }
}

impl Refusals {
    fn next(&mut self, now: Instant, ended: usize) -> Duration {
        let lasted = self
            .since
            .map_or(CALM, |since| now.saturating_duration_since(since));
        if lasted >= WINDOW {
            if lasted >= CALM {
                self.hint = RetryHint::default();
            } else {
                let answered = ended.saturating_sub(self.ended_before);
                self.hint.adjust(self.count, answered);
            }
            self.since = Some(now);
            self.ended_before = ended;
            self.count = 0;
        }
        self.count += 1;
        self.hint.draw()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_within(hint: Duration, bounds: [Duration; 2]) -> bool {
        (bounds[0]..=bounds[1]).contains(&hint)
    }

    #[test]
    fn place_that_is_given_back_is_free_again() {
        let places = Places::new(2);
        let now = Instant::now();
        let first = places.take(now).unwrap();
        let _second = places.take(now).unwrap();
        let hint = places.take(now).err().unwrap();
        let [min, _] = RetryHint::BOUNDS;
        assert!(is_within(hint, [min, min * 2]), "{hint:?}");
        drop(first);
        assert!(places.take(now).is_ok());
    }

    #[test]
    fn counter_counts_what_is_under_way() {
        let counter = Counter::default();
        let (first, before) = counter.count();
        assert_eq!(before, 0);
        let (_second, before) = counter.count();
        assert_eq!(before, 1);
        drop(first);
        assert_eq!(counter.count().1, 1);
    }

    #[test]
    fn hint_grows_with_the_load_up_to_a_bound_and_starts_anew_after_it() {
        let [min, max] = RetryHint::BOUNDS;
        let places = Places::new(1);
        let place = places.take(Instant::now()).unwrap();
        let start = Instant::now();
        let at = |window: u32| start + WINDOW * window;
        let refused = |now: Instant| places.take(now).err().unwrap();
        let mut last = Duration::ZERO;
        for window in 0..20 {
            for _ in 0..50 {
                last = refused(at(window));
            }
        }
        assert!(is_within(last, [max / 2, max]), "{last:?}");
        let calm = refused(at(19) + CALM);
        assert!(is_within(calm, [min, min * 2]), "{calm:?}");
        drop(place);
    }

    #[test]
    fn hint_stays_short_while_more_are_answered_than_refused() {
        let [min, _] = RetryHint::BOUNDS;
        let places = Places::new(1);
        let start = Instant::now();
        for window in 0..50 {
            let now = start + WINDOW * window;
            for _ in 0..10 {
                drop(places.take(now).unwrap());
            }
            let place = places.take(now).unwrap();
            let hint = places.take(now).err().unwrap();
            assert!(is_within(hint, [min, min * 2]), "{hint:?}");
            drop(place);
        }
    }
}
