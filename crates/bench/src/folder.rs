//! The folder of the systems' data.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Where a run writes its results, and the systems' data inside it, which is deleted at the end unless it is `kept`.
///
/// # Errors
/// What the file system says.
pub(crate) fn of_run(out: &Path, kept: bool) -> anyhow::Result<(PathBuf, Data)> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let out = out.canonicalize()?;
    let data = Data::create(out.join("data"))?.keep(kept);
    Ok((out, data))
}

/// A folder that is deleted when this is dropped, unless it is kept.
pub(crate) struct Data {
    path: PathBuf,
    kept: bool,
}

impl Data {
    /// An empty one; what a run that was killed has left there is removed.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn create(path: PathBuf) -> anyhow::Result<Data> {
        if path.exists() {
            // Of a run that was killed: its processes ended with it.
            std::fs::remove_dir_all(&path)
                .with_context(|| format!("cannot remove {}", path.display()))?;
        }
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Data { path, kept: false })
    }

    /// Leaves it for those who want to look at the nodes' logs.
    pub(crate) fn keep(mut self, kept: bool) -> Data {
        self.kept = kept;
        self
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_is_emptied_at_the_start_and_gone_at_the_end_unless_kept() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("data");
        for kept in [true, false] {
            let data = Data::create(path.clone()).unwrap().keep(kept);
            assert!(!path.join("file").exists());
            std::fs::write(data.path().join("file"), "left").unwrap();
            drop(data);
            assert_eq!(path.exists(), kept);
        }
    }
}
