//! A bit of a stored file that is not what was written, and the copy from which it is made good.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Which files of a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Files {
    /// Table files of any store.
    Tables,
    /// The write-ahead log of the store that holds the Raft log.
    Log,
}

/// What was damaged.
#[derive(Debug, Clone)]
pub(super) struct Damage {
    /// Relative to the data directory.
    pub(super) file: PathBuf,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// Flips a bit drawn at random of a file drawn at random; `None`: the directory has no such file.
///
/// # Errors
/// A file cannot be read or written.
pub(super) fn flip(data: &Path, files: Files, rng: &mut ChaCha8Rng) -> Result<Option<Damage>> {
    let mut found = Vec::new();
    list(data, &mut found)?;
    found.retain(|path| is_one_of(path.strip_prefix(data).unwrap_or(path), files));
    found.sort();
    let mut sized = Vec::new();
    for path in found {
        let bytes = fs::metadata(&path)?.len();
        if bytes > 0 {
            sized.push((path, bytes));
        }
    }
    if sized.is_empty() {
        return Ok(None);
    }
    let (path, bytes) = sized.swap_remove(rng.random_range(0..sized.len()));
    let offset = rng.random_range(0..bytes);
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset)?;
    byte[0] ^= 1 << rng.random_range(0..8);
    file.write_all_at(&byte, offset)?;
    file.sync_all()?;
    Ok(Some(Damage {
        file: path.strip_prefix(data).unwrap_or(&path).to_owned(),
        offset,
        bytes,
    }))
}

fn is_one_of(path: &Path, files: Files) -> bool {
    let ends = path.extension().and_then(|end| end.to_str());
    match files {
        Files::Tables => ends == Some("sst"),
        Files::Log => ends == Some("log") && path.starts_with("log"),
    }
}

fn list(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

/// Copies everything in a folder to another one, which must be empty or not there. All of it is synced, names too.
///
/// # Errors
/// A file cannot be read or written.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    ensure!(
        fs::read_dir(to)?.next().is_none(),
        "{} is not empty",
        to.display()
    );
    copy_into(from, to).with_context(|| format!("cannot copy to {}", to.display()))
}

fn copy_into(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            fs::create_dir_all(&target)?;
            copy_into(&source, &target)?;
        } else {
            fs::copy(&source, &target)?;
            File::open(&target)?.sync_all()?;
        }
    }
    File::open(to)?.sync_all()?;
    Ok(())
}

/// Removes everything in a folder, and leaves the folder: it may be where something is mounted.
///
/// # Errors
/// A file cannot be removed.
pub(super) fn empty(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            fs::remove_dir_all(&path)?;
        } else {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn one_bit_differs_and_the_copy_makes_it_good() {
        let folder = tempfile::tempdir().unwrap();
        let (data, kept) = (folder.path().join("data"), folder.path().join("kept"));
        fs::create_dir_all(data.join("state")).unwrap();
        let table = data.join("state/000007.sst");
        fs::write(&table, [7; 1000]).unwrap();
        fs::write(data.join("identity"), "1").unwrap();
        copy(&data, &kept).unwrap();

        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let done = flip(&data, Files::Tables, &mut rng).unwrap().unwrap();
        assert_eq!(done.file, Path::new("state/000007.sst"));
        let damaged = fs::read(&table).unwrap();
        let bits: u32 = damaged.iter().map(|byte| (byte ^ 7).count_ones()).sum();
        assert_eq!(bits, 1);
        assert!(flip(&data, Files::Log, &mut rng).unwrap().is_none());

        assert!(copy(&kept, &data).is_err());
        empty(&data).unwrap();
        copy(&kept, &data).unwrap();
        assert_eq!(fs::read(&table).unwrap(), [7; 1000]);
        assert!(data.join("identity").is_file());
    }
}
