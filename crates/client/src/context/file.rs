//! Reads a contexts file piece by piece and gathers every fault on the way.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::ContextFault;
use crate::target::{Target, normal_url};

/// Keys that a context may have.
const CONTEXT_KEYS: [&str; 6] = ["cert", "key", "ca", "endpoints", "home", "cluster"];

/// Bytes that a PEM file may have at most; a chain of a few certificates needs a tenth of it.
const PEM_BYTES_MAX: u64 = 64 * 1024;

/// One context of the file, its own files not read yet.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
    pub(super) ca: PathBuf,
    pub(super) cluster: Option<String>,
    pub(super) targets: Vec<Target>,
    pub(super) home: Vec<usize>,
}

/// Collects faults below one key.
pub(super) struct Faults {
    prefix: String,
    found: Vec<ContextFault>,
}

impl Faults {
    pub(super) fn under(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            found: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, key: &str, message: impl Into<String>) {
        let key = match (self.prefix.as_str(), key) {
            ("", key) => key.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, key) => format!("{prefix}.{key}"),
        };
        self.found.push(ContextFault {
            key,
            message: message.into(),
        });
    }

    pub(super) fn absorb(&mut self, other: Self) {
        self.found.extend(other.found);
    }

    pub(super) fn into_result(self) -> Result<(), Vec<ContextFault>> {
        if self.found.is_empty() {
            Ok(())
        } else {
            Err(self.found)
        }
    }
}

/// A key as TOML writes it: in quotes unless it is bare.
pub(super) fn quoted(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        format!("{key:?}")
    }
}

pub(super) fn entry_of(
    value: &Value,
    folder: &Path,
    cluster: Option<&str>,
    faults: &mut Faults,
) -> Option<Entry> {
    let Value::Table(table) = value else {
        faults.add("", "must be a table");
        return None;
    };
    for key in table
        .keys()
        .filter(|key| !CONTEXT_KEYS.contains(&key.as_str()))
    {
        faults.add(
            &quoted(key),
            format!("unknown key; a context has {}", CONTEXT_KEYS.join(", ")),
        );
    }
    let mut path = |key: &str| {
        let text = required_text(table, key, faults);
        text.map(|text| folder.join(text))
    };
    let (cert, key, ca) = (path("cert"), path("key"), path("ca"));
    let own_cluster = optional_text(table, "cluster", faults);
    let home = optional_text(table, "home", faults);
    let (endpoints, is_list) = endpoints_of(table, faults);
    let targets = targets_of(&endpoints, faults);
    let home = home_of(home.as_deref(), &targets, is_list, faults);
    Some(Entry {
        cert: cert?,
        key: key?,
        ca: ca?,
        cluster: own_cluster.or_else(|| cluster.map(ToOwned::to_owned)),
        targets,
        home,
    })
}

fn required_text(table: &Table, key: &str, faults: &mut Faults) -> Option<String> {
    if !table.contains_key(key) {
        faults.add(key, "is missing");
        return None;
    }
    optional_text(table, key, faults)
}

pub(super) fn optional_text(table: &Table, key: &str, faults: &mut Faults) -> Option<String> {
    match table.get(key)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::String(_) => {
            faults.add(key, "is empty");
            None
        }
        other => {
            faults.add(key, format!("must be a text, is {}", other.type_str()));
            None
        }
    }
}

/// Names and URLs as written, and whether they came as a plain list.
fn endpoints_of(table: &Table, faults: &mut Faults) -> (Vec<(String, String)>, bool) {
    match table.get("endpoints") {
        Some(Value::Table(named)) => {
            let mut endpoints = Vec::new();
            for (name, value) in named {
                match value {
                    Value::String(url) => endpoints.push((name.clone(), url.clone())),
                    other => faults.add(
                        &format!("endpoints.{}", quoted(name)),
                        format!("must be a URL, is {}", other.type_str()),
                    ),
                }
            }
            (endpoints, false)
        }
        Some(Value::Array(list)) => {
            let mut endpoints = Vec::new();
            for (place, value) in list.iter().enumerate() {
                match value {
                    Value::String(url) => endpoints.push((url.clone(), url.clone())),
                    other => faults.add(
                        &format!("endpoints[{place}]"),
                        format!("must be a URL, is {}", other.type_str()),
                    ),
                }
            }
            (endpoints, true)
        }
        Some(other) => {
            let found = other.type_str();
            faults.add(
                "endpoints",
                format!("must be a table of names and URLs, or a list, is {found}"),
            );
            (Vec::new(), false)
        }
        None => (Vec::new(), false),
    }
}

pub(super) fn targets_of(endpoints: &[(String, String)], faults: &mut Faults) -> Vec<Target> {
    if endpoints.is_empty() {
        faults.add("endpoints", "names no endpoint");
    }
    let mut targets: Vec<Target> = Vec::with_capacity(endpoints.len());
    for (name, url) in endpoints {
        match normal_url(url) {
            Ok(url) => {
                if let Some(other) = targets.iter().find(|t| t.url == url || &t.name == name) {
                    let other = other.name.clone();
                    faults.add(
                        "endpoints",
                        format!("`{name}` and `{other}` have one name or one URL"),
                    );
                } else {
                    targets.push(Target {
                        name: name.clone(),
                        url,
                    });
                }
            }
            Err(fault) => faults.add(&format!("endpoints.{}", quoted(name)), fault.to_string()),
        }
    }
    targets
}

/// Places of the home endpoints. In a plain list nothing says which URL is whose, so the first one is the home's.
pub(super) fn home_of(
    home: Option<&str>,
    targets: &[Target],
    is_list: bool,
    faults: &mut Faults,
) -> Vec<usize> {
    let Some(home) = home else { return Vec::new() };
    let places: Vec<usize> = targets
        .iter()
        .enumerate()
        .filter(|(_, target)| target.name == home || target.site() == Some(home))
        .map(|(place, _)| place)
        .collect();
    if !places.is_empty() || targets.is_empty() {
        return places;
    }
    if is_list {
        return vec![0];
    }
    faults.add(
        "home",
        format!("`{home}` is neither an endpoint nor a site of an endpoint"),
    );
    Vec::new()
}

pub(super) fn pem_of(path: &Path, key: &str, faults: &mut Faults) -> Vec<u8> {
    match read_bounded(path) {
        Ok(bytes) if holds_pem(&bytes, key) => bytes,
        Ok(_) => {
            faults.add(key, format!("{}: {}", path.display(), not_pem(key)));
            Vec::new()
        }
        Err(error) => {
            faults.add(key, format!("cannot read {}: {error}", path.display()));
            Vec::new()
        }
    }
}

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let length = std::fs::metadata(path)?.len();
    if length > PEM_BYTES_MAX {
        let text = format!("{length} bytes exceed the maximum of {PEM_BYTES_MAX}");
        return Err(std::io::Error::other(text));
    }
    std::fs::read(path)
}

pub(super) fn holds_pem(bytes: &[u8], key: &str) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let label = if key == "key" {
        "PRIVATE KEY-----"
    } else {
        "BEGIN CERTIFICATE-----"
    };
    text.contains("-----BEGIN ") && text.contains(label)
}

pub(super) fn not_pem(key: &str) -> String {
    let what = if key == "key" {
        "private key"
    } else {
        "certificate"
    };
    format!("holds no {what} in PEM form")
}
