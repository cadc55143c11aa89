//! Which ports a local cluster listens on.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;

use banyan_topology::{NodeId, Ports, Topology, TopologyError};

/// Who chooses the ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortPolicy {
    /// The topology file. Two clusters of one file cannot run at once.
    Topology,
    /// The system, for tests: free ports on each site's address.
    System,
}

/// Why ports could not be settled.
#[derive(Debug, thiserror::Error)]
pub enum PortsError {
    #[error(
        "{address} cannot be listened on: another program has it, or the address is not of this machine"
    )]
    Taken {
        address: String,
        #[source]
        source: io::Error,
    },
    #[error("the system's ports do not make a valid topology")]
    Topology(#[source] TopologyError),
}

/// The topology with the ports that its nodes shall use.
///
/// The listeners are closed again before the nodes open their own. They may be taken in between by another program that
/// asks the system for a port of the same loopback address; a node then says so in its log.
pub(super) fn settle(topology: &Topology, policy: PortPolicy) -> Result<Topology, PortsError> {
    match policy {
        PortPolicy::Topology => {
            for node in topology.nodes() {
                for endpoint in [
                    node.peer_endpoint(),
                    node.client_endpoint(),
                    node.http_endpoint(),
                    node.health_endpoint(),
                ] {
                    listen(&endpoint)?;
                }
            }
            Ok(topology.clone())
        }
        PortPolicy::System => {
            // All are held until all are known, so that none is given twice.
            let mut held = Vec::new();
            let mut chosen: BTreeMap<NodeId, Ports> = BTreeMap::new();
            for node in topology.nodes() {
                let mut free = |host: &str| -> Result<u16, PortsError> {
                    let address = format!("{host}:0");
                    let listener = listen(&address)?;
                    let port = listener
                        .local_addr()
                        .map_err(|source| PortsError::Taken { address, source })?
                        .port();
                    held.push(listener);
                    Ok(port)
                };
                let ports = Ports {
                    peer: free(node.host())?,
                    client: free(node.host())?,
                    http: free(node.host())?,
                    health: free("127.0.0.1")?,
                };
                chosen.insert(node.id(), ports);
            }
            topology.with_ports(&chosen).map_err(PortsError::Topology)
        }
    }
}

fn listen(address: &str) -> Result<TcpListener, PortsError> {
    TcpListener::bind(address).map_err(|source| PortsError::Taken {
        address: address.to_owned(),
        source,
    })
}
