//! The sections of a node's configuration, each checked and with its defaults.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banyan_topology::Node;
use tracing::level_filters::LevelFilter;

use super::raw::{RawLimits, RawListen, RawLog, RawRuntime, RawSnapshots, RawStorage};
use super::read::{ByteCount, Reader};

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for a person to read.
    Human,
    /// One JSON object a line.
    Json,
}

/// Log lines: form and level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    format: LogFormat,
    level: LevelFilter,
}

impl LogSettings {
    /// Settings for a process without a configuration file.
    #[must_use]
    pub fn new(format: LogFormat, level: LevelFilter) -> Self {
        Self { format, level }
    }

    /// The form.
    #[must_use]
    pub fn format(&self) -> LogFormat {
        self.format
    }

    /// The least severe level that is written.
    #[must_use]
    pub fn level(&self) -> LevelFilter {
        self.level
    }
}

/// Where the certificates and keys of a node lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    dir: PathBuf,
    peer_certificate: PathBuf,
    peer_key: PathBuf,
    peer_ca: PathBuf,
    server_certificate: PathBuf,
    server_key: PathBuf,
    client_ca: PathBuf,
    operator_ca: PathBuf,
}

impl TlsFiles {
    pub(super) fn in_dir(dir: PathBuf) -> Self {
        Self {
            peer_certificate: dir.join("peer.pem"),
            peer_key: dir.join("peer.key"),
            peer_ca: dir.join("peer-ca.pem"),
            server_certificate: dir.join("server.pem"),
            server_key: dir.join("server.key"),
            client_ca: dir.join("client-ca.pem"),
            operator_ca: dir.join("operator-ca.pem"),
            dir,
        }
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// This node's certificate towards its peers.
    #[must_use]
    pub fn peer_certificate(&self) -> &Path {
        &self.peer_certificate
    }

    /// Key of [`Self::peer_certificate`].
    #[must_use]
    pub fn peer_key(&self) -> &Path {
        &self.peer_key
    }

    /// The authority of peers.
    #[must_use]
    pub fn peer_ca(&self) -> &Path {
        &self.peer_ca
    }

    /// This node's certificate towards clients and operators.
    #[must_use]
    pub fn server_certificate(&self) -> &Path {
        &self.server_certificate
    }

    /// Key of [`Self::server_certificate`].
    #[must_use]
    pub fn server_key(&self) -> &Path {
        &self.server_key
    }

    /// The authority of registrars, the centre and programs.
    #[must_use]
    pub fn client_ca(&self) -> &Path {
        &self.client_ca
    }

    /// The authority of operators.
    #[must_use]
    pub fn operator_ca(&self) -> &Path {
        &self.operator_ca
    }
}

/// Where a node listens: `host:port` each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    peer: String,
    client: String,
    http: String,
    health: SocketAddr,
}

impl Endpoints {
    /// Raft and snapshots.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// gRPC for clients and operators.
    #[must_use]
    pub fn client(&self) -> &str {
        &self.client
    }

    /// Metrics and health over TLS.
    #[must_use]
    pub fn http(&self) -> &str {
        &self.http
    }

    /// Plain health checks; always a loopback address.
    #[must_use]
    pub fn health(&self) -> SocketAddr {
        self.health
    }
}

/// Memory and disk budgets of the stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageSettings {
    block_cache: ByteCount,
    memtable: ByteCount,
    log_tail: ByteCount,
    journal_max: ByteCount,
}

impl StorageSettings {
    /// Cache of decompressed blocks, shared by the stores of a node.
    #[must_use]
    pub fn block_cache(&self) -> ByteCount {
        self.block_cache
    }

    /// The memtable of the state's indexes; the memtables of its other families take up to 1.4 times as much beside it.
    #[must_use]
    pub fn memtable(&self) -> ByteCount {
        self.memtable
    }

    /// Recent log entries kept in memory for followers and for apply.
    #[must_use]
    pub fn log_tail(&self) -> ByteCount {
        self.log_tail
    }

    /// Disk budget of the journal of access records. Once it is spent, reads of persons are refused.
    #[must_use]
    pub fn journal_max(&self) -> ByteCount {
        self.journal_max
    }
}

/// When a node takes a snapshot, and how much of the Raft log it keeps behind one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotSettings {
    after_log: ByteCount,
    after_entries: usize,
    keep_log: ByteCount,
    keep_entries: usize,
}

impl SnapshotSettings {
    /// A snapshot is taken once the log has grown by this much since the last one.
    #[must_use]
    pub fn after_log(&self) -> ByteCount {
        self.after_log
    }

    /// ... or by this many entries, whichever comes first.
    #[must_use]
    pub fn after_entries(&self) -> usize {
        self.after_entries
    }

    /// Log that a snapshot covers is kept up to this much, so that a node that was away catches up from the log.
    #[must_use]
    pub fn keep_log(&self) -> ByteCount {
        self.keep_log
    }

    /// ... and up to this many entries. A node that is further behind than twice as many gets a snapshot.
    #[must_use]
    pub fn keep_entries(&self) -> usize {
        self.keep_entries
    }
}

/// Bounds of the edges. Bounds on which replicas must agree are constants in the domain, not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    request_deadline_max: Duration,
    requests_in_flight_max: usize,
    connections_max: usize,
    drain_deadline: Duration,
    scan_idle_max: Duration,
    scan_total_max: Duration,
}

impl Limits {
    /// The longest that a request may take, whatever its caller allows.
    #[must_use]
    pub fn request_deadline_max(&self) -> Duration {
        self.request_deadline_max
    }

    /// Requests served at one time; the next one is refused with a retry hint.
    #[must_use]
    pub fn requests_in_flight_max(&self) -> usize {
        self.requests_in_flight_max
    }

    /// Open connections of each edge at one time.
    #[must_use]
    pub fn connections_max(&self) -> usize {
        self.connections_max
    }

    /// The longest that a stopping node waits for running requests.
    #[must_use]
    pub fn drain_deadline(&self) -> Duration {
        self.drain_deadline
    }

    /// How long a scan is held for its next page.
    #[must_use]
    pub fn scan_idle_max(&self) -> Duration {
        self.scan_idle_max
    }

    /// How long a scan is held in all.
    #[must_use]
    pub fn scan_total_max(&self) -> Duration {
        self.scan_total_max
    }
}

/// Threads of the two runtimes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeSettings {
    raft_threads: usize,
    edge_threads: usize,
}

impl RuntimeSettings {
    /// Workers for Raft and its peers.
    #[must_use]
    pub fn raft_threads(&self) -> usize {
        self.raft_threads
    }

    /// Workers for clients. Look-ups of single records run on them.
    #[must_use]
    pub fn edge_threads(&self) -> usize {
        self.edge_threads
    }
}

/// Addresses to bind in place of those that the topology advertises.
pub(super) struct Listen {
    peer: Option<SocketAddr>,
    client: Option<SocketAddr>,
    http: Option<SocketAddr>,
    health: Option<SocketAddr>,
}

pub(super) fn listen(raw: &RawListen, reader: &mut Reader<'_>) -> Listen {
    let health = reader.address("listen.health", raw.health.as_ref());
    if health.is_some_and(|address| !address.ip().is_loopback()) {
        let rule = "must be a loopback address: this listener is plain HTTP";
        reader.fault("listen.health", raw.health.as_ref(), rule);
    }
    Listen {
        peer: reader.address("listen.peer", raw.peer.as_ref()),
        client: reader.address("listen.client", raw.client.as_ref()),
        http: reader.address("listen.http", raw.http.as_ref()),
        health,
    }
}

pub(super) fn log(raw: &RawLog, reader: &mut Reader<'_>) -> LogSettings {
    let format = match reader.word("log.format", raw.format.as_ref(), &["human", "json"]) {
        "json" => LogFormat::Json,
        _ => LogFormat::Human,
    };
    let levels = ["info", "error", "warn", "debug", "trace"];
    let level = match reader.word("log.level", raw.level.as_ref(), &levels) {
        "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => LevelFilter::INFO,
    };
    LogSettings { format, level }
}

pub(super) fn storage(raw: &RawStorage, reader: &mut Reader<'_>) -> StorageSettings {
    let mib = ByteCount::mebibytes;
    StorageSettings {
        block_cache: reader.bytes(
            "storage.block_cache",
            raw.block_cache.as_ref(),
            mib(64),
            mib(8)..=mib(1 << 20),
        ),
        memtable: reader.bytes(
            "storage.memtable",
            raw.memtable.as_ref(),
            mib(32),
            mib(4)..=mib(1024),
        ),
        log_tail: reader.bytes(
            "storage.log_tail",
            raw.log_tail.as_ref(),
            mib(64),
            mib(8)..=mib(4096),
        ),
        journal_max: reader.bytes(
            "storage.journal_max",
            raw.journal_max.as_ref(),
            mib(8 << 10),
            mib(64)..=mib(1 << 20),
        ),
    }
}

pub(super) fn snapshots(raw: &RawSnapshots, reader: &mut Reader<'_>) -> SnapshotSettings {
    let mib = ByteCount::mebibytes;
    SnapshotSettings {
        after_log: reader.bytes(
            "snapshots.after_log",
            raw.after_log.as_ref(),
            mib(256),
            mib(1)..=mib(64 << 10),
        ),
        after_entries: reader.count(
            "snapshots.after_entries",
            raw.after_entries.as_ref(),
            50_000,
            100..=10_000_000,
        ),
        keep_log: reader.bytes(
            "snapshots.keep_log",
            raw.keep_log.as_ref(),
            mib(1 << 10),
            mib(1)..=mib(1 << 20),
        ),
        keep_entries: reader.count(
            "snapshots.keep_entries",
            raw.keep_entries.as_ref(),
            1_000_000,
            100..=100_000_000,
        ),
    }
}

pub(super) fn limits(raw: &RawLimits, reader: &mut Reader<'_>) -> Limits {
    let seconds = Duration::from_secs;
    Limits {
        request_deadline_max: reader.duration(
            "limits.request_deadline_max",
            raw.request_deadline_max.as_ref(),
            seconds(30),
            Duration::from_millis(100)..=seconds(600),
        ),
        requests_in_flight_max: reader.count(
            "limits.requests_in_flight_max",
            raw.requests_in_flight_max.as_ref(),
            1024,
            1..=65_536,
        ),
        connections_max: reader.count(
            "limits.connections_max",
            raw.connections_max.as_ref(),
            1024,
            1..=65_536,
        ),
        drain_deadline: reader.duration(
            "limits.drain_deadline",
            raw.drain_deadline.as_ref(),
            seconds(10),
            Duration::ZERO..=seconds(600),
        ),
        scan_idle_max: reader.duration(
            "limits.scan_idle_max",
            raw.scan_idle_max.as_ref(),
            seconds(60),
            Duration::from_millis(100)..=seconds(600),
        ),
        scan_total_max: reader.duration(
            "limits.scan_total_max",
            raw.scan_total_max.as_ref(),
            seconds(3_600),
            seconds(1)..=seconds(24 * 3_600),
        ),
    }
}

pub(super) fn runtime(raw: &RawRuntime, reader: &mut Reader<'_>) -> RuntimeSettings {
    RuntimeSettings {
        raft_threads: reader.count("runtime.raft_threads", raw.raft_threads.as_ref(), 1, 1..=16),
        edge_threads: reader.count(
            "runtime.edge_threads",
            raw.edge_threads.as_ref(),
            2,
            1..=256,
        ),
    }
}

impl Listen {
    /// Where a node listens: the addresses given here, else those that the topology names.
    pub(super) fn endpoints(self, node: &Node) -> Endpoints {
        let or = |given: Option<SocketAddr>, planned: String| {
            given.map_or(planned, |address| address.to_string())
        };
        Endpoints {
            peer: or(self.peer, node.peer_endpoint()),
            client: or(self.client, node.client_endpoint()),
            http: or(self.http, node.http_endpoint()),
            health: self
                .health
                .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], node.ports().health))),
        }
    }
}
