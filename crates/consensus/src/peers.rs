//! What a node is to its peers: the service that they call, the calls that it forwards, the links that tests cut.

use std::{future::Future, sync::Arc, time::Duration};

use banyan_wire::{internal_v1 as wire, v1};
use openraft::storage::RaftStateMachine;
use openraft_rt::AsyncRuntime;

use crate::{
    consensus::Consensus,
    member::Member,
    network::{
        Admission, ForwardError, ForwardHandler, Links, PeerNetwork, PeerService, PeerTls,
        ServeError,
    },
    state::{SnapshotHandle, SnapshotInbox},
    types::TypeConfig,
};

/// The real wire of one node.
pub(crate) struct Peers<R> {
    tls: PeerTls,
    network: PeerNetwork<R>,
    admission: Admission,
    inbox: SnapshotInbox,
}

impl<R> Peers<R> {
    pub(crate) fn new(
        tls: PeerTls,
        network: PeerNetwork<R>,
        admission: Admission,
        inbox: SnapshotInbox,
    ) -> Self {
        Self {
            tls,
            network,
            admission,
            inbox,
        }
    }

    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }
}

impl<R, SM> Consensus<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    /// Sends a client's call to another member, which serves it as its own, and waits at most `within`.
    ///
    /// # Errors
    /// [`ForwardError`] without an answer; under a simulated wire always.
    pub async fn forward(
        &self,
        to: &Member,
        certificate: bytes::Bytes,
        call: v1::Call,
        within: Duration,
    ) -> Result<v1::CallAnswer, ForwardError> {
        let Some(peers) = self.peers() else {
            return Err(ForwardError {
                to: to.node,
                maybe_received: false,
                reason: "there is no real wire".to_owned(),
            });
        };
        let call = wire::ForwardedCall {
            certificate,
            call: Some(call),
        };
        peers.network.forward(to, call, within).await
    }

    /// The links that a fault test may cut; none under a simulated wire, which cuts its own.
    #[must_use]
    pub fn links(&self) -> Option<Links> {
        let peers = self.peers()?;
        Some(peers.admission.links())
    }
}

impl<R, SM> Consensus<R, SM>
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>, SnapshotData = SnapshotHandle>,
{
    /// The service that peers call, to be served by [`PeerService::serve`], which identifies the callers; none under a simulated wire.
    #[must_use]
    pub fn peer_service(&self) -> Option<PeerService<R, SM>> {
        let peers = self.peers()?;
        Some(PeerService::new(
            self.raft().clone(),
            peers.admission.clone(),
            peers.inbox.clone(),
            self.barriers().leader(),
            self.clock(),
        ))
    }

    /// Serves peers on this listener, over mutual TLS, until `stop` resolves. To be polled on the runtime of consensus. Calls that other nodes
    /// forward go to `forwarded`.
    ///
    /// # Errors
    /// When the certificates cannot be used, or the listener fails.
    pub async fn serve_peers(
        &self,
        listener: tokio::net::TcpListener,
        forwarded: Option<Arc<dyn ForwardHandler>>,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeError> {
        match (self.peer_service(), self.peers()) {
            (Some(service), Some(peers)) => {
                service.serve(&peers.tls, listener, forwarded, stop).await
            }
            _ => Ok(()),
        }
    }
}
