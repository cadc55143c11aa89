//! The four listening sockets of a node.

use std::io;
use std::net::TcpListener;

use super::error::StartError;
use crate::config::NodeConfig;

/// Bound before anything else is started, so that a taken address costs nothing. Tests bind ports of the system's choice.
#[derive(Debug)]
pub struct Listeners {
    /// Raft and snapshots.
    pub peer: TcpListener,
    /// gRPC for clients and operators.
    pub client: TcpListener,
    /// Metrics and health over TLS.
    pub http: TcpListener,
    /// Plain health on loopback.
    pub health: TcpListener,
}

impl Listeners {
    /// Binds the addresses of a configuration.
    ///
    /// # Errors
    /// [`StartError::Listen`] for the first address that cannot be bound.
    pub fn bind(config: &NodeConfig) -> Result<Self, StartError> {
        let endpoints = config.endpoints();
        let bind = |edge: &'static str, address: &str| {
            TcpListener::bind(address).map_err(|source| listen_error(edge, address, source))
        };
        Ok(Self {
            peer: bind("peer", endpoints.peer())?,
            client: bind("client", endpoints.client())?,
            http: bind("http", endpoints.http())?,
            health: bind("health", &endpoints.health().to_string())?,
        })
    }
}

pub(super) fn listen_error(edge: &'static str, address: &str, source: io::Error) -> StartError {
    StartError::Listen {
        edge,
        address: address.to_owned(),
        source,
    }
}

/// The listener for the runtime that is entered at the moment.
pub(super) fn asynchronous(
    edge: &'static str,
    listener: TcpListener,
) -> Result<tokio::net::TcpListener, StartError> {
    let address = listener
        .local_addr()
        .map_or_else(|_| String::new(), |addr| addr.to_string());
    listener
        .set_nonblocking(true)
        .and_then(|()| tokio::net::TcpListener::from_std(listener))
        .map_err(|source| listen_error(edge, &address, source))
}
