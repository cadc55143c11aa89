//! TLS of the client and the HTTP edge: version 1.3 only, roots and keys from the node's certificate folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use banyan_domain::NodeId;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::authority::Authorities;
use crate::config::TlsFiles;

/// Why the certificates of a node could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read or is not PEM.
    #[error("cannot read {what} from {path}")]
    Unreadable {
        /// Which part of the set.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the reader said.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// A file holds no certificate.
    #[error("{path} holds no certificate")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Roots, certificate and key do not make a TLS configuration.
    #[error("cannot set up TLS with {path}")]
    Refused {
        /// The certificate's file.
        path: PathBuf,
        /// What the TLS library said.
        #[source]
        source: rustls::Error,
    },
    /// The roots for client certificates were not accepted.
    #[error("cannot check client certificates against {path}")]
    Roots {
        /// The roots' file.
        path: PathBuf,
        /// What the TLS library said.
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
}

/// Whether a connection without a client certificate is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificate {
    /// The handshake fails without one.
    Required,
    /// The handshake succeeds; each route decides.
    Optional,
}

/// What the client and HTTP edges need of the certificate folder.
#[derive(Debug)]
pub struct EdgeTls {
    files: TlsFiles,
    client_roots: Vec<CertificateDer<'static>>,
    operator_roots: Vec<CertificateDer<'static>>,
}

impl EdgeTls {
    /// Reads the roots of clients and operators.
    ///
    /// # Errors
    /// [`TlsError`] when a file is missing, is not PEM or holds no certificate.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self {
            files: files.clone(),
            client_roots: read_certificates("the clients' authority", files.client_ca())?,
            operator_roots: read_certificates("the operators' authority", files.operator_ca())?,
        })
    }

    /// Who may be behind a certificate of these authorities, for actors that this node admits.
    #[must_use]
    pub fn authorities(&self, cluster: &str, node: NodeId) -> Arc<Authorities> {
        Authorities::new(
            cluster.to_owned(),
            node,
            self.client_roots.clone(),
            self.operator_roots.clone(),
        )
    }

    /// A server configuration: TLS 1.3, the node's server certificate, client certificates checked against both authorities.
    ///
    /// # Errors
    /// [`TlsError`] when certificate and key do not fit or the roots are not usable.
    pub fn server(
        &self,
        certificate: ClientCertificate,
        protocol: &[u8],
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        for (path, list) in [
            (self.files.client_ca(), &self.client_roots),
            (self.files.operator_ca(), &self.operator_roots),
        ] {
            for root in list {
                roots
                    .add(root.clone())
                    .map_err(|source| TlsError::Refused {
                        path: path.to_owned(),
                        source,
                    })?;
            }
        }
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let verifier = match certificate {
            ClientCertificate::Required => verifier,
            ClientCertificate::Optional => verifier.allow_unauthenticated(),
        }
        .build()
        .map_err(|source| TlsError::Roots {
            path: self.files.client_ca().to_owned(),
            source,
        })?;
        let refused = |source| TlsError::Refused {
            path: self.files.server_certificate().to_owned(),
            source,
        };
        let chain = read_certificates("the server certificate", self.files.server_certificate())?;
        let key = read_key(self.files.server_key())?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(refused)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(refused)?;
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Arc::new(config))
    }
}

fn read_certificates(
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |source| TlsError::Unreadable {
        what,
        path: path.to_owned(),
        source,
    };
    let list = CertificateDer::pem_file_iter(path)
        .map_err(unreadable)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    if list.is_empty() {
        return Err(TlsError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(list)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| TlsError::Unreadable {
        what: "the server key",
        path: path.to_owned(),
        source,
    })
}
