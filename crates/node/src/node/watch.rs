//! What a running node watches: whether it serves, and whether a fault has ended it.

use std::sync::Arc;
use std::time::Duration;

use banyan_storage::Stores;
use banyan_wire::v1::registry_server::RegistryServer;
use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;

use super::assembly::NodeConsensus;
use super::error::Ended;
use crate::readiness::Readiness;
use crate::services::RegistryService;

/// How often gRPC health is brought up to date. Readiness changes rarely, and a load balancer asks less often than this.
const HEALTH_INTERVAL: Duration = Duration::from_millis(100);

const NOT_FORMED: &str = "the cluster is not formed, or this node is not part of it yet";

/// What keeps this node from serving, as consensus sees it.
pub(super) fn not_ready(consensus: &NodeConsensus) -> Option<&'static str> {
    let status = consensus.status();
    let formed = status.initialized && status.members.contains_key(&status.node);
    (!formed).then_some(NOT_FORMED)
}

/// Keeps gRPC health in step with readiness until `stop`, then says "not serving" for good.
pub(super) async fn report_health(
    readiness: Arc<Readiness>,
    health: HealthReporter,
    stop: CancellationToken,
) {
    let mut interval = tokio::time::interval(HEALTH_INTERVAL);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = interval.tick() => {}
        }
        if readiness.ready().is_ok() {
            health
                .set_serving::<RegistryServer<RegistryService>>()
                .await;
        } else {
            health
                .set_not_serving::<RegistryServer<RegistryService>>()
                .await;
        }
    }
    health
        .set_not_serving::<RegistryServer<RegistryService>>()
        .await;
}

/// Resolves with the first fault of consensus or of a store.
pub(super) async fn fault(consensus: NodeConsensus, stores: Stores) -> Ended {
    let cell = stores.fault();
    let cause = tokio::select! {
        fault = cell.occurred() => fault.to_string(),
        failure = consensus.watch_fatal() => crate::logging::chain(&failure),
    };
    Ended {
        cause,
        applied: stores.state.applied().map(|applied| applied.position),
    }
}
