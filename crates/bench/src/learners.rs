//! Simulated learners: they speak the peers' protocol, acknowledge what they are sent, ask for read barriers, and keep nothing.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use banyan_drill::pki;
use banyan_drill::wait_for;
use banyan_wire::internal_v1::{self as wire, append_reply, peer_server, reads_client};
use futures::{Stream, StreamExt as _};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

use crate::systems::banyan::{Banyan, Timing};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// What all learners together have taken and asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Log entries.
    pub(crate) entries: u64,
    /// Read barriers that the leader gave.
    pub(crate) barriers: u64,
}

#[derive(Debug, Default)]
struct Counters {
    entries: AtomicU64,
    barriers: AtomicU64,
    /// Learners that the leader has sent anything.
    reached: AtomicU64,
}

/// Learners that run on a thread of their own until this is dropped.
pub(crate) struct Learners {
    counters: Arc<Counters>,
    count: usize,
    // Dropping it ends the thread's runtime.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Learners {
    /// Starts the named nodes of a cluster that runs, and waits until the leader has reached each.
    ///
    /// # Errors
    /// That certificates cannot be used, or that the leader does not come.
    pub(crate) async fn start(banyan: &mut Banyan, names: &[String]) -> anyhow::Result<Learners> {
        let leader = banyan.leader().await?;
        let topology = banyan.cluster.topology();
        let leader = topology.node(&leader).context("the leader has a node")?;
        let leader = format!("https://{}", leader.peer_endpoint());
        let counters = Arc::new(Counters::default());
        let mut parts = Vec::new();
        for name in names {
            let node = topology.node(name).context("each learner has a node")?;
            let folder = pki::node_directory(&banyan.cluster.layout().pki(), name);
            parts.push(Part::new(&folder, node.peer_endpoint().parse()?, &leader)?);
        }
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&counters);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("learners".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    let mut tasks = JoinSet::new();
                    for part in parts {
                        let Part {
                            server,
                            endpoint,
                            at,
                        } = part;
                        tasks.spawn(serve(server, at, Arc::clone(&shared)));
                        tasks.spawn(ask(endpoint, Arc::clone(&shared)));
                    }
                    let _ = stopped.await;
                });
            })?;
        let learners = Learners {
            counters,
            count: names.len(),
            stop: Some(stop),
            thread: Some(thread),
        };
        wait_for::condition("appends to every learner", READY_WITHIN, async || {
            let reached = learners.counters.reached.load(Ordering::Relaxed);
            let counts = learners.counts();
            if reached >= learners.count as u64 && counts.barriers > 0 {
                Ok(())
            } else {
                Err(format!(
                    "{reached} were reached, {} barriers",
                    counts.barriers
                ))
            }
        })
        .await?;
        Ok(learners)
    }

    /// What they have done so far.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            entries: self.counters.entries.load(Ordering::Relaxed),
            barriers: self.counters.barriers.load(Ordering::Relaxed),
        }
    }

    /// Whether they took part in a run that wrote something: each got entries, and barriers were given.
    ///
    /// # Errors
    /// That they did not.
    pub(crate) fn check(
        &self,
        before: Counts,
        after: Counts,
        operations: u64,
    ) -> anyhow::Result<()> {
        let entries = after.entries - before.entries;
        ensure!(
            operations == 0 || entries >= self.count as u64,
            "{} learners took {entries} entries while {operations} writes were acknowledged",
            self.count
        );
        ensure!(
            after.barriers > before.barriers,
            "the learners were given no barrier in a run"
        );
        Ok(())
    }
}

impl Drop for Learners {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One learner's ends.
struct Part {
    server: Server,
    endpoint: Endpoint,
    at: SocketAddr,
}

impl Part {
    fn new(folder: &Path, at: SocketAddr, leader: &str) -> anyhow::Result<Part> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let identity = Identity::from_pem(read("peer.pem")?, read("peer.key")?);
        let authority = Certificate::from_pem(read("peer-ca.pem")?);
        let server = Server::builder().tls_config(
            ServerTlsConfig::new()
                .identity(identity.clone())
                .client_ca_root(authority.clone()),
        )?;
        let endpoint = Endpoint::from_shared(leader.to_owned())?
            .tls_config(
                ClientTlsConfig::new()
                    .identity(identity)
                    .ca_certificate(authority),
            )?
            .tcp_nodelay(true);
        Ok(Part {
            server,
            endpoint,
            at,
        })
    }
}

async fn serve(mut server: Server, at: SocketAddr, counters: Arc<Counters>) {
    let learner = Learner {
        counters,
        reached: Arc::default(),
    };
    let service = peer_server::PeerServer::new(learner).max_decoding_message_size(8 << 20);
    // An address that is taken shows as a learner that is never reached.
    let _ = server.add_service(service).serve(at).await;
}

/// Asks for a barrier in every two heartbeats, as a learner does of whom nobody reads.
async fn ask(endpoint: Endpoint, counters: Arc<Counters>) {
    let [heartbeat, _, _] = Timing::Local.milliseconds();
    let every = Duration::from_millis(2 * u64::from(heartbeat));
    let mut reads = reads_client::ReadsClient::new(endpoint.connect_lazy());
    loop {
        let asked = reads.barrier(wire::BarrierRequest { patient: true });
        if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_secs(1), asked).await {
            counters.barriers.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(every).await;
    }
}

/// Takes everything, keeps nothing.
#[derive(Debug, Clone)]
struct Learner {
    counters: Arc<Counters>,
    reached: Arc<AtomicU64>,
}

impl Learner {
    fn take(&self, request: wire::AppendRequest) -> wire::AppendReply {
        if self.reached.swap(1, Ordering::Relaxed) == 0 {
            self.counters.reached.fetch_add(1, Ordering::Relaxed);
        }
        let count = request.entries.len() as u64;
        self.counters.entries.fetch_add(count, Ordering::Relaxed);
        let last = request.entries.into_iter().next_back();
        let position = last.map_or(request.previous, |entry| entry.position);
        wire::AppendReply {
            outcome: Some(append_reply::Outcome::Matched(wire::Matched { position })),
        }
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl peer_server::Peer for Learner {
    type AppendStreamStream = Answers<wire::AppendReply>;
    type SnapshotStream = Answers<wire::SnapshotAnswer>;

    async fn append_stream(
        &self,
        call: Request<Streaming<wire::AppendRequest>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        let learner = self.clone();
        let answers = call
            .into_inner()
            .map(move |request| Ok(learner.take(request?)));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn append(
        &self,
        call: Request<wire::AppendRequest>,
    ) -> Result<Response<wire::AppendReply>, Status> {
        Ok(Response::new(self.take(call.into_inner())))
    }

    async fn vote(
        &self,
        _call: Request<wire::VoteRequest>,
    ) -> Result<Response<wire::VoteReply>, Status> {
        Err(Status::failed_precondition("a learner does not vote"))
    }

    async fn pre_vote(
        &self,
        _call: Request<wire::VoteRequest>,
    ) -> Result<Response<wire::VoteReply>, Status> {
        Err(Status::failed_precondition("a learner does not vote"))
    }

    async fn transfer_leader(
        &self,
        _call: Request<wire::TransferRequest>,
    ) -> Result<Response<wire::TransferReply>, Status> {
        Err(Status::failed_precondition("a learner does not lead"))
    }

    async fn ping(
        &self,
        _call: Request<wire::PingRequest>,
    ) -> Result<Response<wire::PingReply>, Status> {
        Err(Status::failed_precondition("a learner has no say in time"))
    }

    async fn snapshot(
        &self,
        _call: Request<Streaming<wire::SnapshotFrame>>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        Err(Status::unimplemented(
            "a simulated learner takes no snapshot",
        ))
    }
}
