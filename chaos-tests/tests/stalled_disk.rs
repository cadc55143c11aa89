//! Disks that hang: a leader with one gives leadership away, followers with one do not unseat their leader, and nothing is lost by either.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use banyan_chaos_tests::harness::{self, Folder};
use banyan_chaos_tests::lossy_fs::LossyFs;
use banyan_drill::cluster::LocalCluster;
use banyan_drill::history::History;
use banyan_drill::workload::Workload;

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

/// The newest term that a node knows of.
async fn term(cluster: &mut LocalCluster) -> u64 {
    let states = cluster.status().await.expect("the processes are known");
    let terms = states.iter().filter_map(|state| state.status.as_ref().ok());
    terms
        .map(|status| status.term)
        .max()
        .expect("a node answers")
}

/// A cluster under load, each voter of which has a disk of its own. The fields are in the order in which they have to end: nodes hold files of their
/// disks open.
struct Loaded {
    load: Workload,
    history: History,
    cluster: LocalCluster,
    disks: BTreeMap<String, LossyFs>,
    folder: Folder,
}

impl Loaded {
    async fn start(name: &str, seed: u64) -> Loaded {
        let folder = Folder::new(name).expect("a folder");
        let data = folder.path().join("data");
        let text = fs::read_to_string(harness::local_topology()).expect("the topology");
        let topology = banyan_topology::Topology::parse(&text)
            .expect("a topology")
            .topology;
        let disks = topology
            .voters()
            .map(|node| {
                let path = data.join(node.name());
                fs::create_dir_all(&path).expect("a folder");
                let disk = LossyFs::mount(&path).expect("this test needs a FUSE mount");
                (node.name().to_owned(), disk)
            })
            .collect();
        let options = banyan_drill::cluster::Options {
            data_root: Some(data),
            ..harness::cluster_options(folder.path())
        };
        let cluster = LocalCluster::start(options)
            .await
            .expect("the cluster starts");
        let history = History::new();
        let pause = Duration::from_millis(5);
        let load =
            harness::start_load(&cluster, &history, seed, 4, pause).expect("the load starts");
        Loaded {
            folder,
            disks,
            cluster,
            history,
            load,
        }
    }

    /// Waits until so many more writes than now have been acknowledged.
    async fn writes(&self, more: usize) {
        let begun = Instant::now();
        let before = self.history.acknowledged();
        while self.history.acknowledged() < before + more {
            assert!(begun.elapsed() < PATIENCE, "no writes");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops all, and holds the cluster to what it acknowledged.
    async fn end(self) {
        let mut cluster = self.cluster;
        self.load.stop().await.expect("no client panicked");
        let (verdict, digest, settled) =
            harness::compare(&mut cluster, &self.history, 0, harness::CAUGHT_UP_WITHIN)
                .await
                .expect("the nodes answer");
        harness::expect_kept(&verdict, &digest, &settled);
        cluster
            .stop(Duration::from_secs(20))
            .await
            .expect("it stops");
        drop(cluster);
        drop(self.disks);
        self.folder.remove().expect("the folder goes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_with_a_stalled_disk_gives_leadership_away() {
    let name = "a_leader_with_a_stalled_disk_gives_leadership_away";
    let mut loaded = Loaded::start("stalled-disk", harness::seed(name)).await;
    loaded.writes(100).await;
    let cluster = &mut loaded.cluster;
    let old = leader(cluster, None).await.expect("a leader");

    loaded.disks[&old].set_stalled(true);
    let begun = Instant::now();
    let new = loop {
        match leader(cluster, Some(&old)).await {
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
    loaded.writes(20).await;
    let log = fs::read_to_string(loaded.cluster.layout().node_log(&old)).unwrap();
    assert!(
        log.contains("the disk of the log stalls"),
        "it was an election, and not the leader's own doing"
    );

    loaded.disks[&old].set_stalled(false);
    loaded.writes(20).await;
    loaded.end().await;
}

/// A heartbeat says that the leader is heard, which needs no disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_with_stalled_disks_keep_their_leader() {
    let name = "followers_with_stalled_disks_keep_their_leader";
    let mut loaded = Loaded::start("stalled-followers", harness::seed(name)).await;
    loaded.writes(100).await;
    let leads = leader(&mut loaded.cluster, None).await.expect("a leader");
    let before = term(&mut loaded.cluster).await;
    let followers = || loaded.disks.iter().filter(|(name, _)| **name != leads);

    followers().for_each(|(_, disk)| disk.set_stalled(true));
    // Three times as long as a follower waits for a leader that is silent.
    let timing = loaded.cluster.topology().timing();
    tokio::time::sleep(timing.election_max * 3).await;
    followers().for_each(|(_, disk)| disk.set_stalled(false));

    loaded.writes(100).await;
    assert_eq!(term(&mut loaded.cluster).await, before, "elected again");
    let leads_now = leader(&mut loaded.cluster, None).await;
    assert_eq!(leads_now.as_ref(), Some(&leads));
    loaded.end().await;
}
