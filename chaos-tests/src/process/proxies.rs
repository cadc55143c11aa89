//! Nodes on the loopback interface, each behind a relay for its peers: for machines on which namespaces cannot be made.
//!
//! The topology names the relays' ports, the nodes listen on ports of their own. A relay learns from which node a connection comes by the
//! process that holds its other end, so that each direction between two nodes can be troubled alone, as with namespaces.
//! What a relay cannot do: lose packets (it breaks connections instead), and leave a cut connection without an acknowledgement from the kernel.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::network::Weather;
use super::{relay, socket_owner};

/// A node may be told of a moment after it has made its first connection.
const OWNER_TRIES: u32 = 40;
const OWNER_PAUSE: Duration = Duration::from_millis(50);

/// The relays of one run; they end when this is dropped.
pub(super) struct Proxies {
    weather: watch::Sender<Weather>,
    processes: Arc<Mutex<BTreeMap<String, i32>>>,
    relays: JoinSet<()>,
}

impl Proxies {
    pub(super) fn new() -> Proxies {
        Proxies {
            weather: watch::Sender::new(Weather::default()),
            processes: Arc::default(),
            relays: JoinSet::new(),
        }
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
        let processes = Arc::clone(&self.processes);
        self.relays.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => if let Ok((near, from)) = accepted {
                        let (node, weather) = (node.clone(), weather.clone());
                        let processes = Arc::clone(&processes);
                        connections.spawn(async move {
                            // A connection of nobody known is ended: whoever made it tries again.
                            if let Some(sender) = owner(from, &processes).await {
                                relay::connection(near, to, &sender, &node, weather).await;
                            }
                        });
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

    pub(super) fn processes(&self, ids: &BTreeMap<String, i32>) {
        lock(&self.processes).clone_from(ids);
    }
}

async fn owner(from: SocketAddr, processes: &Mutex<BTreeMap<String, i32>>) -> Option<String> {
    for _ in 0..OWNER_TRIES {
        let known = lock(processes).clone();
        let found = tokio::task::spawn_blocking(move || socket_owner::owner(from, &known)).await;
        if let Ok(Some(node)) = found {
            return Some(node);
        }
        tokio::time::sleep(OWNER_PAUSE).await;
    }
    None
}

fn lock(processes: &Mutex<BTreeMap<String, i32>>) -> MutexGuard<'_, BTreeMap<String, i32>> {
    processes.lock().unwrap_or_else(PoisonError::into_inner)
}
