//! The binary as a process: an orderly stop by signal, and the end by a fault.

use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use banyan_wire::errors::{self, Code};
use banyan_wire::v1::{BootstrapRequest, SubmitBatchRequest, SubmitBatchResponse};
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
        Self::spawn(cluster, prepare, "")
    }

    /// Takes the place of the first node, which has been stopped.
    fn spawn(cluster: TestCluster, prepare: &str, more: &str) -> Self {
        let config = cluster.folder.path().join("central-1.toml");
        let log = fs::File::create(cluster.folder.path().join("log")).unwrap();
        let child = Command::new("sh")
            .args([
                "-c",
                &format!("{prepare} exec \"$0\" --config \"$1\" {more}"),
            ])
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

    /// The most memory that it has held, in bytes.
    fn memory_peak(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(status).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kib = line
            .and_then(|line| line.split_whitespace().nth(1))
            .unwrap();
        kib.parse::<u64>().unwrap() << 10
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

/// Runs the node's program until it ends by itself, which it must; its exit code and what it said.
fn refused(cluster: &TestCluster, more: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_banyand"))
        .arg("--config")
        .arg(cluster.folder.path().join("central-1.toml"))
        .args(more)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[test]
fn a_node_whose_data_directory_was_wiped_does_not_come_back_by_itself() {
    let mut cluster = TestCluster::start_unformed(1, "");
    cluster.stop(0);
    let data = cluster.folder.path().join("data/central-1");
    assert!(data.join("identity.json").exists());

    // Wiped: the directory is empty, as a new disk is, or gone.
    fs::remove_dir_all(&data).unwrap();
    for wiped in ["gone", "empty"] {
        let (code, said) = refused(&cluster, &[]);
        assert_eq!(code, Some(4), "{wiped}: {said}");
        assert!(
            said.contains("--first-start") && said.contains("its old id"),
            "{wiped}: {said}"
        );
        assert!(!data.join("identity.json").exists(), "{wiped}");
        fs::create_dir_all(&data).unwrap();
    }
    // The log is gone, the identity is not: a first start is no way out.
    fs::remove_dir_all(&data).unwrap();
    let mut process = Process::spawn(cluster, "", "--first-start");
    process.signal(Signal::SIGTERM);
    assert_eq!(process.ended().code(), Some(0), "{}", process.log());
    fs::remove_dir_all(data.join("log")).unwrap();
    for more in [&[][..], &["--first-start"]] {
        let (code, said) = refused(&process.cluster, more);
        assert_eq!(code, Some(4), "{more:?}: {said}");
        assert!(said.contains("is gone"), "{more:?}: {said}");
    }
}

#[test]
fn a_first_start_can_be_repeated() {
    let mut cluster = TestCluster::start_unformed(1, "");
    cluster.stop(0);
    let mut process = Process::spawn(cluster, "", "--first-start");
    process.signal(Signal::SIGTERM);
    assert_eq!(process.ended().code(), Some(0), "{}", process.log());
    assert!(
        process.log().contains("opened as it is"),
        "{}",
        process.log()
    );
}

async fn load(cluster: &TestCluster, first: u64, count: u64) -> Result<(), tonic::Status> {
    let submissions = (first..first + count)
        .map(|number| people::submission(number, people::register(number, HA_NOI)))
        .collect();
    let mut registry = cluster.centre(0).await;
    registry
        .submit_batch(SubmitBatchRequest {
            submissions,
            ..SubmitBatchRequest::default()
        })
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

#[test]
fn a_second_signal_ends_it_at_once_with_130() {
    let mut process = Process::start("");
    // Both signals wait for a process that is halted, so that it is never done stopping before the second one.
    for signal in [
        Signal::SIGSTOP,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGCONT,
    ] {
        process.signal(signal);
    }
    assert_eq!(process.ended().code(), Some(130), "{}", process.log());
}

#[test]
fn what_it_writes_is_for_its_owner_only() {
    // The data directory is made anew by the process; the one that the test's own process made has the test's permissions.
    let mut cluster = TestCluster::start_unformed(1, "");
    cluster.stop(0);
    let prepare = "umask 0; rm -r \"${1%/*}/data/central-1\";";
    let process = Process::spawn(cluster, prepare, "--first-start");
    process.cluster.run(async {
        let mut admin = process.cluster.admin(0).await;
        admin.bootstrap(BootstrapRequest {}).await.unwrap();
        load(&process.cluster, 1, 10).await.unwrap();
    });
    let mut seen = 0;
    let mut open = vec![process.cluster.folder.path().join("data/central-1")];
    while let Some(path) = open.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let mode = metadata.permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
        seen += 1;
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            open.extend(entries.map(|entry| entry.unwrap().path()));
        }
    }
    assert!(seen > 10, "{seen} files");
}

#[test]
fn small_messages_that_would_decode_to_gigabytes_are_refused_in_little_memory() {
    let process = Process::start("");
    let before = process.memory_peak();
    process.cluster.run(async {
        let channel = process
            .cluster
            .channel(0, process.cluster.pki.centre())
            .await;
        let mut client = tonic::client::Grpc::new(channel);
        for _ in 0..8 {
            client.ready().await.unwrap();
            // As bytes it is the value of the batch's one field: a submission.
            let codec = tonic_prost::ProstCodec::<Vec<u8>, SubmitBatchResponse>::default();
            let path = http::uri::PathAndQuery::from_static("/banyan.v1.Registry/SubmitBatch");
            let request = tonic::Request::new(submission_with_members(2_000_000));
            let status = client.unary(request, path, codec).await.unwrap_err();
            let detail = errors::from_status(&status).unwrap();
            assert_eq!(
                detail.known_code(),
                Some(Code::MessageTooLarge),
                "{status:?}"
            );
        }
    });
    // Two million members of a household would take some 300 MB.
    let growth = process.memory_peak() - before;
    assert!(growth < 64 << 20, "{growth} bytes");
}

/// The bytes of a submission with a household of so many members without a name: two bytes each.
fn submission_with_members(count: usize) -> Vec<u8> {
    let mut bytes = [5 << 3 | 2, 0].repeat(count);
    // household, data, register_person, command
    for number in [19_u32, 1, 10, 2] {
        let inner = std::mem::take(&mut bytes);
        prost::encoding::bytes::encode(number, &inner, &mut bytes);
    }
    bytes
}
