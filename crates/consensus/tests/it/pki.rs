//! A peers' authority for one test, with certificates for nodes on loopback addresses.

use std::net::{IpAddr, Ipv4Addr};

use banyan_consensus::{Member, PeerTls};
use banyan_domain::NodeId;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use tokio::net::TcpListener;

pub(crate) const CLUSTER: &str = "banyan-test";

/// Signs certificates of peers.
pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params
            .distinguished_name
            .push(DnType::CommonName, "test peers");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate with this identity, for servers and clients at these addresses.
    pub(crate) fn issue(&self, uri: &str, addresses: &[IpAddr]) -> PeerTls {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params
            .distinguished_name
            .push(DnType::CommonName, "test node");
        params.subject_alt_names = addresses
            .iter()
            .map(|address| SanType::IpAddress(*address))
            .collect();
        params
            .subject_alt_names
            .push(SanType::URI(uri.try_into().expect("a URI")));
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        PeerTls {
            authority_pem: self.pem.clone().into_bytes(),
            certificate_pem: certificate.pem().into_bytes(),
            key_pem: key.serialize_pem().into_bytes(),
        }
    }

    /// A peer of the test's cluster.
    pub(crate) fn peer(&self, node: u64, standing: &str, address: IpAddr) -> PeerTls {
        self.issue(
            &format!("banyan://{CLUSTER}/peer/{node}/{standing}"),
            &[address],
        )
    }
}

/// Where one voter listens for its peers, and how they know it.
pub(crate) async fn listening(node: NodeId) -> (TcpListener, Member) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a port");
    let member = Member {
        node,
        peer_endpoint: listener.local_addr().expect("an address").to_string(),
        voter: true,
        ..Member::default()
    };
    (listener, member)
}
