//! One development authority for the systems beside Banyan: a certificate for each member and for each user.
//!
//! Banyan brings the infrastructure of its drills, which has the same kind of keys: ECDSA P-256.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use time::{Duration, OffsetDateTime};

/// The authority, with its certificate on disk.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    /// Makes an authority in a folder of its own, which all users may enter; keys are for their owners only.
    ///
    /// # Errors
    /// That a file cannot be written.
    pub(crate) fn create(folder: &Path) -> anyhow::Result<Authority> {
        fs::create_dir_all(folder)?;
        let mut params = params("banyan-bench authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let issuer = CertifiedIssuer::self_signed(params, key)?;
        let authority = Authority {
            issuer,
            folder: folder.to_owned(),
        };
        write(&authority.certificate(), &authority.issuer.pem(), 0o644)?;
        Ok(authority)
    }

    /// Its certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A certificate for `name` at 127.0.0.1, for both sides of a connection. The common name is the user of PostgreSQL.
    ///
    /// # Errors
    /// That a file cannot be written.
    pub(crate) fn issue(&self, name: &str) -> anyhow::Result<Pair> {
        let mut params = params(name);
        params.subject_alt_names = vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // etcd's members call themselves with the certificate that they serve with.
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let pair = Pair {
            certificate: self.folder.join(format!("{name}.pem")),
            key: self.folder.join(format!("{name}.key")),
        };
        write(&pair.certificate, &certificate.pem(), 0o644)?;
        write(&pair.key, &key.serialize_pem(), 0o600)?;
        Ok(pair)
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::minutes(10);
    params.not_after = now + Duration::days(2);
    params
}

fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .with_context(|| format!("cannot write {}", path.display()))
}
