//! Read barriers between nodes: any member may ask, the leader answers.

use std::{sync::Arc, time::Duration};

use banyan_domain::Position;
use banyan_wire::internal_v1::{self as wire, reads_client, reads_server};
use futures::{FutureExt as _, future::BoxFuture};
use openraft::{Raft, async_runtime::watch::WatchReceiver as _, storage::RaftStateMachine};
use openraft_rt::AsyncRuntime;
use tonic::{Request, Response, Status, service::interceptor::InterceptedService};

use crate::{
    barrier::{BarrierError, BarrierWire, LeaderBarriers, Urgency},
    member::Member,
    network::{admission::Admission, client::PeerNetwork},
    types::TypeConfig,
};

/// The leader's side.
pub(crate) struct Reads {
    leader: Arc<LeaderBarriers>,
}

/// The service of barriers, open to every member of the cluster: a learner asks, too.
#[expect(
    clippy::type_complexity,
    reason = "the interceptor is a closure and has no name"
)]
pub(crate) fn service<R, SM>(
    raft: Raft<TypeConfig<R>, SM>,
    leader: Arc<LeaderBarriers>,
    admission: Admission,
) -> InterceptedService<
    reads_server::ReadsServer<Reads>,
    impl FnMut(Request<()>) -> Result<Request<()>, Status> + Clone,
>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    let gate = move |call: Request<()>| {
        let peer = admission.identify(&call)?;
        let membership = Arc::clone(&raft.server_metrics().borrow_watched().membership_config);
        admission.admit_reader(peer, membership.membership())?;
        Ok(call)
    };
    InterceptedService::new(reads_server::ReadsServer::new(Reads { leader }), gate)
}

#[tonic::async_trait]
impl reads_server::Reads for Reads {
    async fn barrier(
        &self,
        call: Request<wire::BarrierRequest>,
    ) -> Result<Response<wire::BarrierReply>, Status> {
        let urgency = if call.into_inner().patient {
            Urgency::Patient
        } else {
            Urgency::Now
        };
        let position = self.leader.confirm(urgency).await.map_err(|error| {
            let text = error.to_string();
            match error {
                BarrierError::Overloaded => Status::resource_exhausted(text),
                BarrierError::Unconfirmed(_) | BarrierError::Behind { .. } => {
                    Status::failed_precondition(text)
                }
                BarrierError::Stopped => Status::unavailable(text),
            }
        })?;
        Ok(Response::new(wire::BarrierReply {
            position: Some(wire::LogPosition {
                term: position.term,
                index: position.index,
            }),
        }))
    }
}

impl<R: AsyncRuntime> BarrierWire for PeerNetwork<R> {
    fn ask(
        &self,
        leader: u64,
        node: &Member,
        urgency: Urgency,
    ) -> BoxFuture<'static, Result<Position, BarrierError>> {
        let channel = self.barrier_channel(leader, node);
        let within = self.barrier_time();
        async move {
            let channel = channel.map_err(BarrierError::Unconfirmed)?;
            let mut client = reads_client::ReadsClient::new(channel);
            let request = wire::BarrierRequest {
                patient: urgency == Urgency::Patient,
            };
            let answer = R::timeout(within, Box::pin(client.barrier(request))).await;
            let reply = match answer {
                Ok(Ok(reply)) => reply.into_inner(),
                Ok(Err(status)) if status.code() == tonic::Code::ResourceExhausted => {
                    return Err(BarrierError::Overloaded);
                }
                Ok(Err(status)) => return Err(unconfirmed(&status)),
                Err(_elapsed) => return Err(silent(within)),
            };
            // Taken as "nothing was ever written", it would make every node fresh.
            let position = reply
                .position
                .filter(|position| position.index > 0)
                .ok_or_else(|| {
                    BarrierError::Unconfirmed("the leader answered without a position".to_owned())
                })?;
            Ok(Position {
                term: position.term,
                index: position.index,
            })
        }
        .boxed()
    }
}

fn unconfirmed(status: &Status) -> BarrierError {
    BarrierError::Unconfirmed(format!("{}: {}", status.code(), status.message()))
}

fn silent(within: Duration) -> BarrierError {
    BarrierError::Unconfirmed(format!("the leader did not answer within {within:?}"))
}
