//! Who serves a call: this node, or the leader in its place.
//!
//! A write that arrives at a node that does not lead goes to the leader with the time that is left, one hop at most. While there is no leader, or the
//! one that was asked does not answer, the node holds the call and sends it again: the idempotency key makes that safe. A caller inside its deadline
//! so sees neither a transfer of leadership nor an election. If the time runs out, and any try may have been proposed, the answer is "unknown".
//!
//! The leader trusts the node that forwards as little as it can. It gets the caller's own certificate and checks it as if the caller had
//! connected itself (authorities, validity, identity), passes the call through the same gate and policy, and bounds whom the node may speak
//! for: a provincial site speaks for the registrars of its province and for nobody else. What it must believe is that the caller held the
//! certificate's key; so a province's node that has fallen into wrong hands can act as its own registrars, which it could by any other means, and not as
//! the centre.

use std::sync::Arc;
use std::time::Duration;

use banyan_consensus::Member;
use banyan_consensus::network::ForwardHandler;
use banyan_domain::{Actor, AreaCode, NodeId, Units};
use banyan_topology::{SiteRole, Topology};
use banyan_wire::errors::Code;
use banyan_wire::v1::call::Method;
use banyan_wire::v1::call_answer::Answer;
use banyan_wire::v1::{Call, CallAnswer, Consistency, ErrorDetail};
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::calls::row_of;
use super::context::{CallContext, ServiceParts};
use super::outcomes;
use crate::edge::authorisation::Effect;
use crate::edge::authority::Authorities;
use crate::edge::gate::{Gate, identity_detail, timed_out};

/// A try that failed is not repeated sooner, unless leadership has moved.
const PAUSE: Duration = Duration::from_millis(25);
/// With less time than this left, no further try begins.
const TRY_MIN: Duration = Duration::from_millis(5);
/// What the way to the leader and back may take of the time that is left.
const WAY: Duration = Duration::from_millis(2);

impl ServiceParts {
    /// Serves a call that has passed the gate.
    pub(super) async fn serve(&self, context: &CallContext, method: Method) -> Answer {
        if context.is_forwarded() {
            return self.serve_here(context, &method).await;
        }
        match &method {
            Method::Submit(request) if !request.dry_run && !request.hint_leader => {
                self.serve_at_leader(context, method).await
            }
            Method::SubmitBatch(request) if !request.hint_leader => {
                self.serve_at_leader(context, method).await
            }
            _ if consistency(&method).is_some_and(|asked| asked.forward) => {
                let here = self
                    .serve_here(&context.with_half_the_time(), &method)
                    .await;
                match here {
                    Answer::Error(detail) if is_not_fresh(&detail) => {
                        self.serve_at_leader(context, method).await
                    }
                    answer => answer,
                }
            }
            _ => self.serve_here(context, &method).await,
        }
    }

    async fn serve_here(&self, context: &CallContext, method: &Method) -> Answer {
        let answer = match method {
            Method::GetPerson(request) => self
                .get_person(context, request.clone())
                .await
                .map(Answer::GetPerson),
            Method::GetPersons(request) => self
                .get_persons(context, request.clone())
                .await
                .map(Answer::GetPersons),
            Method::ScanPersons(request) => self
                .scan_persons(context, request.clone())
                .await
                .map(Answer::ScanPersons),
            Method::FindPersons(request) => self
                .find_persons(context, request.clone())
                .await
                .map(Answer::FindPersons),
            Method::GetHistory(request) => self
                .get_history(context, request.clone())
                .await
                .map(Answer::GetHistory),
            Method::Submit(request) => self.submit(context, request).await.map(Answer::Submit),
            Method::SubmitBatch(request) => self
                .submit_batch(context, request)
                .await
                .map(Answer::SubmitBatch),
        };
        answer.unwrap_or_else(Answer::Error)
    }

    /// Serves a call wherever the leader is, and wherever it goes, until the time is over.
    async fn serve_at_leader(&self, context: &CallContext, method: Method) -> Answer {
        let mut in_doubt = false;
        let mut checked = false;
        loop {
            let leader = self.consensus.leader();
            let is_here = leader
                .as_ref()
                .is_some_and(|leader| leader.node == self.facts.id);
            if !is_here && !checked {
                // What is at fault is said here, whether or not there is a leader.
                if let Err(detail) = self.check_write(context, &method) {
                    return Answer::Error(detail);
                }
                checked = true;
            }
            let answer = match &leader {
                Some(_) if is_here => self.serve_here(context, &method).await,
                Some(leader) => self.forward(context, leader, method.clone()).await,
                None if !self.consensus.status().initialized => {
                    let text = "the cluster has not been formed";
                    return Answer::Error(ErrorDetail::new(Code::NotFormed, text));
                }
                None => Answer::Error(outcomes::no_leader()),
            };
            let Answer::Error(detail) = answer else {
                return answer;
            };
            in_doubt |= detail.outcome_unknown;
            let pause = detail.retry_after().unwrap_or(PAUSE).min(PAUSE);
            if !is_passing(&detail) || context.remaining() <= pause + TRY_MIN {
                return Answer::Error(settled(detail, in_doubt));
            }
            let asked = leader.map(|leader| leader.node);
            // Leadership that has moved is worth a try at once.
            self.consensus
                .wait_for_leader(pause, |leader| leader.is_some() && leader != asked)
                .await;
        }
    }

    /// Sends a call to the leader. Gives up waiting when another one has been elected: this one may never answer.
    async fn forward(&self, context: &CallContext, leader: &Member, method: Method) -> Answer {
        let writes = row_of(&method).is_some_and(|row| row.effect == Effect::Writes);
        let within = context.remaining().saturating_sub(WAY);
        let call = Call {
            id: 0,
            timeout_ms: u32::try_from(within.as_millis()).unwrap_or(u32::MAX).max(1),
            method: Some(method),
        };
        let asked = leader.node;
        let superseded = self.consensus.wait_for_leader(within, move |leader| {
            leader.is_some_and(|leader| leader != asked)
        });
        let sent = self
            .consensus
            .forward(leader, context.certificate(), call, within);
        let failure = tokio::select! {
            answer = sent => match answer {
                Ok(answer) => {
                    let missing = || {
                        let text = "the leader runs a release whose answer this node does not know";
                        Answer::Error(doubtful(ErrorDetail::new(Code::NoLeader, text), writes))
                    };
                    return answer.answer.unwrap_or_else(missing);
                }
                Err(error) => {
                    tracing::debug!(%error, "a call was not forwarded");
                    doubtful(outcomes::no_leader(), writes && error.maybe_received)
                }
            },
            true = superseded => doubtful(outcomes::no_leader(), writes),
        };
        Answer::Error(failure)
    }
}

fn doubtful(detail: ErrorDetail, in_doubt: bool) -> ErrorDetail {
    if in_doubt {
        detail.with_outcome_unknown()
    } else {
        detail
    }
}

/// What the caller is told at the end: once a try may have been proposed, only an outcome settles it.
fn settled(detail: ErrorDetail, in_doubt: bool) -> ErrorDetail {
    if !in_doubt {
        return detail;
    }
    let text = format!(
        "the leader did not say what became of the command: {}",
        detail.message
    );
    ErrorDetail::new(Code::OutcomeUnknown, text)
}

/// Whether another try, here or elsewhere, may end otherwise.
fn is_passing(detail: &ErrorDetail) -> bool {
    detail.outcome_unknown
        || matches!(
            detail.known_code(),
            Some(
                Code::NotLeader
                    | Code::NoLeader
                    | Code::NoQuorum
                    | Code::ClockSkewed
                    | Code::ShuttingDown
                    | Code::NodeFault
            )
        )
}

/// Whether a read was refused for what this node lacks and the leader may have.
fn is_not_fresh(detail: &ErrorDetail) -> bool {
    matches!(
        detail.known_code(),
        Some(Code::TooStale | Code::NoLeader | Code::TokenAhead)
    )
}

fn consistency(method: &Method) -> Option<&Consistency> {
    match method {
        Method::GetPerson(request) => request.consistency.as_ref(),
        Method::FindPersons(request) => request.consistency.as_ref(),
        Method::GetHistory(request) => request.consistency.as_ref(),
        Method::GetPersons(request) => request.consistency.as_ref(),
        // Its further pages are held by the node that gave the first one.
        Method::ScanPersons(_) | Method::Submit(_) | Method::SubmitBatch(_) => None,
    }
}

/// The leader's side: serves what other nodes forward.
pub struct Forwarded {
    /// The services.
    pub parts: Arc<ServiceParts>,
    /// The gate that direct callers pass, too.
    pub gate: Arc<Gate>,
    /// Who may be behind a certificate.
    pub authorities: Arc<Authorities>,
    /// The runtime of the edges: clients' work must not run beside Raft.
    pub runtime: Handle,
}

impl ForwardHandler for Forwarded {
    fn serve(
        &self,
        from: NodeId,
        certificate: Bytes,
        call: Call,
    ) -> BoxFuture<'static, CallAnswer> {
        let (parts, gate) = (Arc::clone(&self.parts), Arc::clone(&self.gate));
        let authorities = Arc::clone(&self.authorities);
        let serving = self.runtime.spawn(async move {
            let begun = gate.clock.monotonic();
            let in_flight = gate.metrics.request_begins();
            let answer = serve_forwarded(&parts, &gate, &authorities, from, &certificate, call);
            let answer = answer.await.unwrap_or_else(Answer::Error);
            drop(in_flight);
            let code = match &answer {
                Answer::Error(detail) => detail.known_code().map_or("unknown", Code::label),
                _ => "OK",
            };
            let took = gate.clock.monotonic().saturating_duration_since(begun);
            gate.metrics.request_answered("Forwarded", code, took);
            answer
        });
        serving
            .map(|answer| CallAnswer {
                id: 0,
                answer: Some(answer.unwrap_or_else(|error| {
                    tracing::error!(%error, "a forwarded call ended without an answer");
                    let text = "the call met a defect of the leader";
                    Answer::Error(ErrorDetail::new(Code::OutcomeUnknown, text))
                })),
            })
            .boxed()
    }
}

async fn serve_forwarded(
    parts: &ServiceParts,
    gate: &Gate,
    authorities: &Authorities,
    from: NodeId,
    certificate: &Bytes,
    call: Call,
) -> Result<Answer, ErrorDetail> {
    let row = call.method.as_ref().and_then(row_of);
    let (Some(method), Some(row)) = (call.method, row) else {
        let text = "the call names no method that this node serves";
        return Err(ErrorDetail::new(Code::MethodUnknown, text));
    };
    let now = gate.clock.now_ms() / 1000;
    let caller = authorities
        .authenticate_forwarded(certificate, from, now)
        .map_err(identity_detail)?;
    let topology = &parts.facts.topology;
    if !may_speak_for(topology, from, &caller.actor) {
        tracing::warn!(
            node = from.get(),
            principal = caller.actor.principal.as_str(),
            "a node forwards for an actor whom it may not speak for"
        );
        let text = format!("node {from} may not speak for this actor");
        return Err(match parts.consensus.leader() {
            Some(leader) => ErrorDetail::new(Code::ForwarderNotTrusted, text)
                .with_leader(outcomes::client_url(&leader)),
            None => ErrorDetail::new(Code::ForwarderNotTrusted, text),
        });
    }
    let caller = Arc::new(caller);
    let asked = Duration::from_millis(call.timeout_ms.into());
    let pass = gate.enter(row, &caller, Some(asked))?;
    let cut_off: Instant = pass.cut_off;
    let context = CallContext::forwarded(caller, pass.answer_by);
    let serving = parts.serve(&context, method);
    match tokio::time::timeout_at(cut_off, serving).await {
        Ok(answer) => Ok(answer),
        Err(_) => Err(timed_out(row.effect)),
    }
}

/// Whether the site of a node may ask for this actor. The sites of the centre, of recovery and of the quorum hold the whole registry and
/// issue its numbers; a province's site speaks for its own registrars.
fn may_speak_for(topology: &Topology, node: NodeId, actor: &Actor) -> bool {
    let site = topology
        .nodes()
        .iter()
        .find(|known| known.id().get() == node.get())
        .and_then(|node| topology.site(node.site()));
    let Some(site) = site else {
        return false;
    };
    match site.role() {
        SiteRole::Central | SiteRole::Recovery | SiteRole::Quorum => true,
        SiteRole::Province => {
            let province = actor.role.area().and_then(|area| {
                let units = Units::current();
                match area {
                    AreaCode::Province(code) => Some(code),
                    AreaCode::District(code) => units.province_of_district(code),
                    AreaCode::Ward(code) => units.province_of_ward(code),
                }
            });
            province.is_some_and(|code| site.province() == Some(code.as_str()))
        }
    }
}

#[cfg(test)]
mod tests;
