//! What simulated nodes say to each other, on the simulated network: openraft's calls, read barriers and pings.
//!
//! Appends go on one ordered lane with many under way, as on the stream of production; each other purpose has a lane of its own.

use std::{sync::Arc, time::Duration};

use banyan_consensus::{
    BarrierError, BarrierWire, Clock as _, Member, PingWire, SnapshotHandle, TypeConfig, Urgency,
};
use banyan_domain::{Position, Timestamp};
use futures::{
    FutureExt as _, Stream, StreamExt as _,
    future::{BoxFuture, Either, select},
};
use openraft::{
    OptionalSend, RaftNetworkFactory, RaftNetworkV2, Snapshot, SnapshotMeta,
    base::BoxStream,
    entry::RaftEntry as _,
    errors::{RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
        TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
    },
    type_config::alias::{CommittedLeaderIdOf, SnapshotOf, VoteOf},
};

use super::{
    disk::{Disk, Image},
    network::{Lane, Network},
    node::{Ask, Node, Registry, Told},
    runtime::Simulated,
};

/// openraft's types on the simulated runtime.
pub type C = TypeConfig<Simulated>;
/// The network of a nation.
pub type Net = Network<Request, Answer>;
type Handle = SnapshotHandle<Disk>;
type Meta = SnapshotMeta<CommittedLeaderIdOf<C>, u64, Member>;

const APPENDS: Lane = Lane::ordered(0);
const CALLS: Lane = Lane::unordered(1);
const HEARTBEATS: Lane = Lane::unordered(2);
const SNAPSHOTS: Lane = Lane::unordered(3);
/// Calls of clients.
pub const CLIENTS: Lane = Lane::unordered(4);

/// Appends under way on one lane.
const APPENDS_UNDER_WAY: usize = 16;
/// An append may stay unanswered for so long, as in production.
const APPEND_SILENCE: Duration = Duration::from_secs(1);
/// A question for a barrier or a clock.
const QUESTION_SILENCE: Duration = Duration::from_millis(800);
const SMALL: usize = 128;

/// A request to a node.
#[derive(Debug)]
pub enum Request {
    /// Entries, or none.
    Append(AppendEntriesRequest<C>),
    /// A vote.
    Vote(VoteRequest<C>),
    /// A vote, for the case that.
    PreVote(VoteRequest<C>),
    /// Stand for election now.
    Transfer(TransferLeaderRequest<C>),
    /// A whole state.
    Snapshot(VoteOf<C>, Box<Meta>, Image),
    /// A read barrier.
    Barrier(Urgency),
    /// The time.
    Ping,
    /// From a client, which waits for so long.
    Client(Box<Ask>, Duration),
}

/// An answer of a node.
#[derive(Debug)]
pub enum Answer {
    /// To an append.
    Append(AppendEntriesResponse<C>),
    /// To a vote.
    Vote(VoteResponse<C>),
    /// To a transfer.
    Transfer(TransferLeaderResponse<C>),
    /// To a snapshot.
    Snapshot(SnapshotResponse<C>),
    /// To a question for a barrier.
    Barrier(Result<Position, BarrierError>),
    /// The time there.
    Time(Timestamp),
    /// To a client.
    Client(Told),
    /// The node has stopped.
    Stopped,
}

/// Serves a node's peers and clients until its process ends.
pub fn serve(node: &Arc<Node>, registry: Registry, disk: Disk) {
    let Some(host) = super::runtime::Host::current() else {
        return;
    };
    let (net, observer) = node.wiring();
    let (id, clock) = (node.id(), node.clock.clone());
    net.serve(id, &host, move |_, request| {
        let (registry, disk) = (registry.clone(), disk.clone());
        let (observer, clock) = (observer.clone(), clock.clone());
        async move {
            let raft = registry.raft();
            match request {
                Request::Append(append) => {
                    let vote = append.vote;
                    // Only who was elected sends entries.
                    observer.leads(of(&vote).1, of(&vote).0);
                    let last = append
                        .entries
                        .last()
                        .map(|entry| entry.log_id())
                        .or(append.prev_log_id)
                        .map_or(0, |last| last.index);
                    match raft.append_entries(append).await {
                        Ok(response) => {
                            if response.is_success() {
                                observer.follows(id, of(&vote).0);
                                observer.event("holds", &[id, last, vote.leader_id.term]);
                            }
                            Answer::Append(response)
                        }
                        Err(_) => Answer::Stopped,
                    }
                }
                Request::Vote(request) => {
                    let asked = of(&request.vote);
                    // Whoever stands has given its own vote, and stored it before it asked.
                    observer.promised(asked.1, asked);
                    match raft.vote(request).await {
                        Ok(response) => {
                            // A refusal promises nothing.
                            if response.vote_granted {
                                observer.promised(id, asked);
                            }
                            Answer::Vote(response)
                        }
                        Err(_) => Answer::Stopped,
                    }
                }
                Request::PreVote(vote) => raft
                    .pre_vote(vote)
                    .await
                    .map_or(Answer::Stopped, Answer::Vote),
                Request::Transfer(transfer) => raft
                    .handle_transfer_leader(transfer)
                    .await
                    .map_or(Answer::Stopped, Answer::Transfer),
                Request::Snapshot(vote, meta, image) => {
                    let snapshot = Snapshot {
                        meta: *meta,
                        snapshot: Handle::Received(image),
                    };
                    observer.sometimes("a snapshot was received");
                    raft.install_full_snapshot(vote, snapshot)
                        .await
                        .map_or(Answer::Stopped, Answer::Snapshot)
                }
                Request::Barrier(urgency) => Answer::Barrier(registry.confirm(urgency).await),
                Request::Ping => Answer::Time(clock.now()),
                Request::Client(ask, within) => {
                    Answer::Client(Node::answer(&observer, &registry, disk, *ask, within).await)
                }
            }
        }
        .boxed()
    });
}

/// Term and node of a vote.
fn of(vote: &VoteOf<C>) -> (u64, u64) {
    (vote.leader_id.term, vote.leader_id.voted_for)
}

/// The wire of one node.
#[derive(Clone, Debug)]
pub struct Wire {
    from: u64,
    net: Net,
}

impl Wire {
    /// Of the node with this number.
    pub fn new(from: u64, net: Net) -> Self {
        Self { from, net }
    }

    fn to(&self, to: u64, lane: Lane) -> Link {
        Link {
            from: self.from,
            to,
            lane,
            net: self.net.clone(),
        }
    }
}

impl RaftNetworkFactory<C> for Wire {
    type Network = Link;

    async fn new_client(&mut self, target: u64, _: &Member) -> Link {
        self.to(target, CALLS)
    }

    async fn new_heartbeat_client(&mut self, target: u64, _: &Member) -> Link {
        self.to(target, HEARTBEATS)
    }
}

impl BarrierWire for Wire {
    fn ask(
        &self,
        leader: u64,
        _: &Member,
        urgency: Urgency,
    ) -> BoxFuture<'static, Result<Position, BarrierError>> {
        let asked = self.net.call(
            self.from,
            leader,
            HEARTBEATS,
            SMALL,
            QUESTION_SILENCE,
            Request::Barrier(urgency),
        );
        async move {
            match asked.await {
                Ok(Answer::Barrier(result)) => result,
                Ok(_) => Err(BarrierError::Unconfirmed(
                    "the leader has stopped".to_owned(),
                )),
                Err(error) => Err(BarrierError::Unconfirmed(error.to_string())),
            }
        }
        .boxed()
    }
}

impl PingWire for Wire {
    fn ping(&self, node: u64, _: &Member) -> BoxFuture<'static, Result<Timestamp, String>> {
        let asked = self.net.call(
            self.from,
            node,
            CALLS,
            SMALL,
            QUESTION_SILENCE,
            Request::Ping,
        );
        async move {
            match asked.await {
                Ok(Answer::Time(time)) => Ok(time),
                Ok(_) => Err("it has stopped".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        }
        .boxed()
    }
}

/// What one node sends to another for one purpose.
#[derive(Clone, Debug)]
pub struct Link {
    from: u64,
    to: u64,
    lane: Lane,
    net: Net,
}

type Rpc = RPCError<C>;

/// The error that makes openraft back off.
fn unreachable(reason: impl ToString) -> Rpc {
    RPCError::Unreachable(Unreachable::from_string(reason))
}

impl Link {
    async fn ask(&self, request: Request, option: &RPCOption) -> Result<Answer, Rpc> {
        let within = option.soft_ttl();
        let call = self
            .net
            .call(self.from, self.to, self.lane, SMALL, within, request);
        call.await.map_err(unreachable)
    }
}

fn size(request: &AppendEntriesRequest<C>) -> usize {
    let payload = |entry: &openraft::type_config::alias::EntryOf<C>| match &entry.payload {
        openraft::EntryPayload::Normal(payload) => payload.bytes().len(),
        _ => SMALL,
    };
    SMALL + request.entries.iter().map(payload).sum::<usize>()
}

impl RaftNetworkV2<C> for Link {
    type SnapshotData = Handle;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<C>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<C>, Rpc> {
        match self.ask(Request::Append(request), &option).await? {
            Answer::Append(response) => Ok(response),
            _ => Err(unreachable("it has stopped")),
        }
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> openraft::base::BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<C>, Rpc>>, Rpc>>
    where
        S: Stream<Item = AppendEntriesRequest<C>> + OptionalSend + Unpin + 'static,
    {
        if self.lane == HEARTBEATS {
            return openraft::network::stream_append_sequential(self, input, option);
        }
        let link = self.clone();
        let silence = option.soft_ttl().max(APPEND_SILENCE);
        let answers = input
            .map(move |request| {
                let prev = request.prev_log_id;
                let last = request.entries.last().map(|entry| entry.log_id()).or(prev);
                let bytes = size(&request);
                let call = link.net.call(
                    link.from,
                    link.to,
                    APPENDS,
                    bytes,
                    silence,
                    Request::Append(request),
                );
                async move {
                    match call.await {
                        Ok(Answer::Append(response)) => Ok(response.into_stream_result(prev, last)),
                        Ok(_) => Err(unreachable("it has stopped")),
                        Err(error) => Err(unreachable(error)),
                    }
                }
            })
            .buffered(APPENDS_UNDER_WAY);
        // An error or a refusal ends the stream, as it ends a stream of gRPC.
        let answers = answers.scan(false, |over, answer| {
            let answer = (!*over).then_some(answer);
            *over |= !matches!(answer, Some(Ok(Ok(_))));
            std::future::ready(answer)
        });
        let answers: BoxStream<'s, _> = answers.boxed();
        std::future::ready(Ok(answers)).boxed()
    }

    async fn vote(
        &mut self,
        request: VoteRequest<C>,
        option: RPCOption,
    ) -> Result<VoteResponse<C>, Rpc> {
        match self.ask(Request::Vote(request), &option).await? {
            Answer::Vote(response) => Ok(response),
            _ => Err(unreachable("it has stopped")),
        }
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<C>,
        option: RPCOption,
    ) -> Result<VoteResponse<C>, Rpc> {
        match self.ask(Request::PreVote(request), &option).await? {
            Answer::Vote(response) => Ok(response),
            _ => Err(unreachable("it has stopped")),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<C>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<C>, Rpc> {
        match self.ask(Request::Transfer(request), &option).await? {
            Answer::Transfer(response) => Ok(response),
            _ => Err(unreachable("it has stopped")),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<C>,
        snapshot: SnapshotOf<C, Handle>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<C>, StreamingError<C>> {
        let Handle::Checkpoint(image) = snapshot.snapshot else {
            return Err(unreachable("there is nothing to send").into());
        };
        let bytes = image.size();
        let request = Request::Snapshot(vote, Box::new(snapshot.meta), image);
        let transfer = self.net.call(
            self.from,
            self.to,
            SNAPSHOTS,
            bytes,
            option.hard_ttl(),
            request,
        );
        match select(Box::pin(cancel), Box::pin(transfer)).await {
            Either::Left((closed, _)) => Err(closed.into()),
            Either::Right((Ok(Answer::Snapshot(response)), _)) => Ok(response),
            Either::Right((Ok(_), _)) => Err(unreachable("it has stopped").into()),
            Either::Right((Err(error), _)) => Err(unreachable(error).into()),
        }
    }
}
