//! Outcomes for the wire.

use banyan_domain::{Accepted, Outcome};
use bytes::Bytes;

use crate::errors::rejected_to_wire;
use crate::person::finding_to_wire;
use crate::v1::{self, outcome::Result as Verdict};

/// An outcome as clients see it.
#[must_use]
pub fn outcome_to_wire(outcome: &Outcome) -> v1::Outcome {
    let verdict = match &outcome.result {
        Ok(accepted) => Verdict::Accepted(accepted_to_wire(accepted)),
        Err(rejection) => Verdict::Rejected(rejected_to_wire(rejection)),
    };
    v1::Outcome {
        result: Some(verdict),
        position: outcome.position.index,
        term: outcome.position.term,
        time_ms: outcome.time.get(),
        replayed: outcome.replayed,
        // The serving node knows its cluster.
        token: Bytes::new(),
    }
}

fn accepted_to_wire(accepted: &Accepted) -> v1::Accepted {
    v1::Accepted {
        person_id: accepted.person.get(),
        pin: accepted.pin.as_str().to_owned(),
        version: accepted.version.get(),
        findings: accepted.findings.iter().map(finding_to_wire).collect(),
    }
}
