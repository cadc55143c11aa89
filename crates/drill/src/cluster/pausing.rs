//! Nodes of a local cluster that are stopped for a while and go on where they were.

use nix::sys::signal::Signal;

use super::{ClusterError, LocalCluster};

impl LocalCluster {
    /// Stops a node's process with SIGSTOP: it answers nothing, keeps its connections, and knows of no time that passes.
    ///
    /// # Errors
    /// [`ClusterError::NoNode`], [`ClusterError::Signal`].
    pub fn pause_node(&self, name: &str) -> Result<(), ClusterError> {
        self.send(name, Signal::SIGSTOP)
    }

    /// Lets a node's process go on with SIGCONT.
    ///
    /// # Errors
    /// As [`LocalCluster::pause_node`].
    pub fn resume_node(&self, name: &str) -> Result<(), ClusterError> {
        self.send(name, Signal::SIGCONT)
    }

    fn send(&self, name: &str, signal: Signal) -> Result<(), ClusterError> {
        let Some(process) = self.processes.get(name) else {
            return Err(ClusterError::NoNode {
                name: name.to_owned(),
            });
        };
        process
            .signal(signal)
            .map_err(|source| ClusterError::Signal {
                node: name.to_owned(),
                source,
            })
    }
}
