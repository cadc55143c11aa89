//! The scans that this node holds for their next page: how many, how long, for whom, and where they stand (ADR 0021).
//!
//! A scan stands at one page. Its cursor asks for the next one; the one before asks for this page again, since an answer may get
//! lost. A page is the same however often it is asked for: the state is held, and so is the number that the page begins after.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use banyan_domain::{Pin, Principal};
use banyan_wire::cursor::ScanId;
use banyan_wire::errors::Code;
use banyan_wire::v1::ErrorDetail;

/// Scans held for one principal.
const OF_PRINCIPAL_MAX: usize = 4;
/// Scans held in all. Each keeps one old state alive.
const OF_NODE_MAX: usize = 64;
/// A scan that has come to its end is held so long, in case its last page got lost.
const ENDED_MAX: Duration = Duration::from_secs(5);
/// After a refusal for the number of scans the caller should wait this long.
const ROOM_RETRY: Duration = Duration::from_secs(1);

/// How long scans are held.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// For the next page.
    pub(super) idle_max: Duration,
    /// In all.
    pub(super) total_max: Duration,
}

/// The scans of a node, each with what it needs to go on.
pub(super) struct Scans<T> {
    bounds: Bounds,
    held: Mutex<BTreeMap<ScanId, Held<T>>>,
}

struct Held<T> {
    principal: Principal,
    scan: Arc<T>,
    begun: Instant,
    used: Instant,
    /// The page that was given last.
    page: u64,
    /// The number that this page began after.
    after: Option<Pin>,
    /// The number that the next page begins after; none if there is no next page.
    next: Option<Pin>,
}

impl<T> Held<T> {
    fn is_over(&self, bounds: Bounds, now: Instant) -> bool {
        let idle_max = match self.next {
            Some(_) => bounds.idle_max,
            None => ENDED_MAX.min(bounds.idle_max),
        };
        now.saturating_duration_since(self.used) > idle_max
            || now.saturating_duration_since(self.begun) > bounds.total_max
    }
}

impl<T> Scans<T> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            held: Mutex::default(),
        }
    }

    /// Sees to it that one more scan of this principal may begin. Scans that have come to their end make room.
    ///
    /// # Errors
    /// As many as may be are held.
    pub(super) fn make_room(&self, principal: &Principal, now: Instant) -> Result<(), ErrorDetail> {
        self.drop_expired(now);
        // Snapshots are released outside of the lock.
        let mut ended = Vec::new();
        let mut held = self.held();
        if full(&held, principal).is_some() {
            ended.extend(held.extract_if(.., |_, one| one.next.is_none()));
        }
        let still_full = full(&held, principal);
        drop(held);
        drop(ended);
        still_full.map_or(Ok(()), |(whose, bound)| {
            let text = format!("{whose} has {bound} scans under way, as many as may be");
            Err(ErrorDetail::new(Code::Overloaded, text).with_retry_after(ROOM_RETRY))
        })
    }

    /// Holds a scan whose first page ended at a number.
    ///
    /// # Errors
    /// As [`Scans::make_room`].
    pub(super) fn hold(
        &self,
        id: ScanId,
        principal: &Principal,
        scan: Arc<T>,
        next: Pin,
        now: Instant,
    ) -> Result<(), ErrorDetail> {
        self.make_room(principal, now)?;
        let held = Held {
            principal: principal.clone(),
            scan,
            begun: now,
            used: now,
            page: 0,
            after: None,
            next: Some(next),
        };
        self.held().insert(id, held);
        Ok(())
    }

    /// The scan that is to go on with this page, and the number that the page begins after; none if it is not held, not of this
    /// principal, or at another page.
    pub(super) fn find(
        &self,
        id: &ScanId,
        principal: &Principal,
        page: u64,
        now: Instant,
    ) -> Option<(Arc<T>, Option<Pin>)> {
        self.drop_expired(now);
        let mut held = self.held();
        let one = held.get_mut(id).filter(|one| one.principal == *principal)?;
        let after = match page.checked_sub(one.page)? {
            0 => one.after,
            1 => Some(one.next?),
            _ => return None,
        };
        one.used = now;
        Some((Arc::clone(&one.scan), after))
    }

    /// Notes that a page was given. Whether it was given for the first time or again makes no difference.
    pub(super) fn turn(
        &self,
        id: &ScanId,
        page: u64,
        after: Option<Pin>,
        next: Option<Pin>,
        now: Instant,
    ) {
        if let Some(one) = self.held().get_mut(id)
            && one.page <= page
        {
            (one.page, one.after, one.next, one.used) = (page, after, next, now);
        }
    }

    /// Forgets the scans whose time is over.
    pub(super) fn drop_expired(&self, now: Instant) {
        let mut held = self.held();
        let over: Vec<_> = held
            .extract_if(.., |_, one| one.is_over(self.bounds, now))
            .collect();
        drop(held);
        drop(over);
    }

    pub(super) fn count(&self) -> usize {
        self.held().len()
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<ScanId, Held<T>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which bound leaves no room for a scan of this principal, if one does.
fn full<T>(
    held: &BTreeMap<ScanId, Held<T>>,
    principal: &Principal,
) -> Option<(&'static str, usize)> {
    let own = held.values().filter(|one| one.principal == *principal);
    if own.count() >= OF_PRINCIPAL_MAX {
        return Some(("this principal", OF_PRINCIPAL_MAX));
    }
    (held.len() >= OF_NODE_MAX).then_some(("the node", OF_NODE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        idle_max: Duration::from_secs(60),
        total_max: Duration::from_secs(150),
    };

    fn principal(name: &str) -> Principal {
        Principal::new(name).unwrap()
    }

    fn pin(serial: u32) -> Pin {
        Pin::parse(&format!("040187{serial:06}")).unwrap()
    }

    fn id(number: u8) -> ScanId {
        ScanId([number; 16])
    }

    /// Scans, the time, and the principal of the first scan.
    fn begun() -> (Scans<u8>, Instant, Principal) {
        let (scans, now, a) = (Scans::new(BOUNDS), Instant::now(), principal("a"));
        scans.hold(id(1), &a, Arc::new(1), pin(10), now).unwrap();
        (scans, now, a)
    }

    fn after(scans: &Scans<u8>, who: &Principal, page: u64, now: Instant) -> Option<Option<Pin>> {
        scans.find(&id(1), who, page, now).map(|(_, after)| after)
    }

    #[test]
    fn a_cursor_asks_for_the_next_page_or_for_the_last_one_again() {
        let (scans, now, a) = begun();
        assert_eq!(after(&scans, &a, 1, now), Some(Some(pin(10))));
        // Not given yet: the same page may be asked for as often as one likes, and no later one.
        assert_eq!(after(&scans, &a, 1, now), Some(Some(pin(10))));
        assert_eq!(after(&scans, &a, 2, now), None);
        scans.turn(&id(1), 1, Some(pin(10)), Some(pin(20)), now);
        assert_eq!(after(&scans, &a, 1, now), Some(Some(pin(10))));
        assert_eq!(after(&scans, &a, 2, now), Some(Some(pin(20))));
        scans.turn(&id(1), 2, Some(pin(20)), None, now);
        // A late end of an earlier page does not turn it back.
        scans.turn(&id(1), 1, Some(pin(10)), Some(pin(20)), now);
        assert_eq!(after(&scans, &a, 1, now), None);
        assert_eq!(after(&scans, &a, 2, now), Some(Some(pin(20))));
        assert_eq!(after(&scans, &a, 3, now), None, "there is no further page");
        for page in [0, u64::MAX] {
            assert_eq!(after(&scans, &a, page, now), None);
        }
    }

    #[test]
    fn a_scan_is_of_its_principal_only() {
        let (scans, now, a) = begun();
        assert_eq!(after(&scans, &principal("b"), 1, now), None);
        assert!(scans.find(&id(2), &a, 1, now).is_none());
        assert!(after(&scans, &a, 1, now).is_some());
    }

    #[test]
    fn a_scan_ends_when_idle_and_after_its_whole_time() {
        let (scans, now, a) = begun();
        let at = |seconds| now + Duration::from_secs(seconds);
        for seconds in [60, 120, 150] {
            assert!(after(&scans, &a, 1, at(seconds)).is_some(), "{seconds}");
        }
        assert_eq!(after(&scans, &a, 1, at(151)), None, "its whole time");
        assert_eq!(scans.count(), 0);

        let (scans, now, a) = begun();
        let late = now + Duration::from_millis(60_001);
        assert_eq!(after(&scans, &a, 1, late), None, "idle");
        // One that has ended waits only for its last page to be asked for again.
        let (scans, now, a) = begun();
        scans.turn(&id(1), 1, Some(pin(10)), None, now);
        assert!(after(&scans, &a, 1, now + ENDED_MAX).is_some());
        let late = now + 2 * ENDED_MAX + Duration::from_millis(1);
        assert_eq!(after(&scans, &a, 1, late), None);
    }

    #[test]
    fn scans_are_bounded_and_ended_ones_make_room() {
        let (scans, now, a) = begun();
        let hold = |number: u8, who: &Principal| {
            scans.hold(id(number), who, Arc::new(number), pin(1), now)
        };
        for number in 2..=4 {
            hold(number, &a).unwrap();
        }
        let refused = hold(5, &a).unwrap_err();
        assert_eq!(refused.known_code(), Some(Code::Overloaded));
        assert!(refused.retry_after_ms > 0);
        scans.turn(&id(3), 1, Some(pin(1)), None, now);
        hold(5, &a).unwrap();
        assert_eq!(scans.count(), 4);

        for number in 6..=65 {
            hold(number, &principal(&format!("b{number}"))).unwrap();
        }
        let refused = hold(66, &principal("c")).unwrap_err();
        assert!(refused.message.contains("64"), "{}", refused.message);
    }
}
