//! What every handler has at hand: the node's facts and parts, and who is asking until when.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use banyan_domain::{Actor, NodeId, Position};
use banyan_storage::{ReadView, Stores};
use banyan_topology::Topology;
use banyan_wire::cursor::ScanId;
use banyan_wire::errors::Code;
use banyan_wire::token::Token;
use banyan_wire::v1::AsOf;
use banyan_wire::v1::ErrorDetail;
use bytes::Bytes;
use http::Extensions;
use rand::RngCore;
use tokio::time::Instant;

use super::outcomes;
use super::scan::HeldScans;
use crate::clock::SharedClock;
use crate::edge::authority::Authenticated;
use crate::edge::gate::{AnswerBy, Caller};
use crate::metrics::Metrics;
use crate::node::NodeConsensus;

/// Who this node is.
#[derive(Debug, Clone)]
pub struct NodeFacts {
    /// Its id.
    pub id: NodeId,
    /// Its name, for instance `nghe-an-1`.
    pub name: String,
    /// Its site, for instance `nghe-an`.
    pub site: String,
    /// The sites and nodes that the cluster was planned with.
    pub topology: Topology,
}

/// What the services need of the node.
pub struct ServiceParts {
    /// Who this node is.
    pub facts: NodeFacts,
    /// For proposals and for the cluster's status.
    pub consensus: NodeConsensus,
    /// For reads and for access records.
    pub stores: Stores,
    /// For access records' times, and for uptime.
    pub clock: SharedClock,
    /// Where access records are counted.
    pub metrics: Arc<Metrics>,
    /// Salts of commands and the ids of scans come from here.
    pub randomness: Mutex<Box<dyn RngCore + Send>>,
    /// Scans that wait for their next page.
    pub scans: HeldScans,
    /// When the node started.
    pub started: std::time::Instant,
}

impl ServiceParts {
    /// Salts for `count` commands: chosen once, here, and carried inside the command from then on.
    pub(super) fn salts(&self, count: usize) -> Vec<u64> {
        let mut randomness = self
            .randomness
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        (0..count).map(|_| randomness.next_u64()).collect()
    }

    /// What a scan is known by: 128 random bits, from a generator that the operating system has seeded.
    pub(super) fn scan_id(&self) -> ScanId {
        let mut randomness = self
            .randomness
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut id = [0; 16];
        randomness.fill_bytes(&mut id);
        ScanId(id)
    }

    /// What an answer from this view is based on.
    ///
    /// # Errors
    /// The view cannot be read.
    pub(super) fn as_of(&self, view: &ReadView) -> Result<AsOf, ErrorDetail> {
        let applied = view
            .applied()
            .map_err(|fault| outcomes::view_detail(&fault))?;
        let position = applied.map(|applied| applied.position).unwrap_or_default();
        Ok(AsOf {
            position: position.index,
            term: position.term,
            commit_time_ms: applied.map_or(0, |applied| applied.time.get()),
            node_id: self.facts.id.get(),
            node: self.facts.name.clone(),
            site: self.facts.site.clone(),
            staleness_ms: None,
            token: self.token(position),
        })
    }

    /// What a client carries to its next read, so that it sees everything up to here.
    pub(super) fn token(&self, position: Position) -> Bytes {
        if position.index == 0 {
            return Bytes::new();
        }
        let token = Token {
            cluster: self.facts.topology.cluster().to_owned(),
            incarnation: self.stores.incarnation,
            position,
        };
        token.encode()
    }
}

/// Who asks, and until when the answer is worth something.
pub struct CallContext {
    caller: Arc<Authenticated>,
    answer_by: Instant,
    forwarded: bool,
}

impl CallContext {
    /// From what the gate put into the request.
    pub(super) fn of(extensions: &Extensions) -> Result<Self, ErrorDetail> {
        let missing = || ErrorDetail::new(Code::IdentityMissing, "the request carries no identity");
        let Caller(caller) = extensions.get::<Caller>().ok_or_else(missing)?;
        let answer_by = *extensions.get::<AnswerBy>().ok_or_else(missing)?;
        Ok(Self::new(Arc::clone(caller), answer_by))
    }

    pub(super) fn new(caller: Arc<Authenticated>, AnswerBy(answer_by): AnswerBy) -> Self {
        Self {
            caller,
            answer_by,
            forwarded: false,
        }
    }

    /// For a call that another node has sent on: it goes no further.
    pub(super) fn forwarded(caller: Arc<Authenticated>, answer_by: AnswerBy) -> Self {
        Self {
            forwarded: true,
            ..Self::new(caller, answer_by)
        }
    }

    /// The same call with half of its time, so that the other half is left for another node.
    pub(super) fn with_half_the_time(&self) -> Self {
        Self {
            caller: Arc::clone(&self.caller),
            answer_by: Instant::now() + self.remaining() / 2,
            forwarded: self.forwarded,
        }
    }

    /// Whether another node has sent it on.
    pub(super) fn is_forwarded(&self) -> bool {
        self.forwarded
    }

    /// The certificate that the caller has shown, DER.
    pub(super) fn certificate(&self) -> Bytes {
        self.caller.certificate.clone()
    }

    /// Who asks, from the certificate; the request has no say in it.
    pub(super) fn actor(&self) -> &Actor {
        &self.caller.actor
    }

    /// The time that is left.
    pub(super) fn remaining(&self) -> Duration {
        self.answer_by.saturating_duration_since(Instant::now())
    }
}
