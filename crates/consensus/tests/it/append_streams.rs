//! Streams of appends to a peer that does not answer: one that is given up leaves to the next what is still to be sent.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use banyan_consensus::{
    Member, Payload, PeerTls, Timing, TokioRuntime, TypeConfig,
    network::{Links, PeerNetwork},
};
use banyan_domain::NodeId;
use banyan_wire::internal_v1::{
    AppendReply, AppendRequest, LogPosition, Matched, PingReply, PingRequest, SnapshotAnswer,
    SnapshotFrame, TransferReply, TransferRequest, VoteReply, VoteRequest, append_reply,
    peer_server::{self, PeerServer},
};
use futures::{Stream, StreamExt as _, stream::BoxStream};
use openraft::{
    EntryPayload, RaftNetworkFactory, RaftNetworkV2,
    base::BoxStream as Answers,
    entry::RaftEntry as _,
    errors::RPCError,
    network::RPCOption,
    raft::{AppendEntriesRequest, StreamAppendResult},
    type_config::alias::{EntryOf, LogIdOf, VoteOf},
};
use tokio::sync::{Mutex as AsyncMutex, Semaphore, mpsc};
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::{
    Code, Request, Response, Status, Streaming,
    transport::{Certificate, Identity, Server, ServerTlsConfig},
};

use crate::{
    cluster::PATIENCE,
    pki::{Authority, CLUSTER, listening},
};

type C = TypeConfig<TokioRuntime>;
type Append = AppendEntriesRequest<C>;
type Answer = Result<StreamAppendResult<C>, RPCError<C>>;

/// A peer that answers nothing on the first stream of appends, and everything on those behind it.
#[derive(Clone, Default)]
struct Peer(Arc<Seen>);

struct Seen {
    /// Per stream, the index of each append.
    streams: Mutex<Vec<Vec<u64>>>,
    /// One permit a message of the first stream.
    takes: Semaphore,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            streams: Mutex::default(),
            takes: Semaphore::new(0),
        }
    }
}

impl Peer {
    /// From now on it takes what comes on the first stream as well.
    fn take(&self) {
        self.0.takes.add_permits(1_000);
    }

    fn streams(&self) -> MutexGuard<'_, Vec<Vec<u64>>> {
        let streams = self.0.streams.lock();
        streams.unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a stream has begun, and returns its number.
    fn begins(&self) -> usize {
        let mut streams = self.streams();
        streams.push(Vec::new());
        streams.len() - 1
    }

    async fn takes(
        self,
        stream: usize,
        mut requests: Streaming<AppendRequest>,
    ) -> Option<(LogPosition, Streaming<AppendRequest>)> {
        if stream == 0 {
            self.0.takes.acquire().await.expect("open").forget();
        }
        let request = requests.message().await.ok()??;
        let last = request.entries.last().expect("an entry").position;
        let last = last.expect("a position");
        self.streams()[stream].push(last.index);
        Some((last, requests))
    }
}

#[tonic::async_trait]
impl peer_server::Peer for Peer {
    type AppendStreamStream = BoxStream<'static, Result<AppendReply, Status>>;
    type SnapshotStream = BoxStream<'static, Result<SnapshotAnswer, Status>>;

    async fn append_stream(
        &self,
        call: Request<Streaming<AppendRequest>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        let stream = self.begins();
        let peer = self.clone();
        let answers = futures::stream::unfold(call.into_inner(), move |requests| {
            peer.clone().takes(stream, requests)
        });
        let answers = answers.filter_map(move |last| async move {
            let matched = Matched {
                position: Some(last),
            };
            let outcome = Some(append_reply::Outcome::Matched(matched));
            (stream > 0).then_some(Ok(AppendReply { outcome }))
        });
        // Whoever no longer listens does not keep a peer from reading.
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(answers.for_each(move |answer| {
            let _ = sender.send(answer);
            std::future::ready(())
        }));
        let answers = UnboundedReceiverStream::new(receiver);
        Ok(Response::new(answers.boxed()))
    }

    async fn append(&self, _: Request<AppendRequest>) -> Result<Response<AppendReply>, Status> {
        Err(not_in_this_script())
    }

    async fn vote(&self, _: Request<VoteRequest>) -> Result<Response<VoteReply>, Status> {
        Err(not_in_this_script())
    }

    async fn pre_vote(&self, _: Request<VoteRequest>) -> Result<Response<VoteReply>, Status> {
        Err(not_in_this_script())
    }

    async fn transfer_leader(
        &self,
        _: Request<TransferRequest>,
    ) -> Result<Response<TransferReply>, Status> {
        Err(not_in_this_script())
    }

    async fn snapshot(
        &self,
        _: Request<Streaming<SnapshotFrame>>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        Err(not_in_this_script())
    }

    async fn ping(&self, _: Request<PingRequest>) -> Result<Response<PingReply>, Status> {
        Err(not_in_this_script())
    }
}

fn not_in_this_script() -> Status {
    Status::new(Code::Unimplemented, "not in this script")
}

/// The peer as a server of its own, and the network of a node that knows it as node 2.
async fn serve(peer: Peer) -> (PeerNetwork<TokioRuntime>, Member) {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let authority = Authority::new();
    let (listener, member) = listening(NodeId(2)).await;
    let PeerTls {
        authority_pem,
        certificate_pem,
        key_pem,
    } = authority.peer(2, "voter", address);
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(certificate_pem, key_pem))
        .client_ca_root(Certificate::from_pem(authority_pem));
    let server = Server::builder()
        .initial_stream_window_size(WINDOW as u32)
        .initial_connection_window_size(8 * WINDOW as u32)
        .tls_config(tls)
        .expect("TLS")
        .add_service(PeerServer::new(peer).max_decoding_message_size(8 << 20))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    let network = PeerNetwork::new(
        CLUSTER,
        authority.peer(1, "voter", address),
        Timing::millis(100, 400, 800),
        Links::default(),
    );
    (network, member)
}

/// What is to be sent to the peer. openraft's streams to one peer share it like this, behind a lock that they hold while they wait.
#[derive(Clone)]
struct ToSend(Arc<AsyncMutex<mpsc::UnboundedReceiver<Append>>>);

impl ToSend {
    fn new() -> (mpsc::UnboundedSender<Append>, Self) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (sender, Self(Arc::new(AsyncMutex::new(receiver))))
    }

    fn requests(&self) -> impl Stream<Item = Append> + Send + Unpin + 'static {
        futures::stream::unfold(self.clone(), |to_send| async move {
            let request = to_send.0.lock().await.recv().await?;
            Some((request, to_send))
        })
        .boxed()
    }

    /// How many nobody has drawn.
    async fn left(&self) -> usize {
        let waiting = tokio::time::timeout(PATIENCE, self.0.lock());
        waiting.await.expect("nobody holds the lock").len()
    }
}

/// An append of one entry.
fn append(index: u64, bytes: usize) -> Append {
    let log_id = LogIdOf::<C>::new_term_index(1, index);
    let payload = EntryPayload::Normal(Payload::new(vec![0; bytes].into()));
    AppendEntriesRequest {
        vote: VoteOf::<C>::new_committed(1, 1),
        prev_log_id: None,
        entries: vec![EntryOf::<C>::new(log_id, payload)],
        leader_commit: None,
    }
}

const SMALL: usize = 100;
/// What the peer takes in on a stream before its handler has read it, in bytes. The connection takes in several such.
const WINDOW: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_after_a_stream_was_given_up_goes_out_on_the_next() {
    let mut story = Story::begins().await;
    story.peer.take();
    story.send(append(1, SMALL));
    story.give_up().await;

    story.send(append(2, SMALL));
    assert_eq!(story.next_stream_carries(1).await, [2]);
    assert_eq!(*story.peer.streams(), [[1], [2]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_takes_bytes_again_takes_none_from_the_next_stream() {
    let mut story = Story::begins().await;
    for index in 1..=10 {
        story.send(append(index, WINDOW));
    }
    story.give_up().await;
    let left = story.to_send.left().await;
    assert!((5..10).contains(&left), "{left} are left");

    story.peer.take();
    let carried = story.next_stream_carries(left).await;
    let first_left = 11 - left as u64;
    assert_eq!(carried, (first_left..=10).collect::<Vec<_>>());
    let on_the_first = story.peer.streams()[0].clone();
    assert!(on_the_first.iter().all(|index| *index < first_left));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_window_does_not_keep_the_lock_on_what_is_to_be_sent() {
    let mut story = Story::begins().await;
    // The large one fills the window. Behind the small one the transport looks for more to send with it, finds nothing, and sends nothing.
    story.send(append(1, WINDOW));
    story.send(append(2, SMALL));
    story.give_up().await;
    assert_eq!(story.to_send.left().await, 0);

    story.send(append(3, SMALL));
    assert_eq!(story.next_stream_carries(1).await, [3]);
    assert_eq!(
        story.peer.streams()[0],
        [0; 0],
        "it still takes nothing there"
    );
}

/// A node's side of it.
struct Story {
    peer: Peer,
    client: <PeerNetwork<TokioRuntime> as RaftNetworkFactory<C>>::Network,
    sender: mpsc::UnboundedSender<Append>,
    to_send: ToSend,
}

impl Story {
    async fn begins() -> Self {
        let peer = Peer::default();
        let (mut network, member) = serve(peer.clone()).await;
        let mut client = network.new_client(2, &member).await;
        // The connection is open before anything is timed.
        let refused = client.append_entries(append(0, SMALL), option()).await;
        let refused = refused.expect_err("not in this script").to_string();
        assert!(refused.contains("not in this script"), "{refused}");
        let (sender, to_send) = ToSend::new();
        Self {
            peer,
            client,
            sender,
            to_send,
        }
    }

    fn send(&self, append: Append) {
        self.sender.send(append).expect("taken");
    }

    async fn stream(&mut self) -> Answers<'_, Answer> {
        let requests = self.to_send.requests();
        let answers = self.client.stream_append(requests, option()).await;
        answers.expect("a stream")
    }

    /// Opens a stream on which nothing is answered, and gives it up as openraft does.
    async fn give_up(&mut self) {
        let mut answers = self.stream().await;
        let answer = tokio::time::timeout(PATIENCE, answers.next()).await;
        let answer = answer.expect("an answer").expect("not the end");
        let error = answer.expect_err("nothing was answered").to_string();
        assert!(error.contains("unanswered"), "{error}");
    }

    /// Where the peer says its log matches, for so many appends of a stream.
    async fn next_stream_carries(&mut self, count: usize) -> Vec<u64> {
        let matched = self.stream().await.take(count).map(|answer| {
            let last = answer.expect("an answer").expect("it matches");
            last.expect("a position").index
        });
        let all = tokio::time::timeout(PATIENCE, matched.collect()).await;
        all.expect("the next stream carries what the one before did not")
    }
}

fn option() -> RPCOption {
    RPCOption::new(Duration::from_secs(5))
}
