//! Nodes on the loopback interface, each behind a relay for its peers: for machines on which namespaces cannot be made.
//!
//! The topology names the relays' ports, the nodes listen on ports of their own. Every node connects from a loopback address of its own
//! (`connect.c`), so that a relay knows whom a connection comes from, and each direction between two nodes can be troubled alone, as with
//! namespaces. What a relay cannot do: lose packets (it breaks connections instead), and leave a cut connection without an acknowledgement from
//! the kernel.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use banyan_topology::Topology;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::network::Weather;
use super::preload::{self, Preloaded};
use super::relay;

const SOURCE: &str = include_str!("connect.c");

/// The relays of one run; they end when this is dropped.
pub(super) struct Proxies {
    weather: watch::Sender<Weather>,
    object: PathBuf,
    /// The address that each node connects from.
    sources: BTreeMap<String, IpAddr>,
    relays: JoinSet<()>,
}

impl Proxies {
    /// Compiles what nodes connect with.
    ///
    /// # Errors
    /// It cannot be compiled.
    pub(super) fn new(folder: &Path, topology: &Topology) -> Result<Proxies> {
        let sources = (1..).zip(topology.nodes()).map(|(number, node)| {
            let address = Ipv4Addr::new(127, 77, 0, number);
            (node.name().to_owned(), IpAddr::V4(address))
        });
        Ok(Proxies {
            weather: watch::Sender::new(Weather::default()),
            object: preload::compile(&folder.join("proxies"), "connect", SOURCE)?,
            sources: sources.collect(),
            relays: JoinSet::new(),
        })
    }

    /// Relays what comes to `listener` to `to`, where the named node listens for its peers.
    ///
    /// # Errors
    /// The listener cannot be used.
    pub(super) fn relay(
        &mut self,
        node: &str,
        listener: std::net::TcpListener,
        to: SocketAddr,
    ) -> Result<()> {
        listener
            .set_nonblocking(true)
            .context("a relay's listener")?;
        let listener = TcpListener::from_std(listener).context("a relay's listener")?;
        let (node, weather) = (node.to_owned(), self.weather.subscribe());
        let names: BTreeMap<IpAddr, String> = self
            .sources
            .iter()
            .map(|(name, address)| (*address, name.clone()))
            .collect();
        self.relays.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => if let Ok((near, from)) = accepted {
                        // A connection of nobody known is ended.
                        if let Some(sender) = names.get(&from.ip()).cloned() {
                            let (node, weather) = (node.clone(), weather.clone());
                            connections.spawn(async move {
                                relay::connection(near, to, &sender, &node, weather).await;
                            });
                        }
                    },
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(())
    }

    pub(super) fn set(&mut self, weather: &Weather) {
        self.weather.send_replace(weather.clone());
    }

    /// What gives a node its own address.
    pub(super) fn preloaded(&self, node: &str) -> Option<Preloaded> {
        let address = self.sources.get(node)?;
        Some(Preloaded::new(
            &self.object,
            "BANYAN_CHAOS_FROM",
            address.to_string(),
        ))
    }
}
