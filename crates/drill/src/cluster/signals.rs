//! Signals to the nodes of a local cluster: killed, asked to stop, or stopped for a while and going on where they were.

use nix::sys::signal::Signal;

use super::{ClusterError, LocalCluster};

impl LocalCluster {
    /// Stops a node's process with SIGSTOP: it answers nothing, keeps its connections, and knows of no time that passes.
    ///
    /// # Errors
    /// [`ClusterError::NoNode`], [`ClusterError::Signal`].
    pub fn pause_node(&self, name: &str) -> Result<(), ClusterError> {
        self.signal(name, Signal::SIGSTOP)
    }

    /// Lets a node's process go on with SIGCONT.
    ///
    /// # Errors
    /// As [`LocalCluster::pause_node`].
    pub fn resume_node(&self, name: &str) -> Result<(), ClusterError> {
        self.signal(name, Signal::SIGCONT)
    }

    /// Only sends SIGKILL to the named nodes, and returns at once: for those who measure from that moment.
    ///
    /// # Errors
    /// As [`LocalCluster::kill`], which is to be called afterwards to reap.
    pub fn send_kill(&self, nodes: &[String]) -> Result<(), ClusterError> {
        nodes
            .iter()
            .try_for_each(|name| self.signal(name, Signal::SIGKILL))
    }

    /// Sends a signal to a node of this cluster; one whose process has ended or was never started is left alone.
    pub(super) fn signal(&self, name: &str, signal: Signal) -> Result<(), ClusterError> {
        if self.topology.node(name).is_none() {
            return Err(ClusterError::NoNode {
                name: name.to_owned(),
            });
        }
        self.processes.get(name).map_or(Ok(()), |process| {
            process
                .signal(signal)
                .map_err(|source| ClusterError::Signal {
                    node: name.to_owned(),
                    source,
                })
        })
    }
}
