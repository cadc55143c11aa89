//! Who may say what to this node: the pure check of a peer's certificate against its message and the membership.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use banyan_domain::NodeId;
use banyan_wire::identity::{Standing, Subject};
use tonic::{Request, Status};

use crate::{
    network::{links::Links, tls::identity_of_certificate},
    state::Retired,
    types::{Membership, Vote},
};

/// What a node hears that was taken out of the membership.
pub(crate) const TAKEN_OUT: &str = "the sender was taken out of the cluster for good";

/// How many calls of peers were refused since the start. One of them is an alarm: a certificate is misused, or a topology is
/// out of date.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Arc<AtomicU64>);

impl Refusals {
    /// Calls refused since the start.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A peer as its certificate names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) node: u64,
    pub(crate) standing: Standing,
}

/// Decides who may vote, append, transfer and send snapshots: voters, speaking for themselves, under a certificate that the peers'
/// authority has given to a voter.
///
/// A voter is who is a voter in this node's *effective* membership, in either half of a joint one. A learner that was promoted is admitted as
/// soon as the change is in this node's log, committed or not; its certificate is to be renewed before, which gives a learner nothing.
///
/// This node may have missed the change that made the sender a voter, and would then shut out the leader that alone can tell it. So a voter of
/// the start options is admitted, too, with everything while the membership does not name it at all (or there is none yet), and as an elected
/// leader only while the membership names it as a learner: a voter that was made a learner cannot ask for votes any more. Nobody is admitted by
/// the start options who was taken out of the membership, as far as this node has applied it.
#[derive(Clone, Debug)]
pub struct Admission {
    cluster: String,
    named_voters: BTreeSet<u64>,
    retired: Retired,
    refusals: Refusals,
    links: Links,
}

impl Admission {
    /// For a node of this cluster whose start options name these voters, and which knows those who were taken out of the membership.
    pub fn new(cluster: impl Into<String>, named_voters: BTreeSet<u64>, retired: Retired) -> Self {
        Self {
            cluster: cluster.into(),
            named_voters,
            retired,
            refusals: Refusals::default(),
            links: Links::default(),
        }
    }

    /// The links that a fault test may cut.
    #[must_use]
    pub fn links(&self) -> Links {
        self.links.clone()
    }

    /// The counter of refusals.
    #[must_use]
    pub fn refusals(&self) -> Refusals {
        self.refusals.clone()
    }

    /// The peer that made this request, from the certificate of its connection.
    pub(crate) fn identify<T>(&self, request: &Request<T>) -> Result<Peer, Status> {
        let certificates = request.peer_certs();
        let Some(first) = certificates
            .as_ref()
            .and_then(|certificates| certificates.first())
        else {
            return Err(self.refuse("the connection carries no certificate"));
        };
        let Ok(identity) = identity_of_certificate(first) else {
            return Err(self.refuse("the certificate names no identity of the registry"));
        };
        match identity.subject {
            Subject::Peer { node, standing } if identity.cluster.as_str() == self.cluster => {
                Ok(Peer {
                    node: node.get(),
                    standing,
                })
            }
            _ => Err(self.refuse("the certificate is not for a peer of this cluster")),
        }
    }

    /// What can be said before a byte of the message is read: whether this peer can send anything at all that would be admitted.
    pub(crate) fn admit_caller(&self, peer: Peer, membership: &Membership) -> Result<(), Status> {
        if peer.standing != Standing::Voter {
            return Err(
                self.refuse("a learner's certificate cannot vote, append or send snapshots")
            );
        }
        if !self.is_voter(peer.node, true, membership) {
            return Err(
                self.refuse("the sender is not a voter of the membership that this node knows")
            );
        }
        Ok(())
    }

    /// Whether this peer may ask for read barriers: every member of the cluster, voter or learner.
    pub(crate) fn admit_reader(&self, peer: Peer, membership: &Membership) -> Result<(), Status> {
        self.links.check_from(peer.node)?;
        let is_member = membership.get_node(&peer.node).is_some();
        if is_member || self.is_named(peer.node) {
            return Ok(());
        }
        if self.retired.contains(NodeId(peer.node)) {
            return Err(self.refuse(TAKEN_OUT));
        }
        Err(self.refuse("the sender is not a member of the cluster that this node knows"))
    }

    /// Admits a voter's message, or refuses it. `vote` is what the message says of its sender: who it is, and whether it was elected.
    pub(crate) fn admit(
        &self,
        peer: Peer,
        vote: &Vote,
        membership: &Membership,
    ) -> Result<(), Status> {
        if peer.node != vote.leader_id.voted_for {
            return Err(self.refuse("the message names another node than the certificate"));
        }
        self.admit_caller(peer, membership)?;
        self.links.check_from(peer.node)?;
        if !self.is_voter(peer.node, vote.committed, membership) {
            return Err(self.refuse("a learner of the membership asks for a vote"));
        }
        Ok(())
    }

    fn is_voter(&self, node: u64, elected: bool, membership: &Membership) -> bool {
        if membership
            .get_joint_config()
            .iter()
            .any(|voters| voters.contains(&node))
        {
            return true;
        }
        self.is_named(node) && (elected || membership.get_node(&node).is_none())
    }

    /// Whether the start options name it as a voter, and it was not taken out since.
    fn is_named(&self, node: u64) -> bool {
        self.named_voters.contains(&node) && !self.retired.contains(NodeId(node))
    }

    fn refuse(&self, reason: &'static str) -> Status {
        self.refusals.add();
        tracing::warn!(reason, "call of a peer refused");
        Status::permission_denied(reason)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::member::Member;

    fn membership(voters: &[u64], learners: &[u64]) -> Membership {
        let nodes: BTreeMap<u64, Member> = voters
            .iter()
            .chain(learners)
            .map(|id| (*id, Member::default()))
            .collect();
        Membership::new(vec![voters.iter().copied().collect()], nodes).unwrap()
    }

    fn admission(named: impl Into<BTreeSet<u64>>, retired: impl Into<BTreeSet<u64>>) -> Admission {
        Admission::new("c", named.into(), Retired::of(retired))
    }

    #[test]
    fn who_was_taken_out_is_admitted_by_no_topology() {
        let admission = admission([1, 2, 3, 9], [9]);
        let known = membership(&[1, 2, 3], &[4]);
        let gone = peer(9, Standing::Voter);
        for vote in [Vote::new(7, 9), Vote::new_committed(7, 9)] {
            assert!(admission.admit(gone, &vote, &known).is_err(), "{vote:?}");
        }
        let refused = admission.admit_reader(gone, &known).unwrap_err();
        assert_eq!(refused.message(), TAKEN_OUT);
        admission
            .admit_reader(peer(4, Standing::Learner), &known)
            .unwrap();
    }

    const fn peer(node: u64, standing: Standing) -> Peer {
        Peer { node, standing }
    }

    #[test]
    fn only_voters_that_speak_for_themselves_are_admitted() {
        let admission = admission([1, 2, 3, 9], []);
        let known = membership(&[1, 2, 5], &[3, 4]);
        let none = Membership::default();
        let cases = [
            (peer(1, Standing::Voter), 1, &known, true, "a voter"),
            (
                peer(5, Standing::Voter),
                5,
                &known,
                true,
                "a voter that the options do not name",
            ),
            (
                peer(1, Standing::Voter),
                2,
                &known,
                false,
                "one voter for another",
            ),
            (
                peer(1, Standing::Learner),
                1,
                &known,
                false,
                "a voter's id under a learner's certificate",
            ),
            (peer(4, Standing::Learner), 4, &known, false, "a learner"),
            (
                peer(3, Standing::Voter),
                3,
                &known,
                false,
                "a voter that was made a learner",
            ),
            (
                peer(9, Standing::Voter),
                9,
                &known,
                true,
                "a named voter that this node has not heard of yet",
            ),
            (peer(7, Standing::Voter), 7, &known, false, "a stranger"),
            (
                peer(2, Standing::Voter),
                2,
                &none,
                true,
                "a named voter before the membership is known",
            ),
            (
                peer(5, Standing::Voter),
                5,
                &none,
                false,
                "a stranger before the membership is known",
            ),
        ];
        let mut refused = 0;
        for (peer, sender, membership, admitted, what) in cases {
            assert_eq!(
                admission
                    .admit(peer, &Vote::new(7, sender), membership)
                    .is_ok(),
                admitted,
                "{what}"
            );
            refused += u64::from(!admitted);
            assert_eq!(admission.refusals().count(), refused, "{what}");
        }
    }

    #[test]
    fn a_promoted_learner_is_a_voter_from_the_joint_membership_on() {
        let admission = admission([1, 2, 3], []);
        let nodes: BTreeMap<u64, Member> = (1..=5).map(|id| (id, Member::default())).collect();
        let halves = |old: &[u64], new: &[u64]| {
            let half = |ids: &[u64]| ids.iter().copied().collect::<BTreeSet<u64>>();
            Membership::new(vec![half(old), half(new)], nodes.clone()).unwrap()
        };
        let promoted = peer(4, Standing::Voter);
        let asks = Vote::new(7, 4);
        let leads = Vote::new_committed(7, 4);

        let before = membership(&[1, 2, 3], &[4, 5]);
        assert!(admission.admit(promoted, &asks, &before).is_err());
        assert!(admission.admit(promoted, &leads, &before).is_err());
        for joint in [
            halves(&[1, 2, 3], &[1, 2, 3, 4]),
            halves(&[1, 2, 3, 4], &[1, 2, 3]),
        ] {
            admission.admit(promoted, &asks, &joint).unwrap();
            admission.admit(promoted, &leads, &joint).unwrap();
            assert!(
                admission
                    .admit(peer(5, Standing::Voter), &Vote::new(7, 5), &joint)
                    .is_err(),
                "the other learner stays one"
            );
            assert!(
                admission
                    .admit(peer(4, Standing::Learner), &asks, &joint)
                    .is_err(),
                "its certificate has to be renewed"
            );
        }
        let after = membership(&[1, 2, 3, 4], &[5]);
        admission.admit(promoted, &asks, &after).unwrap();
    }

    #[test]
    fn a_node_that_missed_a_promotion_still_hears_the_promoted_leader() {
        // The topology was renewed; the membership that this node knows was not.
        let admission = admission([1, 2, 3, 4], []);
        let old = membership(&[1, 2, 3], &[4]);
        let promoted = peer(4, Standing::Voter);
        admission
            .admit(promoted, &Vote::new_committed(7, 4), &old)
            .unwrap();
        assert!(
            admission.admit(promoted, &Vote::new(7, 4), &old).is_err(),
            "what this node knows as a learner is given no vote"
        );
        let learner = peer(4, Standing::Learner);
        assert!(
            admission
                .admit(learner, &Vote::new_committed(7, 4), &old)
                .is_err()
        );
    }

    #[test]
    fn a_caller_that_cannot_be_admitted_is_refused_before_its_message() {
        let admission = admission([1, 2, 3], []);
        let known = membership(&[1, 2, 3], &[4]);
        for (peer, heard) in [
            (peer(1, Standing::Voter), true),
            (peer(1, Standing::Learner), false),
            (peer(4, Standing::Learner), false),
            (peer(4, Standing::Voter), false),
            (peer(9, Standing::Voter), false),
        ] {
            assert_eq!(
                admission.admit_caller(peer, &known).is_ok(),
                heard,
                "{peer:?}"
            );
        }
    }
}
