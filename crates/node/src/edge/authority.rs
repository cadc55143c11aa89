//! Who stands behind a certificate: which authority signed it, and which identity it carries.
//!
//! The TLS layer has already checked the chain and the validity. Here the rule is stricter: the certificate must be signed
//! by a root of ours directly, carry exactly one `banyan://` URI, name this cluster, and be of a kind that its authority
//! may issue. An operator's URI under the clients' authority is refused, and the other way round.

use std::sync::Arc;

use banyan_domain::{Actor, NodeId};
use banyan_wire::identity::{Authority, Identity};
use bytes::Bytes;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Why a certificate that TLS accepted is not accepted here. Holds nothing of the certificate but its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityFault {
    /// No certificate was shown.
    #[error("no client certificate was shown")]
    Missing,
    /// The certificate could not be parsed.
    #[error("the certificate cannot be parsed")]
    Malformed,
    /// Neither authority signed it directly.
    #[error("the certificate is not signed directly by the clients' or the operators' authority")]
    UnknownAuthority,
    /// There is no `banyan://` URI, or more than one, or one that does not parse.
    #[error("the certificate does not carry exactly one well-formed banyan:// identity")]
    NoIdentity,
    /// The identity names another cluster.
    #[error("the identity belongs to another cluster")]
    OtherCluster,
    /// A forwarded certificate is not valid now, or not for clients.
    #[error("the certificate is not valid now, or not for clients")]
    NotValid,
    /// The authority that signed it may not issue this kind of identity.
    #[error("the authority that signed the certificate may not issue this kind of identity")]
    WrongAuthority,
}

impl IdentityFault {
    /// A word for metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing => "no_certificate",
            Self::Malformed => "malformed",
            Self::UnknownAuthority => "unknown_authority",
            Self::NoIdentity => "no_identity",
            Self::OtherCluster => "other_cluster",
            Self::NotValid => "not_valid",
            Self::WrongAuthority => "wrong_authority",
        }
    }
}

/// Who is behind a connection, and until when that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// Who acts: name and role from the certificate, admitted by this node.
    pub actor: Actor,
    /// Seconds since 1970-01-01 UTC after which the certificate is not valid. A connection may outlive it.
    pub not_after: i64,
    /// The certificate, DER: what a node shows the leader for a call that it forwards.
    pub certificate: Bytes,
}

/// The roots of the client edge, the cluster that identities must name, and the node that admits them.
#[derive(Debug)]
pub struct Authorities {
    cluster: String,
    node: NodeId,
    client_roots: Vec<CertificateDer<'static>>,
    operator_roots: Vec<CertificateDer<'static>>,
}

impl Authorities {
    /// Roots as read by [`super::tls`]; each list holds at least one.
    #[must_use]
    pub fn new(
        cluster: String,
        node: NodeId,
        client_roots: Vec<CertificateDer<'static>>,
        operator_roots: Vec<CertificateDer<'static>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            node,
            client_roots,
            operator_roots,
        })
    }

    /// The identity behind the leaf certificate of a connection. Costs one or two signature checks: once for a connection.
    ///
    /// # Errors
    /// [`IdentityFault`]; the connection then may ask for nothing that needs an identity.
    pub fn authenticate(
        &self,
        chain: Option<&[CertificateDer<'_>]>,
    ) -> Result<Authenticated, IdentityFault> {
        let leaf = chain.and_then(<[_]>::first).ok_or(IdentityFault::Missing)?;
        let leaf = Bytes::copy_from_slice(leaf);
        self.identify(leaf, self.node, |_| Ok(()))
    }

    /// The identity behind a certificate that another node says that its caller has shown. That node's TLS has seen the proof that the caller
    /// holds the key; everything else is checked here once more. `now` is in seconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// As [`Authorities::authenticate`], and [`IdentityFault::NotValid`].
    pub fn authenticate_forwarded(
        &self,
        certificate: &Bytes,
        admitted_by: NodeId,
        now: i64,
    ) -> Result<Authenticated, IdentityFault> {
        if certificate.is_empty() {
            return Err(IdentityFault::Missing);
        }
        self.identify(certificate.clone(), admitted_by, |certificate| {
            let validity = certificate.validity();
            let in_time =
                (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now);
            // What TLS asks of a client's certificate: where uses are named, this is one of them.
            let for_clients = certificate
                .extended_key_usage()
                .map_err(|_| IdentityFault::Malformed)?
                .is_none_or(|usage| usage.value.client_auth);
            if in_time && for_clients {
                Ok(())
            } else {
                Err(IdentityFault::NotValid)
            }
        })
    }

    fn identify(
        &self,
        leaf: Bytes,
        admitted_by: NodeId,
        check: impl FnOnce(&X509Certificate<'_>) -> Result<(), IdentityFault>,
    ) -> Result<Authenticated, IdentityFault> {
        let (_, certificate) =
            X509Certificate::from_der(&leaf).map_err(|_| IdentityFault::Malformed)?;
        check(&certificate)?;
        let authority = self.signer(&certificate)?;
        let identity = banyan_identity(&certificate)?;
        if identity.cluster.as_str() != self.cluster {
            return Err(IdentityFault::OtherCluster);
        }
        if identity.authority() != authority {
            return Err(IdentityFault::WrongAuthority);
        }
        // A peer's authority is not among the roots, so that every identity here has a principal.
        let (principal, role) = identity
            .principal_and_role()
            .ok_or(IdentityFault::WrongAuthority)?;
        let actor = Actor {
            principal: principal.clone(),
            role,
            admitted_by,
        };
        let not_after = certificate.validity().not_after.timestamp();
        Ok(Authenticated {
            actor,
            not_after,
            certificate: leaf,
        })
    }

    fn signer(&self, leaf: &X509Certificate<'_>) -> Result<Authority, IdentityFault> {
        if self.operator_roots.iter().any(|root| signed_by(leaf, root)) {
            return Ok(Authority::Operators);
        }
        if self.client_roots.iter().any(|root| signed_by(leaf, root)) {
            return Ok(Authority::Clients);
        }
        Err(IdentityFault::UnknownAuthority)
    }
}

fn signed_by(leaf: &X509Certificate<'_>, root: &CertificateDer<'_>) -> bool {
    let Ok((_, root)) = X509Certificate::from_der(root) else {
        return false;
    };
    leaf.issuer() == root.subject() && leaf.verify_signature(Some(root.public_key())).is_ok()
}

/// The one `banyan://` URI among the subject's alternative names.
fn banyan_identity(certificate: &X509Certificate<'_>) -> Result<Identity, IdentityFault> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| IdentityFault::Malformed)?
        .ok_or(IdentityFault::NoIdentity)?;
    let uris = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
    Identity::of_uris(uris).map_err(|_| IdentityFault::NoIdentity)
}
