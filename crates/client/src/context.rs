//! Contexts: who the caller is and where the cluster listens, read from `contexts.toml`.
//!
//! ```toml
//! cluster = "banyan-local"                     # optional, the same for all contexts of the file
//!
//! [contexts."registrar@nghe-an"]
//! cert = "clients/registrar@nghe-an.pem"       # relative to this file
//! key = "clients/registrar@nghe-an.key"
//! ca = "server-ca.pem"
//! home = "nghe-an"                             # optional: an endpoint's name, or a site
//!
//! [contexts."registrar@nghe-an".endpoints]
//! central-1 = "https://127.0.1.1:7501"
//! nghe-an-1 = "https://127.0.4.1:7506"
//! ```
//!
//! `endpoints` may also be a plain list of URLs; an endpoint is then named by its URL, and the first one is the home's.
//! A site as `home` means the endpoints named `<site>-<number>`. Reads go to the home endpoints first.

mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::target::{Target, normal_url};
use file::{
    Entry, Faults, entry_of, holds_pem, home_of, not_pem, optional_text, pem_of, quoted, targets_of,
};

/// One thing that is wrong in a contexts file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextFault {
    /// Dotted path of the key, for instance `contexts."registrar@nghe-an".cert`.
    pub key: String,
    /// What is wrong with it. Never the content of a key file.
    pub message: String,
}

impl fmt::Display for ContextFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// Why a contexts file or a context in it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// The file cannot be read.
    #[error("cannot read contexts file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("contexts file {} is not valid TOML", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The file has no context of this name.
    #[error("contexts file {} has no context `{name}`; it has: {}", path.display(), known.join(", "))]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        name: String,
        /// The names that it has, sorted.
        known: Vec<String>,
    },
    /// Values are wrong; all of them are listed.
    #[error("contexts file {} has {} fault(s): {}", path.display(), faults.len(), joined(faults))]
    Faults {
        /// The file.
        path: PathBuf,
        /// Every fault found, in the order of the file's keys.
        faults: Vec<ContextFault>,
    },
}

/// One line with every fault.
fn joined(faults: &[ContextFault]) -> String {
    faults
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Who the caller is and where the cluster listens. `Debug` shows no key material.
#[derive(Clone)]
pub struct Context {
    name: String,
    cluster: Option<String>,
    certificate_pem: Vec<u8>,
    key_pem: Vec<u8>,
    authority_pem: Vec<u8>,
    targets: Vec<Target>,
    home: Vec<usize>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("name", &self.name)
            .field("cluster", &self.cluster)
            .field("targets", &self.targets)
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}

/// What a [`Context`] is made of when it does not come from a file, for instance in a test.
#[derive(Clone)]
pub struct ContextParts {
    /// Name of the context, for messages.
    pub name: String,
    /// Name of the cluster, where known.
    pub cluster: Option<String>,
    /// The caller's certificate chain, PEM.
    pub certificate_pem: Vec<u8>,
    /// The certificate's private key, PEM.
    pub key_pem: Vec<u8>,
    /// The authority that signed the nodes' server certificates, PEM.
    pub authority_pem: Vec<u8>,
    /// Name and `https` URL of each node; at least one.
    pub endpoints: Vec<(String, String)>,
    /// Endpoint or site that reads go to first.
    pub home: Option<String>,
}

impl fmt::Debug for ContextParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextParts")
            .field("name", &self.name)
            .field("cluster", &self.cluster)
            .field("endpoints", &self.endpoints)
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// A context from parts that are at hand.
    ///
    /// # Errors
    /// Every fault found: no endpoint, a URL that is not `https://host:port`, two endpoints of one name, material that is
    /// not PEM, a home that names no endpoint.
    pub fn new(parts: ContextParts) -> Result<Self, Vec<ContextFault>> {
        let mut faults = Faults::under("");
        for (key, pem) in [
            ("cert", &parts.certificate_pem),
            ("key", &parts.key_pem),
            ("ca", &parts.authority_pem),
        ] {
            if !holds_pem(pem, key) {
                faults.add(key, not_pem(key));
            }
        }
        let targets = targets_of(&parts.endpoints, &mut faults);
        let home = home_of(parts.home.as_deref(), &targets, false, &mut faults);
        faults.into_result()?;
        Ok(Self {
            name: parts.name,
            cluster: parts.cluster,
            certificate_pem: parts.certificate_pem,
            key_pem: parts.key_pem,
            authority_pem: parts.authority_pem,
            targets,
            home,
        })
    }

    /// Name of the context, for instance `registrar@nghe-an`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name of the cluster, where the file says it.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    /// The nodes, in the order of the file.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Places in [`Context::targets`] that reads go to first. Empty where no home is given.
    #[must_use]
    pub fn home(&self) -> &[usize] {
        &self.home
    }

    /// The target of this name or URL.
    #[must_use]
    pub fn target(&self, name_or_url: &str) -> Option<&Target> {
        let url = normal_url(name_or_url).ok();
        self.targets
            .iter()
            .find(|target| target.name == name_or_url || Some(&target.url) == url.as_ref())
    }

    pub(crate) fn certificate_pem(&self) -> &[u8] {
        &self.certificate_pem
    }

    pub(crate) fn key_pem(&self) -> &[u8] {
        &self.key_pem
    }

    pub(crate) fn authority_pem(&self) -> &[u8] {
        &self.authority_pem
    }
}

/// What a contexts file says, checked except for the files that it names.
#[derive(Debug, Clone)]
pub struct Contexts {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
}

impl Contexts {
    /// Reads and checks a contexts file. The files that it names are read by [`Contexts::context`].
    ///
    /// # Errors
    /// [`ContextError`], with all faults of all contexts at once.
    pub fn load(path: &Path) -> Result<Self, ContextError> {
        let text = std::fs::read_to_string(path).map_err(|source| ContextError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Checks the text of a contexts file. Relative paths in it start at the folder of `path`.
    ///
    /// # Errors
    /// [`ContextError::Syntax`] or [`ContextError::Faults`], with all faults of all contexts at once.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ContextError> {
        let table: Table = text.parse().map_err(|source| ContextError::Syntax {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut faults = Faults::under("");
        let cluster = optional_text(&table, "cluster", &mut faults);
        let mut entries = BTreeMap::new();
        for key in table
            .keys()
            .filter(|key| !matches!(key.as_str(), "cluster" | "contexts"))
        {
            faults.add(key, "unknown key; the file has `cluster` and `contexts`");
        }
        match table.get("contexts") {
            Some(Value::Table(contexts)) if !contexts.is_empty() => {
                for (name, value) in contexts {
                    let mut below = Faults::under(&format!("contexts.{}", quoted(name)));
                    if let Some(entry) = entry_of(value, folder, cluster.as_deref(), &mut below) {
                        entries.insert(name.clone(), entry);
                    }
                    faults.absorb(below);
                }
            }
            Some(Value::Table(_)) | None => faults.add("contexts", "the file holds no context"),
            Some(_) => faults.add("contexts", "must be a table of contexts"),
        }
        match faults.into_result() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                entries,
            }),
            Err(faults) => Err(ContextError::Faults {
                path: path.to_owned(),
                faults,
            }),
        }
    }

    /// Names of the contexts, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// One context, with its certificate, key and authority read.
    ///
    /// # Errors
    /// [`ContextError::Unknown`], or [`ContextError::Faults`] with every file that is missing or not PEM.
    pub fn context(&self, name: &str) -> Result<Context, ContextError> {
        let Some(entry) = self.entries.get(name) else {
            return Err(ContextError::Unknown {
                path: self.path.clone(),
                name: name.to_owned(),
                known: self.names().map(ToOwned::to_owned).collect(),
            });
        };
        let mut faults = Faults::under(&format!("contexts.{}", quoted(name)));
        let certificate_pem = pem_of(&entry.cert, "cert", &mut faults);
        let key_pem = pem_of(&entry.key, "key", &mut faults);
        let authority_pem = pem_of(&entry.ca, "ca", &mut faults);
        faults
            .into_result()
            .map_err(|faults| ContextError::Faults {
                path: self.path.clone(),
                faults,
            })?;
        Ok(Context {
            name: name.to_owned(),
            cluster: entry.cluster.clone(),
            certificate_pem,
            key_pem,
            authority_pem,
            targets: entry.targets.clone(),
            home: entry.home.clone(),
        })
    }
}

#[cfg(test)]
mod tests;
