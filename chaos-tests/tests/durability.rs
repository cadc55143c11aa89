//! Durability itself: the power of all nodes goes at once, what was not synced is gone, everything acknowledged is there.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use banyan_chaos_tests::harness::{self, Folder, Importing};
use banyan_chaos_tests::lossy_fs::LossyFs;
use banyan_chaos_tests::lossy_fs::disk::{Losses, PowerCut};
use banyan_drill::cluster::{ClusterError, LocalCluster};
use banyan_drill::history::History;

/// How long the control waits for writes that, it is sure, will not come back.
const LOSS_SEEN_WITHIN: Duration = Duration::from_secs(10);

/// Mounts a lossy file system and starts seven nodes with their data on it.
async fn start(folder: &Path) -> (LossyFs, LocalCluster) {
    let disk = folder.join("disk");
    fs::create_dir(&disk).expect("the folder is new");
    let fs = LossyFs::mount(&disk).expect("this test needs a FUSE mount");
    let options = banyan_drill::cluster::Options {
        data_root: Some(disk.clone()),
        // Small memtables, so that the state is flushed often: the moments that matter come often.
        extra_config: "[storage]\nmemtable = \"4 MiB\"\nblock_cache = \"16 MiB\"\n".to_owned(),
        ..harness::cluster_options(folder)
    };
    let cluster = LocalCluster::start(options)
        .await
        .expect("the cluster starts on the lossy disk");
    // What an operator does once when a machine is set up: the data directories' names are durable.
    File::open(&disk)
        .and_then(|folder| folder.sync_all())
        .expect("a directory can be synced");
    (fs, cluster)
}

async fn power_cut(
    fs: &mut LossyFs,
    cluster: &mut LocalCluster,
    cut: PowerCut,
) -> Result<Losses, ClusterError> {
    cluster.kill_all().await?;
    let losses = fs
        .lose_power(cut)
        .expect("the file system can be mounted again");
    harness::say(&format!(
        "power cut ({cut:?}): {} files went back, {} bytes and {} names were lost",
        losses.files, losses.bytes, losses.names
    ));
    let all = cluster.node_names();
    for node in &all {
        cluster.start_node(node)?;
    }
    cluster
        .wait_caught_up(&all, harness::CAUGHT_UP_WITHIN)
        .await?;
    Ok(losses)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cut_of_all_nodes_at_once_loses_nothing_acknowledged() {
    let seed = harness::seed("power_cut_of_all_nodes_at_once_loses_nothing_acknowledged");
    let folder = Folder::new("power-cut").unwrap();
    let (mut fs, mut cluster) = start(folder.path()).await;
    let importing = Importing::start(&cluster, 20_000, seed).unwrap();
    let history = History::new();
    let load = harness::start_load(&cluster, &history, seed, 6, Duration::from_millis(2)).unwrap();

    let mut lost = 0;
    for cut in [
        PowerCut::DropUnsynced,
        PowerCut::TornTails { seed },
        PowerCut::DropUnsynced,
        PowerCut::TornTails { seed: seed ^ 1 },
    ] {
        tokio::time::sleep(Duration::from_secs(3)).await;
        lost += power_cut(&mut fs, &mut cluster, cut).await.unwrap().bytes;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    load.stop().await.unwrap();
    let imported = importing.finish().await.unwrap();

    let (verdict, digest, settled) =
        harness::compare(&mut cluster, &history, imported, harness::CAUGHT_UP_WITHIN)
            .await
            .unwrap();
    harness::expect_kept(&verdict, &digest, &settled);
    assert!(
        settled.acknowledged > 100,
        "the load must have done something"
    );
    assert!(
        lost > 0,
        "the cuts must have hit bytes that were not synced, or they prove nothing"
    );
    cluster.stop(Duration::from_secs(20)).await.unwrap();
    drop(cluster);
    drop(fs);
    folder.remove().unwrap();
}

/// The control: on disks that answer syncs without doing them, the same test must find the loss.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disks_that_lie_about_syncs_are_caught_by_the_same_check() {
    let seed = harness::seed("disks_that_lie_about_syncs_are_caught_by_the_same_check");
    let folder = Folder::new("lying-disks").unwrap();
    let (mut fs, mut cluster) = start(folder.path()).await;
    let history = History::new();
    let load = harness::start_load(&cluster, &history, seed, 4, Duration::from_millis(5)).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    fs.set_lying(true);
    let before = history.acknowledged();
    tokio::time::sleep(Duration::from_secs(2)).await;
    load.stop().await.unwrap();
    assert!(
        history.acknowledged() > before,
        "writes were acknowledged on lying disks"
    );

    cluster.kill_all().await.unwrap();
    fs.set_lying(false);
    let caught = match power_cut(&mut fs, &mut cluster, PowerCut::DropUnsynced).await {
        Err(error) => format!("the nodes refuse to start: {error}"),
        Ok(_) => {
            let (verdict, _, _) = harness::compare(&mut cluster, &history, 0, LOSS_SEEN_WITHIN)
                .await
                .unwrap();
            assert!(
                verdict.lost() > 0,
                "the check found nothing where everything recent is gone"
            );
            format!("{} broken promises found", verdict.violations.len())
        }
    };
    harness::say(&caught);
    drop(cluster);
    drop(fs);
    folder.remove().unwrap();
}
