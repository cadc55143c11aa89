//! A development public key infrastructure: four authorities, a certificate for each node, client and operator.
//!
//! Separate authorities are the point: what the client authority signs can never pass for a peer or an operator, whatever it says of itself.
//! Servers have an authority of their own, so that a client which trusts servers does not thereby trust peers.
//! Production brings its own certificates; the layout below is the contract.
//!
//! ```text
//! peer-ca.{pem,key}  client-ca.{pem,key}  operator-ca.{pem,key}  server-ca.{pem,key}
//! nodes/<node>/  peer.{pem,key} server.{pem,key} peer-ca.pem client-ca.pem operator-ca.pem server-ca.pem
//! clients/<principal>.{pem,key}
//! contexts.toml
//! ```

#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use banyan_topology::{Node, Topology};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use time::{Duration, OffsetDateTime};

use crate::identities;

/// Days that development certificates are valid unless told otherwise.
pub const VALID_DAYS: u32 = 365;
/// Certificates are valid from a little in the past, so that a clock that is behind accepts them.
const BACKDATED: Duration = Duration::minutes(10);

/// Permissions of a directory with keys.
const DIRECTORY_MODE: u32 = 0o700;

/// What to make.
#[derive(Debug)]
pub struct Options<'a> {
    /// For [`create`]: made if missing, must hold nothing. For [`add_node`]: what [`create`] has made.
    pub directory: &'a Path,
    pub topology: &'a Topology,
    /// Validity of every certificate, from now; 1 to 3650.
    pub valid_days: u32,
}

impl Options<'_> {
    fn check(&self) -> Result<(), PkiError> {
        if (1..=3650).contains(&self.valid_days) {
            return Ok(());
        }
        Err(PkiError::Validity {
            days: self.valid_days,
        })
    }
}

/// What was made.
#[derive(Debug, Clone)]
pub struct Made {
    pub directory: PathBuf,
    pub contexts: PathBuf,
    pub nodes: usize,
    pub principals: Vec<String>,
}

/// Why it was not made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error(
        "{path} exists and is not empty: keys are never overwritten; choose another directory or remove it"
    )]
    NotEmpty { path: PathBuf },
    #[error(
        "{path} exists: keys are never overwritten; remove it for new ones, or give the node another name"
    )]
    NodeExists { path: PathBuf },
    #[error("the topology names no node {name}; it has {known}")]
    NoNode { name: String, known: String },
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("a validity of {days} days is outside 1 to 3650")]
    Validity { days: u32 },
    #[error("cannot write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot make the certificate of {subject}")]
    Certificate {
        subject: String,
        #[source]
        source: rcgen::Error,
    },
}

/// The directory that a node's `[tls] dir` names.
pub fn node_directory(pki: &Path, node: &str) -> PathBuf {
    pki.join("nodes").join(node)
}

/// The file that tells the command line whom it may act as.
pub fn contexts_file(pki: &Path) -> PathBuf {
    pki.join("contexts.toml")
}

/// Makes all authorities, certificates and contexts of a topology.
///
/// # Errors
/// [`PkiError`]; a directory that holds anything is refused before anything is written.
pub fn create(options: &Options<'_>) -> Result<Made, PkiError> {
    options.check()?;
    let directory = options.directory;
    refuse_if_used(directory)?;
    make_directory(directory)?;
    make_directory(&directory.join("nodes"))?;
    make_directory(&directory.join("clients"))?;

    let maker = Maker {
        topology: options.topology,
        validity: Validity::days(options.valid_days),
    };
    let authorities = Authorities {
        peer: maker.authority("peer")?,
        client: maker.authority("client")?,
        operator: maker.authority("operator")?,
        server: maker.authority("server")?,
    };
    for (name, authority) in authorities.each() {
        write_pair(
            directory,
            &format!("{name}-ca"),
            &authority.pem,
            authority.issuer.key(),
        )?;
    }
    for node in options.topology.nodes() {
        maker.write_node(directory, &authorities, node)?;
    }
    let principals = identities::principals(options.topology);
    for principal in &principals {
        maker.write_client(directory, &authorities, principal)?;
    }
    let contexts = contexts_file(directory);
    let text = identities::render_contexts(options.topology, &principals, "");
    write_file(&contexts, text.as_bytes(), 0o644)?;
    Ok(Made {
        directory: directory.to_owned(),
        contexts,
        nodes: options.topology.nodes().len(),
        principals: principals
            .into_iter()
            .map(|principal| principal.name)
            .collect(),
    })
}

/// Makes the certificates of one more node, by the authorities that [`create`] made in the directory; returned is the node's folder.
///
/// # Errors
/// [`PkiError`]; a node that has a folder already is refused before anything is written.
pub fn add_node(options: &Options<'_>, name: &str) -> Result<PathBuf, PkiError> {
    let (node, folder, authorities) = to_be_added(options, name)?;
    let maker = Maker {
        topology: options.topology,
        validity: Validity::days(options.valid_days),
    };
    // Of two who do this at once one fails here, and removes nothing of the other's.
    let made = fs::DirBuilder::new().mode(DIRECTORY_MODE).create(&folder);
    made.map_err(|source| PkiError::Write {
        path: folder.clone(),
        source,
    })?;
    if let Err(error) = maker.write_node(options.directory, &authorities, node) {
        // Half a folder would refuse the next try.
        let _ = fs::remove_dir_all(&folder);
        return Err(error);
    }
    Ok(folder)
}

/// The node's folder as [`add_node`] would make it, and makes nothing.
///
/// # Errors
/// As [`add_node`].
pub fn check_add_node(options: &Options<'_>, name: &str) -> Result<PathBuf, PkiError> {
    to_be_added(options, name).map(|(_, folder, _)| folder)
}

fn to_be_added<'a>(
    options: &Options<'a>,
    name: &str,
) -> Result<(&'a Node, PathBuf, Authorities), PkiError> {
    options.check()?;
    let Options {
        directory,
        topology,
        ..
    } = *options;
    let node = topology.node(name).ok_or_else(|| {
        let known: Vec<&str> = topology.nodes().iter().map(Node::name).collect();
        PkiError::NoNode {
            name: name.to_owned(),
            known: known.join(", "),
        }
    })?;
    let folder = node_directory(directory, name);
    if folder.exists() {
        return Err(PkiError::NodeExists { path: folder });
    }
    let authorities = Authorities {
        peer: Authority::read(directory, "peer")?,
        client: Authority::read(directory, "client")?,
        operator: Authority::read(directory, "operator")?,
        server: Authority::read(directory, "server")?,
    };
    Ok((node, folder, authorities))
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn read(directory: &Path, name: &str) -> Result<Authority, PkiError> {
        let text = |ends: &str| {
            let path = directory.join(format!("{name}-ca.{ends}"));
            fs::read_to_string(&path).map_err(|source| PkiError::Read { path, source })
        };
        let (pem, key) = (text("pem")?, text("key")?);
        let issuer = KeyPair::from_pem(&key).and_then(|key| Issuer::from_ca_cert_pem(&pem, key));
        let issuer = issuer.map_err(|source| PkiError::Certificate {
            subject: format!("the {name} authority"),
            source,
        })?;
        Ok(Authority { pem, issuer })
    }
}

struct Authorities {
    peer: Authority,
    client: Authority,
    operator: Authority,
    server: Authority,
}

impl Authorities {
    fn each(&self) -> [(&'static str, &Authority); 4] {
        [
            ("peer", &self.peer),
            ("client", &self.client),
            ("operator", &self.operator),
            ("server", &self.server),
        ]
    }
}

#[derive(Clone, Copy)]
struct Validity {
    from: OffsetDateTime,
    until: OffsetDateTime,
}

impl Validity {
    fn days(days: u32) -> Validity {
        let now = OffsetDateTime::now_utc();
        Validity {
            from: now - BACKDATED,
            until: now + Duration::days(i64::from(days)),
        }
    }
}

struct Maker<'a> {
    topology: &'a Topology,
    validity: Validity,
}

impl Maker<'_> {
    fn params(&self, common_name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        let mut subject = DistinguishedName::new();
        subject.push(
            DnType::OrganizationName,
            format!("Banyan {}", self.topology.cluster()),
        );
        subject.push(DnType::CommonName, common_name);
        params.distinguished_name = subject;
        params.not_before = self.validity.from;
        params.not_after = self.validity.until;
        params
    }

    fn authority(&self, name: &str) -> Result<Authority, PkiError> {
        let subject = format!("development {name} authority");
        let mut params = self.params(&subject);
        // No authority below this one.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let make = || {
            let key = generate_key()?;
            let pem = params.self_signed(&key)?.pem();
            let issuer = Issuer::new(params, key);
            Ok(Authority { pem, issuer })
        };
        make().map_err(|source| PkiError::Certificate { subject, source })
    }

    fn leaf(
        &self,
        subject: &str,
        names: Result<Vec<SanType>, rcgen::Error>,
        usages: &[ExtendedKeyUsagePurpose],
        authority: &Authority,
    ) -> Result<(String, KeyPair), PkiError> {
        let make = || {
            let mut params = self.params(subject);
            params.subject_alt_names = names?;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = usages.to_vec();
            params.use_authority_key_identifier_extension = true;
            let key = generate_key()?;
            let certificate = params.signed_by(&key, &authority.issuer)?;
            Ok((certificate.pem(), key))
        };
        make().map_err(|source| PkiError::Certificate {
            subject: subject.to_owned(),
            source,
        })
    }

    fn write_node(
        &self,
        directory: &Path,
        authorities: &Authorities,
        node: &Node,
    ) -> Result<(), PkiError> {
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        let folder = node_directory(directory, node.name());
        make_directory(&folder)?;

        let identity = identities::of_node(self.topology, node);
        let peer_names = host_names(node).and_then(|mut names| {
            names.push(uri(&identity)?);
            Ok(names)
        });
        let (peer, key) = self.leaf(
            node.name(),
            peer_names,
            &[ServerAuth, ClientAuth],
            &authorities.peer,
        )?;
        write_pair(&folder, "peer", &peer, &key)?;

        let (server, key) = self.leaf(
            node.name(),
            host_names(node),
            &[ServerAuth],
            &authorities.server,
        )?;
        write_pair(&folder, "server", &server, &key)?;
        for (name, authority) in authorities.each() {
            let path = folder.join(format!("{name}-ca.pem"));
            write_file(&path, authority.pem.as_bytes(), 0o644)?;
        }
        Ok(())
    }

    fn write_client(
        &self,
        directory: &Path,
        authorities: &Authorities,
        principal: &identities::Principal,
    ) -> Result<(), PkiError> {
        let authority = if principal.is_operator() {
            &authorities.operator
        } else {
            &authorities.client
        };
        let names = uri(&principal.uri(self.topology)).map(|name| vec![name]);
        let (pem, key) = self.leaf(
            &principal.name,
            names,
            &[ExtendedKeyUsagePurpose::ClientAuth],
            authority,
        )?;
        write_pair(&directory.join("clients"), &principal.name, &pem, &key)
    }
}

fn generate_key() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
}

fn uri(text: &str) -> Result<SanType, rcgen::Error> {
    Ok(SanType::URI(Ia5String::try_from(text.to_owned())?))
}

/// The names under which a node is called: its host, and its own name for those who map it.
fn host_names(node: &Node) -> Result<Vec<SanType>, rcgen::Error> {
    let host = match node.host().parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(Ia5String::try_from(node.host().to_owned())?),
    };
    Ok(vec![
        host,
        SanType::DnsName(Ia5String::try_from(node.name().to_owned())?),
    ])
}

fn refuse_if_used(directory: &Path) -> Result<(), PkiError> {
    match fs::read_dir(directory) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(PkiError::NotEmpty {
                path: directory.to_owned(),
            }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(PkiError::Write {
            path: directory.to_owned(),
            source,
        }),
    }
}

/// Makes a directory that only its owner may enter; one that is there already is made so.
fn make_directory(path: &Path) -> Result<(), PkiError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(DIRECTORY_MODE)))
        .map_err(|source| PkiError::Write {
            path: path.to_owned(),
            source,
        })
}

fn write_pair(folder: &Path, name: &str, pem: &str, key: &KeyPair) -> Result<(), PkiError> {
    write_file(&folder.join(format!("{name}.pem")), pem.as_bytes(), 0o644)?;
    write_file(
        &folder.join(format!("{name}.key")),
        key.serialize_pem().as_bytes(),
        0o600,
    )
}

/// Writes a file that must not exist yet, with its final permissions from the first byte.
fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), PkiError> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|source| PkiError::Write {
            path: path.to_owned(),
            source,
        })
}
