//! How far an import came, in a small file beside its input, so that the next run goes on from there.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use banyan_domain::Timestamp;
use banyan_drill::import::{Progress, still_good};
use serde::{Deserialize, Serialize};

/// Bytes at either end of the input by which it is known again.
const SAMPLE_BYTES: u64 = 1 << 20;

/// The file is written at most this often; what it misses is sent again and replayed.
const SAVE_EVERY: Duration = Duration::from_millis(500);

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Hash of the input's size and both its ends.
    content: String,
    /// When the keys of its rows are said to be made, in milliseconds: rows that are sent again keep theirs.
    #[serde(default)]
    keys_made_ms: i64,
    pub(crate) rows: u64,
    pub(crate) imported: u64,
    pub(crate) replayed: u64,
    pub(crate) rejected: u64,
    /// Length of the file of rejected rows up to here.
    pub(crate) rejects_bytes: u64,
}

impl State {
    /// Nothing done yet of the input with that content.
    pub(crate) fn start(content: String, keys_made: Timestamp) -> Self {
        Self {
            content,
            keys_made_ms: keys_made.get(),
            rows: 0,
            imported: 0,
            replayed: 0,
            rejected: 0,
            rejects_bytes: 0,
        }
    }

    /// When the keys of the rows are said to be made.
    pub(crate) const fn keys_made(&self) -> Timestamp {
        Timestamp(self.keys_made_ms)
    }

    /// The same, with keys that do not expire soon.
    pub(crate) fn with_good_keys(self, now: Timestamp) -> Self {
        let made = still_good(Some(self.keys_made()), now);
        Self {
            keys_made_ms: made.get(),
            ..self
        }
    }

    /// The state after `progress` more than this one.
    pub(crate) fn advanced(&self, progress: &Progress, rejects_bytes: u64) -> Self {
        Self {
            content: self.content.clone(),
            keys_made_ms: self.keys_made_ms,
            rows: self.rows + progress.settled,
            imported: self.imported + progress.imported,
            replayed: self.replayed + progress.replayed,
            rejected: self.rejected + progress.rejected,
            rejects_bytes,
        }
    }
}

/// Why an earlier run's progress cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckpointError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not a progress file", path.display())]
    Malformed { path: PathBuf },
    #[error("{} belongs to other content: the input has changed since", path.display())]
    OtherContent { path: PathBuf },
}

/// The progress file of one import.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    path: PathBuf,
    saved: Option<Instant>,
}

impl Checkpoint {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, saved: None }
    }

    /// What an earlier run left, if it left anything for this content.
    pub(crate) fn load(&self, content: &str) -> Result<Option<State>, CheckpointError> {
        let path = self.path.clone();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CheckpointError::Read { path, source }),
        };
        match serde_json::from_str::<State>(&text) {
            Ok(state) if state.content == content => Ok(Some(state)),
            Ok(_) => Err(CheckpointError::OtherContent { path }),
            Err(_) => Err(CheckpointError::Malformed { path }),
        }
    }

    /// Saves the state, unless that was done a moment ago and `now` does not insist.
    pub(crate) fn save(&mut self, state: &State, now: bool) -> io::Result<()> {
        if !now && self.saved.is_some_and(|saved| saved.elapsed() < SAVE_EVERY) {
            return Ok(());
        }
        let beside = self.path.with_extension("json.new");
        let mut file = File::create(&beside)?;
        file.write_all(serde_json::to_string_pretty(state)?.as_bytes())?;
        drop(file);
        std::fs::rename(&beside, &self.path)?;
        self.saved = Some(Instant::now());
        Ok(())
    }

    /// Removes the file: the import is complete.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// What an input is known by: BLAKE3 of its size, its first and its last MiB. Hashing all of a national file would take
/// minutes; a change between the ends still gives the changed rows keys of their own.
pub(crate) fn content_mark(file: &mut File) -> io::Result<String> {
    let size = file.metadata()?.len();
    let mut hasher = blake3::Hasher::new_derive_key("banyan import, what a file is known by, 1");
    hasher.update(&size.to_le_bytes());
    for start in [0, size.saturating_sub(SAMPLE_BYTES)] {
        file.seek(SeekFrom::Start(start))?;
        let mut sample = Vec::new();
        Read::by_ref(file)
            .take(SAMPLE_BYTES)
            .read_to_end(&mut sample)?;
        hasher.update(&sample);
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_found_again_for_the_same_content_only() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("forms.csv");
        std::fs::write(&input, "one").unwrap();
        let content = content_mark(&mut File::open(&input).unwrap()).unwrap();
        let mut checkpoint = Checkpoint::new(folder.path().join("forms.csv.progress.json"));
        assert!(checkpoint.load(&content).unwrap().is_none());
        let progress = Progress {
            settled: 5,
            imported: 4,
            rejected: 1,
            ..Progress::default()
        };
        let state = State::start(content.clone(), Timestamp(7)).advanced(&progress, 77);
        checkpoint.save(&state, true).unwrap();
        assert_eq!(checkpoint.load(&content).unwrap(), Some(state));
        std::fs::write(&input, "two").unwrap();
        let other = content_mark(&mut File::open(&input).unwrap()).unwrap();
        assert!(matches!(
            checkpoint.load(&other),
            Err(CheckpointError::OtherContent { .. })
        ));
        checkpoint.remove().unwrap();
        assert!(checkpoint.load(&content).unwrap().is_none());
    }
}
