//! How much may wait: what is admitted is answered soon, and what is not is told so at once.
//!
//! A queue that takes everything turns an overload into timeouts: each command waits until its caller has given up. Here a command is admitted
//! only while the ones before it will be answered within a bound, by the rate at which this leader has lately answered commands while its
//! places were all taken (Little's law: wait = outstanding / rate). Callers with a few commands, a registrar at a counter, and callers with
//! many, an import, are counted apart and have bounds of their own.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::retry_hint::RetryHint;

/// Callers with more commands than this are bulk.
pub(crate) const SINGLE_COMMANDS_MAX: usize = 16;
/// Commands of single callers that are always admitted: what 256 clients with one command each can have outstanding.
const SINGLE_FLOOR: usize = 256;
/// Commands of bulk callers that are always admitted: eight full entries.
const BULK_FLOOR: usize = 8 * crate::proposer::ENTRY_COMMANDS_MAX;
/// The wait that a single caller may meet, at least.
const SINGLE_WAIT_MIN: Duration = Duration::from_millis(30);
/// ... and in times of the shortest time that an entry has lately taken: sites far apart have more under way.
const SINGLE_WAIT_ROUNDS: u32 = 4;
/// The wait that a bulk caller may meet.
const BULK_WAIT: Duration = Duration::from_secs(2);
/// A rate is taken over at least this time.
const WINDOW: Duration = Duration::from_millis(100);
/// Weight of a new rate against what was known.
const SHARE: f64 = 0.3;
/// The shortest time of an entry is forgotten after this, so that it follows a change of the network.
const SHORTEST_KEPT: Duration = Duration::from_secs(10);

/// What kind of caller it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A few commands, somebody waits.
    Single,
    /// Many commands.
    Bulk,
}

impl Class {
    pub(crate) fn of(commands: usize) -> Self {
        if commands > SINGLE_COMMANDS_MAX {
            Self::Bulk
        } else {
            Self::Single
        }
    }
}

/// Counts what is outstanding at the proposer and decides whether more is admitted. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    single: AtomicUsize,
    bulk: AtomicUsize,
    pace: Mutex<Pace>,
}

/// What is known of the leader's speed. Times are since any fixed moment.
#[derive(Debug, Default)]
struct Pace {
    /// Commands answered in a second while all places were taken; none until that was seen.
    rate: Option<f64>,
    window_began: Option<Duration>,
    window_commands: usize,
    /// The shortest time of an entry, and when it was seen.
    shortest: Option<(Duration, Duration)>,
    /// Refusals since the window began, and what those refused are told.
    refused: usize,
    hint: RetryHint,
}

/// A place among what is outstanding; given back when dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    load: Load,
    class: Class,
    commands: usize,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.load
            .count(self.class)
            .fetch_sub(self.commands, Ordering::AcqRel);
    }
}

impl Load {
    fn count(&self, class: Class) -> &AtomicUsize {
        match class {
            Class::Single => &self.0.single,
            Class::Bulk => &self.0.bulk,
        }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.0.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits commands of one caller, or says after which time to come back.
    pub(crate) fn admit(&self, commands: usize) -> Result<Admitted, Duration> {
        let class = Class::of(commands);
        let before = self.count(class).fetch_add(commands, Ordering::AcqRel);
        // Counted first, so that callers at the same moment see each other; given back where it is refused.
        let admitted = Admitted {
            load: self.clone(),
            class,
            commands,
        };
        self.check(class, before + commands).map(|()| admitted)
    }

    /// After which time commands should come back that would be refused now, or will be once those that are on their way here have arrived. Takes no
    /// place: for those who have not spent anything on them yet.
    pub(crate) fn refuses(&self, commands: usize, on_their_way: usize) -> Option<Duration> {
        let class = Class::of(commands);
        // Those on their way may be here already.
        let before = self.count(class).load(Ordering::Acquire).max(on_their_way);
        self.check(class, before + commands).err()
    }

    fn check(&self, class: Class, outstanding: usize) -> Result<(), Duration> {
        let floor = match class {
            Class::Single => SINGLE_FLOOR,
            Class::Bulk => BULK_FLOOR,
        };
        if outstanding <= floor {
            return Ok(());
        }
        let mut pace = self.pace();
        let Some(rate) = pace.rate else {
            return Ok(());
        };
        let bound = match class {
            Class::Single => pace
                .shortest
                .map_or(SINGLE_WAIT_MIN, |(took, _)| took * SINGLE_WAIT_ROUNDS)
                .max(SINGLE_WAIT_MIN),
            Class::Bulk => BULK_WAIT,
        };
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
        let wait = Duration::from_secs_f64((outstanding as f64 / rate).min(3600.0));
        if wait <= bound {
            return Ok(());
        }
        pace.refused += 1;
        Err(pace.hint.draw())
    }

    /// An entry with these commands was answered at `now`, `took` after it was proposed; `saturated` says whether all places were taken
    /// meanwhile.
    pub(crate) fn answered(&self, commands: usize, took: Duration, now: Duration, saturated: bool) {
        let mut pace = self.pace();
        let kept = pace
            .shortest
            .filter(|(_, seen)| now.saturating_sub(*seen) < SHORTEST_KEPT);
        pace.shortest = match kept {
            Some((shortest, seen)) if shortest <= took => Some((shortest, seen)),
            _ => Some((took, now)),
        };
        if !saturated {
            // A rate below capacity says nothing of capacity.
            pace.window_began = None;
            return;
        }
        let Some(began) = pace.window_began else {
            pace.window_began = Some(now);
            pace.window_commands = 0;
            return;
        };
        pace.window_commands += commands;
        let lasted = now.saturating_sub(began);
        if lasted < WINDOW {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
        let seen = (pace.window_commands as f64 / lasted.as_secs_f64()).max(1.0);
        pace.rate = Some(
            pace.rate
                .map_or(seen, |known| known + SHARE * (seen - known)),
        );
        let (refused, answered) = (std::mem::take(&mut pace.refused), pace.window_commands);
        pace.hint.adjust(refused, answered);
        pace.window_began = Some(now);
        pace.window_commands = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// The shortest hint, wherever in its spread.
    fn is_shortest(hint: Duration) -> bool {
        let [min, _] = RetryHint::BOUNDS;
        (min..=min * 3 / 2).contains(&hint)
    }

    /// A leader that has answered `rate` commands a second for a while, each entry in `took`.
    fn at(rate: usize, took: Duration) -> Load {
        let load = Load::default();
        for tick in 0..100 {
            load.answered(rate / 100, took, ms(tick * 10), true);
        }
        load
    }

    #[test]
    fn without_an_overload_everything_is_admitted() {
        let load = Load::default();
        for tick in 0..100 {
            load.answered(1, ms(5), ms(tick * 10), false);
        }
        let admitted: Vec<_> = (0..4_000).map(|_| load.admit(1).unwrap()).collect();
        assert_eq!(admitted.len(), 4_000, "an idle leader's rate is no bound");
    }

    #[test]
    fn more_than_the_bound_allows_is_refused_with_a_hint_and_leaves_nothing_behind() {
        let load = at(10_000, ms(5));
        let mut admitted = Vec::new();
        let hint = loop {
            match load.admit(1) {
                Ok(place) => admitted.push(place),
                Err(hint) => break hint,
            }
        };
        // 30 ms at 10,000 a second.
        assert_eq!(admitted.len(), 300);
        assert!(is_shortest(hint), "{hint:?}");
        admitted.pop();
        let again = load.admit(1).expect("a place came free");
        drop((again, admitted));
        assert_eq!(load.count(Class::Single).load(Ordering::Acquire), 0);
    }

    #[test]
    fn a_look_says_what_admission_would_say_and_takes_no_place() {
        let load = at(10_000, ms(5));
        assert_eq!(load.refuses(1, 0), None);
        assert_eq!(load.refuses(1, 299), None);
        assert!(load.refuses(1, 300).is_some(), "they will be 301");
        let _full: Vec<_> = std::iter::from_fn(|| load.admit(1).ok()).collect();
        for _ in 0..3 {
            assert!(load.refuses(1, 0).is_some_and(is_shortest));
        }
        assert_eq!(load.count(Class::Single).load(Ordering::Acquire), 300);
        assert_eq!(
            load.refuses(1_000, 0),
            None,
            "an import has places of its own"
        );
    }

    #[test]
    fn the_hint_grows_while_more_come_back_than_are_answered_and_shrinks_again() {
        let load = at(10_000, ms(5));
        let _full: Vec<_> = std::iter::from_fn(|| load.admit(1).ok()).collect();
        let mut now = 1_000;
        let mut window = |refusals: usize| {
            for _ in 0..refusals {
                let _ = load.admit(1);
            }
            for _ in 0..11 {
                now += 10;
                load.answered(100, ms(5), ms(now), true);
            }
            load.admit(1).unwrap_err()
        };
        let calm = window(10);
        assert!(is_shortest(calm), "{calm:?}");
        let stormy = (0..4).map(|_| window(5_000)).last();
        assert!(stormy > Some(RetryHint::BOUNDS[0] * 8), "{stormy:?}");
        let later = (0..8).map(|_| window(10)).last();
        assert!(later.is_some_and(is_shortest), "{later:?}");
    }

    #[test]
    fn sites_far_apart_may_have_more_under_way() {
        let load = at(10_000, ms(40));
        let admitted: Vec<_> = std::iter::from_fn(|| load.admit(1).ok()).collect();
        assert_eq!(admitted.len(), 1_600, "four rounds of 40 ms");
    }

    #[test]
    fn a_slow_leader_still_admits_what_the_floor_says() {
        let load = at(200, ms(5));
        let admitted: Vec<_> = std::iter::from_fn(|| load.admit(1).ok()).collect();
        assert_eq!(admitted.len(), SINGLE_FLOOR);
    }

    #[test]
    fn an_import_takes_no_places_of_single_callers() {
        let load = at(10_000, ms(5));
        let imports: Vec<_> = std::iter::from_fn(|| load.admit(1_000).ok()).collect();
        assert_eq!(imports.len(), 20, "two seconds of work");
        assert!(load.admit(1).is_ok());
    }

    #[test]
    fn the_rate_follows_the_leader() {
        let load = at(1_000, ms(5));
        for tick in 100..300 {
            load.answered(100, ms(5), ms(tick * 10), true);
        }
        let admitted: Vec<_> = std::iter::from_fn(|| load.admit(1).ok()).collect();
        assert!((290..=300).contains(&admitted.len()), "{}", admitted.len());
    }
}
