//! Checkpoints: hard links to the state's files at one position, with a manifest that says what they are.
//!
//! A checkpoint is read-only and stays as long as someone holds a [`Checkpoint`] of it, or it is among the newest
//! ([`StoreOptions::checkpoints_kept`](crate::StoreOptions::checkpoints_kept)).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use banyan_domain::Position;
use bytes::Bytes;
use rocksdb::DB;
use serde::{Deserialize, Serialize};

use super::core::Core;
use super::generation::{Generation, families};
use super::verify::{VerifyError, verify};
use super::view::{Applied, ReadView};
use crate::fault::{Fault, FaultCell};
use crate::files;
use crate::identity::FORMAT_VERSION;

const MANIFEST: &str = "banyan-manifest.json";
/// Files of one checkpoint at most: bounds what a peer can make us keep in memory.
const FILES_MAX: usize = 100_000;

/// One file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointFile {
    /// Its name: plain, without folders.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// BLAKE3 of its content.
    #[serde(with = "hexadecimal")]
    pub blake3: [u8; 32],
}

/// What a checkpoint holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointManifest {
    /// Format of the state, [`FORMAT_VERSION`] today.
    pub format: u32,
    /// Term of the position.
    pub term: u64,
    /// Index of the position: everything through it is in the checkpoint, nothing after it.
    pub index: u64,
    /// Membership at the position, in the bytes of the consensus crate; empty if there was none.
    #[serde(with = "hexadecimal")]
    pub membership: Vec<u8>,
    /// Number of the generation it was taken from; means something to the node that took it only.
    pub generation: u64,
    /// The files, by name.
    pub files: Vec<CheckpointFile>,
}

impl CheckpointManifest {
    /// The position of the state in the checkpoint.
    #[must_use]
    pub fn position(&self) -> Position {
        Position {
            term: self.term,
            index: self.index,
        }
    }

    /// Sum of the file sizes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files
            .iter()
            .fold(0, |sum, file| sum.saturating_add(file.size))
    }

    /// The manifest as JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // A struct of numbers, strings and lists cannot fail to become JSON.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// Reads JSON and checks what does not need the files: format, names, count.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn decode(json: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Self = serde_json::from_slice(json).map_err(ManifestError::Json)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Checks format, names and number of the files.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn check(&self) -> Result<(), ManifestError> {
        if self.format != FORMAT_VERSION {
            return Err(ManifestError::Format { found: self.format });
        }
        if self.files.len() > FILES_MAX {
            return Err(ManifestError::Files {
                count: self.files.len(),
            });
        }
        let mut names = std::collections::BTreeSet::new();
        for file in &self.files {
            if !is_state_file(&file.name) || !names.insert(&file.name) {
                return Err(ManifestError::Name {
                    name: file.name.chars().take(128).collect(),
                });
            }
        }
        if !names.iter().any(|name| *name == "CURRENT") {
            return Err(ManifestError::Name {
                name: "CURRENT".to_owned(),
            });
        }
        Ok(())
    }
}

/// Why a manifest was refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not the JSON of a manifest.
    #[error("checkpoint manifest cannot be read")]
    Json(#[source] serde_json::Error),
    /// Another format.
    #[error("checkpoint has format {found}, this program reads format {FORMAT_VERSION}")]
    Format {
        /// The format in the manifest.
        found: u32,
    },
    /// More files than a checkpoint can have.
    #[error("checkpoint of {count} files exceeds the maximum of {FILES_MAX}")]
    Files {
        /// Files in the manifest.
        count: usize,
    },
    /// A file that does not belong into a checkpoint, or stands there twice, or is needed and absent.
    #[error("checkpoint manifest is wrong about file {name:?}")]
    Name {
        /// The name.
        name: String,
    },
}

/// A checkpoint on disk. While one of its clones lives, its files stay.
#[derive(Clone, Debug)]
pub struct Checkpoint(Arc<Pinned>);

#[derive(Debug)]
struct Pinned {
    directory: PathBuf,
    manifest: CheckpointManifest,
    fault: FaultCell,
    /// Whether every file was found to match the manifest after a receiver had doubted one.
    proven: Mutex<bool>,
}

impl Checkpoint {
    /// What it holds.
    #[must_use]
    pub fn manifest(&self) -> &CheckpointManifest {
        &self.0.manifest
    }

    /// Where it lies.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.0.directory
    }

    /// Reads up to `length` bytes of file number `file` of the manifest, from `offset` on; fewer at the end of the file. Blocks.
    ///
    /// # Errors
    /// `InvalidInput` if there is no such file; the error of the system.
    pub fn read(&self, file: usize, offset: u64, length: usize) -> io::Result<Bytes> {
        let entry = self
            .0
            .manifest
            .files
            .get(file)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let left = usize::try_from(entry.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length.min(left)];
        File::open(self.0.directory.join(&entry.name))?.read_exact_at(&mut bytes, offset)?;
        Ok(bytes.into())
    }

    /// Compares every file with the manifest. Reads everything; blocks.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn verify(&self) -> Result<(), VerifyError> {
        verify(&self.0.directory, &self.0.manifest)
    }

    /// Compares every file with the manifest because a receiver found other content; once for each checkpoint, however many doubt it. What
    /// does not match is a fault, and the data directory is refused from then on: the tables of a checkpoint are links to the state's own.
    /// Reads everything; blocks.
    ///
    /// # Errors
    /// The sticky fault: the node must stop.
    pub fn prove(&self) -> Result<(), Fault> {
        let Pinned { fault, proven, .. } = &*self.0;
        fault.check()?;
        let mut proven = proven.lock().unwrap_or_else(PoisonError::into_inner);
        if *proven {
            return Ok(());
        }
        self.verify().map_err(|error| {
            let source = std::error::Error::source(&error)
                .map(|source| format!(": {source}"))
                .unwrap_or_default();
            let found = Fault::new("state", format!("{error}{source}"));
            match error {
                VerifyError::Io { .. } => fault.set(found),
                VerifyError::Manifest(_)
                | VerifyError::Size { .. }
                | VerifyError::Checksum { .. } => fault.set_damaged(found),
            }
        })?;
        *proven = true;
        Ok(())
    }

    fn new(directory: PathBuf, manifest: CheckpointManifest, fault: FaultCell) -> Self {
        Self(Arc::new(Pinned {
            directory,
            manifest,
            fault,
            proven: Mutex::new(false),
        }))
    }

    pub(super) fn is_pinned(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

/// Checksums of files that never change, so that each is computed once.
#[derive(Debug, Default)]
pub(super) struct HashCache {
    generation: u64,
    known: BTreeMap<(String, u64), [u8; 32]>,
}

impl HashCache {
    /// Takes over what a manifest says about the files of `generation`.
    pub(super) fn seed(&mut self, generation: u64, files: &[CheckpointFile]) {
        if self.generation != generation {
            self.generation = generation;
            self.known.clear();
        }
        for file in files.iter().filter(|file| file.name.ends_with(".sst")) {
            self.known
                .insert((file.name.clone(), file.size), file.blake3);
        }
    }

    /// The file's entry; computed unless it is an SST file that is known.
    fn entry(&self, directory: &Path, name: String) -> io::Result<CheckpointFile> {
        let path = directory.join(&name);
        let size = fs::metadata(&path)?.len();
        let key = (name, size);
        let blake3 = match self.known.get(&key) {
            Some(hash) => *hash,
            None => *files::hash_file(&path)?.as_bytes(),
        };
        Ok(CheckpointFile {
            name: key.0,
            size,
            blake3,
        })
    }
}

/// Takes a checkpoint of what is applied, or returns the one that is there already. `core` must have been flushed just before:
/// what RocksDB flushes besides is the same data.
pub(super) fn take(
    core: &Core,
    generation: &Generation,
    cache: &mut HashCache,
) -> Result<Checkpoint, Fault> {
    let fault = |cause: String| Fault::new("state", format!("checkpoint: {cause}"));
    let io_fault = |error: io::Error| Fault::new("state", format!("checkpoint: {error}"));
    let scratch = core.paths.checkpoints.join("new");
    files::remove_directory(&scratch).map_err(io_fault)?;
    rocksdb::checkpoint::Checkpoint::new(&generation.db)
        .and_then(|checkpoint| checkpoint.create_checkpoint(&scratch))
        .map_err(|error| fault(error.to_string()))?;

    // Entries may have been applied since the flush: only the checkpoint itself can say where it stands.
    let (applied, membership) = read_position(core, &scratch)?;
    let applied = applied.ok_or_else(|| fault("nothing is applied yet".to_owned()))?;
    core.found_durable(applied);
    let position = applied.position;
    if let Some(existing) = core.checkpoint_at(position.index) {
        files::remove_directory(&scratch).map_err(io_fault)?;
        return Ok(existing);
    }
    let names = state_files(&scratch).map_err(io_fault)?;
    cache.seed(generation.number, &[]);
    let entries: io::Result<Vec<_>> = names
        .into_iter()
        .map(|name| cache.entry(&scratch, name))
        .collect();
    let entries = entries.map_err(io_fault)?;
    cache.seed(generation.number, &entries);
    let manifest = CheckpointManifest {
        format: FORMAT_VERSION,
        term: position.term,
        index: position.index,
        membership: membership.map(|bytes| bytes.to_vec()).unwrap_or_default(),
        generation: generation.number,
        files: entries,
    };
    fs::write(scratch.join(MANIFEST), manifest.encode()).map_err(io_fault)?;
    files::sync_all_in(&scratch).map_err(io_fault)?;
    let directory = core.paths.checkpoints.join(position.index.to_string());
    files::remove_directory(&directory).map_err(io_fault)?;
    fs::rename(&scratch, &directory).map_err(io_fault)?;
    files::sync_directory(&core.paths.checkpoints).map_err(io_fault)?;
    Ok(Checkpoint::new(directory, manifest, core.fault.clone()))
}

/// Reads the applied position and the membership in a checkpoint directory, and removes the litter of the opening.
fn read_position(core: &Core, directory: &Path) -> Result<(Option<Applied>, Option<Bytes>), Fault> {
    let fault = |cause: String| Fault::new("state", format!("checkpoint: {cause}"));
    let generation = {
        let options = core.options.state_database(&core.shared);
        let db = DB::open_cf_descriptors_read_only(
            &options,
            directory,
            families(&core.options, &core.shared),
            false,
        )
        .map_err(|error| fault(error.to_string()))?;
        Arc::new(Generation {
            db,
            number: 0,
            directory: directory.to_owned(),
            _hold: core.shared.hold(),
        })
    };
    let view = ReadView::of(Arc::clone(&generation))?;
    let found = view
        .applied()
        .and_then(|applied| Ok((applied, view.membership()?)))
        .map_err(|error| fault(error.0))?;
    drop(view);
    drop(generation);
    remove_litter(directory).map_err(|error| fault(error.to_string()))?;
    Ok(found)
}

/// Loads the checkpoints that are whole, oldest first, and removes everything else.
pub(super) fn load(root: &Path, fault: &FaultCell) -> io::Result<Vec<Checkpoint>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let directory = entry.path();
        let index = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u64>().ok());
        match index.and_then(|index| Some((index, load_one(&directory, index, fault)?))) {
            Some((index, checkpoint)) => {
                found.insert(index, checkpoint);
            }
            None => {
                tracing::info!(directory = %directory.display(), "removing an unfinished checkpoint");
                files::remove_directory(&directory)?;
            }
        }
    }
    Ok(found.into_values().collect())
}

/// A checkpoint whose manifest can be read and whose files have the right sizes. Contents are compared when someone asks.
fn load_one(directory: &Path, index: u64, fault: &FaultCell) -> Option<Checkpoint> {
    let manifest = CheckpointManifest::decode(&fs::read(directory.join(MANIFEST)).ok()?).ok()?;
    let whole = manifest.index == index
        && manifest.files.iter().all(|file| {
            fs::metadata(directory.join(&file.name)).is_ok_and(|found| found.len() == file.size)
        });
    whole.then(|| Checkpoint::new(directory.to_owned(), manifest, fault.clone()))
}

/// The files that make up a state database: tables, manifest, and the pointer to it.
pub(super) fn is_state_file(name: &str) -> bool {
    files::is_plain_name(name)
        && (name == "CURRENT" || name.starts_with("MANIFEST-") || name.ends_with(".sst"))
}

fn state_files(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        if let Ok(name) = entry?.file_name().into_string()
            && is_state_file(&name)
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Removes what is no part of a checkpoint (RocksDB's own log, options).
fn remove_litter(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry
            .file_name()
            .to_str()
            .is_none_or(|name| !is_state_file(name))
            && entry.file_type()?.is_file()
        {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Bytes as hexadecimal text in JSON.
mod hexadecimal {
    use std::fmt::Write;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(bytes.len() * 2);
        for byte in bytes {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        serializer.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D, T>(deserializer: D) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
        T: TryFrom<Vec<u8>>,
    {
        let text = String::deserialize(deserializer)?;
        let digits: Option<Vec<u8>> = text
            .chars()
            .map(|digit| {
                digit
                    .to_digit(16)
                    .and_then(|digit| u8::try_from(digit).ok())
            })
            .collect();
        let digits = digits.ok_or_else(|| D::Error::custom("not hexadecimal"))?;
        if digits.len() % 2 != 0 {
            return Err(D::Error::custom("odd number of hexadecimal digits"));
        }
        let bytes: Vec<u8> = digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect();
        T::try_from(bytes).map_err(|_| D::Error::custom("wrong number of bytes"))
    }
}
