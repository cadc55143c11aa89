//! Small libraries that are compiled for a run and preloaded into nodes.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
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

    /// Whether a process has it in its memory.
    ///
    /// # Errors
    /// The process is gone, or this one may not look.
    pub(super) fn is_in(&self, pid: i32) -> io::Result<bool> {
        let maps = fs::read(format!("/proc/{pid}/maps"))?;
        let object = self.object.as_os_str().as_bytes();
        Ok(maps
            .split(|byte| *byte == b'\n')
            .any(|line| line.ends_with(object)))
    }
}

impl fmt::Display for Preloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.object.display())
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

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn library_is_found_in_the_process_that_has_it_and_in_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let object = compile(&folder, "nothing", "int nothing(void) { return 0; }\n").unwrap();
        let library = Preloaded::new(&object, "NOTHING", "");
        let words = wrapper(std::slice::from_ref(&library));
        // `cat` answers when it runs: by then its libraries are in its memory.
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .arg("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        io::Write::write_all(&mut stdin, b"x").unwrap();
        io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let pid = |id: u32| i32::try_from(id).unwrap();
        assert!(library.is_in(pid(child.id())).unwrap());
        assert!(!library.is_in(pid(std::process::id())).unwrap());
        drop(stdin);
        child.wait().unwrap();
        assert!(library.is_in(pid(child.id())).is_err());
    }
}
