//! Durable files and directories: what a rename needs around it to survive a power loss.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

/// Makes the names in `directory` durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Makes a directory with its parents, and the names of those that were not there durable.
pub(crate) fn create_directory(directory: &Path) -> io::Result<()> {
    if directory.as_os_str().is_empty() || directory.is_dir() {
        return Ok(());
    }
    let parent = directory.parent().unwrap_or(Path::new(""));
    create_directory(parent)?;
    fs::create_dir_all(directory)?;
    if parent.as_os_str().is_empty() {
        sync_directory(Path::new("."))
    } else {
        sync_directory(parent)
    }
}

/// Makes the content of `file` durable.
pub(crate) fn sync_file(file: &Path) -> io::Result<()> {
    File::open(file)?.sync_all()
}

/// Makes every plain file of `directory`, and its names, durable.
pub(crate) fn sync_all_in(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            sync_file(&entry.path())?;
        }
    }
    sync_directory(directory)
}

/// Replaces `target` by `content`, so that after a crash either the old or the new content is there, whole.
pub(crate) fn write_atomically(target: &Path, content: &[u8]) -> io::Result<()> {
    let scratch = target.with_extension("new");
    let mut file = File::create(&scratch)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&scratch, target)?;
    match target.parent() {
        Some(parent) => sync_directory(parent),
        None => Ok(()),
    }
}

/// BLAKE3 of a whole file, read in pieces of 1 MiB.
pub(crate) fn hash_file(file: &Path) -> io::Result<blake3::Hash> {
    let mut source = File::open(file)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        let count = source.read(&mut buffer)?;
        if count == 0 {
            return Ok(hasher.finalize());
        }
        hasher.update(&buffer[..count]);
    }
}

/// Removes a directory with all that is in it; that it is not there is no error.
pub(crate) fn remove_directory(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// True for a name that stays inside the directory it is joined to: what RocksDB gives its files, and no more.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
