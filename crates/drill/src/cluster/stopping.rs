//! Stopping nodes in order: asked first, killed only after a grace.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{ClusterError, LocalCluster};

impl LocalCluster {
    /// Stops all nodes: SIGTERM, then after `grace` SIGKILL. Tells which ones had to be killed.
    ///
    /// # Errors
    /// [`ClusterError::Signal`].
    pub async fn stop(&mut self, grace: Duration) -> Result<Vec<String>, ClusterError> {
        let nodes = self.node_names();
        self.stop_nodes(&nodes, grace).await
    }

    /// The same with the named nodes only.
    ///
    /// # Errors
    /// [`ClusterError::NoNode`], [`ClusterError::Signal`].
    pub async fn stop_nodes(
        &mut self,
        nodes: &[String],
        grace: Duration,
    ) -> Result<Vec<String>, ClusterError> {
        for name in nodes {
            self.signal(name, Signal::SIGTERM)?;
        }
        let end = Instant::now() + grace;
        let mut late = Vec::new();
        for name in nodes {
            if let Some(process) = self.processes.get_mut(name) {
                let left = end.saturating_duration_since(Instant::now());
                if !process.ended_within(left).await {
                    late.push(name.clone());
                }
            }
        }
        self.kill(nodes).await?;
        Ok(late)
    }
}
