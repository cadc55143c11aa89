//! TLS between peers: one authority that signs peers and nothing else, checked on both sides.

use std::{fmt, sync::Arc};

use banyan_wire::identity::{Identity, Subject};
use rustls::{
    RootCertStore,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use tonic::transport::{Certificate, ClientTlsConfig, ServerTlsConfig};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// A node's certificate, its key, and the authority of peers. All PEM.
#[derive(Clone)]
pub struct PeerTls {
    /// Certificates of the peers' authority. Nothing else is trusted, and this authority is trusted for nothing else.
    pub authority_pem: Vec<u8>,
    /// This node's certificate, with intermediates if there are any.
    pub certificate_pem: Vec<u8>,
    /// This node's key.
    pub key_pem: Vec<u8>,
}

impl fmt::Debug for PeerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerTls")
    }
}

/// Certificates or keys that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file without a readable certificate.
    #[error("{what} holds no readable certificate")]
    NoCertificate {
        /// Which file.
        what: &'static str,
    },
    /// The authority cannot verify anything.
    #[error("the peers' authority cannot be used: {0}")]
    Authority(String),
    /// The certificate carries no identity, several, or one that does not parse.
    #[error("the certificate names no identity of the registry: {0}")]
    Identity(String),
    /// The certificate names another cluster, another node, or no peer.
    #[error(
        "this node's certificate is for {found}, not for a peer of node {node} in cluster {cluster}"
    )]
    NotThisNode {
        /// What the certificate says.
        found: String,
        /// The node's id.
        node: u64,
        /// The cluster's name.
        cluster: String,
    },
    /// tonic refuses the configuration.
    #[error("TLS configuration refused")]
    Transport(#[source] tonic::transport::Error),
}

/// The one identity that a certificate carries, from its URI subject alternative names.
///
/// # Errors
/// When the certificate does not parse, or carries no `banyan:` URI, or more than one.
pub fn identity_of_certificate(certificate: &[u8]) -> Result<Identity, TlsError> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| TlsError::Identity(format!("not X.509: {error}")))?;
    let names = parsed
        .subject_alternative_name()
        .map_err(|error| TlsError::Identity(error.to_string()))?
        .ok_or_else(|| TlsError::Identity("no subject alternative name".to_owned()))?;
    let uris = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
    Identity::of_uris(uris).map_err(|error| TlsError::Identity(error.to_string()))
}

/// Checks that the node's own certificate says what the configuration says, before anything is started with it.
pub(crate) fn check_own(tls: &PeerTls, cluster: &str, node: u64) -> Result<(), TlsError> {
    let what = "peer certificate";
    let first = CertificateDer::pem_slice_iter(&tls.certificate_pem)
        .next()
        .and_then(Result::ok)
        .ok_or(TlsError::NoCertificate { what })?;
    let identity = identity_of_certificate(&first)?;
    if is_peer(&identity, cluster, node) {
        return Ok(());
    }
    Err(TlsError::NotThisNode {
        found: identity.to_string(),
        node,
        cluster: cluster.to_owned(),
    })
}

fn is_peer(identity: &Identity, cluster: &str, node: u64) -> bool {
    identity.cluster.as_str() == cluster
        && matches!(&identity.subject, Subject::Peer { node: id, .. } if id.get() == node)
}

/// The server's side: peers must show a certificate of the peers' authority.
pub(crate) fn server_config(tls: &PeerTls) -> ServerTlsConfig {
    ServerTlsConfig::new()
        .identity(tonic::transport::Identity::from_pem(
            &tls.certificate_pem,
            &tls.key_pem,
        ))
        .client_ca_root(Certificate::from_pem(&tls.authority_pem))
        .timeout(std::time::Duration::from_secs(5))
}

/// The client's side; the verifier is set for each target.
pub(crate) fn client_config(tls: &PeerTls, host: &str) -> ClientTlsConfig {
    ClientTlsConfig::new()
        .identity(tonic::transport::Identity::from_pem(
            &tls.certificate_pem,
            &tls.key_pem,
        ))
        .domain_name(host)
        .timeout(std::time::Duration::from_secs(5))
}

/// Verifies the chain and the host name as rustls does, then that the certificate names the node that was meant. A peer
/// that answers at another's address (a swapped port, a stale topology) must not be taken for it: its votes and
/// acknowledgements would be counted as the other's.
#[derive(Debug)]
pub(crate) struct PeerVerifier {
    chain: Arc<WebPkiServerVerifier>,
    cluster: String,
    node: u64,
}

impl PeerVerifier {
    pub(crate) fn new(tls: &PeerTls, cluster: &str, node: u64) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&tls.authority_pem) {
            let certificate =
                certificate.map_err(|error| TlsError::Authority(error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| TlsError::Authority(error.to_string()))?;
        }
        let provider = CryptoProvider::get_default()
            .cloned()
            .unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| TlsError::Authority(error.to_string()))?;
        Ok(Self {
            chain,
            cluster: cluster.to_owned(),
            node,
        })
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.chain.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        let identity = identity_of_certificate(end_entity)
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        if is_peer(&identity, &self.cluster, self.node) {
            return Ok(verified);
        }
        Err(rustls::Error::General(format!(
            "reached {identity}, not node {} of cluster {}",
            self.node, self.cluster
        )))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
