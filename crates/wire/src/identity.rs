//! Who a certificate speaks for: the URI that stands in its subject alternative names.
//!
//! ```text
//! banyan://<cluster>/peer/<node id>/<voter|learner>
//! banyan://<cluster>/client/<principal>/<registrar|centre>/<area or ->
//! banyan://<cluster>/operator/<principal>
//! ```
//!
//! A certificate holds exactly one such URI ([`Identity::of_uris`]). Reading is strict: one spelling for each identity, so
//! that two certificates that differ in bytes never mean the same by accident. Which authority may sign which kind is for
//! the node to check ([`Identity::authority`]): the authority of clients cannot make an operator.

use std::fmt;

use banyan_domain::{AreaCode, NodeId, Principal, Role};

/// How every identity begins. Certificates may carry other URIs beside it; those are not ours and are passed over.
pub const SCHEME: &str = "banyan://";

/// Characters in the name of a cluster, at most.
pub const CLUSTER_CHARS_MAX: usize = 63;

/// Whom a certificate speaks for, in which cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The cluster; a node refuses identities of any other.
    pub cluster: ClusterName,
    /// Whom it speaks for.
    pub subject: Subject,
}

/// Whom a certificate speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A node, towards other nodes.
    Peer {
        /// Its id.
        node: NodeId,
        /// What it may do at most.
        standing: Standing,
    },
    /// A registrar or the centre.
    Client {
        /// Its name.
        principal: Principal,
        /// Registrar with an area, or centre. Never operator.
        role: Role,
    },
    /// An operator of the cluster.
    Operator {
        /// Its name.
        principal: Principal,
    },
}

/// What a node's certificate allows it to become. The membership decides what it is; it is never more than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// May vote and lead.
    Voter,
    /// May only learn and serve reads.
    Learner,
}

/// Which of the authorities must have signed a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Authority {
    /// Signs nodes.
    Peers,
    /// Signs registrars and the centre.
    Clients,
    /// Signs operators.
    Operators,
}

/// Name of a cluster: 1 to 63 of `a-z`, `0-9` and `-`, beginning with a letter and not ending with `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterName(String);

/// Why a text is not an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityFault {
    /// The certificate carries no identity.
    #[error("the certificate carries no banyan:// identity")]
    Missing,
    /// The certificate carries more than one.
    #[error("the certificate carries {0} banyan:// identities; it must carry exactly one")]
    Several(usize),
    /// The text does not begin with `banyan://`.
    #[error("the identity does not begin with banyan://")]
    Scheme,
    /// The cluster's name is malformed.
    #[error("the cluster's name is not 1 to 63 of a-z, 0-9 and -, beginning with a letter")]
    Cluster,
    /// The parts after the cluster are not those of any kind of identity.
    #[error(
        "the identity is not one of peer/<id>/<standing>, client/<principal>/<role>/<area>, operator/<principal>"
    )]
    Form,
    /// The node id is not a number from 1 in its shortest form.
    #[error("the node id is not a number from 1 without leading zeros")]
    Node,
    /// The standing is neither voter nor learner.
    #[error("the standing is neither voter nor learner")]
    Standing,
    /// The principal is malformed.
    #[error("the principal is malformed: {0}")]
    Principal(String),
    /// The role is none that a client may have.
    #[error("the role is neither registrar nor centre")]
    Role,
    /// The area does not fit the role.
    #[error("the area is malformed: {0}")]
    Area(String),
}

impl ClusterName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`IdentityFault::Cluster`] for anything that is not a name in its one spelling.
    pub fn new(text: &str) -> Result<Self, IdentityFault> {
        let bytes = text.as_bytes();
        let known = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
        let fits = bytes.len() <= CLUSTER_CHARS_MAX
            && bytes.first().is_some_and(u8::is_ascii_lowercase)
            && bytes.last().is_some_and(|b| *b != b'-')
            && bytes.iter().all(known);
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdentityFault::Cluster)
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Standing {
    /// As it stands in the URI.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Voter => "voter",
            Self::Learner => "learner",
        }
    }
}

impl Identity {
    /// Reads an identity.
    ///
    /// # Errors
    /// [`IdentityFault`]: the text is not an identity in its one spelling.
    pub fn parse(uri: &str) -> Result<Self, IdentityFault> {
        let rest = uri.strip_prefix(SCHEME).ok_or(IdentityFault::Scheme)?;
        let (cluster, path) = rest.split_once('/').ok_or(IdentityFault::Form)?;
        let cluster = ClusterName::new(cluster)?;
        let parts: Vec<&str> = path.split('/').collect();
        let subject = match parts.as_slice() {
            ["peer", node, standing] => Subject::Peer {
                node: node_of(node)?,
                standing: standing_of(standing)?,
            },
            ["client", principal, role, area] => Subject::Client {
                principal: principal_of(principal)?,
                role: role_of(role, area)?,
            },
            ["operator", principal] => Subject::Operator {
                principal: principal_of(principal)?,
            },
            _ => return Err(IdentityFault::Form),
        };
        Ok(Self { cluster, subject })
    }

    /// The identity among the URIs of a certificate, which must hold exactly one. URIs of other schemes are passed over.
    ///
    /// # Errors
    /// [`IdentityFault::Missing`], [`IdentityFault::Several`], or what [`Identity::parse`] finds.
    pub fn of_uris<'a>(uris: impl IntoIterator<Item = &'a str>) -> Result<Self, IdentityFault> {
        let is_ours = |uri: &&str| {
            uri.get(..SCHEME.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(SCHEME))
        };
        let ours: Vec<&str> = uris.into_iter().filter(is_ours).collect();
        match ours.as_slice() {
            [] => Err(IdentityFault::Missing),
            [only] => Self::parse(only),
            several => Err(IdentityFault::Several(several.len())),
        }
    }

    /// The authority that must have signed a certificate with this identity.
    #[must_use]
    pub fn authority(&self) -> Authority {
        match self.subject {
            Subject::Peer { .. } => Authority::Peers,
            Subject::Client { .. } => Authority::Clients,
            Subject::Operator { .. } => Authority::Operators,
        }
    }

    /// Name and role of the person or office behind it. `None` for a node.
    #[must_use]
    pub fn principal_and_role(&self) -> Option<(&Principal, Role)> {
        match &self.subject {
            Subject::Peer { .. } => None,
            Subject::Client { principal, role } => Some((principal, *role)),
            Subject::Operator { principal } => Some((principal, Role::Operator)),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/", self.cluster)?;
        match &self.subject {
            Subject::Peer { node, standing } => {
                write!(f, "peer/{}/{}", node.get(), standing.as_str())
            }
            Subject::Client { principal, role } => {
                let (role, area) = crate::person::role_to_wire(role);
                let area = if area.is_empty() { "-" } else { area };
                write!(f, "client/{}/{role}/{area}", principal.as_str())
            }
            Subject::Operator { principal } => write!(f, "operator/{}", principal.as_str()),
        }
    }
}

fn node_of(text: &str) -> Result<NodeId, IdentityFault> {
    let shortest = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    match text.parse::<u64>() {
        Ok(number) if shortest => Ok(NodeId(number)),
        _ => Err(IdentityFault::Node),
    }
}

fn standing_of(text: &str) -> Result<Standing, IdentityFault> {
    match text {
        "voter" => Ok(Standing::Voter),
        "learner" => Ok(Standing::Learner),
        _ => Err(IdentityFault::Standing),
    }
}

/// A principal of characters that a URI writes in one way only.
fn principal_of(text: &str) -> Result<Principal, IdentityFault> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'@' | b'.' | b'-' | b'_');
    if !text.bytes().all(plain) {
        return Err(IdentityFault::Principal(String::from(
            "only letters, digits and @ . - _ are allowed",
        )));
    }
    Principal::new(text).map_err(|fault| IdentityFault::Principal(fault.to_string()))
}

fn role_of(role: &str, area: &str) -> Result<Role, IdentityFault> {
    match (role, area) {
        ("registrar", area) => {
            let area =
                AreaCode::parse(area).map_err(|fault| IdentityFault::Area(fault.to_string()))?;
            Ok(Role::Registrar { area })
        }
        ("centre", "-") => Ok(Role::Centre),
        ("centre", _) => Err(IdentityFault::Area(String::from(
            "the centre has no area, write -",
        ))),
        _ => Err(IdentityFault::Role),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_identity_has_one_spelling() {
        for uri in [
            "banyan://banyan-local/peer/6/learner",
            "banyan://banyan-local/peer/1/voter",
            "banyan://banyan-local/client/registrar@nghe-an/registrar/40",
            "banyan://banyan-local/client/registrar@vinh/registrar/16663",
            "banyan://banyan-local/client/centre@central/centre/-",
            "banyan://banyan-local/operator/operator@central",
        ] {
            assert_eq!(Identity::parse(uri).unwrap().to_string(), uri);
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for (uri, fault) in [
            ("Banyan://c/operator/a@b", IdentityFault::Scheme),
            ("https://c/operator/a@b", IdentityFault::Scheme),
            ("banyan://c", IdentityFault::Form),
            ("banyan:///operator/a@b", IdentityFault::Cluster),
            ("banyan://C/operator/a@b", IdentityFault::Cluster),
            ("banyan://c-/operator/a@b", IdentityFault::Cluster),
            ("banyan://c/operator/a@b/", IdentityFault::Form),
            ("banyan://c/operator", IdentityFault::Form),
            ("banyan://c/peer/06/voter", IdentityFault::Node),
            ("banyan://c/peer/0/voter", IdentityFault::Node),
            ("banyan://c/peer/+6/voter", IdentityFault::Node),
            (
                "banyan://c/peer/99999999999999999999/voter",
                IdentityFault::Node,
            ),
            ("banyan://c/peer/6/leader", IdentityFault::Standing),
            ("banyan://c/peer/6/voter?x=1", IdentityFault::Standing),
            ("banyan://c/client/a@b/operator/-", IdentityFault::Role),
            ("banyan://c/client/a@b/registrar", IdentityFault::Form),
        ] {
            assert_eq!(Identity::parse(uri), Err(fault), "{uri}");
        }
        assert!(matches!(
            Identity::parse("banyan://c/client/a@b/registrar/-"),
            Err(IdentityFault::Area(_))
        ));
        assert!(matches!(
            Identity::parse("banyan://c/client/a@b/centre/40"),
            Err(IdentityFault::Area(_))
        ));
        assert!(matches!(
            Identity::parse("banyan://c/operator/a%40b"),
            Err(IdentityFault::Principal(_))
        ));
        assert!(matches!(
            Identity::parse("banyan://c/operator/"),
            Err(IdentityFault::Principal(_))
        ));
    }

    #[test]
    fn a_certificate_carries_exactly_one_identity() {
        let peer = "banyan://c/peer/6/learner";
        let found = Identity::of_uris(["spiffe://other/x", peer]).unwrap();
        assert_eq!(found.authority(), Authority::Peers);
        assert_eq!(
            Identity::of_uris(["spiffe://other/x"]),
            Err(IdentityFault::Missing)
        );
        let two = [peer, "BANYAN://c/operator/a@b"];
        assert_eq!(Identity::of_uris(two), Err(IdentityFault::Several(2)));
    }
}
