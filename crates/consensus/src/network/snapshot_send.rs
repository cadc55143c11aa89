//! Sends a checkpoint: offers it, then streams the files that the receiver lacks, from disk, a few chunks in memory.

use std::time::Duration;

use banyan_storage::Checkpoint;
use banyan_wire::internal_v1::{self as wire, snapshot_answer, snapshot_frame};
use openraft::{
    errors::{NetworkError, RPCError, StreamingError},
    raft::SnapshotResponse,
    type_config::alias::SnapshotOf,
};
use openraft_rt::AsyncRuntime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use crate::{
    network::{
        client::{Client, refused, unreachable, within},
        messages,
    },
    state::SnapshotHandle,
    types::{TypeConfig, Vote},
};

/// Bytes of one chunk. Large enough that a chunk costs little beside its bytes, small enough that a heartbeat on the same
/// network card does not wait long.
pub(crate) const CHUNK_BYTES: usize = 512 << 10;
/// Chunks that may wait for the transport.
const CHUNKS_WAITING_MAX: usize = 4;

/// Sends `snapshot` and waits until the receiver has installed it, as long as it shows signs of life at least every `idle`.
pub(crate) async fn send<R: AsyncRuntime>(
    mut client: Client,
    vote: Vote,
    snapshot: SnapshotOf<TypeConfig<R>, SnapshotHandle>,
    idle: Duration,
) -> Result<SnapshotResponse<TypeConfig<R>>, StreamingError<TypeConfig<R>>> {
    let SnapshotHandle::Checkpoint(checkpoint) = snapshot.snapshot else {
        return Err(broken(
            "a received snapshot was handed out for sending before it was installed",
        ));
    };
    let manifest = checkpoint.manifest();
    let offer = wire::SnapshotOffer {
        session: format!("{}-{}", vote.leader_id.voted_for, manifest.index),
        ballot: Some(messages::ballot_to_wire(&vote)),
        meta: serde_json::to_vec(&snapshot.meta).map_err(broken)?.into(),
        manifest: manifest.encode().into(),
    };
    tracing::info!(
        index = manifest.index,
        bytes = manifest.bytes(),
        files = manifest.files.len(),
        "offering a snapshot"
    );

    let (frames, waiting) = mpsc::channel(CHUNKS_WAITING_MAX);
    // The channel is empty and open, so that this cannot fail.
    let _ = frames.try_send(frame(snapshot_frame::Kind::Offer(offer)));
    let response = within::<R, _>(idle, client.snapshot(ReceiverStream::new(waiting))).await?;
    let mut answers = response.into_inner();
    let mut frames = Some(frames);
    loop {
        let answer = match R::timeout(idle, answers.message()).await {
            Ok(Ok(Some(answer))) => answer,
            Ok(Ok(None)) => return Err(broken("the receiver ended the transfer without a result")),
            Ok(Err(status)) if status.code() == Code::DataLoss => {
                return Err(doubted::<R>(checkpoint, &status).await.into());
            }
            Ok(Err(status)) => return Err(refused(&status).into()),
            Err(_elapsed) => {
                return Err(unreachable(format!("the receiver was silent for {idle:?}")).into());
            }
        };
        match answer.kind {
            Some(snapshot_answer::Kind::Want(want)) => {
                let Some(frames) = frames.take() else {
                    return Err(broken("the receiver asked twice"));
                };
                drop(R::spawn(send_files::<R>(
                    checkpoint.clone(),
                    want.needs,
                    frames,
                )));
            }
            Some(snapshot_answer::Kind::Installed(ballot)) => {
                let vote = messages::ballot_from_wire(Some(ballot)).map_err(broken)?;
                return Ok(SnapshotResponse::new(vote));
            }
            Some(snapshot_answer::Kind::Progress(_)) | None => {}
        }
    }
}

/// The receiver found content that is not what the manifest says, and removed it. If it is wrong here as well, no receiver will ever take it: the
/// store sets its fault, this node stops, and the next leader sends its own. Else openraft tries again after a pause, and what the receiver
/// removed is sent anew.
async fn doubted<R: AsyncRuntime>(
    checkpoint: Checkpoint,
    status: &Status,
) -> RPCError<TypeConfig<R>> {
    // Not on the runtime: it may be a hundred gigabytes.
    match R::spawn_blocking(move || checkpoint.prove()).await {
        Ok(Ok(())) => {
            tracing::warn!(
                reason = status.message(),
                "a receiver found a damaged file in a snapshot that is whole here: it is sent again"
            );
            refused(status)
        }
        Ok(Err(fault)) => unreachable(format!("the snapshot is damaged here: {fault}")),
        Err(error) => unreachable(format!("the snapshot could not be verified: {error}")),
    }
}

/// openraft tries again after a network error, a few times at once and then with pauses.
fn broken<R: AsyncRuntime>(reason: impl ToString) -> StreamingError<TypeConfig<R>> {
    StreamingError::from(RPCError::Network(NetworkError::from_string(reason)))
}

fn frame(kind: snapshot_frame::Kind) -> wire::SnapshotFrame {
    wire::SnapshotFrame { kind: Some(kind) }
}

/// Reads and sends what is needed. It ends early when the receiver goes away (the channel closes), or when a file cannot be
/// read: then the stream ends without its end mark, and the receiver gives up.
async fn send_files<R: AsyncRuntime>(
    checkpoint: Checkpoint,
    needs: Vec<wire::FileNeed>,
    frames: mpsc::Sender<wire::SnapshotFrame>,
) {
    for need in needs {
        let number = need.file as usize;
        let Some(size) = checkpoint
            .manifest()
            .files
            .get(number)
            .map(|file| file.size)
        else {
            return;
        };
        let mut offset = need.offset;
        // At least one chunk: an empty file has to be made too.
        loop {
            let source = checkpoint.clone();
            let read = R::spawn_blocking(move || source.read(number, offset, CHUNK_BYTES)).await;
            let data = match read.and_then(|read| read) {
                Ok(data) => data,
                Err(error) => {
                    tracing::error!(file = number, offset, %error, "a file of a checkpoint cannot be read");
                    return;
                }
            };
            let sent = data.len() as u64;
            let chunk = wire::FileChunk {
                file: need.file,
                offset,
                data,
            };
            if frames
                .send(frame(snapshot_frame::Kind::Chunk(chunk)))
                .await
                .is_err()
            {
                return;
            }
            offset += sent;
            if offset >= size || sent == 0 {
                break;
            }
        }
    }
    let _ = frames
        .send(frame(snapshot_frame::Kind::End(wire::SnapshotEnd {})))
        .await;
}
