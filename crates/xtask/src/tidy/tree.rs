//! The files of the checkout, read once.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

/// Past this a file does not belong into the repository, and is not read either.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 20;

/// One file: its text, unless it is binary or too large.
#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) bytes: u64,
    pub(crate) text: Option<String>,
}

/// Published sources that are kept here with patches. They follow their authors' rules.
const VENDORED: &str = "crates/consensus/vendor/openraft";

/// All files below the root by their path with `/`, without the target directory, git's own and what is vendored.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, File>,
}

impl Tree {
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        Ok(tree)
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() {
                if !matches!(path.as_str(), "target" | ".git" | VENDORED) {
                    self.read_folder(&entry.path(), &format!("{path}/"))?;
                }
            } else if kind.is_file() && !name.ends_with(".swp") {
                let bytes = entry.metadata()?.len();
                let text = if bytes > FILE_BYTES_MAX {
                    None
                } else {
                    let content = std::fs::read(entry.path()).with_context(|| path.clone())?;
                    String::from_utf8(content).ok()
                };
                self.files.insert(path, File { bytes, text });
            }
        }
        Ok(())
    }

    pub(crate) fn files(&self) -> &BTreeMap<String, File> {
        &self.files
    }

    /// All text files, by path.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter_map(|(path, file)| Some((path.as_str(), file.text.as_deref()?)))
    }

    /// Text files with that ending, by path.
    pub(crate) fn texts_ending<'a>(
        &'a self,
        ending: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts().filter(move |(path, _)| path.ends_with(ending))
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.text.as_deref()
    }

    /// Folders with a crate of this workspace, such as `crates/domain` and `chaos-tests`.
    pub(crate) fn crate_folders(&self) -> impl Iterator<Item = &str> {
        self.files
            .keys()
            .filter_map(|path| path.strip_suffix("/Cargo.toml"))
    }

    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let file = |text: &str| File {
            bytes: text.len() as u64,
            text: Some(text.to_owned()),
        };
        Self {
            files: files
                .iter()
                .map(|(path, text)| ((*path).to_owned(), file(text)))
                .collect(),
        }
    }

    #[cfg(test)]
    pub(crate) fn with_bytes(mut self, path: &str, bytes: u64) -> Self {
        self.files
            .insert(path.to_owned(), File { bytes, text: None });
        self
    }
}
