//! Snapshots that were damaged: at the receiver they are sent again, at the sender they stop it.

use std::{fs, time::Duration};

use banyan_consensus::LogPolicy;
use banyan_storage::Checkpoint;

use crate::cluster::{Cluster, PATIENCE};

/// Snapshots and purges after few entries.
const SMALL: LogPolicy = LogPolicy {
    snapshot_bytes: 4 << 10,
    snapshot_entries: 20,
    keep_bytes: 0,
    keep_entries: 5,
    lag_entries: 1_000,
    check_every: Duration::from_millis(100),
};

const LEADER: u64 = 1;
const LEARNER: u64 = 2;

/// A single voter, so that it leads whatever happens, and a learner that is down and needs a snapshot: the one that is returned.
async fn learner_left_behind() -> (Cluster, Checkpoint) {
    let mut cluster = Cluster::started(1, 1, SMALL).await;
    cluster.propose(0..5).await;
    cluster.caught_up(LEARNER).await;
    cluster.kill(LEARNER).await;
    for round in 1..60 {
        cluster.propose(round * 10..round * 10 + 10).await;
    }
    // With nothing left to apply, no other snapshot will take its place.
    cluster.snapshot_of_everything(LEADER).await;
    let checkpoint = cluster.stores(LEADER).state.newest_checkpoint();
    (cluster, checkpoint.expect("a checkpoint"))
}

/// The number of a table among the files of a checkpoint.
fn table(checkpoint: &Checkpoint) -> usize {
    let files = &checkpoint.manifest().files;
    files
        .iter()
        .position(|file| file.name.ends_with(".sst"))
        .expect("a table")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_went_wrong_at_the_receiver_is_sent_again() {
    let (mut cluster, checkpoint) = learner_left_behind().await;
    let links = cluster.consensus(LEADER).links().expect("a real wire");
    links.cut([LEARNER], [LEARNER]);
    cluster.start(LEARNER).await;

    // As after a transfer that broke off before its end: all is there, and a bit of it has flipped.
    let manifest = checkpoint.manifest().clone();
    let incoming = cluster.stores(LEARNER).state.begin_install(manifest);
    let incoming = incoming.expect("nothing else is being received");
    for (file, _) in incoming.needs().expect("readable") {
        let size = checkpoint.manifest().files[file].size;
        let mut data = checkpoint
            .read(file, 0, usize::try_from(size).expect("small"))
            .expect("readable")
            .to_vec();
        if file == table(&checkpoint) {
            data[10] ^= 1;
        }
        incoming.write(file, 0, &data).expect("written");
    }
    assert!(incoming.needs().expect("readable").is_empty());
    drop(incoming);

    links.cut([], []);
    let status = cluster.caught_up(LEARNER).await;
    assert!(status.snapshot.is_some(), "by a snapshot: {status:?}");
    cluster.propose(1_000..1_010).await;
    cluster.assert_equal().await;
    for id in [LEADER, LEARNER] {
        assert!(cluster.stores(id).fault().get().is_none(), "node {id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_checkpoint_has_rotted_stops() {
    let (mut cluster, checkpoint) = learner_left_behind().await;
    let name = &checkpoint.manifest().files[table(&checkpoint)].name;
    let path = checkpoint.directory().join(name);
    let mut bytes = fs::read(&path).expect("readable");
    bytes[10] ^= 1;
    // Not through the link: only what is sent shall be damaged, or the leader might find it by itself.
    fs::remove_file(&path).expect("removed");
    fs::write(&path, bytes).expect("written");

    cluster.start(LEARNER).await;
    let fault = cluster.stores(LEADER).fault();
    let fault = tokio::time::timeout(PATIENCE, fault.occurred())
        .await
        .expect("the leader reads its checkpoint");
    assert!(
        fault.to_string().contains("does not match its checksum"),
        "{fault}"
    );
    assert!(cluster.stores(LEARNER).fault().get().is_none());
}
