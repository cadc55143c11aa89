//! The demonstration at a small size, on ports that the system chooses.

use std::time::Duration;

use banyan_chaos_tests::harness::{self, Folder, Said};
use banyan_drill::cluster::PortPolicy;
use banyan_drill::demo;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demonstration_at_5000_citizens_keeps_all_promises() {
    let folder = Folder::new("demo").unwrap();
    let options = demo::Options {
        ports: PortPolicy::System,
        citizens: 5_000,
        births: 1_000,
        down: Duration::from_secs(5),
        ..demo::Options::new(harness::local_topology(), folder.path().join("demo"))
    };
    let finished = demo::run(&options, &mut Said).await.unwrap();
    harness::say(&finished.report.table());
    assert_eq!(finished.report.broken, Vec::<String>::new());
    assert_eq!(finished.report.imported + finished.report.rejected, 5_000);
    folder.remove().unwrap();
}
