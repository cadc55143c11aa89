//! Who a development cluster knows: one registrar for each site that serves a province, the centre, the operator.

use std::fmt::Write as _;

use banyan_topology::{Node, SiteRole, Topology};

/// Name of the operator at the central site.
pub const OPERATOR: &str = "operator";
/// Name of those who issue numbers.
pub const CENTRE: &str = "centre";
/// Name of those who serve one province.
pub const REGISTRAR: &str = "registrar";

/// A principal of the development infrastructure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// For instance `registrar@nghe-an`.
    pub name: String,
    /// The site where it sits; its context names that site's nodes first.
    pub home: String,
    pub role: PrincipalRole,
}

/// What a principal may do, as far as its certificate says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrincipalRole {
    /// Of the province with this two-digit code.
    Registrar {
        province: String,
    },
    Centre,
    Operator,
}

impl Principal {
    pub fn is_operator(&self) -> bool {
        self.role == PrincipalRole::Operator
    }

    /// The identity that its certificate carries.
    pub fn uri(&self, topology: &Topology) -> String {
        let cluster = topology.cluster();
        match &self.role {
            PrincipalRole::Registrar { province } => {
                format!(
                    "banyan://{cluster}/client/{}/registrar/{province}",
                    self.name
                )
            }
            PrincipalRole::Centre => format!("banyan://{cluster}/client/{}/centre/-", self.name),
            PrincipalRole::Operator => format!("banyan://{cluster}/operator/{}", self.name),
        }
    }
}

/// The identity that a node's peer certificate carries.
pub fn of_node(topology: &Topology, node: &Node) -> String {
    format!(
        "banyan://{}/peer/{}/{}",
        topology.cluster(),
        node.id(),
        node.role()
    )
}

/// The site of the centre: the central one, or the first where a topology has none.
pub fn centre_site(topology: &Topology) -> &str {
    topology
        .sites_of_role(SiteRole::Central)
        .next()
        .or_else(|| topology.sites().first())
        .map_or("", |site| site.name())
}

/// All principals of a topology: the centre, the operator, then the registrars in the order of the sites.
pub fn principals(topology: &Topology) -> Vec<Principal> {
    let centre = centre_site(topology);
    let at = |role: &str, site: &str| format!("{role}@{site}");
    let mut all = vec![
        Principal {
            name: at(CENTRE, centre),
            home: centre.to_owned(),
            role: PrincipalRole::Centre,
        },
        Principal {
            name: at(OPERATOR, centre),
            home: centre.to_owned(),
            role: PrincipalRole::Operator,
        },
    ];
    all.extend(topology.sites().iter().filter_map(|site| {
        let province = site.province()?.to_owned();
        Some(Principal {
            name: at(REGISTRAR, site.name()),
            home: site.name().to_owned(),
            role: PrincipalRole::Registrar { province },
        })
    }));
    all
}

/// The nodes that a principal turns to, the nearest first: those at home, then the voters, then (operators only) all others.
///
/// A registrar elsewhere and the centre are not led to learners: a province's node cannot speak for the centre.
pub fn endpoints<'a>(topology: &'a Topology, principal: &Principal) -> Vec<&'a Node> {
    let home = |node: &&Node| node.site() == principal.home;
    let mut nodes: Vec<&Node> = topology.nodes().iter().filter(home).collect();
    nodes.extend(topology.voters().filter(|node| !home(node)));
    if principal.is_operator() {
        nodes.extend(topology.learners().filter(|node| !home(node)));
    }
    nodes
}

/// The contexts file: for each principal its certificate, its trust and its endpoints.
///
/// Paths are relative to the file; `folder` leads from there to the infrastructure's directory: empty, or ending in `/`.
pub fn render_contexts(topology: &Topology, principals: &[Principal], folder: &str) -> String {
    let mut text =
        String::from("# Whom `banyan --as NAME` may act as. Paths are relative to this file.\n");
    for principal in principals {
        let name = &principal.name;
        let _ = write!(
            text,
            "\n[contexts.\"{name}\"]\n\
             cert = \"{folder}clients/{name}.pem\"\n\
             key = \"{folder}clients/{name}.key\"\n\
             ca = \"{folder}server-ca.pem\"\n\
             cluster = \"{}\"\n\
             home = \"{}\"\n\
             [contexts.\"{name}\".endpoints]\n",
            topology.cluster(),
            principal.home,
        );
        for node in endpoints(topology, principal) {
            let _ = writeln!(
                text,
                "{} = \"https://{}\"",
                node.name(),
                node.client_endpoint()
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use banyan_wire::identity::{Authority, Identity};

    use super::*;

    const TOPOLOGY: &str = include_str!("../../../cluster/local.toml");

    #[test]
    fn identities_are_spelled_as_nodes_read_them() {
        let topology = Topology::parse(TOPOLOGY).unwrap().topology;
        for node in topology.nodes() {
            let identity = Identity::parse(&of_node(&topology, node)).unwrap();
            assert_eq!(identity.authority(), Authority::Peers);
        }
        let all = principals(&topology);
        for principal in &all {
            let identity = Identity::parse(&principal.uri(&topology)).unwrap();
            let wanted = if principal.is_operator() {
                Authority::Operators
            } else {
                Authority::Clients
            };
            assert_eq!(identity.authority(), wanted);
        }
        let names: Vec<&str> = all
            .iter()
            .map(|principal| principal.name.as_str())
            .collect();
        for wanted in ["centre@central", "operator@central", "registrar@nghe-an"] {
            assert!(names.contains(&wanted), "{wanted} in {names:?}");
        }
    }

    #[test]
    fn contexts_are_as_the_client_reads_them() {
        let topology = Topology::parse(TOPOLOGY).unwrap().topology;
        let text = render_contexts(&topology, &principals(&topology), "pki/");
        let contexts =
            banyan_client::Contexts::parse(&text, std::path::Path::new("contexts.toml")).unwrap();
        assert!(contexts.names().any(|name| name == "registrar@nghe-an"));
    }

    #[test]
    fn centre_is_not_led_through_a_province() {
        let topology = Topology::parse(TOPOLOGY).unwrap().topology;
        let all = principals(&topology);
        let centre = all
            .iter()
            .find(|principal| principal.role == PrincipalRole::Centre)
            .unwrap();
        let nodes = endpoints(&topology, centre);
        assert!(nodes.iter().all(|node| node.is_voter()));
        assert_eq!(nodes[0].site(), centre.home);
    }
}
