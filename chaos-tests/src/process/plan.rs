//! Which faults there are, and the order in which a seed draws them.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::seq::SliceRandom;
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a kind of fault cannot be done without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    /// A file system of the run's own under each node.
    Disks,
    /// The clock that is preloaded.
    Clocks,
}

/// A kind of fault; its name in reports is its own in lower case.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr, strum::VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Kind {
    /// SIGKILL to a node, in half of the cases to the leader.
    KillNode,
    /// SIGKILL to all nodes of a site.
    KillSite,
    /// SIGSTOP to a node, then SIGCONT.
    PauseNode,
    /// SIGSTOP to all nodes of a site.
    PauseSite,
    /// No packet between a site and all others.
    CutSite,
    /// No packet from a site, or none to it.
    CutSiteOneWay,
    /// Two halves that do not reach each other, and a site that reaches both.
    BridgePartition,
    /// A share of the packets of a site is lost.
    LossyLink,
    /// A site's way out carries little.
    SlowLink,
    /// A voter's wall clock is set to another time, and back at the end.
    ClockStep,
    /// A voter's wall clock goes too fast or too slow.
    ClockSkew,
    /// A node's disk takes no more bytes.
    FullDisk,
    /// A node's syncs do not end.
    StalledDisk,
    /// A node, or all of a site, lose their power: what was not synced is gone.
    PowerLoss,
    /// All nodes lose their power.
    PowerLossEverywhere,
    /// A bit of a table file of a stopped node is flipped.
    CorruptTable,
    /// A bit of the write-ahead log of a stopped node's Raft log is flipped.
    CorruptLog,
    /// All nodes are stopped and started again in turn.
    RollingRestart,
    /// Leadership is handed to another voter.
    TransferLeadership,
    /// A voter is made a learner by command, and a voter again when all is healed.
    DemoteVoter,
    /// A machine is lost; another one takes its place, under a new id, with nothing on its disk.
    ReplaceMachine,
}

impl Kind {
    /// Its name in reports.
    pub(super) fn name(self) -> &'static str {
        self.into()
    }

    pub(super) fn needs(self) -> Needs {
        match self {
            Kind::FullDisk | Kind::StalledDisk | Kind::PowerLoss | Kind::PowerLossEverywhere => {
                Needs::Disks
            }
            Kind::ClockStep | Kind::ClockSkew => Needs::Clocks,
            _ => Needs::Nothing,
        }
    }

    /// Whether the fault is over by itself, and lasts as long as it takes. It is done alone.
    pub(super) fn ends_itself(self) -> bool {
        matches!(
            self,
            Kind::CorruptTable
                | Kind::CorruptLog
                | Kind::RollingRestart
                | Kind::TransferLeadership
                | Kind::ReplaceMachine
        )
    }

    /// Whether it may be done while another fault lasts.
    fn goes_with_others(self) -> bool {
        !self.ends_itself() && !matches!(self, Kind::PowerLossEverywhere | Kind::FullDisk)
    }
}

/// One round: what is done together, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) kinds: Vec<Kind>,
    /// From when the faults are there until they are healed.
    pub(super) lasts: Duration,
    /// Load before the faults.
    pub(super) before: Duration,
    /// Whether the nodes are level again before the next round begins.
    pub(super) settles: bool,
}

/// Share of the rounds in which two faults meet.
const TWO_AT_ONCE: f64 = 0.35;
/// Share of the rounds after which everything is level before the next.
const SETTLES: f64 = 0.6;

/// Draws rounds without end: every kind once, in any order, then every kind again.
pub(super) struct Deck {
    possible: Vec<Kind>,
    left: Vec<Kind>,
}

impl Deck {
    pub(super) fn new(possible: Vec<Kind>) -> Deck {
        Deck {
            possible,
            left: Vec::new(),
        }
    }

    /// The next round, and a generator of its own for all that is drawn in it: how often that happens depends on the nodes, and the rounds after
    /// it must not.
    pub(super) fn draw(&mut self, rng: &mut ChaCha8Rng) -> (Round, ChaCha8Rng) {
        let round = self.next_round(rng);
        (round, apart(rng))
    }

    fn next_round(&mut self, rng: &mut ChaCha8Rng) -> Round {
        let first = self.next(rng);
        let mut kinds: Vec<Kind> = first.into_iter().collect();
        let second = first.filter(|kind| kind.goes_with_others());
        if second.is_some() && rng.random_bool(TWO_AT_ONCE) {
            let found = self.left.iter().rposition(|kind| kind.goes_with_others());
            kinds.extend(found.map(|index| self.left.remove(index)));
        }
        Round {
            kinds,
            lasts: Duration::from_millis(rng.random_range(1500..7000)),
            before: Duration::from_millis(rng.random_range(300..2500)),
            settles: rng.random_bool(SETTLES),
        }
    }

    fn next(&mut self, rng: &mut ChaCha8Rng) -> Option<Kind> {
        if self.left.is_empty() {
            self.left.clone_from(&self.possible);
            self.left.shuffle(rng);
        }
        self.left.pop()
    }
}

/// A generator that is seeded by another one, from which exactly one draw is taken.
pub(super) fn apart(rng: &mut ChaCha8Rng) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(rng.next_u64())
}

/// How often each kind was done.
pub(super) type Counts = BTreeMap<Kind, u64>;

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::*;

    #[test]
    fn rounds_of_a_seed_do_not_depend_on_what_is_drawn_in_them() {
        let draw = |seed, each: &dyn Fn(usize) -> usize| -> Vec<(Round, u64)> {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut deck = Deck::new(Kind::VARIANTS.to_vec());
            let rounds = (0..60).map(|index| {
                let (round, mut own) = deck.draw(&mut rng);
                let first = own.next_u64();
                for _ in 0..each(index) {
                    own.next_u64();
                }
                (round, first)
            });
            rounds.collect()
        };
        let rounds = draw(7, &|_| 0);
        assert_eq!(rounds, draw(7, &|index| index * 31 % 7));
        assert_ne!(rounds, draw(8, &|_| 0));
    }

    #[test]
    fn seed_draws_the_same_rounds_and_every_kind_equally_often() {
        let draw = |seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut deck = Deck::new(Kind::VARIANTS.to_vec());
            let mut rounds = Vec::new();
            let mut drawn = 0;
            while drawn < 5 * Kind::VARIANTS.len() {
                rounds.push(deck.draw(&mut rng).0);
                drawn = rounds.iter().map(|round| round.kinds.len()).sum();
            }
            rounds
        };
        let rounds = draw(7);
        assert_eq!(rounds, draw(7));
        assert_ne!(rounds, draw(8));
        let mut counts = Counts::new();
        for kind in rounds.iter().flat_map(|round| &round.kinds) {
            *counts.entry(*kind).or_default() += 1;
        }
        assert!(
            counts.values().all(|count| (5..=6).contains(count)),
            "{counts:?}"
        );
        assert_eq!(counts.len(), Kind::VARIANTS.len());
        assert!(rounds.iter().any(|round| round.kinds.len() == 2));
        let alone = |round: &Round| round.kinds.iter().any(|kind| !kind.goes_with_others());
        assert!(
            rounds
                .iter()
                .all(|round| round.kinds.len() == 1 || !alone(round))
        );
    }
}
