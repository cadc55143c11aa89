//! What peers call: each call is identified by its certificate before its body is read, admitted or refused, and handed to openraft.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use banyan_wire::internal_v1::{self as wire, peer_server};
use futures::{Stream, StreamExt as _};
use openraft::{
    Raft, async_runtime::watch::WatchReceiver as _, base::BoxStream, raft::AppendEntriesRequest,
    storage::RaftStateMachine,
};
use openraft_rt::AsyncRuntime;
use tonic::{
    Request, Response, Status, Streaming, service::interceptor::InterceptedService,
    transport::Server,
};

use crate::{
    barrier::LeaderBarriers,
    clock::Clock,
    network::{
        CONNECTION_WINDOW_BYTES, FRAME_BYTES_MAX, STREAM_WINDOW_BYTES, STREAMS_MAX,
        admission::{Admission, Peer},
        barriers,
        forwards::{self, ForwardHandler},
        incoming,
        messages::{self, MessageFault},
        snapshot_receive,
        tls::{self, PeerTls, TlsError},
    },
    state::{SnapshotHandle, SnapshotInbox},
    types::{StoredMembership, TypeConfig, Vote},
};

/// The service that peers call.
pub struct PeerService<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>, SnapshotData = SnapshotHandle>,
{
    inner: Arc<Inner<R, SM>>,
}

struct Inner<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>, SnapshotData = SnapshotHandle>,
{
    raft: Raft<TypeConfig<R>, SM>,
    admission: Admission,
    inbox: SnapshotInbox,
    barriers: Arc<LeaderBarriers>,
    clock: Arc<dyn Clock>,
}

impl<R, SM> Clone for PeerService<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>, SnapshotData = SnapshotHandle>,
{
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<R, SM> fmt::Debug for PeerService<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>, SnapshotData = SnapshotHandle>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerService")
    }
}

/// The peer server did not start, or stopped serving.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The server ended.
    #[error("the peer server failed")]
    Transport(#[source] tonic::transport::Error),
}

impl<R, SM> PeerService<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>, SnapshotData = SnapshotHandle>,
{
    pub(crate) fn new(
        raft: Raft<TypeConfig<R>, SM>,
        admission: Admission,
        inbox: SnapshotInbox,
        barriers: Arc<LeaderBarriers>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                raft,
                admission,
                inbox,
                barriers,
                clock,
            }),
        }
    }

    /// Serves peers on this listener until `stop` resolves, over mutual TLS. Runs on whatever runtime polls it: one that
    /// storage stalls and client load cannot block.
    ///
    /// Calls that other nodes forward go to `forwarded`; without it they are refused. Streams of peers have no end of their own, so a graceful stop waits for them a moment only.
    ///
    /// # Errors
    /// When the certificates cannot be used, or the listener fails.
    pub async fn serve(
        self,
        tls: &PeerTls,
        listener: tokio::net::TcpListener,
        forwarded: Option<Arc<dyn ForwardHandler>>,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeError> {
        let gate = Arc::clone(&self.inner);
        let reads = barriers::service(
            gate.raft.clone(),
            Arc::clone(&gate.barriers),
            gate.admission.clone(),
        );
        let forwards = forwarded
            .map(|handler| forwards::service(gate.raft.clone(), handler, gate.admission.clone()));
        let service = peer_server::PeerServer::new(self)
            .max_decoding_message_size(FRAME_BYTES_MAX)
            .max_encoding_message_size(FRAME_BYTES_MAX);
        // Sees a call before its body is read: whoever cannot be admitted does not make this node take in mebibytes.
        let service = InterceptedService::new(service, move |call| gate.identified(call));
        let (asked, ask) = tokio::sync::oneshot::channel::<()>();
        let server = Server::builder()
            .max_concurrent_streams(STREAMS_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keepalive_interval(Some(Duration::from_secs(5)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .add_service(service)
            .add_service(reads)
            .add_optional_service(forwards)
            .serve_with_incoming_shutdown(
                Box::pin(incoming::connections::<R>(
                    listener,
                    tls::server_config(tls)?,
                )),
                async {
                    let _ = ask.await;
                },
            );
        let stopped = async move {
            stop.await;
            let _ = asked.send(());
            R::sleep(Duration::from_millis(250)).await;
        };
        match R::select2(Box::pin(server), Box::pin(stopped)).await {
            openraft_rt::Select2::First(result) => result.map_err(ServeError::Transport),
            openraft_rt::Select2::Second(()) => Ok(()),
        }
    }
}

impl<R, SM> Inner<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>, SnapshotData = SnapshotHandle>,
{
    /// The membership in the log of this node, committed or not.
    fn membership(&self) -> Arc<StoredMembership> {
        Arc::clone(
            &self
                .raft
                .server_metrics()
                .borrow_watched()
                .membership_config,
        )
    }

    /// Notes in the call who makes it, or refuses it.
    fn identified(&self, mut call: Request<()>) -> Result<Request<()>, Status> {
        let peer = self.admission.identify(&call)?;
        self.admission
            .admit_caller(peer, self.membership().membership())?;
        call.extensions_mut().insert(peer);
        Ok(call)
    }

    fn admit(&self, peer: Peer, vote: &Vote) -> Result<(), Status> {
        self.admission
            .admit(peer, vote, self.membership().membership())
    }

    /// Reads the message of a call with one, and admits it: `vote` is what the message says of its sender.
    fn admitted<M, Q>(
        &self,
        call: Request<M>,
        decode: impl FnOnce(M) -> Result<Q, MessageFault>,
        vote: impl FnOnce(&Q) -> &Vote,
    ) -> Result<Q, Status> {
        let peer = caller(&call)?;
        let request = decode(call.into_inner()).map_err(malformed)?;
        self.admit(peer, vote(&request))?;
        Ok(request)
    }
}

/// Who makes this call, as [`Inner::identified`] noted.
fn caller<M>(call: &Request<M>) -> Result<Peer, Status> {
    call.extensions()
        .get()
        .copied()
        .ok_or_else(|| Status::unauthenticated("the caller was not identified"))
}

fn malformed(fault: impl fmt::Display) -> Status {
    Status::invalid_argument(fault.to_string())
}

fn stopped(error: impl fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

/// Appends as they come from the peer, each admitted; ends at the first that is refused and keeps the reason.
struct AdmittedAppends<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>, SnapshotData = SnapshotHandle>,
{
    inner: Arc<Inner<R, SM>>,
    peer: Peer,
    requests: Streaming<wire::AppendRequest>,
    refusal: Arc<OnceLock<Status>>,
}

impl<R, SM> Stream for AdmittedAppends<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>, SnapshotData = SnapshotHandle>,
{
    type Item = AppendEntriesRequest<TypeConfig<R>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Some(received) = std::task::ready!(this.requests.poll_next_unpin(context)) else {
            return Poll::Ready(None);
        };
        let admitted = received
            .and_then(|message| messages::append_from_wire::<R>(message).map_err(malformed))
            .and_then(|request| this.inner.admit(this.peer, &request.vote).map(|()| request));
        match admitted {
            Ok(request) => Poll::Ready(Some(request)),
            Err(status) => {
                let _ = this.refusal.set(status);
                Poll::Ready(None)
            }
        }
    }
}

/// Answers appends in order. A plain function, because the stream that openraft returns borrows its handle by type and cannot be
/// named inside an async block.
fn answer_appends<R, SM>(
    appends: AdmittedAppends<R, SM>,
) -> BoxStream<'static, Result<wire::AppendReply, Status>>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>, SnapshotData = SnapshotHandle>,
{
    let inner = Arc::clone(&appends.inner);
    let refusal = Arc::clone(&appends.refusal);
    let answers = inner
        .raft
        .stream_append(appends)
        .map(|answer| match answer {
            Ok(result) => Ok(messages::stream_result_to_wire::<R>(&result)),
            Err(fatal) => Err(stopped(fatal)),
        });
    let closing = futures::stream::once(async move { refusal.get().cloned() })
        .filter_map(|refusal| async move { refusal.map(Err) });
    Box::pin(answers.chain(closing))
}

#[tonic::async_trait]
impl<R, SM> peer_server::Peer for PeerService<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>, SnapshotData = SnapshotHandle>,
{
    type AppendStreamStream = BoxStream<'static, Result<wire::AppendReply, Status>>;
    type SnapshotStream = BoxStream<'static, Result<wire::SnapshotAnswer, Status>>;

    async fn append_stream(
        &self,
        call: Request<Streaming<wire::AppendRequest>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        let appends = AdmittedAppends {
            inner: Arc::clone(&self.inner),
            peer: caller(&call)?,
            requests: call.into_inner(),
            refusal: Arc::default(),
        };
        Ok(Response::new(answer_appends(appends)))
    }

    async fn ping(
        &self,
        call: Request<wire::PingRequest>,
    ) -> Result<Response<wire::PingReply>, Status> {
        self.inner
            .admission
            .links()
            .check_from(caller(&call)?.node)?;
        let unix_time_ms = self.inner.clock.now().get();
        Ok(Response::new(wire::PingReply { unix_time_ms }))
    }

    async fn append(
        &self,
        call: Request<wire::AppendRequest>,
    ) -> Result<Response<wire::AppendReply>, Status> {
        let inner = &self.inner;
        let request = inner.admitted(call, messages::append_from_wire::<R>, |it| &it.vote)?;
        let previous = request.prev_log_id;
        let last = request
            .entries
            .last()
            .map(|entry| entry.log_id)
            .or(previous);
        let response = inner.raft.append_entries(request).await.map_err(stopped)?;
        Ok(Response::new(messages::append_response_to_wire::<R>(
            response, previous, last,
        )))
    }

    async fn vote(
        &self,
        call: Request<wire::VoteRequest>,
    ) -> Result<Response<wire::VoteReply>, Status> {
        let inner = &self.inner;
        let request = inner.admitted(call, messages::vote_from_wire::<R>, |it| &it.vote)?;
        let response = inner.raft.vote(request).await.map_err(stopped)?;
        Ok(Response::new(messages::vote_reply_to_wire(&response)))
    }

    async fn pre_vote(
        &self,
        call: Request<wire::VoteRequest>,
    ) -> Result<Response<wire::VoteReply>, Status> {
        let inner = &self.inner;
        let request = inner.admitted(call, messages::vote_from_wire::<R>, |it| &it.vote)?;
        let response = inner.raft.pre_vote(request).await.map_err(stopped)?;
        Ok(Response::new(messages::vote_reply_to_wire(&response)))
    }

    async fn transfer_leader(
        &self,
        call: Request<wire::TransferRequest>,
    ) -> Result<Response<wire::TransferReply>, Status> {
        let inner = &self.inner;
        let request = inner.admitted(call, messages::transfer_from_wire::<R>, |it| {
            it.from_leader()
        })?;
        let handled = inner.raft.handle_transfer_leader(request).await;
        Ok(Response::new(messages::transfer_reply_to_wire(
            &handled.map_err(stopped)?,
        )))
    }

    async fn snapshot(
        &self,
        call: Request<Streaming<wire::SnapshotFrame>>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        let peer = caller(&call)?;
        let inner = Arc::clone(&self.inner);
        let admit = move |vote: &Vote| inner.admit(peer, vote);
        Ok(Response::new(snapshot_receive::receive(
            self.inner.raft.clone(),
            self.inner.inbox.clone(),
            admit,
            call.into_inner(),
        )))
    }
}
