//! Where received checkpoints lie: one at a time, and none for longer than it can be of use.
//!
//! A transfer that breaks off leaves its files, so that the next offer of the same checkpoint resumes there. They may take as much disk as
//! the state itself: they go when another checkpoint is begun, when the state has come as far without them, and at open.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use crate::files;

/// Says that somebody receives, verifies or installs what lies in the inbox. While it lives nothing there is removed: a directory that is
/// gone in the middle of an installation would be a fault of the disk.
#[derive(Debug)]
pub(super) struct InboxHold {
    _alive: Arc<()>,
}

/// The directory of received checkpoints.
#[derive(Debug)]
pub(super) struct Inbox {
    root: PathBuf,
    alive: Weak<()>,
    /// The checkpoint that was begun last, if something of it may still lie there.
    left: Option<Left>,
}

#[derive(Debug)]
struct Left {
    directory: PathBuf,
    /// Index of its position.
    index: u64,
}

impl Inbox {
    /// Opens the inbox in `root`, which is there, and empties it: the index of what an earlier process has left is not known.
    pub(super) fn open(root: PathBuf) -> io::Result<Self> {
        remove_all_but(&root, None)?;
        Ok(Self {
            root,
            alive: Weak::new(),
            left: None,
        })
    }

    /// Makes the directory `name` for a checkpoint at `index`, or finds it again, and removes every other one. Nothing is done and none
    /// returned while somebody works on one. Blocks.
    pub(super) fn begin(
        &mut self,
        name: &str,
        index: u64,
    ) -> io::Result<Option<(PathBuf, InboxHold)>> {
        if self.alive.strong_count() > 0 {
            return Ok(None);
        }
        remove_all_but(&self.root, Some(name))?;
        let directory = self.root.join(name);
        fs::create_dir_all(&directory)?;
        self.left = Some(Left {
            directory: directory.clone(),
            index,
        });
        let alive = Arc::new(());
        self.alive = Arc::downgrade(&alive);
        Ok(Some((directory, InboxHold { _alive: alive })))
    }

    /// Removes what was left if the state, which stands at `applied`, needs it no more and nobody works on it. Blocks.
    pub(super) fn clear(&mut self, applied: u64) -> io::Result<()> {
        if self.alive.strong_count() > 0 {
            return Ok(());
        }
        match self.left.take_if(|left| left.index <= applied) {
            // Once only: what cannot be removed now goes with the next checkpoint that is begun, or is an error there.
            Some(left) => files::remove_directory(&left.directory),
            None => Ok(()),
        }
    }
}

/// Empties `root`, but for the directory `name`.
fn remove_all_but(root: &Path, name: Option<&str>) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if name.is_some_and(|name| entry.file_name() == name) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            files::remove_directory(&entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
