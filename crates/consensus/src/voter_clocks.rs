//! Whether this node's wall clock may stamp the registry's time: it is held against the other voters' clocks.
//!
//! Replicated time never goes back, so that one leader with a clock far ahead would move the nation's time for good: idempotency keys would expire
//! and records would bear a date that has not come. CockroachDB's nodes compare their clocks over their connections likewise
//! (<https://www.cockroachlabs.com/docs/stable/operational-faqs>, "clock synchronization").
//!
//! Only the difference counts, not the clocks' drift: what another voter's clock says now is what it said when it was asked, and the boot time that has
//! passed since.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use banyan_domain::{NodeId, Timestamp};

/// Two voters' clocks may lie so far apart in a registry.
pub const OFFSET_MAX: Duration = Duration::from_secs(5);
/// A clock that was not heard for so long says nothing any more.
const HEARD_WITHIN: Duration = Duration::from_secs(10);

/// What another voter's clock said. Times of this machine are boot times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Its wall clock, in milliseconds since the epoch.
    pub(crate) wall: Timestamp,
    /// When it was asked, and when the answer was here: it was read in between.
    pub(crate) asked: Duration,
    pub(crate) answered: Duration,
}

impl Heard {
    /// How far that clock is ahead of `wall`, which was read at the boot time `now`, in milliseconds, and by how much that may be wrong.
    fn offset(&self, wall: Timestamp, now: Duration) -> (i64, i64) {
        let doubt = self.answered.saturating_sub(self.asked) / 2;
        let passed = now.saturating_sub(self.asked + doubt);
        let theirs = self.wall.get().saturating_add(millis(passed));
        (theirs.saturating_sub(wall.get()), millis(doubt))
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// What the other voters' clocks say of this node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockVerdict {
    /// Most of those that were heard, this node's own included, agree with it.
    Agreed,
    /// As many are far from it as agree with it: one of two is wrong, and nothing shows which.
    Doubtful,
    /// Most are far from it.
    Outvoted,
    /// Fewer were heard than show anything: fewer than half of the voters, this node's own clock included, or none besides it.
    Unheard,
}

/// The other voters' clocks, as far as they were heard. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct VoterClocks {
    readings: Arc<Mutex<BTreeMap<NodeId, Heard>>>,
    offset_max: Duration,
    /// How many voters there are besides this one; [`UNKNOWN`] while this node is none.
    others: Arc<AtomicUsize>,
}

const UNKNOWN: usize = usize::MAX;

impl VoterClocks {
    /// None heard yet. Two clocks may be `offset_max` apart.
    pub(crate) fn new(offset_max: Duration) -> Self {
        Self {
            readings: Arc::default(),
            offset_max,
            others: Arc::new(AtomicUsize::new(UNKNOWN)),
        }
    }

    fn readings(&self) -> MutexGuard<'_, BTreeMap<NodeId, Heard>> {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Only what is certain: a slow answer leaves the other clock that much room.
    fn far(&self, reading: &Heard, wall: Timestamp, now: Duration) -> bool {
        let (offset, doubt) = reading.offset(wall, now);
        offset.saturating_abs().saturating_sub(doubt) > millis(self.offset_max)
    }

    pub(crate) fn note(&self, node: NodeId, reading: Heard) {
        self.readings().insert(node, reading);
    }

    /// There are so many voters besides this node; none if it does not vote, or does not know yet.
    pub(crate) fn among(&self, others: Option<usize>) {
        self.others
            .store(others.unwrap_or(UNKNOWN), Ordering::Release);
    }

    /// So many others must have been heard before this node's own clock is believed: with it they are half of the voters.
    fn needed(&self) -> usize {
        match self.others.load(Ordering::Acquire) {
            UNKNOWN => UNKNOWN,
            0 => 0,
            others => ((others + 1).div_ceil(2) - 1).max(1),
        }
    }

    /// Forgets all but these.
    pub(crate) fn keep(&self, nodes: impl Fn(NodeId) -> bool) {
        self.readings().retain(|node, _| nodes(*node));
    }

    /// Whether this voter's clock was heard lately.
    pub(crate) fn heard(&self, node: NodeId, now: Duration) -> bool {
        let readings = self.readings();
        readings
            .get(&node)
            .is_some_and(|reading| fresh(reading, now))
    }

    /// By how much each voter that was heard lately is ahead of `wall`, read at the boot time `now`; negative: behind. Milliseconds.
    pub(crate) fn offsets(&self, wall: Timestamp, now: Duration) -> BTreeMap<NodeId, i64> {
        let readings = self.readings();
        let lately = readings.iter().filter(|(_, reading)| fresh(reading, now));
        lately
            .map(|(node, reading)| (*node, reading.offset(wall, now).0))
            .collect()
    }

    /// Whether this node may stamp a proposal with `wall`, read at the boot time `now`.
    pub(crate) fn verdict(&self, wall: Timestamp, now: Duration) -> ClockVerdict {
        let readings = self.readings();
        let lately = readings.values().filter(|reading| fresh(reading, now));
        let (mut agree, mut differ) = (1_usize, 0_usize);
        for reading in lately {
            if self.far(reading, wall, now) {
                differ += 1;
            } else {
                agree += 1;
            }
        }
        match differ.cmp(&agree) {
            std::cmp::Ordering::Less if agree + differ - 1 < self.needed() => ClockVerdict::Unheard,
            std::cmp::Ordering::Less => ClockVerdict::Agreed,
            std::cmp::Ordering::Equal => ClockVerdict::Doubtful,
            std::cmp::Ordering::Greater => ClockVerdict::Outvoted,
        }
    }

    /// Whether this voter's clock is known to be far from this node's.
    pub(crate) fn differs(&self, node: NodeId, wall: Timestamp, now: Duration) -> bool {
        let readings = self.readings();
        let reading = readings.get(&node).filter(|reading| fresh(reading, now));
        reading.is_some_and(|reading| self.far(reading, wall, now))
    }
}

fn fresh(reading: &Heard, now: Duration) -> bool {
    now.saturating_sub(reading.answered) <= HEARD_WITHIN
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);
    const WALL: Timestamp = Timestamp(1_700_000_000_000);

    /// Clocks of other voters, so many milliseconds ahead of ours, heard a second ago within 10 ms.
    fn clocks(ahead: &[i64]) -> VoterClocks {
        let clocks = VoterClocks::new(OFFSET_MAX);
        clocks.among(Some(ahead.len()));
        for (node, ahead) in (2..).zip(ahead) {
            clocks.note(NodeId(node), heard(*ahead, 10));
        }
        clocks
    }

    fn heard(ahead: i64, took_ms: u64) -> Heard {
        let asked = NOW - Duration::from_secs(1);
        let answered = asked + Duration::from_millis(took_ms);
        let read = asked + Duration::from_millis(took_ms / 2);
        let wall = Timestamp(WALL.get() - millis(NOW - read) + ahead);
        Heard {
            wall,
            asked,
            answered,
        }
    }

    #[test]
    fn one_wrong_clock_among_three_never_stamps() {
        let hour = 3_600_000;
        let table = [
            (&[][..], ClockVerdict::Agreed, "the only voter"),
            (&[0], ClockVerdict::Agreed, "the only other one agrees"),
            (&[4_999, -4_999], ClockVerdict::Agreed, "within the bound"),
            (&[hour, 0], ClockVerdict::Agreed, "another one is wrong"),
            (&[hour, hour], ClockVerdict::Outvoted, "ours is behind"),
            (&[-hour, -hour], ClockVerdict::Outvoted, "ours is ahead"),
            (&[hour, -hour], ClockVerdict::Outvoted, "no two agree"),
            (&[-hour], ClockVerdict::Doubtful, "one of two is wrong"),
            (&[hour, hour, 0, 0], ClockVerdict::Agreed, "three of five"),
            (
                &[hour, hour, hour, 0],
                ClockVerdict::Outvoted,
                "two of five",
            ),
        ];
        for (ahead, verdict, why) in table {
            assert_eq!(
                clocks(ahead).verdict(WALL, NOW),
                verdict,
                "{why}: {ahead:?}"
            );
        }
    }

    #[test]
    fn a_clock_is_not_believed_before_half_of_the_voters_were_heard() {
        let clocks = VoterClocks::new(OFFSET_MAX);
        let verdict = || clocks.verdict(WALL, NOW);
        assert_eq!(verdict(), ClockVerdict::Unheard, "not known to vote");
        clocks.among(Some(0));
        assert_eq!(verdict(), ClockVerdict::Agreed, "the only voter");
        // Of so many voters so many others must have been heard.
        for (voters, needed) in [(2, 1), (3, 1), (4, 1), (5, 2), (7, 3)] {
            clocks.among(Some(voters - 1));
            clocks.keep(|_| false);
            for heard_so_far in 0..voters {
                let enough = heard_so_far >= needed;
                let wanted = if enough {
                    ClockVerdict::Agreed
                } else {
                    ClockVerdict::Unheard
                };
                assert_eq!(
                    verdict(),
                    wanted,
                    "{heard_so_far} others of {voters} voters"
                );
                clocks.note(NodeId(2 + heard_so_far as u64), heard(0, 10));
            }
        }
        clocks.among(None);
        assert_eq!(verdict(), ClockVerdict::Unheard, "votes no more");
    }

    #[test]
    fn a_step_of_our_own_clock_shows_before_anybody_is_asked_again() {
        let clocks = clocks(&[0, 3]);
        let stepped = Timestamp(WALL.get() + 86_400_000);
        assert_eq!(clocks.verdict(stepped, NOW), ClockVerdict::Outvoted);
        let later = NOW + Duration::from_secs(5);
        let kept_time = Timestamp(WALL.get() + 5_000);
        assert_eq!(clocks.verdict(kept_time, later), ClockVerdict::Agreed);
        assert_eq!(clocks.offsets(kept_time, later)[&NodeId(3)], 3);
    }

    #[test]
    fn a_slow_answer_gives_the_other_clock_the_benefit_of_its_doubt() {
        let clocks = VoterClocks::new(OFFSET_MAX);
        clocks.note(NodeId(2), heard(6_000, 900));
        assert!(clocks.differs(NodeId(2), WALL, NOW));
        clocks.note(NodeId(2), heard(5_400, 900));
        assert!(!clocks.differs(NodeId(2), WALL, NOW));
        assert!(!clocks.differs(NodeId(3), WALL, NOW), "never heard");
    }

    #[test]
    fn a_clock_that_fell_silent_is_forgotten() {
        let clocks = clocks(&[3_600_000, 3_600_000]);
        let silent = NOW + HEARD_WITHIN;
        let wall = Timestamp(WALL.get() + millis(HEARD_WITHIN));
        assert_eq!(clocks.verdict(wall, silent), ClockVerdict::Unheard);
        assert!(!clocks.heard(NodeId(2), silent) && clocks.heard(NodeId(2), NOW));
        clocks.keep(|node| node == NodeId(3));
        assert_eq!(clocks.offsets(WALL, NOW).len(), 1);
    }
}
