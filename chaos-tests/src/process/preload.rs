//! Small libraries that are compiled for a run and preloaded into nodes.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::tools;

/// A library for a node, with the variable that tells it what to do.
#[derive(Debug, Clone)]
pub(super) struct Preloaded {
    object: PathBuf,
    variable: OsString,
}

impl Preloaded {
    pub(super) fn new(object: &Path, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Preloaded {
        let mut variable = OsString::from(format!("{name}="));
        variable.push(value);
        Preloaded {
            object: object.to_owned(),
            variable,
        }
    }
}

/// Compiles a library beside its source, which is written to `folder` first.
///
/// # Errors
/// There is no compiler, or it refused.
pub(super) fn compile(folder: &Path, name: &str, source: &str) -> Result<PathBuf> {
    let (text, object) = (
        folder.join(format!("{name}.c")),
        folder.join(format!("{name}.so")),
    );
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&text, source))
        .with_context(|| format!("cannot write {}", text.display()))?;
    let (Some(from), Some(to)) = (text.to_str(), object.to_str()) else {
        anyhow::bail!("{} is not UTF-8", folder.display());
    };
    let arguments = ["-shared", "-fPIC", "-O2", "-o", to, from, "-pthread"];
    tools::call("cc", &arguments)
        .with_context(|| format!("{name}.c cannot be compiled (Debian package gcc)"))?;
    Ok(object)
}

/// What a node's command has before it, so that all of these are preloaded; nothing, without any.
pub(super) fn wrapper(libraries: &[Preloaded]) -> Vec<OsString> {
    if libraries.is_empty() {
        return Vec::new();
    }
    let mut all = OsString::from("LD_PRELOAD=");
    for (index, preloaded) in libraries.iter().enumerate() {
        if index > 0 {
            all.push(":");
        }
        all.push(&preloaded.object);
    }
    let mut words = vec!["env".into(), all];
    words.extend(libraries.iter().map(|preloaded| preloaded.variable.clone()));
    words
}
