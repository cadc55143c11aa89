//! This cluster with a network between its members that takes its time: a proxy in this program holds what they send.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::banyan::{Banyan, Timing, with_config};
use crate::process::free_ports;
use crate::proxy::{Delay, Proxy};

const GRACE: Duration = Duration::from_secs(10);

/// Three voters whose traffic passes a proxy. Clients are not delayed.
pub(crate) struct Delayed {
    pub(crate) banyan: Banyan,
    _proxy: Proxy,
}

impl Delayed {
    /// Forms a cluster, stops it, and starts it again with each node listening for peers elsewhere: the proxy has the ports that the
    /// topology names. `extra` is added to each node's configuration.
    ///
    /// # Errors
    /// Those of the drills' cluster, and ports of the topology that something else has taken.
    pub(crate) async fn start(
        folder: &Path,
        timing: Timing,
        extra: &str,
        delay: &Delay,
    ) -> anyhow::Result<Delayed> {
        let start = || Banyan::start_with(folder, timing, 0, with_config(extra));
        let mut banyan = start().await?;
        banyan.cluster.stop(GRACE).await?;
        let mut proxy = Proxy::new(delay.clone());
        for node in banyan.cluster.topology().nodes() {
            let [port]: [u16; 1] = free_ports()?;
            let to = SocketAddr::from(([127, 0, 0, 1], port));
            let file = banyan.cluster.layout().node_config(node.name());
            let mut text = std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            let _ = write!(text, "\n[listen]\npeer = \"{to}\"\n");
            std::fs::write(&file, text)?;
            let at = node.peer_endpoint();
            proxy
                .relay(at.parse()?, to)
                .await
                .with_context(|| format!("cannot listen on {at}"))?;
        }
        drop(banyan);
        let banyan = start().await?;
        Ok(Delayed {
            banyan,
            _proxy: proxy,
        })
    }
}
