//! TLS between peers: version 1.3 only, one authority that signs peers and nothing else, checked on both sides.

use std::{fmt, sync::Arc};

use banyan_wire::identity::{Identity, Subject};
use rustls::{
    RootCertStore, ServerConfig,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tonic::transport::ClientTlsConfig;
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
    /// The node's key cannot be read, or does not fit its certificate.
    #[error("the peer certificate and its key cannot be used: {0}")]
    OwnKey(String),
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

/// The server's side: TLS 1.3, and peers must show a certificate of the peers' authority.
///
/// # Errors
/// [`TlsError`] when authority, certificate and key do not make a configuration.
pub(crate) fn server_config(tls: &PeerTls) -> Result<Arc<ServerConfig>, TlsError> {
    let own_key = |error: &dyn fmt::Display| TlsError::OwnKey(error.to_string());
    let provider = provider();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots(tls)?.into(), Arc::clone(&provider))
            .build()
            .map_err(|error| TlsError::Authority(error.to_string()))?;
    let chain = CertificateDer::pem_slice_iter(&tls.certificate_pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| own_key(&error))?;
    let key = PrivateKeyDer::from_pem_slice(&tls.key_pem).map_err(|error| own_key(&error))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| own_key(&error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| own_key(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()))
}

/// The peers' authority, and nothing else.
fn roots(tls: &PeerTls) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&tls.authority_pem) {
        let certificate = certificate.map_err(|error| TlsError::Authority(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| TlsError::Authority(error.to_string()))?;
    }
    Ok(roots)
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
        let chain = WebPkiServerVerifier::builder_with_provider(roots(tls)?.into(), provider())
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
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // The transport offers 1.2 as well, and cannot be told not to.
        Err(rustls::Error::General(
            "peers speak TLS 1.3 only".to_owned(),
        ))
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

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
    use rustls::{ClientConfig, ClientConnection, ServerConnection, SupportedProtocolVersion};

    use super::*;

    /// Certificates of node 2, which is at 127.0.0.1.
    fn node_2() -> PeerTls {
        let authority_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params
            .subject_alt_names
            .push(SanType::URI("banyan://c/peer/2/voter".try_into().unwrap()));
        PeerTls {
            authority_pem: authority_pem.into_bytes(),
            certificate_pem: params.signed_by(&key, &issuer).unwrap().pem().into_bytes(),
            key_pem: key.serialize_pem().into_bytes(),
        }
    }

    fn chain_and_key(tls: &PeerTls) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_slice_iter(&tls.certificate_pem)
            .collect::<Result<_, _>>()
            .unwrap();
        (chain, PrivateKeyDer::from_pem_slice(&tls.key_pem).unwrap())
    }

    /// Shakes hands in memory; the error of whichever side refuses.
    fn shake(client: ClientConfig, server: Arc<ServerConfig>) -> Result<(), rustls::Error> {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
        let mut server = ServerConnection::new(server).unwrap();
        for _ in 0..10 {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            server.read_tls(&mut &bytes[..]).unwrap();
            server.process_new_packets()?;
            let mut bytes = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut bytes).unwrap();
            }
            client.read_tls(&mut &bytes[..]).unwrap();
            client.process_new_packets()?;
        }
        assert!(!client.is_handshaking() && !server.is_handshaking());
        Ok(())
    }

    fn client(tls: &PeerTls, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let (chain, key) = chain_and_key(tls);
        ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(PeerVerifier::new(tls, "c", 2).unwrap()))
            .with_client_auth_cert(chain, key)
            .unwrap()
    }

    /// The server of another program: the right certificate, whatever version is asked of it.
    fn lax_server(
        tls: &PeerTls,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ServerConfig> {
        let (chain, key) = chain_and_key(tls);
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Arc::new(config)
    }

    const V12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
    const V13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

    #[test]
    fn the_peer_port_speaks_tls_1_3_only() {
        let tls = node_2();
        let server = || server_config(&tls).unwrap();
        shake(client(&tls, V13), server()).unwrap();
        shake(client(&tls, rustls::ALL_VERSIONS), server()).unwrap();
        let mut client = client(&tls, V12);
        client.alpn_protocols = vec![b"h2".to_vec()];
        let refused = shake(client, server()).unwrap_err();
        assert!(
            matches!(refused, rustls::Error::PeerIncompatible(_)),
            "{refused}"
        );
    }

    #[test]
    fn a_peer_that_answers_in_tls_1_2_is_not_spoken_to() {
        let tls = node_2();
        let all = rustls::ALL_VERSIONS;
        shake(client(&tls, all), lax_server(&tls, V13)).unwrap();
        let refused = shake(client(&tls, all), lax_server(&tls, V12)).unwrap_err();
        assert!(refused.to_string().contains("TLS 1.3"), "{refused}");
    }
}
