//! The binary as a process: an orderly stop by signal, and the end by a fault.

use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use banyan_wire::v1::{BootstrapRequest, SubmitBatchRequest};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cluster::{PATIENCE, TestCluster};
use super::people::{self, HA_NOI};

/// A node of a test cluster that runs as a process of its own.
struct Process {
    cluster: TestCluster,
    child: Child,
}

impl Process {
    /// Takes the place of the first node of a cluster that was started in this process, with its addresses and folders.
    fn start(prepare: &str) -> Self {
        let mut cluster = TestCluster::start_unformed(1, "");
        cluster.stop(0);
        let config = cluster.folder.path().join("central-1.toml");
        let log = fs::File::create(cluster.folder.path().join("log")).unwrap();
        let child = Command::new("sh")
            .args(["-c", &format!("{prepare} exec \"$0\" --config \"$1\"")])
            .args([Path::new(env!("CARGO_BIN_EXE_banyand")), &config])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let process = Self { cluster, child };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", process.cluster.health_ports[0])).is_err() {
            assert!(
                begun.elapsed() < PATIENCE,
                "it does not listen: {}",
                process.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        process
    }

    fn log(&self) -> String {
        let mut text = String::new();
        let mut file = fs::File::open(self.cluster.folder.path().join("log")).unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }

    fn signal(&self, signal: Signal) {
        kill(
            Pid::from_raw(i32::try_from(self.child.id()).unwrap()),
            signal,
        )
        .unwrap();
    }

    fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "it does not end: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn load(cluster: &TestCluster, first: u64, count: u64) -> Result<(), tonic::Status> {
    let submissions = (first..first + count)
        .map(|number| people::submission(number, people::register(number, HA_NOI)))
        .collect();
    let mut registry = cluster.centre(0).await;
    registry
        .submit_batch(SubmitBatchRequest { submissions })
        .await
        .map(|_| ())
}

#[test]
fn sigterm_and_sigint_end_it_in_order_with_exit_code_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut process = Process::start("");
        process.cluster.run(async {
            let mut admin = process.cluster.admin(0).await;
            admin.bootstrap(BootstrapRequest {}).await.unwrap();
            load(&process.cluster, 1, 10).await.unwrap();
        });
        // A client that is connected and idle must not hold the node up.
        let idle = process
            .cluster
            .run(process.cluster.channel(0, process.cluster.pki.centre()));
        let begun = Instant::now();
        process.signal(signal);
        assert_eq!(process.ended().code(), Some(0), "{}", process.log());
        assert!(process.log().contains("stopped"), "{}", process.log());
        assert!(
            begun.elapsed() < Duration::from_secs(8),
            "{:?}",
            begun.elapsed()
        );
        drop(idle);
    }
}

#[test]
fn a_full_disk_is_a_fault_that_ends_it_with_its_position() {
    // Files may not grow past 512 KiB (1,024 blocks of 512 bytes); without the signal, writes past it fail with an error.
    let mut process = Process::start("trap '' XFSZ; ulimit -f 1024;");
    process.cluster.run(async {
        let mut admin = process.cluster.admin(0).await;
        admin.bootstrap(BootstrapRequest {}).await.unwrap();
        for batch in 0..100 {
            if load(&process.cluster, batch * 200 + 1, 200).await.is_err() {
                return;
            }
        }
    });
    let status = process.ended();
    let log = process.log();
    assert_eq!(status.code(), Some(10), "{log}");
    assert!(
        log.contains("stopped by a fault") && log.contains("applied through"),
        "{log}"
    );
    assert!(!log.contains(people::MARKER), "the log holds personal data");
}
