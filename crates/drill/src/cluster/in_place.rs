//! A new machine in the place of a lost one.

use std::{fs, io};

use banyan_topology::NodeId;

use super::process::NodeProcess;
use super::{ClusterError, LocalCluster};
use crate::pki;

impl LocalCluster {
    /// Puts a new machine in the place of a node that does not run: the name and the addresses stay, its id and its keys are new, and it may
    /// form its data directory, which has to be empty. The topology file says so afterwards; the membership is for the caller to change. Returns
    /// when the node answers.
    ///
    /// # Errors
    /// [`ClusterError::NoNode`], [`ClusterError::StillRuns`], [`ClusterError::Topology`] when the id is another node's; [`ClusterError`] when the
    /// node cannot be started.
    pub async fn start_in_place(&mut self, name: &str, id: NodeId) -> Result<(), ClusterError> {
        let no_node = || ClusterError::NoNode {
            name: name.to_owned(),
        };
        let old = self.node_id(name).ok_or_else(no_node)?;
        if self.processes.get_mut(name).is_some_and(NodeProcess::runs) {
            return Err(ClusterError::StillRuns {
                node: name.to_owned(),
            });
        }
        let renewed = self
            .topology
            .with_id(old, id)
            .map_err(|source| ClusterError::Topology {
                path: self.layout.topology(),
                source,
            })?;
        let keys = pki::node_directory(&self.layout.pki(), name);
        match fs::remove_dir_all(&keys) {
            Ok(()) => {}
            // An earlier try came so far.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ClusterError::File { path: keys, source }),
        }
        pki::add_node(
            &pki::Options {
                directory: &self.layout.pki(),
                topology: &renewed,
                valid_days: pki::VALID_DAYS,
            },
            name,
        )?;
        self.layout.write_topology(&renewed)?;
        self.topology = renewed;
        self.unformed.insert(name.to_owned());
        self.start_node(name)?;
        self.wait_answering(&[name.to_owned()], self.ready_within)
            .await?;
        self.unformed.remove(name);
        self.write_state()
    }
}
