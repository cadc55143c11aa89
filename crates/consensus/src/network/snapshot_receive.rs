//! Receives a checkpoint: says what is lacking, writes chunks to disk, verifies, and hands it to openraft to install.
//!
//! What arrives is written as it arrives; nothing but a few chunks is held in memory. A transfer that breaks off leaves its files, and
//! the next offer of the same checkpoint resumes there.

use std::{fmt::Display, io, sync::Arc, time::Duration};

use banyan_storage::{CheckpointManifest, Incoming, InstallError, VerifyError};
use banyan_wire::internal_v1::{self as wire, snapshot_answer, snapshot_frame};
use openraft::{Raft, Snapshot, base::BoxStream, storage::RaftStateMachine};
use openraft_rt::{AsyncRuntime, Select2};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::{
    network::messages,
    settings::SNAPSHOT_IDLE_MAX,
    state::{SnapshotHandle, SnapshotInbox},
    types::{SnapshotMeta, TypeConfig, Vote, position},
};

/// Bytes between two signs of life while files arrive.
const PROGRESS_BYTES: u64 = 8 << 20;
/// Time between two signs of life while a snapshot is verified and installed.
const PROGRESS_EVERY: Duration = Duration::from_secs(3);

type Answers = mpsc::Sender<Result<wire::SnapshotAnswer, Status>>;

/// Receives one snapshot in a task of its own, so that an installation that has begun is finished even when the sender goes away.
pub(crate) fn receive<R, SM>(
    raft: Raft<TypeConfig<R>, SM>,
    inbox: SnapshotInbox,
    admit: impl Fn(&Vote) -> Result<(), Status> + Send + Sync + 'static,
    frames: Streaming<wire::SnapshotFrame>,
) -> BoxStream<'static, Result<wire::SnapshotAnswer, Status>>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>, SnapshotData = SnapshotHandle>,
{
    let (answers, stream) = mpsc::channel(8);
    drop(R::spawn(async move {
        let last = match transfer::<R, SM>(&raft, &inbox, &admit, frames, &answers).await {
            Ok(vote) => Ok(answer(snapshot_answer::Kind::Installed(
                messages::ballot_to_wire(&vote),
            ))),
            Err(status) => {
                tracing::warn!(code = ?status.code(), reason = status.message(), "snapshot not received");
                Err(status)
            }
        };
        let _ = answers.send(last).await;
    }));
    Box::pin(ReceiverStream::new(stream))
}

fn answer(kind: snapshot_answer::Kind) -> wire::SnapshotAnswer {
    wire::SnapshotAnswer { kind: Some(kind) }
}

async fn transfer<R, SM>(
    raft: &Raft<TypeConfig<R>, SM>,
    inbox: &SnapshotInbox,
    admit: &(impl Fn(&Vote) -> Result<(), Status> + Send + Sync),
    mut frames: Streaming<wire::SnapshotFrame>,
    answers: &Answers,
) -> Result<Vote, Status>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>, SnapshotData = SnapshotHandle>,
{
    let Some(snapshot_frame::Kind::Offer(offer)) = next_frame::<R>(&mut frames).await? else {
        return Err(Status::invalid_argument("a snapshot begins with its offer"));
    };
    let vote = messages::ballot_from_wire(offer.ballot).map_err(invalid)?;
    admit(&vote)?;
    let meta: SnapshotMeta = serde_json::from_slice(&offer.meta).map_err(invalid)?;
    let manifest = CheckpointManifest::decode(&offer.manifest).map_err(invalid)?;
    check(&vote, &meta, &manifest)?;

    // One at a time: two would compete for the disk, and only one can be the next state.
    let _slot = inbox
        .slot
        .try_acquire()
        .map_err(|_| Status::resource_exhausted("another snapshot is being received"))?;
    tracing::info!(
        session = offer.session,
        index = manifest.index,
        bytes = manifest.bytes(),
        "receiving a snapshot"
    );
    let state = inbox.state.clone();
    let incoming = Arc::new(blocking::<R, _, _>(move || state.begin_install(manifest)).await?);
    let source = Arc::clone(&incoming);
    let needs = blocking::<R, _, _>(move || source.needs()).await?;
    let needs = needs
        .into_iter()
        .map(|(file, offset)| wire::FileNeed {
            file: u32::try_from(file).unwrap_or(u32::MAX),
            offset,
        })
        .collect();
    say(
        answers,
        snapshot_answer::Kind::Want(wire::SnapshotWant { needs }),
    )
    .await?;

    write_files::<R>(&mut frames, &incoming, answers).await?;
    let incoming = Arc::try_unwrap(incoming)
        .map_err(|_| Status::internal("the received files are still in use"))?;
    install::<R, SM>(raft, vote, meta, incoming, answers).await
}

/// What openraft would panic on, or what cannot be what it says it is.
fn check(vote: &Vote, meta: &SnapshotMeta, manifest: &CheckpointManifest) -> Result<(), Status> {
    let Some(last) = meta.last_log_id else {
        return Err(Status::invalid_argument("the snapshot covers nothing"));
    };
    if !vote.committed || last.leader_id.term > vote.leader_id.term {
        return Err(Status::invalid_argument(
            "the snapshot is newer than the leader that sends it",
        ));
    }
    if position(&last) != manifest.position() {
        return Err(Status::invalid_argument(
            "the snapshot's metadata and its manifest name different positions",
        ));
    }
    Ok(())
}

async fn write_files<R: AsyncRuntime>(
    frames: &mut Streaming<wire::SnapshotFrame>,
    incoming: &Arc<Incoming>,
    answers: &Answers,
) -> Result<(), Status> {
    let (mut received, mut said) = (0_u64, 0_u64);
    loop {
        match next_frame::<R>(frames).await? {
            Some(snapshot_frame::Kind::Chunk(chunk)) => {
                received += chunk.data.len() as u64;
                let target = Arc::clone(incoming);
                blocking::<R, _, _>(move || {
                    target.write(chunk.file as usize, chunk.offset, &chunk.data)
                })
                .await?;
                if received - said >= PROGRESS_BYTES {
                    said = received;
                    say(
                        answers,
                        snapshot_answer::Kind::Progress(wire::SnapshotProgress { received }),
                    )
                    .await?;
                }
            }
            Some(snapshot_frame::Kind::End(_)) => return Ok(()),
            Some(snapshot_frame::Kind::Offer(_)) => {
                return Err(Status::invalid_argument("a second offer"));
            }
            None => return Err(Status::aborted("the snapshot broke off")),
        }
    }
}

async fn install<R, SM>(
    raft: &Raft<TypeConfig<R>, SM>,
    vote: Vote,
    meta: SnapshotMeta,
    incoming: Incoming,
    answers: &Answers,
) -> Result<Vote, Status>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>, SnapshotData = SnapshotHandle>,
{
    // Verified and synced before openraft sees it: nothing is applied while it is installed, and to openraft a failed installation is a failed disk, and the node would stop because
    // of a file that was damaged at the sender or on the way.
    let verified = blocking::<R, _, io::Error>(move || Ok(incoming.verified()));
    let verified = while_alive::<R, _>(Box::pin(verified), answers)
        .await?
        .map_err(|error| not_verified(&error))?;
    let snapshot = Snapshot {
        meta,
        snapshot: SnapshotHandle::Received(verified),
    };
    let installed = raft.install_full_snapshot(vote, snapshot);
    let response = while_alive::<R, _>(Box::pin(installed), answers).await;
    response
        .map(|response| response.vote)
        .map_err(|fatal| Status::unavailable(fatal.to_string()))
}

/// Content that is not what the manifest says has a status of its own: the sender then reads its own files, since only that tells where they
/// went wrong.
fn not_verified(error: &InstallError) -> Status {
    match error {
        InstallError::Verify(VerifyError::Checksum { .. }) => Status::data_loss(error.to_string()),
        _ => Status::internal(error.to_string()),
    }
}

/// Waits for long work and shows signs of life to the sender meanwhile.
async fn while_alive<R: AsyncRuntime, T: Send>(
    mut work: impl Future<Output = T> + Send + Unpin,
    answers: &Answers,
) -> T {
    loop {
        match R::select2(&mut work, Box::pin(R::sleep(PROGRESS_EVERY))).await {
            Select2::First(done) => return done,
            Select2::Second(()) => {
                let progress =
                    snapshot_answer::Kind::Progress(wire::SnapshotProgress { received: 0 });
                let _ = say(answers, progress).await;
            }
        }
    }
}

async fn next_frame<R: AsyncRuntime>(
    frames: &mut Streaming<wire::SnapshotFrame>,
) -> Result<Option<snapshot_frame::Kind>, Status> {
    match R::timeout(SNAPSHOT_IDLE_MAX, frames.message()).await {
        Ok(frame) => Ok(frame?.and_then(|frame| frame.kind)),
        Err(_elapsed) => Err(Status::deadline_exceeded("the sender was silent")),
    }
}

async fn say(answers: &Answers, kind: snapshot_answer::Kind) -> Result<(), Status> {
    answers
        .send(Ok(answer(kind)))
        .await
        .map_err(|_| Status::cancelled("the sender has gone"))
}

fn invalid(error: impl Display) -> Status {
    Status::invalid_argument(error.to_string())
}

/// Runs blocking work of the store away from this runtime's threads.
async fn blocking<R: AsyncRuntime, T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Status>
where
    T: Send + 'static,
    E: Display + Send + 'static,
{
    let done: Result<Result<T, E>, io::Error> = R::spawn_blocking(work).await;
    done.map_err(|error| Status::internal(error.to_string()))?
        .map_err(|error| Status::internal(error.to_string()))
}
