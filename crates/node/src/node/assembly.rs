//! The parts of a node in the order of their start, and their stop in the opposite order.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use banyan_consensus::network::Links;
use banyan_consensus::{Consensus, Preference, RawValues, StartOptions};
use banyan_domain::NodeId;
use banyan_storage::{FirstStart, Stores};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::{Ended, StartError};
use super::listeners::{Listeners, asynchronous};
use super::members::{member, planned_members};
use super::opening::{log_policy, open_stores, peer_tls, runtime, timing};
use super::{readings, watch as watching};
use crate::clock::{SharedClock, SystemClock};
use crate::config::NodeConfig;
use crate::edge::acceptor::{AcceptorOptions, accept_connections};
use crate::edge::authorisation::RAW_VALUES;
use crate::edge::authority::Authorities;
use crate::edge::gate::Gate;
use crate::edge::grpc::{self, GrpcParts};
use crate::edge::http::{self, HttpParts};
use crate::edge::places::{Counter, Places};
use crate::edge::tls::{ClientCertificate, EdgeTls};
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::services::{
    AdminService, Forwarded, HeldScans, NodeFacts, RawValuesService, RegistryService, ServiceParts,
};

/// Consensus as a node runs it: on tokio, over the real stores.
pub type NodeConsensus = Consensus;

/// The longest that a stopping leader waits for its successor.
const HAND_OVER_MAX: Duration = Duration::from_secs(5);
/// The longest that a stopping node waits for its stores to close. What is in memory was flushed before.
const STORES_CLOSE_MAX: Duration = Duration::from_secs(10);
/// The longest that a stopping node waits for threads of its runtimes.
const RUNTIME_STOP_MAX: Duration = Duration::from_secs(2);

/// A running node. Dropping it stops it without hand-over or drain; [`Node::stop`] is the orderly way.
pub struct Node {
    config: NodeConfig,
    readiness: Arc<Readiness>,
    consensus: NodeConsensus,
    stores: Stores,
    ended: watch::Receiver<Option<Ended>>,
    /// Stops the edges: first of all.
    edge_stop: CancellationToken,
    edge_tasks: TaskTracker,
    /// Stops the peer server: last of all.
    peer_stop: CancellationToken,
    peer_tasks: TaskTracker,
    edge: Runtime,
    raft: Runtime,
}

impl Node {
    /// Starts a node: stores, consensus, edges, in this order. Blocks until it listens; readiness follows when the
    /// node is part of a formed cluster. `first_start` says whether a data directory without identity may be formed. Not to be called on a
    /// thread of an async runtime.
    ///
    /// # Errors
    /// [`StartError`]; nothing of the node runs then.
    pub fn start(
        config: NodeConfig,
        listeners: Listeners,
        unknown_keys: Vec<String>,
        first_start: FirstStart,
    ) -> Result<Self, StartError> {
        let raw_values = RawValues::Refused;
        Self::start_with(config, listeners, unknown_keys, first_start, raw_values)
    }

    /// The same for a cluster of the bench, which carries raw values and serves them. No configuration leads here.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn start_with(
        config: NodeConfig,
        listeners: Listeners,
        unknown_keys: Vec<String>,
        first_start: FirstStart,
        raw_values: RawValues,
    ) -> Result<Self, StartError> {
        let clock: SharedClock = Arc::new(SystemClock);
        let topology = config.topology();
        let node = config.node();
        let metrics = Arc::new(Metrics::new(topology.cluster(), node.name(), node.site()));
        metrics.set_config_unknown_keys(unknown_keys.len());
        for key in &unknown_keys {
            tracing::warn!(
                key,
                "the configuration holds a key that this version does not know"
            );
        }
        let edge_tls = EdgeTls::load(config.tls())?;
        let peer_tls = peer_tls(&config)?;

        tracing::info!(
            node = node.name(),
            cluster = topology.cluster(),
            version = crate::VERSION,
            "starting"
        );
        let stores = open_stores(&config, first_start)?;
        let raft = runtime("raft", config.runtime().raft_threads())?;
        let consensus = raft.block_on(Consensus::start(StartOptions {
            cluster: topology.cluster().to_owned(),
            node: member(node),
            stores: stores.clone(),
            members: planned_members(topology),
            tls: peer_tls,
            timing: timing(&config),
            log_policy: log_policy(&config),
            preference: Preference {
                sites: topology.preferred_sites().to_vec(),
                ..Preference::default()
            },
            clock: Arc::new(banyan_consensus::SystemClock),
            clock_offset_max: banyan_consensus::OFFSET_MAX,
            raw_values,
        }))?;
        let edge = runtime("edge", config.runtime().edge_threads())?;
        let (ended_sender, ended) = watch::channel(None);
        let started = Self {
            readiness: Arc::new(Readiness::default()),
            consensus,
            stores,
            ended,
            edge_stop: CancellationToken::new(),
            edge_tasks: TaskTracker::new(),
            peer_stop: CancellationToken::new(),
            peer_tasks: TaskTracker::new(),
            edge,
            raft,
            config,
        };
        let parts = Edges {
            clock,
            metrics,
            tls: edge_tls,
            raw_values,
        };
        let services = Arc::new(started.service_parts(&parts));
        let gate = started.gate(&parts);
        let forwarded = Arc::new(Forwarded {
            parts: Arc::clone(&services),
            gate: Arc::clone(&gate),
            authorities: started.authorities(&parts),
            runtime: started.edge.handle().clone(),
        });
        started.serve_peers(listeners.peer, forwarded)?;
        started.serve_edges(
            &parts,
            Services { services, gate },
            listeners.client,
            listeners.http,
            listeners.health,
        )?;
        started.watch_faults(ended_sender);
        tracing::info!(node = started.config.node().name(), "listening");
        Ok(started)
    }

    /// Calls `then` once, from another thread, when a fault has ended the node. It does not run after an orderly stop.
    pub fn on_ended(&self, then: impl FnOnce(Ended) + Send + 'static) {
        let mut ended = self.ended.clone();
        self.raft.spawn(async move {
            if let Ok(cause) = ended.wait_for(Option::is_some).await
                && let Some(cause) = cause.clone()
            {
                then(cause);
            }
        });
    }

    /// Whether the node is alive and serves.
    #[must_use]
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// The node's stores, for tests that look behind the services.
    #[must_use]
    pub fn stores(&self) -> &Stores {
        &self.stores
    }

    /// The links to other nodes that a fault test may cut.
    #[must_use]
    pub fn links(&self) -> Option<Links> {
        self.consensus.links()
    }

    /// Stops in order: not ready, leadership handed away, running requests ended or cut off at the drain deadline, peers, what
    /// is in memory flushed. Blocks.
    pub fn stop(self) {
        let drain_deadline = self.config.limits().drain_deadline();
        tracing::info!("stopping");
        self.readiness.set_stopping();
        self.raft.block_on(hand_over(
            &self.consensus,
            timing(&self.config).election_max,
        ));
        self.edge_stop.cancel();
        self.edge_tasks.close();
        let drained = self.edge.block_on(async {
            tokio::time::timeout(drain_deadline, self.edge_tasks.wait())
                .await
                .is_ok()
        });
        if !drained {
            tracing::warn!("requests were still running at the drain deadline and are cut off");
        }
        self.edge.shutdown_timeout(RUNTIME_STOP_MAX);
        self.raft.block_on(async {
            // Leadership may have come back while requests were drained.
            self.consensus.shutdown(Some(HAND_OVER_MAX)).await;
            self.peer_stop.cancel();
            self.peer_tasks.close();
            let _ = tokio::time::timeout(RUNTIME_STOP_MAX, self.peer_tasks.wait()).await;
        });
        // A restart then replays less; what is not flushed is in the log.
        if let Err(fault) = self.stores.state.flush().wait() {
            tracing::error!(%fault, "the state was not flushed");
        }
        let closed = self.stores.closed();
        drop(self.consensus);
        drop(self.stores);
        // Its probe asks consensus.
        drop(self.readiness);
        self.raft.shutdown_timeout(RUNTIME_STOP_MAX);
        // A process that ended before would tear RocksDB down under databases that are still closing.
        if !closed.wait(STORES_CLOSE_MAX) {
            tracing::warn!("the stores did not close in time");
        }
        tracing::info!("stopped");
    }

    fn serve_peers(
        &self,
        listener: std::net::TcpListener,
        forwarded: Arc<Forwarded>,
    ) -> Result<(), StartError> {
        let _in_runtime = self.raft.enter();
        let listener = asynchronous("peer", listener)?;
        let consensus = self.consensus.clone();
        let stop = self.peer_stop.clone();
        self.peer_tasks.spawn_on(
            async move {
                if let Err(error) = consensus
                    .serve_peers(listener, Some(forwarded), stop.cancelled_owned())
                    .await
                {
                    tracing::error!(
                        error = crate::logging::chain(&error),
                        "the peer server ended"
                    );
                }
            },
            self.raft.handle(),
        );
        Ok(())
    }

    fn serve_edges(
        &self,
        parts: &Edges,
        Services { services, gate }: Services,
        client: std::net::TcpListener,
        http: std::net::TcpListener,
        health: std::net::TcpListener,
    ) -> Result<(), StartError> {
        let _in_runtime = self.edge.enter();
        let (reporter, health_service) = tonic_health::server::health_reporter();
        let (scans, stop) = (Arc::clone(&services), self.edge_stop.clone());
        self.edge_tasks
            .spawn(async move { scans.watch_scans(stop).await });
        let grpc_parts = GrpcParts {
            registry: RegistryService::new(Arc::clone(&services)),
            raw_values: (parts.raw_values == RawValues::Carried)
                .then(|| RawValuesService::new(Arc::clone(&services))),
            admin: AdminService::new(services),
            health: health_service,
            gate,
        };
        let client_tls = parts.tls.server(ClientCertificate::Required, b"h2")?;
        let connections = self.accept(parts, "client", asynchronous("client", client)?, client_tls);
        let stop = self.edge_stop.clone();
        self.edge_tasks.spawn(async move {
            if let Err(error) = grpc::serve(grpc_parts, connections, stop).await {
                tracing::error!(error = crate::logging::chain(&error), "the gRPC edge ended");
            }
        });

        let http_parts = self.http_parts(parts);
        let http_tls = parts.tls.server(ClientCertificate::Optional, b"http/1.1")?;
        let connections = self.accept(parts, "http", asynchronous("http", http)?, http_tls);
        let stop = self.edge_stop.clone();
        let tls_parts = http_parts.clone();
        self.edge_tasks
            .spawn(http::serve_tls(tls_parts, connections, stop));
        let listener = asynchronous("health", health)?;
        let stop = self.edge_stop.clone();
        self.edge_tasks.spawn(async move {
            if let Err(error) = http::serve_plain(http_parts, listener, stop).await {
                tracing::error!(%error, "the health listener ended");
            }
        });
        let consensus = self.consensus.clone();
        self.readiness
            .set_probe(move || watching::not_ready(&consensus));
        self.edge_tasks.spawn(watching::report_health(
            Arc::clone(&self.readiness),
            reporter,
            self.edge_stop.clone(),
        ));
        Ok(())
    }

    fn accept(
        &self,
        parts: &Edges,
        edge: &'static str,
        listener: tokio::net::TcpListener,
        tls: Arc<rustls::ServerConfig>,
    ) -> tokio::sync::mpsc::Receiver<crate::edge::acceptor::Connection> {
        let options = AcceptorOptions {
            edge,
            listener,
            tls,
            authorities: self.authorities(parts),
            connections_max: self.config.limits().connections_max(),
            metrics: Arc::clone(&parts.metrics),
        };
        let (accepting, connections) = accept_connections(options, self.edge_stop.clone());
        self.edge_tasks.spawn(accepting);
        connections
    }

    fn authorities(&self, parts: &Edges) -> Arc<Authorities> {
        let node = NodeId(self.config.node().id().get());
        parts
            .tls
            .authorities(self.config.topology().cluster(), node)
    }

    fn gate(&self, parts: &Edges) -> Arc<Gate> {
        let consensus = self.consensus.clone();
        Arc::new(Gate {
            room: Box::new(move |writes| consensus.refuses(1, writes)),
            writes: Counter::default(),
            places: Places::new(self.config.limits().requests_in_flight_max()),
            deadline_max: self.config.limits().request_deadline_max(),
            metrics: Arc::clone(&parts.metrics),
            clock: Arc::clone(&parts.clock),
            further: match parts.raw_values {
                RawValues::Refused => &[],
                RawValues::Carried => RAW_VALUES,
            },
            stop: self.edge_stop.clone(),
        })
    }

    fn service_parts(&self, parts: &Edges) -> ServiceParts {
        let node = self.config.node();
        ServiceParts {
            facts: NodeFacts {
                id: NodeId(node.id().get()),
                name: node.name().to_owned(),
                site: node.site().to_owned(),
                topology: self.config.topology().clone(),
            },
            consensus: self.consensus.clone(),
            stores: self.stores.clone(),
            started: parts.clock.monotonic(),
            clock: Arc::clone(&parts.clock),
            metrics: Arc::clone(&parts.metrics),
            scans: HeldScans::new(
                self.config.limits().scan_idle_max(),
                self.config.limits().scan_total_max(),
            ),
            randomness: Mutex::new(Box::new(StdRng::from_os_rng())),
        }
    }

    fn http_parts(&self, parts: &Edges) -> HttpParts {
        let (metrics, consensus, stores) = (
            Arc::clone(&parts.metrics),
            self.consensus.clone(),
            self.stores.clone(),
        );
        HttpParts {
            metrics: Arc::clone(&parts.metrics),
            refresh: Arc::new(move || readings::refresh(&metrics, &consensus, &stores)),
            readiness: Arc::clone(&self.readiness),
            clock: Arc::clone(&parts.clock),
        }
    }

    fn watch_faults(&self, ended: watch::Sender<Option<Ended>>) {
        let watched = watching::fault(self.consensus.clone(), self.stores.clone());
        let readiness = Arc::clone(&self.readiness);
        let stop = self.edge_stop.clone();
        self.raft.spawn(async move {
            let cause = tokio::select! {
                // Consensus ends in an orderly stop, too; that is no fault.
                () = stop.cancelled() => return,
                cause = watched => cause,
            };
            readiness.set_fault("a fault has stopped this node");
            tracing::error!(%cause, "a fault has ended this node");
            let _ = ended.send(Some(cause));
        });
    }
}

/// What serves calls, whether a client brings them or another node.
struct Services {
    services: Arc<ServiceParts>,
    gate: Arc<Gate>,
}

/// What the edges share.
struct Edges {
    clock: SharedClock,
    metrics: Arc<Metrics>,
    tls: EdgeTls,
    raw_values: RawValues,
}

async fn hand_over(consensus: &NodeConsensus, silent_after: Duration) {
    let status = consensus.status();
    if status.leader != Some(status.node) {
        return;
    }
    let Some(successor) = status.successor(silent_after) else {
        return;
    };
    match consensus.transfer_leader(successor, HAND_OVER_MAX).await {
        Ok(()) => tracing::info!(to = successor.get(), "leadership handed away"),
        Err(error) => tracing::warn!(to = successor.get(), %error, "leadership not handed away"),
    }
}
