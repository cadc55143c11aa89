//! Who may say what to this node: the pure check of a peer's certificate against its message and the membership.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use banyan_wire::identity::{Standing, Subject};
use tonic::{Request, Status};

use crate::{network::tls::identity_of_certificate, types::Membership};

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

/// Decides who may vote, append, transfer and send snapshots: voters, speaking for themselves.
///
/// A voter is who is a voter in this node's *effective* membership. Before a membership is known, it is whom the start
/// options name. A node that the membership does not name at all, but the start options name as a voter, is admitted too:
/// this node may have missed the change that made it one, and would otherwise shut out the leader that could tell it. A
/// voter that was made a learner is named by the membership and so refused; one that was removed must be taken out
/// of the topology as well.
#[derive(Clone, Debug)]
pub struct Admission {
    cluster: String,
    named_voters: BTreeSet<u64>,
    refusals: Refusals,
}

impl Admission {
    /// For a node of this cluster whose start options name these voters.
    pub fn new(cluster: impl Into<String>, named_voters: BTreeSet<u64>) -> Self {
        Self {
            cluster: cluster.into(),
            named_voters,
            refusals: Refusals::default(),
        }
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

    /// Admits a voter's message, or refuses it. `sender` is the node that the message itself names.
    pub(crate) fn admit(
        &self,
        peer: Peer,
        sender: u64,
        membership: &Membership,
    ) -> Result<(), Status> {
        if peer.node != sender {
            return Err(self.refuse("the message names another node than the certificate"));
        }
        if peer.standing != Standing::Voter {
            return Err(
                self.refuse("a learner's certificate cannot vote, append or send snapshots")
            );
        }
        if !self.is_voter(sender, membership) {
            return Err(
                self.refuse("the sender is not a voter of the membership that this node knows")
            );
        }
        Ok(())
    }

    fn is_voter(&self, node: u64, membership: &Membership) -> bool {
        if membership
            .get_joint_config()
            .iter()
            .any(|voters| voters.contains(&node))
        {
            return true;
        }
        membership.get_node(&node).is_none() && self.named_voters.contains(&node)
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

    const fn peer(node: u64, standing: Standing) -> Peer {
        Peer { node, standing }
    }

    #[test]
    fn only_voters_that_speak_for_themselves_are_admitted() {
        let admission = Admission::new("c", BTreeSet::from([1, 2, 3, 9]));
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
                admission.admit(peer, sender, membership).is_ok(),
                admitted,
                "{what}"
            );
            refused += u64::from(!admitted);
            assert_eq!(admission.refusals().count(), refused, "{what}");
        }
    }
}
