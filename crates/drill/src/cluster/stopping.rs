//! Stopping nodes in order: asked first, killed only after a grace.

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{ClusterError, LocalCluster};

/// How nodes ended that were asked to stop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stopped {
    /// Those that still ran after the grace and were killed.
    pub late: Vec<String>,
    /// How the others ended, by name; also those that had ended before they were asked. A node that another program started is not among
    /// them: only its parent is told.
    pub ended: BTreeMap<String, ExitStatus>,
}

impl LocalCluster {
    /// Stops all nodes: SIGTERM, then after `grace` SIGKILL. Tells which ones had to be killed, and how the others ended.
    ///
    /// # Errors
    /// [`ClusterError::Signal`].
    pub async fn stop(&mut self, grace: Duration) -> Result<Stopped, ClusterError> {
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
    ) -> Result<Stopped, ClusterError> {
        for name in nodes {
            self.signal(name, Signal::SIGTERM)?;
        }
        let end = Instant::now() + grace;
        let mut stopped = Stopped::default();
        for name in nodes {
            if let Some(process) = self.processes.get_mut(name) {
                let left = end.saturating_duration_since(Instant::now());
                if !process.ended_within(left).await {
                    stopped.late.push(name.clone());
                } else if let Some(status) = process.exit_status() {
                    stopped.ended.insert(name.clone(), status);
                }
            }
        }
        self.kill(nodes).await?;
        Ok(stopped)
    }
}
