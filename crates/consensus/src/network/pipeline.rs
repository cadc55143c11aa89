//! Appends on one long stream: many requests under way, answers in order, and silence noticed.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use banyan_wire::internal_v1 as wire;
use futures::{
    FutureExt as _, Stream, StreamExt as _,
    channel::mpsc,
    future::{self, BoxFuture, Either, Fuse},
};
use openraft::{
    base::BoxStream,
    errors::RPCError,
    network::RPCOption,
    raft::{AppendEntriesRequest, StreamAppendResult},
};
use openraft_rt::AsyncRuntime;
use tonic::{Status, Streaming};

use crate::{
    network::{
        client::{Client, refused, unreachable, within},
        messages,
    },
    settings::Timing,
    types::TypeConfig,
};

type Answer<R> = Result<StreamAppendResult<TypeConfig<R>>, RPCError<TypeConfig<R>>>;

/// How long an append under way may stay unanswered. openraft's own limit is one heartbeat, which suits an empty append; an
/// append of a mebibyte waits for the receiver's disk as well, and a stream that is cut too early sends it all again.
pub(crate) fn silence_max(timing: Timing, option: &RPCOption) -> Duration {
    option
        .soft_ttl()
        .max(timing.election_max)
        .max(Duration::from_secs(1))
}

/// Where one pipelined stream stands.
///
/// openraft's streams of requests to one peer share what is to be sent, behind a lock that they hold while they wait. The transport goes on
/// drawing requests after nobody reads their answers any more, and stops in the middle when the peer takes no bytes: whatever it drew would be
/// missing from the next stream, and whatever it left half drawn would hold the next one up. So the requests are drawn here, two at most ahead
/// of the transport, and go when the answers go.
struct Pipeline {
    replies: Streaming<wire::AppendReply>,
    /// Draws the requests and hands them to the transport.
    requests: Fuse<BoxFuture<'static, ()>>,
    /// Requests drawn, and so handed to the transport as soon as it takes them.
    sent: Arc<AtomicU64>,
    /// Answers received.
    answered: u64,
    /// `sent` as it was when the current wait began: an answer to the last of them is overdue when the wait ends.
    sent_before: u64,
    silence: Duration,
}

/// Where a stream stands between two answers.
enum Stage<S> {
    /// Nothing was sent yet.
    Fresh { client: Client, input: S },
    /// The peer answers.
    Open(Box<Pipeline>),
    /// An error or a refusal ended it.
    Over,
}

/// The answers of a stream that is opened with its first request.
///
/// openraft keeps its pause after an error inside the stream of requests. A connection tried before the first request is
/// there would never see that pause, and a leader would call a dead peer thousands of times a second.
pub(crate) fn open<R, S>(
    client: Client,
    input: S,
    silence: Duration,
) -> BoxStream<'static, Answer<R>>
where
    R: AsyncRuntime,
    S: Stream<Item = AppendEntriesRequest<TypeConfig<R>>> + Send + Unpin + 'static,
{
    Box::pin(futures::stream::unfold(
        Stage::Fresh { client, input },
        move |stage| async move {
            let mut pipeline = match stage {
                Stage::Over => return None,
                Stage::Open(pipeline) => pipeline,
                Stage::Fresh { client, mut input } => {
                    let first = input.next().await?;
                    match connect::<R, S>(client, first, input, silence).await {
                        Ok(pipeline) => Box::new(pipeline),
                        Err(error) => return Some((Err(error), Stage::Over)),
                    }
                }
            };
            let answer = pipeline.next::<R>().await?;
            let stage = if matches!(answer, Ok(Ok(_))) {
                Stage::Open(pipeline)
            } else {
                Stage::Over
            };
            Some((answer, stage))
        },
    ))
}

async fn connect<R, S>(
    mut client: Client,
    first: AppendEntriesRequest<TypeConfig<R>>,
    rest: S,
    silence: Duration,
) -> Result<Pipeline, RPCError<TypeConfig<R>>>
where
    R: AsyncRuntime,
    S: Stream<Item = AppendEntriesRequest<TypeConfig<R>>> + Send + Unpin + 'static,
{
    let (handed, requests) = mpsc::channel(0);
    let first = futures::stream::once(future::ready(messages::append_to_wire(first)));
    let response = within::<R, _>(silence, client.append_stream(first.chain(requests))).await?;
    let sent = Arc::new(AtomicU64::new(1));
    let count = Arc::clone(&sent);
    let rest = rest.map(move |request| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(messages::append_to_wire(request))
    });
    // It fails when the transport has ended the stream, which the answers say as well, and with a reason.
    let requests = rest.forward(handed).map(|_| ()).boxed().fuse();
    Ok(Pipeline {
        replies: response.into_inner(),
        requests,
        sent,
        answered: 0,
        sent_before: 0,
        silence,
    })
}

impl Pipeline {
    async fn next<R: AsyncRuntime>(&mut self) -> Option<Answer<R>> {
        loop {
            match self.reply::<R>().await {
                Some(Ok(Some(reply))) => {
                    self.answered += 1;
                    self.sent_before = self.sent.load(Ordering::Relaxed);
                    return Some(messages::stream_result_from_wire(reply).map_err(unreachable));
                }
                Some(Ok(None)) => return None,
                Some(Err(status)) => return Some(Err(refused(&status))),
                // Nothing is awaited, or what is awaited was sent while we waited: wait once more.
                None if self.sent_before <= self.answered => {
                    self.sent_before = self.sent.load(Ordering::Relaxed);
                }
                None => {
                    return Some(Err(unreachable(format!(
                        "an append stayed unanswered for {:?}",
                        self.silence
                    ))));
                }
            }
        }
    }

    /// What comes next from the peer, while requests go to it; nothing after a silence.
    async fn reply<R: AsyncRuntime>(
        &mut self,
    ) -> Option<Result<Option<wire::AppendReply>, Status>> {
        let reply = pin!(R::timeout(self.silence, self.replies.message()));
        match future::select(reply, &mut self.requests).await {
            Either::Left((reply, _)) => reply.ok(),
            // No more requests: the answers to those under way are awaited.
            Either::Right(((), reply)) => reply.await.ok(),
        }
    }
}
