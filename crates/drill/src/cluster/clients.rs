//! Clients of a local cluster, by principal.

use banyan_client::{Client, Options};
use banyan_topology::Node;

use super::{ClusterError, LocalCluster};
use crate::access;
use crate::identities;

impl LocalCluster {
    /// A client that acts as a principal of the development infrastructure, through the nodes that its context names.
    ///
    /// # Errors
    /// [`access::AccessError`].
    pub fn client(&self, principal: &str) -> Result<Client, ClusterError> {
        let known = identities::principals(&self.topology);
        let nodes = known
            .iter()
            .find(|known| known.name == principal)
            .map_or_else(Vec::new, |found| {
                identities::endpoints(&self.topology, found)
            });
        self.client_through(principal, &nodes)
    }

    /// A client that acts as a principal through the given nodes, all of them for instance.
    ///
    /// # Errors
    /// [`access::AccessError`].
    pub fn client_through(&self, principal: &str, nodes: &[&Node]) -> Result<Client, ClusterError> {
        self.client_with(principal, nodes, access::call_options())
    }

    /// A client that acts as a principal through the given nodes, with options of its own.
    ///
    /// # Errors
    /// [`access::AccessError`].
    pub fn client_with(
        &self,
        principal: &str,
        nodes: &[&Node],
        options: Options,
    ) -> Result<Client, ClusterError> {
        let pki = self.layout.pki();
        Ok(access::connect(
            &self.topology,
            &pki,
            principal,
            nodes,
            options,
        )?)
    }

    /// The centre's client, able to read at every node.
    ///
    /// # Errors
    /// As [`LocalCluster::client_through`].
    pub fn centre_everywhere(&self) -> Result<Client, ClusterError> {
        let all: Vec<&Node> = self.topology.nodes().iter().collect();
        self.client_through(&self.centre_name(), &all)
    }

    /// The name of the centre, for instance `centre@central`.
    pub fn centre_name(&self) -> String {
        format!(
            "{}@{}",
            identities::CENTRE,
            identities::centre_site(&self.topology)
        )
    }

    /// The operator's client.
    ///
    /// # Errors
    /// As [`LocalCluster::client`].
    pub fn operator(&self) -> Result<Client, ClusterError> {
        self.client(&self.operator_name())
    }

    fn operator_name(&self) -> String {
        format!(
            "{}@{}",
            identities::OPERATOR,
            identities::centre_site(&self.topology)
        )
    }
}
