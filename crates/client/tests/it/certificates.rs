//! An authority made for one test, and certificates of it.

use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};

/// Signs nodes and clients alike; the tests need no finer distinction.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// The authority's certificate.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Certificate and key of a node on 127.0.0.1.
    pub(crate) fn node(&self) -> (String, String) {
        self.sign(CertificateParams::new(vec![String::from("127.0.0.1")]).unwrap())
    }

    /// Certificate and key of a registrar.
    pub(crate) fn client(&self) -> (String, String) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let uri = "banyan://test/client/registrar@nghe-an/registrar/40";
        params
            .subject_alt_names
            .push(SanType::URI(Ia5String::try_from(uri).unwrap()));
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}
