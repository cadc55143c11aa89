//! SIGKILL of any node or any site at any moment: nothing acknowledged is lost, no effect happens twice.

use std::time::Duration;

use banyan_chaos_tests::harness::{self, Folder, Importing};
use banyan_drill::cluster::LocalCluster;
use banyan_drill::history::History;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const MOMENTS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_any_node_or_site_at_20_random_moments() {
    let seed = harness::seed("kill_any_node_or_site_at_20_random_moments");
    let folder = Folder::new("kill").unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut cluster = LocalCluster::start(harness::cluster_options(folder.path()))
        .await
        .unwrap();
    let importing = Importing::start(&cluster, 100_000, seed).unwrap();
    let history = History::new();
    let load = harness::start_load(&cluster, &history, seed, 6, Duration::from_millis(10)).unwrap();

    for moment in 1..=MOMENTS {
        tokio::time::sleep(Duration::from_millis(rng.random_range(20..1200))).await;
        let nodes = victims(&cluster, &mut rng);
        let away = Duration::from_millis(rng.random_range(0..2000));
        harness::say(&format!(
            "{moment}/{MOMENTS} at {} ms, {} acknowledged: SIGKILL to {}, away for {} ms",
            history.now().as_millis(),
            history.acknowledged(),
            nodes.join(" and "),
            away.as_millis()
        ));
        cluster.kill(&nodes).await.unwrap();
        tokio::time::sleep(away).await;
        for node in &nodes {
            cluster.start_node(node).unwrap();
        }
        // Half of the time the next blow falls while this one's nodes are still coming back.
        if rng.random_bool(0.5) {
            let all = cluster.node_names();
            cluster
                .wait_caught_up(&all, harness::CAUGHT_UP_WITHIN)
                .await
                .unwrap();
        }
    }

    load.stop().await.unwrap();
    let all = cluster.node_names();
    cluster
        .wait_caught_up(&all, harness::CAUGHT_UP_WITHIN)
        .await
        .unwrap();
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
    cluster.stop(Duration::from_secs(20)).await.unwrap();
    folder.remove().unwrap();
}

/// One node, or all nodes of one site.
fn victims(cluster: &LocalCluster, rng: &mut ChaCha8Rng) -> Vec<String> {
    let topology = cluster.topology();
    if rng.random_bool(0.5) {
        let node = &topology.nodes()[rng.random_range(0..topology.nodes().len())];
        vec![node.name().to_owned()]
    } else {
        let site = &topology.sites()[rng.random_range(0..topology.sites().len())];
        topology
            .nodes_at(site.name())
            .map(|node| node.name().to_owned())
            .collect()
    }
}
