//! What openraft calls to reach a peer.
//!
//! Every call has a deadline, and silence becomes `Unreachable`: openraft then backs off, where after `Timeout` or
//! `Network` it would try again at once.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    marker::PhantomData,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use banyan_wire::internal_v1::peer_client;
use futures::Stream;
use openraft::{
    OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    base::{BoxFuture, BoxStream},
    errors::{RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::{RPCOption, stream_append_sequential},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
        TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
    },
    type_config::alias::SnapshotOf,
};
use openraft_rt::AsyncRuntime;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

use crate::{
    member::Member,
    network::{
        CONNECTION_WINDOW_BYTES, FRAME_BYTES_MAX, STREAM_WINDOW_BYTES,
        links::Links,
        messages, pipeline, snapshot_send,
        tls::{self, PeerTls, PeerVerifier, TlsError},
    },
    settings::Timing,
    state::SnapshotHandle,
    types::{TypeConfig, Vote},
};

/// The generated client over one connection.
pub(crate) type Client = peer_client::PeerClient<Channel>;

/// What a connection is for. Each has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    /// Replication, votes, transfers.
    Log,
    /// Heartbeats and read barriers: small, and not to queue behind bulk data.
    Heartbeat,
    /// Checkpoint files.
    Snapshot,
    /// Calls of clients.
    Forward,
}

/// Makes clients for peers; the connections are shared by all clients of one purpose and target, and opened when first used.
pub struct PeerNetwork<R> {
    shared: Arc<Shared>,
    runtime: PhantomData<fn() -> R>,
}

struct Shared {
    cluster: String,
    tls: PeerTls,
    timing: Timing,
    links: Links,
    channels: Mutex<BTreeMap<(u64, Purpose), (String, Channel)>>,
}

impl<R> Clone for PeerNetwork<R> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            runtime: PhantomData,
        }
    }
}

impl<R> fmt::Debug for PeerNetwork<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerNetwork")
            .field("cluster", &self.shared.cluster)
            .finish_non_exhaustive()
    }
}

impl<R: AsyncRuntime> PeerNetwork<R> {
    /// A network for this cluster.
    pub fn new(cluster: impl Into<String>, tls: PeerTls, timing: Timing, links: Links) -> Self {
        let shared = Shared {
            cluster: cluster.into(),
            tls,
            timing,
            links,
            channels: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            runtime: PhantomData,
        }
    }

    /// The connection on which read barriers are asked for: that of heartbeats, so that they do not queue behind bulk data.
    pub(crate) fn barrier_channel(&self, target: u64, node: &Member) -> Result<Channel, String> {
        self.shared
            .links
            .check_to(target)
            .map_err(|status| status.message().to_owned())?;
        self.shared
            .channel(target, &node.peer_endpoint, Purpose::Heartbeat)
            .map_err(|error| error.to_string())
    }

    /// The connection on which clients' calls are forwarded: apart from Raft's own.
    pub(crate) fn forward_channel(&self, target: u64, node: &Member) -> Result<Channel, String> {
        self.shared
            .links
            .check_to(target)
            .map_err(|status| status.message().to_owned())?;
        self.shared
            .channel(target, &node.peer_endpoint, Purpose::Forward)
            .map_err(|error| error.to_string())
    }

    /// Clients on the connections that an election needs: that of votes, and that of a new leader's first heartbeats.
    pub(crate) fn election_clients(
        &self,
        target: u64,
        node: &Member,
    ) -> Result<[Client; 2], String> {
        self.shared
            .links
            .check_to(target)
            .map_err(|status| status.message().to_owned())?;
        let client = |purpose| {
            let channel = self.shared.channel(target, &node.peer_endpoint, purpose);
            channel
                .map(peer_client::PeerClient::new)
                .map_err(|error| error.to_string())
        };
        Ok([client(Purpose::Log)?, client(Purpose::Heartbeat)?])
    }

    /// The longest that a ping is waited for, the opening of its connection included.
    pub(crate) fn ping_time(&self) -> Duration {
        self.shared.timing.election_max
    }

    /// The longest that a barrier is waited for: the leader itself gives up after a lease.
    pub(crate) fn barrier_time(&self) -> Duration {
        self.shared.timing.election_max * 2
    }

    fn client(&self, target: u64, node: &Member, purpose: Purpose) -> PeerClient<R> {
        let client = self
            .shared
            .channel(target, &node.peer_endpoint, purpose)
            .map(|channel| {
                peer_client::PeerClient::new(channel)
                    .max_decoding_message_size(FRAME_BYTES_MAX)
                    .max_encoding_message_size(FRAME_BYTES_MAX)
            });
        // A target whose address cannot be used stays unreachable; openraft cannot take an error here.
        let client = client.map_err(|error| {
            tracing::error!(target, endpoint = node.peer_endpoint, %error, "peer cannot be addressed");
            error.to_string()
        });
        PeerClient {
            target,
            purpose,
            client,
            timing: self.shared.timing,
            links: self.shared.links.clone(),
            runtime: PhantomData,
        }
    }
}

impl Shared {
    fn channel(
        &self,
        target: u64,
        endpoint: &str,
        purpose: Purpose,
    ) -> Result<Channel, AddressError> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, channel)) = channels.get(&(target, purpose))
            && known == endpoint
        {
            return Ok(channel.clone());
        }
        let channel = self.open(target, endpoint)?;
        channels.insert((target, purpose), (endpoint.to_owned(), channel.clone()));
        Ok(channel)
    }

    fn open(&self, target: u64, endpoint: &str) -> Result<Channel, AddressError> {
        let uri = format!("https://{endpoint}");
        let builder = Endpoint::from_shared(uri).map_err(AddressError::Endpoint)?;
        let host = builder
            .uri()
            .host()
            .unwrap_or_default()
            .trim_matches(['[', ']'])
            .to_owned();
        let verifier = PeerVerifier::new(&self.tls, &self.cluster, target)?;
        let builder = builder
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(2))
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keep_alive_interval(Duration::from_secs(5))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true)
            .tls_config_with_verifier(tls::client_config(&self.tls, &host), Arc::new(verifier))
            .map_err(AddressError::Endpoint)?;
        Ok(builder.connect_lazy())
    }
}

#[derive(Debug, thiserror::Error)]
enum AddressError {
    #[error("the endpoint cannot be used")]
    Endpoint(#[source] tonic::transport::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl<R: AsyncRuntime> RaftNetworkFactory<TypeConfig<R>> for PeerNetwork<R> {
    type Network = PeerClient<R>;

    async fn new_client(&mut self, target: u64, node: &Member) -> Self::Network {
        self.client(target, node, Purpose::Log)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &Member) -> Self::Network {
        self.client(target, node, Purpose::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &Member) -> Self::Network {
        self.client(target, node, Purpose::Snapshot)
    }
}

/// One peer, over one connection.
pub struct PeerClient<R> {
    target: u64,
    purpose: Purpose,
    client: Result<Client, String>,
    timing: Timing,
    links: Links,
    runtime: PhantomData<fn() -> R>,
}

impl<R> fmt::Debug for PeerClient<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerClient")
            .field("target", &self.target)
            .field("purpose", &self.purpose)
            .finish()
    }
}

type Rpc<R> = RPCError<TypeConfig<R>>;

impl<R: AsyncRuntime> PeerClient<R> {
    fn client(&self) -> Result<Client, Rpc<R>> {
        self.links
            .check_to(self.target)
            .map_err(|status| refused(&status))?;
        self.client.clone().map_err(unreachable)
    }

    /// Runs one call within the deadline that openraft gave it.
    async fn call<T>(
        &self,
        option: &RPCOption,
        call: impl Future<Output = Result<tonic::Response<T>, Status>> + Send,
    ) -> Result<T, Rpc<R>>
    where
        T: Send,
    {
        within::<R, _>(option.soft_ttl(), call)
            .await
            .map(tonic::Response::into_inner)
    }
}

/// Waits for a call; silence and every refusal become `Unreachable`.
pub(crate) async fn within<R: AsyncRuntime, T: Send>(
    deadline: Duration,
    call: impl Future<Output = Result<T, Status>> + Send,
) -> Result<T, Rpc<R>> {
    match R::timeout(deadline, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(status)) => Err(refused(&status)),
        Err(_elapsed) => Err(unreachable(format!("no answer within {deadline:?}"))),
    }
}

/// The error for a peer that answered with a status.
pub(crate) fn refused<R: AsyncRuntime>(status: &Status) -> Rpc<R> {
    let cause = std::error::Error::source(status)
        .map(|source| format!(": {source}"))
        .unwrap_or_default();
    unreachable(format!("{}: {}{cause}", status.code(), status.message()))
}

/// The error that makes openraft back off.
pub(crate) fn unreachable<R: AsyncRuntime>(reason: impl ToString) -> Rpc<R> {
    RPCError::Unreachable(Unreachable::from_string(reason))
}

impl<R: AsyncRuntime> RaftNetworkV2<TypeConfig<R>> for PeerClient<R> {
    type SnapshotData = SnapshotHandle;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig<R>>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig<R>>, Rpc<R>> {
        let mut client = self.client()?;
        let reply = self
            .call(&option, client.append(messages::append_to_wire(request)))
            .await?;
        messages::append_response_from_wire(reply).map_err(unreachable)
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig<R>>, Rpc<R>>>, Rpc<R>>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig<R>>> + OptionalSend + Unpin + 'static,
    {
        // A heartbeat is a stream of one request. A gRPC stream for each would cost more than the heartbeat.
        if self.purpose == Purpose::Heartbeat {
            return stream_append_sequential(self, input, option);
        }
        let silence = pipeline::silence_max(self.timing, &option);
        let client = self.client();
        Box::pin(async move { Ok(pipeline::open::<R, S>(client?, input, silence)) })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig<R>>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig<R>>, Rpc<R>> {
        let mut client = self.client()?;
        let reply = self
            .call(&option, client.vote(messages::vote_to_wire(&request)))
            .await?;
        messages::vote_reply_from_wire(reply).map_err(unreachable)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig<R>>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig<R>>, Rpc<R>> {
        let mut client = self.client()?;
        let reply = self
            .call(&option, client.pre_vote(messages::vote_to_wire(&request)))
            .await?;
        messages::vote_reply_from_wire(reply).map_err(unreachable)
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig<R>>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig<R>>, Rpc<R>> {
        let mut client = self.client()?;
        let reply = self
            .call(
                &option,
                client.transfer_leader(messages::transfer_to_wire(&request)),
            )
            .await?;
        messages::transfer_reply_from_wire(reply, &request).map_err(unreachable)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<TypeConfig<R>, Self::SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig<R>>, StreamingError<TypeConfig<R>>> {
        let client = self.client().map_err(StreamingError::from)?;
        let transfer = snapshot_send::send::<R>(client, vote, snapshot, option.hard_ttl());
        match R::select2(Box::pin(cancel), Box::pin(transfer)).await {
            openraft_rt::Select2::First(closed) => Err(closed.into()),
            openraft_rt::Select2::Second(result) => result,
        }
    }
}
