//! A leader whose disk hangs gives leadership away, and nothing is lost by it.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use banyan_chaos_tests::harness::{self, Folder};
use banyan_chaos_tests::lossy_fs::LossyFs;
use banyan_drill::cluster::LocalCluster;
use banyan_drill::history::History;

/// How long a test waits for what should take two seconds: the machine may be shared.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who leads, by the account of the nodes but one.
async fn leader(cluster: &mut LocalCluster, except: Option<&str>) -> Option<String> {
    let states = cluster.status().await.expect("the processes are known");
    let ids: BTreeMap<u64, String> = states
        .iter()
        .filter_map(|state| Some((state.status.as_ref().ok()?.node_id, state.name.clone())))
        .collect();
    let mut seen = states
        .iter()
        .filter(|state| Some(state.name.as_str()) != except)
        .filter_map(|state| state.status.as_ref().ok())
        .filter_map(|status| ids.get(&status.leader_id));
    let first = seen.next()?.clone();
    seen.all(|other| *other == first).then_some(first)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_with_a_stalled_disk_gives_leadership_away() {
    let seed = harness::seed("a_leader_with_a_stalled_disk_gives_leadership_away");
    let folder = Folder::new("stalled-disk").unwrap();
    let data = folder.path().join("data");
    let base = harness::cluster_options(folder.path());
    let text = fs::read_to_string(harness::local_topology()).unwrap();
    let topology = banyan_topology::Topology::parse(&text).unwrap().topology;
    // A disk for each voter.
    let disks: BTreeMap<String, LossyFs> = topology
        .voters()
        .map(|node| {
            let path = data.join(node.name());
            fs::create_dir_all(&path).unwrap();
            let disk = LossyFs::mount(&path).expect("this test needs a FUSE mount");
            (node.name().to_owned(), disk)
        })
        .collect();
    let options = banyan_drill::cluster::Options {
        data_root: Some(data.clone()),
        ..base
    };
    let mut cluster = LocalCluster::start(options)
        .await
        .expect("the cluster starts");
    let history = History::new();
    let load = harness::start_load(&cluster, &history, seed, 4, Duration::from_millis(5)).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let old = leader(&mut cluster, None).await.expect("a leader");

    disks[&old].set_stalled(true);
    let begun = Instant::now();
    let new = loop {
        match leader(&mut cluster, Some(&old)).await {
            Some(new) if new != old => break new,
            _ => assert!(begun.elapsed() < PATIENCE, "{old} still leads"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    harness::say(&format!(
        "the disk of {old} stalled; {new} led {} ms later",
        begun.elapsed().as_millis()
    ));
    // Writes go on while the disk still hangs.
    let before = history.acknowledged();
    while history.acknowledged() < before + 20 {
        assert!(begun.elapsed() < PATIENCE, "no writes under the new leader");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = fs::read_to_string(cluster.layout().node_log(&old)).unwrap();
    assert!(
        log.contains("the disk of the log has stalled"),
        "it was an election, and not the leader's own doing"
    );

    disks[&old].set_stalled(false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    load.stop().await;
    let (verdict, digest, settled) =
        harness::compare(&mut cluster, &history, 0, harness::CAUGHT_UP_WITHIN)
            .await
            .unwrap();
    harness::expect_kept(&verdict, &digest, &settled);
    cluster.stop(Duration::from_secs(20)).await.unwrap();
    drop(cluster);
    drop(disks);
    folder.remove().unwrap();
}
