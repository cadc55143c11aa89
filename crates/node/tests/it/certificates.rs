//! Certificates for tests: authorities of each kind, good leaves and bad ones.

use std::fs;
use std::path::Path;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};
use tonic::transport::Identity;

pub(crate) const CLUSTER: &str = "banyan-test";

type Authority = CertifiedIssuer<'static, KeyPair>;

/// The authorities of a test cluster.
pub(crate) struct Pki {
    peer: Authority,
    server: Authority,
    client: Authority,
    operator: Authority,
    /// An authority that nobody trusts.
    stranger: Authority,
}

/// Who signs a client certificate.
#[derive(Clone, Copy)]
pub(crate) enum Signer {
    Client,
    Operator,
    Peer,
    Stranger,
}

/// A client certificate to make.
pub(crate) struct Leaf {
    pub(crate) uris: Vec<String>,
    pub(crate) signer: Signer,
    pub(crate) valid: (Duration, Duration),
}

impl Leaf {
    pub(crate) fn new(uris: &[&str], signer: Signer) -> Self {
        let uris = uris.iter().map(|uri| (*uri).to_owned()).collect();
        Self {
            uris,
            signer,
            valid: (Duration::minutes(-10), Duration::days(1)),
        }
    }

    pub(crate) fn expired(mut self) -> Self {
        self.valid = (Duration::days(-2), Duration::days(-1));
        self
    }
}

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn uri(text: &str) -> SanType {
    SanType::URI(Ia5String::try_from(text.to_owned()).unwrap())
}

fn sign(
    authority: &Authority,
    names: Vec<SanType>,
    usages: &[ExtendedKeyUsagePurpose],
    valid: (Duration, Duration),
) -> (String, String) {
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "leaf");
    params.subject_alt_names = names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = usages.to_vec();
    params.not_before = now + valid.0;
    params.not_after = now + valid.1;
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

impl Pki {
    pub(crate) fn new() -> Self {
        Self {
            peer: authority("test peers"),
            server: authority("test servers"),
            client: authority("test clients"),
            operator: authority("test operators"),
            stranger: authority("test strangers"),
        }
    }

    /// Writes what `[tls] dir` of a node holds.
    pub(crate) fn write_node(&self, folder: &Path, id: u64, name: &str, role: &str) {
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        let valid = (Duration::minutes(-10), Duration::days(1));
        let host = || {
            vec![
                SanType::IpAddress([127, 0, 0, 1].into()),
                SanType::DnsName(Ia5String::try_from(name.to_owned()).unwrap()),
            ]
        };
        fs::create_dir_all(folder).unwrap();
        let mut peer_names = host();
        peer_names.push(uri(&format!("banyan://{CLUSTER}/peer/{id}/{role}")));
        let (peer, peer_key) = sign(&self.peer, peer_names, &[ServerAuth, ClientAuth], valid);
        let (server, server_key) = sign(&self.server, host(), &[ServerAuth], valid);
        for (file, content) in [
            ("peer.pem", peer),
            ("peer.key", peer_key),
            ("server.pem", server),
            ("server.key", server_key),
            ("peer-ca.pem", self.peer.pem()),
            ("client-ca.pem", self.client.pem()),
            ("operator-ca.pem", self.operator.pem()),
        ] {
            fs::write(folder.join(file), content).unwrap();
        }
    }

    pub(crate) fn server_ca(&self) -> String {
        self.server.pem()
    }

    pub(crate) fn leaf(&self, leaf: &Leaf) -> (String, String) {
        let signer = match leaf.signer {
            Signer::Client => &self.client,
            Signer::Operator => &self.operator,
            Signer::Peer => &self.peer,
            Signer::Stranger => &self.stranger,
        };
        let names = leaf.uris.iter().map(|text| uri(text)).collect();
        sign(
            signer,
            names,
            &[ExtendedKeyUsagePurpose::ClientAuth],
            leaf.valid,
        )
    }

    pub(crate) fn identity(&self, leaf: &Leaf) -> Identity {
        let (certificate, key) = self.leaf(leaf);
        Identity::from_pem(certificate, key)
    }

    pub(crate) fn registrar(&self, principal: &str, area: &str) -> Identity {
        let uri = format!("banyan://{CLUSTER}/client/{principal}/registrar/{area}");
        self.identity(&Leaf::new(&[&uri], Signer::Client))
    }

    pub(crate) fn centre(&self) -> Identity {
        let uri = format!("banyan://{CLUSTER}/client/centre@central/centre/-");
        self.identity(&Leaf::new(&[&uri], Signer::Client))
    }

    pub(crate) fn operator(&self) -> Identity {
        let uri = format!("banyan://{CLUSTER}/operator/operator@central");
        self.identity(&Leaf::new(&[&uri], Signer::Operator))
    }
}
