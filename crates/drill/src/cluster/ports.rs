//! Which ports a local cluster listens on.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::ops::Range;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{Mutex, PoisonError};

use banyan_topology::{NodeId, Ports, Topology, TopologyError};

/// Who chooses the ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortPolicy {
    /// The topology file. Two clusters of one file cannot run at once.
    Topology,
    /// The topology file, without a look whether they are free: its addresses are of other network namespaces, or held by what stands in
    /// front of the nodes.
    Given,
    /// Chance, for tests: free ports on each site's address, see [`free_port`].
    Free,
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

/// The lowest port that is looked at: below it are the ports of well-known services.
const LOWEST: u16 = 10_000;

/// Ports that a process claims at once.
const BLOCK: u16 = 100;

/// Where the ports begin that Linux gives to outgoing connections, if it is not told otherwise.
const OUTGOING_FROM: u16 = 32_768;

/// What this process has claimed, until it ends.
static CLAIMED: Mutex<Claimed> = Mutex::new(Claimed {
    claims: Vec::new(),
    left: Vec::new(),
});

struct Claimed {
    /// One for each block. Listening on a name is the claim, and the system takes it back however the process ends.
    claims: Vec<UnixListener>,
    /// Ports of those blocks that were not given out yet.
    left: Vec<u16>,
}

impl Claimed {
    /// A port of this process's own that nobody was given before.
    fn next(&mut self) -> Option<u16> {
        if self.left.is_empty() {
            let (claim, ports) = claim_a_block()?;
            self.claims.push(claim);
            self.left.extend(ports);
        }
        self.left.pop()
    }
}

/// The first block behind a random one that no process has claimed.
fn claim_a_block() -> Option<(UnixListener, Range<u16>)> {
    let outgoing_from = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .unwrap_or(OUTGOING_FROM);
    let blocks = outgoing_from.saturating_sub(LOWEST) / BLOCK;
    let first = rand::random_range(0..blocks.max(1));
    (0..blocks).find_map(|nth| {
        let from = LOWEST + (first + nth) % blocks * BLOCK;
        let name = format!("banyan-ports-{from}");
        let name = SocketAddr::from_abstract_name(name).ok()?;
        let claim = UnixListener::bind_addr(&name).ok()?;
        Some((claim, from..from + BLOCK))
    })
}

/// A listener at a free port of `host` which the system does not give to outgoing connections (`ip(7)`,
/// `ip_local_port_range`), and which this function gives to nobody else while this process runs.
///
/// A node that is stopped and started again must find its port free. The system hands ports of the other kind to any
/// connection that is opened meanwhile, on `127.0.0.1` to every one of this machine. Processes that ask here at the same
/// time keep apart by blocks of ports, each claimed by a name in the abstract namespace of `unix(7)`, which is as wide
/// as the ports are: the network namespace.
///
/// # Errors
/// What listening failed of: no port is free, or the address is not of this machine.
pub fn free_port(host: &str) -> io::Result<TcpListener> {
    let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
    while let Some(port) = claimed.next() {
        match TcpListener::bind((host, port)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound,
        }
    }
    TcpListener::bind((host, 0))
}

/// The topology with the ports that its nodes shall use.
///
/// The listeners are closed again before the nodes open their own. They may be taken in between by another program that
/// looks for a port of the same loopback address; a node then says so in its log.
pub(super) fn settle(topology: &Topology, policy: PortPolicy) -> Result<Topology, PortsError> {
    match policy {
        PortPolicy::Given => Ok(topology.clone()),
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
        PortPolicy::Free => {
            // All are held until all are known, so that none is given twice.
            let mut held = Vec::new();
            let mut chosen: BTreeMap<NodeId, Ports> = BTreeMap::new();
            for node in topology.nodes() {
                let mut free = |host: &str| -> Result<u16, PortsError> {
                    let taken = |source| PortsError::Taken {
                        address: host.to_owned(),
                        source,
                    };
                    let listener = free_port(host).map_err(taken)?;
                    let port = listener.local_addr().map_err(taken)?.port();
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_port_is_given_twice_even_when_it_is_free_again() {
        let given: BTreeSet<u16> = (0..3 * BLOCK)
            .map(|_| free_port("127.0.0.1").unwrap().local_addr().unwrap().port())
            .collect();
        assert_eq!(given.len(), usize::from(3 * BLOCK));
    }

    #[test]
    fn a_block_that_is_claimed_is_left_to_its_process() {
        let (held, ports) = claim_a_block().unwrap();
        let others: Vec<_> = std::iter::from_fn(claim_a_block).take(5).collect();
        assert_eq!(others.len(), 5);
        assert!(others.iter().all(|(_, theirs)| *theirs != ports));
        drop((held, others));
        assert!(claim_a_block().is_some());
    }
}
