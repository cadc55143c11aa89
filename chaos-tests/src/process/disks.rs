//! The nodes' disks: for each node a file system of the run's own, which can fill up, hang, and lose what was not synced.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::lossy_fs::disk::{Losses, PowerCut};
use crate::lossy_fs::{LossyFs, MountError};

/// The disks of a run; unmounted when this is dropped.
pub(super) struct Disks {
    root: PathBuf,
    mounted: BTreeMap<String, LossyFs>,
    /// Why nothing is mounted, and data lies on the machine's disk.
    missing: Option<String>,
}

impl Disks {
    /// Mounts one for each node, or none where that is not possible here.
    ///
    /// # Errors
    /// The folders cannot be made.
    pub(super) fn mount(folder: &Path, nodes: &[String]) -> Result<Disks> {
        let mut disks = Disks {
            root: folder.join("disks"),
            mounted: BTreeMap::new(),
            missing: None,
        };
        for node in nodes {
            let place = disks.data_of(node);
            fs::create_dir_all(&place).context("cannot make a folder for a disk")?;
            match LossyFs::mount(&place) {
                Ok(disk) => {
                    disks.mounted.insert(node.clone(), disk);
                }
                Err(error @ (MountError::NoDevice | MountError::Refused { .. })) => {
                    disks.missing = Some(error.to_string());
                    disks.mounted.clear();
                    break;
                }
            }
        }
        Ok(disks)
    }

    /// Where the nodes' data directories are, by name.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn data_of(&self, node: &str) -> PathBuf {
        self.root.join(node)
    }

    pub(super) fn missing(&self) -> Option<&str> {
        self.missing.as_deref()
    }

    pub(super) fn set_full(&self, node: &str, full: bool) {
        if let Some(disk) = self.mounted.get(node) {
            disk.set_full(full);
        }
    }

    /// What a node's full disk has refused that the node cannot do without, by the file's name. RocksDB writes its own protocol (`LOG`) where
    /// there is space for it, and asks nobody.
    pub(super) fn refused(&self, node: &str) -> BTreeMap<OsString, u64> {
        let mut refused = self
            .mounted
            .get(node)
            .map(LossyFs::refused)
            .unwrap_or_default();
        refused.retain(|name, _| name != "LOG");
        refused
    }

    pub(super) fn set_stalled(&self, node: &str, stalled: bool) {
        if let Some(disk) = self.mounted.get(node) {
            disk.set_stalled(stalled);
        }
    }

    /// From now on a node's syncs fail and are not done, those too that hang, until it is not stalled any more.
    pub(super) fn give_up_syncs(&self, node: &str) {
        if let Some(disk) = self.mounted.get(node) {
            disk.give_up_syncs();
        }
    }

    /// From now on all of them answer syncs without doing them.
    pub(super) fn lie(&self) {
        self.mounted.values().for_each(|disk| disk.set_lying(true));
    }

    /// Every disk has space and answers.
    pub(super) fn heal(&self) {
        for disk in self.mounted.values() {
            disk.set_full(false);
            disk.set_stalled(false);
        }
    }

    /// Takes from a node's disk what was not synced. Its process must have ended.
    ///
    /// # Errors
    /// It cannot be unmounted, or not mounted again.
    pub(super) fn lose_power(&mut self, node: &str, cut: PowerCut) -> Result<Losses> {
        let disk = self
            .mounted
            .get_mut(node)
            .with_context(|| format!("{node} has no disk that could lose power"))?;
        Ok(disk.lose_power(cut)?)
    }
}
