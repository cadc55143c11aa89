//! Survival arithmetic: which losses leave a majority, computed from the voters that live now.
//!
//! The goal `site` holds when, for each site, the live voters outside it are a majority of all voters, in both
//! halves of a joint configuration. Two voters at the centre, two at the recovery centre and one elsewhere survive
//! the loss of any one site or of any two nodes, but not of a site while a node elsewhere is down: so the answer
//! is computed from live voters, and tools say "not held now".

use std::collections::BTreeSet;
use std::fmt;

/// Which losses must leave writes available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SurvivalGoal {
    /// None: a cluster for tests and trials that may stop with any of its nodes.
    None,
    /// Any one node.
    Node,
    /// Any one site, the centre included.
    Site,
}

/// One voter of one half of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoterState {
    /// The node's name.
    pub node: String,
    /// The site where it stands.
    pub site: String,
    /// Whether it answers now.
    pub live: bool,
}

/// What one half of a configuration would be left with after a loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The site or node that is lost.
    pub lost: String,
    /// Live voters that would remain, in the half that is worst off.
    pub live_voters: usize,
    /// Votes that this half needs.
    pub majority: usize,
}

impl Loss {
    /// Whether writes stay available after this loss.
    pub fn survived(&self) -> bool {
        self.live_voters >= self.majority
    }
}

/// The answer of [`assess`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survival {
    /// The goal asked about.
    pub goal: SurvivalGoal,
    /// Whether the live voters are a majority now, before any further loss.
    pub writes_available: bool,
    /// Each loss that the goal speaks of, ordered by name.
    pub losses: Vec<Loss>,
}

impl Survival {
    /// Whether the goal holds now: writes are available, and stay so after each of its losses.
    pub fn held(&self) -> bool {
        self.writes_available && self.losses.iter().all(Loss::survived)
    }

    /// The losses that would stop writes.
    pub fn fatal_losses(&self) -> impl Iterator<Item = &Loss> {
        self.losses.iter().filter(|loss| !loss.survived())
    }
}

impl fmt::Display for Survival {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.writes_available {
            return out.write_str("not held now: the live voters are no majority");
        }
        let mut fatal = self.fatal_losses();
        let Some(first) = fatal.next() else {
            return out.write_str("held");
        };
        write!(
            out,
            "not held now: losing {} leaves {} live voter(s), {} are needed",
            first.lost, first.live_voters, first.majority
        )?;
        match fatal.count() {
            0 => Ok(()),
            more => write!(out, " (and {more} more such loss(es))"),
        }
    }
}

/// Votes needed among that many voters.
pub fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// Judges a goal over the halves of a configuration: one half in normal times, two while voters are being changed.
///
/// A configuration without voters has no majority: writes are not available.
pub fn assess(goal: SurvivalGoal, halves: &[Vec<VoterState>]) -> Survival {
    let writes_available = !halves.is_empty()
        && halves
            .iter()
            .all(|half| remaining(half, |_| true).survived());
    let lost_by = |voter: &VoterState| match goal {
        SurvivalGoal::None => None,
        SurvivalGoal::Node => Some(voter.node.clone()),
        SurvivalGoal::Site => Some(voter.site.clone()),
    };
    let names: BTreeSet<String> = halves.iter().flatten().filter_map(&lost_by).collect();
    let losses = names
        .into_iter()
        .map(|lost| worst_half(halves, &lost, &lost_by))
        .collect();
    Survival {
        goal,
        writes_available,
        losses,
    }
}

/// How a goal fares when one set of voters takes the place of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeOfVoters {
    /// As it is.
    pub before: Survival,
    /// While both sets have to agree.
    pub during: Survival,
    /// As it will be.
    pub after: Survival,
}

impl ChangeOfVoters {
    /// Judges a goal before, during and after the change of `halves`, as they are, to the one set `wanted`.
    #[must_use]
    pub fn judge(goal: SurvivalGoal, halves: &[Vec<VoterState>], wanted: &[VoterState]) -> Self {
        let mut during = halves.to_vec();
        during.push(wanted.to_vec());
        Self {
            before: assess(goal, halves),
            during: assess(goal, &during),
            after: assess(goal, std::slice::from_ref(&wanted.to_vec())),
        }
    }

    /// Why the change cannot be made, whoever asks for it: it would never be decided, or nothing after it.
    #[must_use]
    pub fn impossible(&self) -> Option<&'static str> {
        if !self.during.writes_available {
            return Some(
                "the change itself needs a majority of the present voters and one of the future ones, which do not answer",
            );
        }
        (!self.after.writes_available).then_some("the future voters that answer are no majority")
    }

    /// Why the change should not be made: what was survived before would not be survived during or after it.
    #[must_use]
    pub fn worse(&self) -> Option<String> {
        let now: BTreeSet<&str> = self.before.fatal_losses().map(lost).collect();
        for (when, then) in [("during", &self.during), ("after", &self.after)] {
            let new: Vec<&str> = then.fatal_losses().map(lost).collect();
            let new: Vec<&str> = new.into_iter().filter(|one| !now.contains(one)).collect();
            if !new.is_empty() {
                return Some(format!(
                    "{when} the change losing {} would stop writes, and now it would not",
                    new.join(" or ")
                ));
            }
        }
        None
    }
}

fn lost(loss: &Loss) -> &str {
    &loss.lost
}

fn worst_half(
    halves: &[Vec<VoterState>],
    lost: &str,
    lost_by: &impl Fn(&VoterState) -> Option<String>,
) -> Loss {
    let mut worst: Option<Loss> = None;
    for half in halves {
        let mut loss = remaining(half, |voter| lost_by(voter).as_deref() != Some(lost));
        loss.lost = lost.to_owned();
        let margin = |loss: &Loss| loss.live_voters as i64 - loss.majority as i64;
        if worst
            .as_ref()
            .is_none_or(|known| margin(&loss) < margin(known))
        {
            worst = Some(loss);
        }
    }
    worst.unwrap_or(Loss {
        lost: lost.to_owned(),
        live_voters: 0,
        majority: 1,
    })
}

fn remaining(half: &[VoterState], keep: impl Fn(&VoterState) -> bool) -> Loss {
    Loss {
        lost: String::new(),
        live_voters: half
            .iter()
            .filter(|voter| voter.live && keep(voter))
            .count(),
        majority: majority(half.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two voters at the centre, two at recovery, one elsewhere; the named nodes are down.
    fn two_two_one(down: &[&str]) -> Vec<VoterState> {
        let voters = [
            ("central-1", "central"),
            ("central-2", "central"),
            ("recovery-1", "recovery"),
            ("recovery-2", "recovery"),
            ("da-nang-1", "da-nang"),
        ];
        half(&voters, down)
    }

    fn half(voters: &[(&str, &str)], down: &[&str]) -> Vec<VoterState> {
        voters
            .iter()
            .map(|(node, site)| VoterState {
                node: (*node).to_owned(),
                site: (*site).to_owned(),
                live: !down.contains(node),
            })
            .collect()
    }

    #[test]
    fn two_two_one_survives_any_one_site() {
        let survival = assess(SurvivalGoal::Site, &[two_two_one(&[])]);
        assert!(survival.held());
        assert_eq!(survival.losses.len(), 3);
        assert_eq!(survival.to_string(), "held");
    }

    #[test]
    fn two_two_one_survives_any_two_nodes() {
        let names = [
            "central-1",
            "central-2",
            "recovery-1",
            "recovery-2",
            "da-nang-1",
        ];
        for first in names {
            let survival = assess(SurvivalGoal::Node, &[two_two_one(&[first])]);
            assert!(survival.held(), "{first} down, then any other");
        }
    }

    #[test]
    fn site_goal_is_not_held_while_a_node_elsewhere_is_down() {
        let survival = assess(SurvivalGoal::Site, &[two_two_one(&["da-nang-1"])]);
        assert!(survival.writes_available);
        assert!(!survival.held());
        let fatal: Vec<&str> = survival
            .fatal_losses()
            .map(|loss| loss.lost.as_str())
            .collect();
        assert_eq!(fatal, ["central", "recovery"]);
        assert_eq!(
            survival.to_string(),
            "not held now: losing central leaves 2 live voter(s), 3 are needed \
             (and 1 more such loss(es))"
        );
    }

    #[test]
    fn with_one_node_of_a_site_down_only_the_other_large_site_is_fatal() {
        let survival = assess(SurvivalGoal::Site, &[two_two_one(&["central-1"])]);
        let fatal: Vec<&str> = survival
            .fatal_losses()
            .map(|loss| loss.lost.as_str())
            .collect();
        assert_eq!(fatal, ["recovery"]);
    }

    #[test]
    fn three_nodes_down_stop_writes() {
        let down = ["central-1", "central-2", "recovery-1"];
        let survival = assess(SurvivalGoal::Site, &[two_two_one(&down)]);
        assert!(!survival.writes_available);
        assert!(!survival.held());
    }

    #[test]
    fn a_joint_configuration_holds_only_when_both_halves_hold() {
        let old = two_two_one(&[]);
        let lopsided = half(
            &[
                ("central-1", "central"),
                ("central-2", "central"),
                ("recovery-1", "recovery"),
            ],
            &[],
        );
        assert!(assess(SurvivalGoal::Site, std::slice::from_ref(&old)).held());
        let joint = assess(SurvivalGoal::Site, &[old.clone(), lopsided.clone()]);
        assert!(joint.writes_available);
        assert!(!joint.held());
        let mirrored = assess(SurvivalGoal::Site, &[lopsided, old]);
        assert!(!mirrored.held(), "the order of the halves does not matter");
    }

    #[test]
    fn the_worst_half_is_the_one_reported() {
        let three = half(&[("a", "x"), ("b", "y"), ("c", "z")], &[]);
        let one = half(&[("a", "x")], &[]);
        let survival = assess(SurvivalGoal::Node, &[three, one]);
        let lost_a = survival
            .losses
            .iter()
            .find(|loss| loss.lost == "a")
            .unwrap();
        assert_eq!((lost_a.live_voters, lost_a.majority), (0, 1));
    }

    #[test]
    fn one_voter_alone_holds_only_the_goal_none() {
        let alone = vec![half(&[("a", "x")], &[])];
        assert!(assess(SurvivalGoal::None, &alone).held());
        assert!(!assess(SurvivalGoal::Node, &alone).held());
    }

    #[test]
    fn a_change_is_judged_before_during_and_after() {
        let now = two_two_one(&[]);
        let judge = |down: &[&str], wanted: &[VoterState]| {
            ChangeOfVoters::judge(SurvivalGoal::Site, &[two_two_one(down)], wanted)
        };
        // One that is gone is replaced by a new one at the same site: nothing gets worse, and in the end all is well.
        let mut replaced = two_two_one(&[]);
        replaced[1].node = "central-3".to_owned();
        let change = judge(&["central-2"], &replaced);
        assert_eq!((change.impossible(), change.worse()), (None, None));
        assert!(!change.before.held() && !change.during.held() && change.after.held());

        // Five become four, two at each of two sites.
        let four = now[..4].to_vec();
        let change = judge(&[], &four);
        assert_eq!(change.impossible(), None);
        assert_eq!(
            change.worse().unwrap(),
            "during the change losing central or recovery would stop writes, and now it would not"
        );
        // Somebody has to answer.
        let away = |voters: &[VoterState]| -> Vec<VoterState> {
            let mut voters = voters.to_vec();
            voters.iter_mut().for_each(|voter| voter.live = false);
            voters
        };
        let change = judge(&[], &away(&now[..3]));
        assert!(change.impossible().unwrap().contains("future ones"));
    }

    #[test]
    fn no_voters_means_no_writes() {
        assert!(!assess(SurvivalGoal::None, &[]).writes_available);
        assert!(!assess(SurvivalGoal::None, &[Vec::new()]).writes_available);
    }
}
