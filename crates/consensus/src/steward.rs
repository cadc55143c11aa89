//! Gives leadership away without being asked: away from a disk that stalls, a clock that is wrong or a node that votes no more, and home to a
//! preferred site.
//!
//! A leader whose disk hangs acknowledges nothing and yet keeps its followers from electing another, for its heartbeats need no disk. etcd and TiKV
//! wait for the operator there. This task notices that one write of the log has lasted a second and hands leadership over.
//!
//! A leader that was taken out of the voters goes on leading in openraft until somebody else is elected. In Raft it steps down once that change is
//! committed (Ongaro 2014, section 4.2.2): it must not count itself in a quorum that it is no part of, and an operator who removes a node wants it
//! gone.
//!
//! A change of voters whose leader was lost after the first of its two steps stays joint in openraft, and every decision needs both majorities. A
//! leader finishes what a former one began (Ongaro 2014, section 4.3).
//!
//! After a failover the leader stands wherever the election fell. Once a voter of a better site has been healthy and caught up for
//! half a minute, leadership goes there, at most once in five minutes, and never while a drill holds it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use banyan_domain::{
    NodeId,
    seeded_bugs::{SeededBug, planted},
};
use openraft::storage::RaftStateMachine;
use openraft_rt::{AsyncRuntime, Instant as _};

use crate::{
    clock::Clock,
    consensus::{Consensus, WeakConsensus},
    status::{Role, Status},
    transfer,
    types::TypeConfig,
    voter_clocks::{ClockVerdict, VoterClocks},
};

/// How often the task looks.
const TICK: Duration = Duration::from_millis(200);
/// One write of the log that lasts longer than this is a stall. Leadership is elsewhere within two seconds.
const STALL: Duration = Duration::from_secs(1);
/// A leader with a stalled disk or a wrong clock tries again to give leadership away after this.
const RETRY: Duration = Duration::from_secs(2);
/// A membership that has been joint for so long has lost the leader that was changing it: the second step follows the first at once.
const JOINT_MAX: Duration = Duration::from_secs(3);

/// Why a leader goes that an operator has taken out of the voters: the one reason that is no trouble.
const VOTES_NO_MORE: &str = "it votes no more";

/// Where the leader should be, and how patiently it goes there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preference {
    /// Sites, the best first. Sites not named come last, all alike; with none named leadership stays where it is.
    pub sites: Vec<String>,
    /// For how long the preferred voter must have been healthy and caught up.
    pub healthy_for: Duration,
    /// Leadership moves by preference at most once in this time.
    pub pause: Duration,
}

impl Default for Preference {
    fn default() -> Self {
        Self {
            sites: Vec::new(),
            healthy_for: Duration::from_secs(30),
            pause: Duration::from_secs(300),
        }
    }
}

impl Preference {
    /// Smaller is better.
    fn rank(&self, site: &str) -> usize {
        self.sites
            .iter()
            .position(|preferred| preferred == site)
            .unwrap_or(self.sites.len())
    }

    fn rank_of(&self, status: &Status, node: NodeId) -> Option<usize> {
        let member = status.members.get(&node)?;
        Some(self.rank(&member.member.site))
    }
}

/// Keeps leadership where it is for a time: a drill that has just moved it wants to see what it did. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stay(Arc<AtomicU64>);

impl Stay {
    /// Until this boot time; replaces what was asked before.
    pub(crate) fn until(&self, boot_time: Duration) {
        let millis = u64::try_from(boot_time.as_millis()).unwrap_or(u64::MAX);
        self.0.store(millis, Ordering::Relaxed);
    }

    fn holds(&self, now: Duration) -> bool {
        now < Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// How long the log's disk has been busy with one write. The simulator brings its own.
pub type BusyFor = Arc<dyn Fn() -> Duration + Send + Sync>;

/// What the task needs besides consensus.
pub(crate) struct Steward {
    pub(crate) preference: Preference,
    pub(crate) busy_for: BusyFor,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) clocks: VoterClocks,
    pub(crate) stay: Stay,
}

/// What the task remembers from tick to tick. Times are boot times.
#[derive(Debug, Default)]
struct Memory {
    leader: Option<NodeId>,
    /// The preferred voter, and since when it has been fit without a break.
    fit: Option<(NodeId, Duration)>,
    /// When leadership last went to a better site, as far as this node saw it.
    went_home: Option<Duration>,
    gave_away: Option<Duration>,
    /// Since when this node has led with a joint membership.
    joint: Option<Duration>,
}

impl Memory {
    /// Whom a leader should hand leadership to by preference, now.
    fn homeward(
        &mut self,
        status: &Status,
        preference: &Preference,
        fit: impl Fn(NodeId) -> bool,
        now: Duration,
    ) -> Option<NodeId> {
        if let (Some(before), Some(leader)) = (self.leader, status.leader)
            && preference.rank_of(status, leader) < preference.rank_of(status, before)
        {
            self.went_home = Some(now);
        }
        self.leader = status.leader.or(self.leader);

        let own = preference.rank_of(status, status.node)?;
        let better = (status.role == Role::Leader && !status.joint())
            .then(|| {
                status
                    .members
                    .iter()
                    .filter(|(id, member)| {
                        member.votes && preference.rank(&member.member.site) < own && fit(**id)
                    })
                    .min_by_key(|(id, member)| (preference.rank(&member.member.site), **id))
                    .map(|(id, _)| *id)
            })
            .flatten();
        self.fit = match (better, self.fit) {
            (Some(node), Some((before, since))) if node == before => Some((node, since)),
            (Some(node), _) => Some((node, now)),
            (None, _) => None,
        };
        let (node, since) = self.fit?;
        let waited = now.saturating_sub(since) >= preference.healthy_for;
        let paused = self
            .went_home
            .is_none_or(|then| now.saturating_sub(then) >= preference.pause);
        (waited && paused).then_some(node)
    }

    /// Whether a leader takes the second step now of a change of voters that another began.
    fn finishes(&mut self, status: &Status, now: Duration) -> bool {
        let joint = status.role == Role::Leader && status.joint();
        let since = joint.then(|| self.joint.unwrap_or(now));
        let due = since.is_some_and(|since| now.saturating_sub(since) >= JOINT_MAX);
        // If it comes to nothing, it is tried again after as long.
        self.joint = if due { Some(now) } else { since };
        due
    }

    /// Whether a leader that should not lead tries now to give leadership away.
    fn due(&mut self, now: Duration) -> bool {
        let due = self
            .gave_away
            .is_none_or(|then| now.saturating_sub(then) >= RETRY);
        if due {
            self.gave_away = Some(now);
        }
        due
    }
}

/// Why this node, if it leads, should not, wherever leadership is preferred.
fn unfit(status: &Status, busy_for: Duration, outvoted: bool) -> Option<&'static str> {
    let stays = planted(SeededBug::RetiredLeaderStays);
    [
        (busy_for >= STALL, "the disk of the log stalls"),
        (outvoted, "the clock is far from most voters'"),
        (retired(status) && !stays, VOTES_NO_MORE),
    ]
    .into_iter()
    .find_map(|(holds, why)| (status.role == Role::Leader && holds).then_some(why))
}

/// Whether this node leads a cluster whose voters it is none of. During the change its vote may still be needed.
fn retired(status: &Status) -> bool {
    let votes = status
        .members
        .get(&status.node)
        .is_some_and(|own| own.votes);
    status.role == Role::Leader && !status.joint() && !votes
}

/// Runs until the last handle of consensus is gone.
pub(crate) async fn run<R, SM>(consensus: WeakConsensus<R, SM>, steward: Steward)
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    let mut memory = Memory::default();
    loop {
        R::sleep_until(R::Instant::now() + TICK).await;
        let Some(consensus) = consensus.upgrade() else {
            return;
        };
        let now = steward.clock.boot_time();
        let status = consensus.status();
        if status.role == Role::Stopped {
            return;
        }
        let timing = consensus.timing();
        let wall = steward.clock.now();
        let busy = (steward.busy_for)();
        let outvoted = steward.clocks.verdict(wall, now) == ClockVerdict::Outvoted;
        let unfit = unfit(&status, busy, outvoted);
        if let Some(why) = unfit.filter(|_| memory.due(now)) {
            let target = status.successor(timing.election_max);
            let to = target.map(NodeId::get);
            if why == VOTES_NO_MORE {
                tracing::info!(why, to, "leadership is given away");
            } else {
                tracing::warn!(
                    why,
                    busy_ms = u64::try_from(busy.as_millis()).unwrap_or(u64::MAX),
                    offsets_ms = ?steward.clocks.offsets(wall, now),
                    to,
                    "leadership is given away"
                );
            }
            if let Some(target) = target {
                report(&consensus, target, why).await;
            }
            continue;
        }
        if memory.finishes(&status, now) && !planted(SeededBug::JointLeftOpen) {
            consensus.finish_change();
        }
        // Leadership must not go home to a clock that would send it away again.
        let fit = |node| {
            transfer::check_target(&status, node, timing).is_ok()
                && !steward.clocks.differs(node, wall, now)
        };
        let home = memory.homeward(&status, &steward.preference, fit, now);
        if let Some(target) = home.filter(|_| !steward.stay.holds(now)) {
            memory.went_home = Some(now);
            report(&consensus, target, "its site is preferred").await;
        }
    }
}

async fn report<R, SM>(consensus: &Consensus<R, SM>, to: NodeId, why: &str)
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    let within = consensus.timing().election_max * 2;
    match consensus.transfer_leader(to, within).await {
        Ok(()) => tracing::info!(to = to.get(), why, "leadership handed over"),
        Err(error) => {
            tracing::warn!(to = to.get(), why, %error, "leadership was not handed over");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{member::Member, status::MemberStatus};

    /// A status seen by `node`, with voters 1 and 2 at home, 3 elsewhere, and a learner 4 at home.
    fn seen_by(node: u64, leader: u64) -> Status {
        let sites = [
            (1, "home", true),
            (2, "home", true),
            (3, "away", true),
            (4, "home", false),
        ];
        let members = sites.map(|(id, site, votes)| {
            let member = Member {
                node: NodeId(id),
                site: site.to_owned(),
                ..Member::default()
            };
            let status = MemberStatus {
                member,
                votes,
                matched: Some(10),
                acked: Some(Duration::ZERO),
            };
            (NodeId(id), status)
        });
        Status {
            node: NodeId(node),
            role: if node == leader {
                Role::Leader
            } else {
                Role::Follower
            },
            term: 1,
            leader: Some(NodeId(leader)),
            last_log_index: Some(10),
            committed: None,
            applied: None,
            snapshot: None,
            purged: None,
            initialized: true,
            voter_sets: vec![[1, 2, 3].map(NodeId).into()],
            quorum_acked: None,
            members: members.into(),
            peer_calls_refused: 0,
        }
    }

    fn preference() -> Preference {
        Preference {
            sites: vec!["home".to_owned()],
            ..Preference::default()
        }
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn leadership_goes_home_once_the_voter_there_has_been_fit_for_long() {
        let mut memory = Memory::default();
        let away = seen_by(3, 3);
        let all = |_| true;
        assert_eq!(memory.homeward(&away, &preference(), all, s(100)), None);
        assert_eq!(memory.homeward(&away, &preference(), all, s(129)), None);
        assert_eq!(
            memory.homeward(&away, &preference(), all, s(130)),
            Some(NodeId(1)),
            "the first voter there, and not the learner"
        );
    }

    #[test]
    fn a_leader_that_votes_no_more_is_retired_once_the_change_is_over() {
        let with_vote = |leader, votes, joint| {
            let mut status = seen_by(3, leader);
            status.members.get_mut(&NodeId(3)).unwrap().votes = votes;
            if joint {
                status.voter_sets.push([NodeId(1)].into());
            }
            retired(&status)
        };
        assert!(with_vote(3, false, false));
        assert!(!with_vote(3, true, false), "a voter leads");
        assert!(!with_vote(3, false, true), "its vote may still be needed");
        assert!(!with_vote(1, false, false), "it does not lead");
        let mut gone = seen_by(3, 3);
        gone.members.remove(&NodeId(3));
        assert!(retired(&gone), "removed altogether");
    }

    #[test]
    fn a_leader_finishes_a_change_of_voters_that_stays_open() {
        let mut memory = Memory::default();
        let mut joint = seen_by(3, 3);
        joint.voter_sets.push([NodeId(1)].into());
        assert!(!memory.finishes(&joint, s(10)));
        assert!(!memory.finishes(&joint, s(12)));
        assert!(memory.finishes(&joint, s(13)));
        assert!(!memory.finishes(&joint, s(14)), "not at every look");
        assert!(memory.finishes(&joint, s(16)));
        // Another change, or another leader, begins the wait anew.
        assert!(!memory.finishes(&seen_by(3, 3), s(20)));
        assert!(!memory.finishes(&joint, s(21)));
        joint.role = Role::Follower;
        assert!(!memory.finishes(&joint, s(40)));
    }

    #[test]
    fn a_break_in_its_fitness_begins_the_wait_anew() {
        let mut memory = Memory::default();
        let away = seen_by(3, 3);
        memory.homeward(&away, &preference(), |_| true, s(100));
        memory.homeward(&away, &preference(), |_| false, s(110));
        assert_eq!(
            memory.homeward(&away, &preference(), |_| true, s(131)),
            None
        );
        assert_eq!(
            memory.homeward(&away, &preference(), |_| true, s(161)),
            Some(NodeId(1))
        );
    }

    #[test]
    fn after_it_went_home_it_stays_away_for_a_while_when_it_must_leave_again() {
        let mut memory = Memory::default();
        let all = |_| true;
        // Node 3 led, then node 1: node 3 saw leadership go home.
        memory.homeward(&seen_by(3, 3), &preference(), all, s(100));
        memory.homeward(&seen_by(3, 1), &preference(), all, s(101));
        memory.homeward(&seen_by(3, 3), &preference(), all, s(150));
        assert_eq!(
            memory.homeward(&seen_by(3, 3), &preference(), all, s(400)),
            None
        );
        assert_eq!(
            memory.homeward(&seen_by(3, 3), &preference(), all, s(401)),
            Some(NodeId(1))
        );
    }

    #[test]
    fn nobody_moves_it_from_a_preferred_site_or_without_a_preference() {
        let all = |_| true;
        for (status, preference) in [
            (seen_by(2, 2), preference()),
            (seen_by(3, 3), Preference::default()),
            (seen_by(3, 1), preference()),
        ] {
            let mut memory = Memory::default();
            memory.homeward(&status, &preference, all, s(100));
            assert_eq!(memory.homeward(&status, &preference, all, s(900)), None);
        }
        let mut joint = seen_by(3, 3);
        joint.voter_sets.push([NodeId(1)].into());
        let mut memory = Memory::default();
        memory.homeward(&joint, &preference(), all, s(100));
        assert_eq!(memory.homeward(&joint, &preference(), all, s(900)), None);
    }

    #[test]
    fn a_leader_with_a_stalled_disk_or_a_wrong_clock_should_not_lead() {
        let leader = seen_by(3, 3);
        assert_eq!(unfit(&leader, Duration::from_millis(999), false), None);
        assert_eq!(
            unfit(&leader, s(1), true),
            Some("the disk of the log stalls")
        );
        assert_eq!(
            unfit(&leader, s(0), true),
            Some("the clock is far from most voters'")
        );
        assert_eq!(unfit(&seen_by(3, 1), s(1), true), None, "it does not lead");
    }

    #[test]
    fn leadership_is_given_away_now_and_then() {
        let mut memory = Memory::default();
        assert!(memory.due(s(10)));
        assert!(!memory.due(s(11)));
        assert!(memory.due(s(12)));
    }

    #[test]
    fn a_stay_ends_by_itself() {
        let stay = Stay::default();
        assert!(!stay.holds(s(0)));
        stay.until(s(100));
        assert!(stay.holds(s(99)));
        assert!(!stay.holds(s(100)));
    }
}
