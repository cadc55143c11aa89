//! Calls of clients that one node forwards to the leader, over the peers' own TLS.
//!
//! What a call means is not known here: whoever serves calls at the leader brings a [`ForwardHandler`].

use std::{sync::Arc, time::Duration};

use banyan_domain::NodeId;
use banyan_wire::{
    internal_v1::{self as wire, forwarding_client, forwarding_server},
    v1,
};
use futures::future::BoxFuture;
use openraft::{Raft, async_runtime::watch::WatchReceiver as _, storage::RaftStateMachine};
use openraft_rt::AsyncRuntime;
use tonic::{Request, Response, Status, service::interceptor::InterceptedService};

use crate::{
    member::Member,
    network::{
        FRAME_BYTES_MAX,
        admission::{Admission, Peer},
        client::PeerNetwork,
    },
    types::TypeConfig,
};

/// Serves, at the leader, what other nodes forward.
pub trait ForwardHandler: Send + Sync + 'static {
    /// Serves one call. `from` is the node that forwards it, as its certificate says; `certificate` is what it says that its caller has
    /// shown. Neither the caller nor what it asks for has been checked.
    fn serve(
        &self,
        from: NodeId,
        certificate: bytes::Bytes,
        call: v1::Call,
    ) -> BoxFuture<'static, v1::CallAnswer>;
}

/// A forwarded call came back without an answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("node {to} did not answer a forwarded call: {reason}")]
pub struct ForwardError {
    /// The node that was asked.
    pub to: NodeId,
    /// Whether it may have received the call all the same.
    pub maybe_received: bool,
    /// One line for the log and the caller; holds nothing of the call.
    pub reason: String,
}

/// The leader's side.
pub(crate) struct Forwarded {
    handler: Arc<dyn ForwardHandler>,
}

/// The service of forwarded calls, open to every member of the cluster.
#[expect(
    clippy::type_complexity,
    reason = "the interceptor is a closure and has no name"
)]
pub(crate) fn service<R, SM>(
    raft: Raft<TypeConfig<R>, SM>,
    handler: Arc<dyn ForwardHandler>,
    admission: Admission,
) -> InterceptedService<
    forwarding_server::ForwardingServer<Forwarded>,
    impl FnMut(Request<()>) -> Result<Request<()>, Status> + Clone,
>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    let gate = move |mut call: Request<()>| {
        let peer = admission.identify(&call)?;
        let membership = Arc::clone(&raft.server_metrics().borrow_watched().membership_config);
        admission.admit_reader(peer, membership.membership())?;
        call.extensions_mut().insert(peer);
        Ok(call)
    };
    let service = forwarding_server::ForwardingServer::new(Forwarded { handler })
        .max_decoding_message_size(FRAME_BYTES_MAX)
        .max_encoding_message_size(FRAME_BYTES_MAX);
    InterceptedService::new(service, gate)
}

#[tonic::async_trait]
impl forwarding_server::Forwarding for Forwarded {
    async fn forward(
        &self,
        request: Request<wire::ForwardedCall>,
    ) -> Result<Response<wire::ForwardedAnswer>, Status> {
        let peer = request.extensions().get::<Peer>().copied();
        let Some(peer) = peer else {
            return Err(Status::unauthenticated("the caller was not identified"));
        };
        let forwarded = request.into_inner();
        let call = forwarded
            .call
            .ok_or_else(|| Status::invalid_argument("no call is forwarded"))?;
        let answer = self
            .handler
            .serve(NodeId(peer.node), forwarded.certificate, call)
            .await;
        Ok(Response::new(wire::ForwardedAnswer {
            answer: Some(answer),
        }))
    }
}

impl<R: AsyncRuntime> PeerNetwork<R> {
    /// Sends a call to another node and waits for its answer, at most `within`.
    pub(crate) async fn forward(
        &self,
        to: &Member,
        call: wire::ForwardedCall,
        within: Duration,
    ) -> Result<v1::CallAnswer, ForwardError> {
        let failed = |maybe_received: bool, reason: String| ForwardError {
            to: to.node,
            maybe_received,
            reason,
        };
        let channel = self
            .forward_channel(to.node.get(), to)
            .map_err(|reason| failed(false, reason))?;
        let mut client = forwarding_client::ForwardingClient::new(channel)
            .max_decoding_message_size(FRAME_BYTES_MAX)
            .max_encoding_message_size(FRAME_BYTES_MAX);
        match R::timeout(within, Box::pin(client.forward(call))).await {
            Ok(Ok(reply)) => reply
                .into_inner()
                .answer
                .ok_or_else(|| failed(true, "the answer is empty".to_owned())),
            Ok(Err(status)) => Err(failed(
                !never_sent(&status),
                format!("{}: {}", status.code(), status.message()),
            )),
            Err(_elapsed) => Err(failed(true, format!("no answer within {within:?}"))),
        }
    }
}

/// Whether the other node cannot have seen the call: there was no connection, or it refused the caller before it read the call.
fn never_sent(status: &Status) -> bool {
    let mut sources =
        std::iter::successors(std::error::Error::source(status), |error| error.source());
    sources.any(|error| error.is::<tonic::ConnectError>())
        || matches!(
            status.code(),
            tonic::Code::PermissionDenied
                | tonic::Code::Unauthenticated
                | tonic::Code::Unimplemented
        )
}
