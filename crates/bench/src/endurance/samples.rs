//! What a node takes: memory, disk by store, and how often it took snapshots, purged and compacted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use banyan_client::Client;
use banyan_drill::access;
use banyan_drill::cluster::LocalCluster;
use serde::Serialize;

/// One node at the end of a window.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct NodeSample {
    pub(super) node: String,
    pub(super) resident_bytes: u64,
    pub(super) log_bytes: u64,
    /// The state with its checkpoints; a file that several of them share counts once.
    pub(super) state_bytes: u64,
    pub(super) journal_bytes: u64,
    pub(super) applied_index: u64,
    /// Since the start.
    pub(super) snapshots: u64,
    /// Since the start.
    pub(super) purges: u64,
    /// RocksDB's tables, without checkpoints' links to them.
    pub(super) tables: usize,
    /// At how many looks since the start compaction had replaced tables since the look before. Nothing else takes one away here.
    pub(super) compactions: u64,
}

/// What became of the machine's time in a window, as shares of all its cores. A latency that grows with what others took of them says nothing
/// of the nodes.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct CpuShares {
    pub(super) busy: f64,
    /// Given to other machines by the hypervisor.
    pub(super) stolen: f64,
}

/// Counters of `/proc/stat` (proc_stat(5)) since the machine's start, in ticks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cpu {
    busy: u64,
    idle: u64,
    stolen: u64,
}

impl Cpu {
    /// As they stand.
    ///
    /// # Errors
    /// That they cannot be read.
    pub(super) fn look() -> anyhow::Result<Cpu> {
        let text = fs::read_to_string("/proc/stat")?;
        let all = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("cpu "));
        let ticks = all.context("no line of all cores")?.split_whitespace();
        let ticks = ticks.map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        let [user, nice, system, idle, waiting, irq, soft_irq, stolen, ..] = ticks[..] else {
            return Err(anyhow!("too few counters"));
        };
        Ok(Cpu {
            busy: user + nice + system + irq + soft_irq,
            idle: idle + waiting,
            stolen,
        })
    }

    /// The shares since the last look.
    ///
    /// # Errors
    /// As [`Cpu::look`].
    pub(super) fn since_last_look(&mut self) -> anyhow::Result<CpuShares> {
        let now = Cpu::look()?;
        let last = std::mem::replace(self, now);
        let busy = now.busy.saturating_sub(last.busy);
        let stolen = now.stolen.saturating_sub(last.stolen);
        let all = busy + stolen + now.idle.saturating_sub(last.idle);
        let share = |ticks: u64| ticks as f64 / all.max(1) as f64;
        Ok(CpuShares {
            busy: share(busy),
            stolen: share(stolen),
        })
    }
}

/// The nodes of a cluster, as they are looked at.
pub(super) struct Nodes {
    operator: Client,
    names: Vec<String>,
    folders: BTreeMap<String, PathBuf>,
    processes: BTreeMap<String, i32>,
    seen: BTreeMap<String, Seen>,
}

#[derive(Default)]
struct Seen {
    snapshot: u64,
    purged: u64,
    snapshots: u64,
    purges: u64,
    /// RocksDB's tables that were there at the last look; checkpoints' links are none of them.
    tables: BTreeSet<PathBuf>,
    compactions: u64,
}

impl Nodes {
    pub(super) fn new(cluster: &mut LocalCluster) -> anyhow::Result<Nodes> {
        let names = cluster.node_names();
        let folder = |name: &String| (name.clone(), cluster.layout().node(name).join("data"));
        Ok(Nodes {
            operator: cluster.operator()?,
            folders: names.iter().map(folder).collect(),
            processes: cluster.process_ids(),
            seen: BTreeMap::new(),
            names,
        })
    }

    /// The highest term that a node knows.
    ///
    /// # Errors
    /// That a node does not answer.
    pub(super) async fn term(&self) -> anyhow::Result<u64> {
        let mut highest = 0;
        for (name, status) in access::status_of_all(&self.operator, &self.names).await {
            let status = status.map_err(|reason| anyhow!("{name} does not answer: {reason}"))?;
            highest = highest.max(status.term);
        }
        Ok(highest)
    }

    /// All nodes, in the order of their names.
    ///
    /// # Errors
    /// That a node does not answer, or its files cannot be read.
    pub(super) async fn look(&mut self) -> anyhow::Result<Vec<NodeSample>> {
        let mut samples = Vec::with_capacity(self.names.len());
        for (name, status) in access::status_of_all(&self.operator, &self.names).await {
            let status = status.map_err(|reason| anyhow!("{name} does not answer: {reason}"))?;
            let seen = self.seen.entry(name.clone()).or_default();
            seen.snapshots += u64::from(seen.snapshot != status.snapshot_index);
            seen.purges += u64::from(seen.purged != status.purged_index);
            seen.snapshot = status.snapshot_index;
            seen.purged = status.purged_index;
            let process = self.processes.get(&name).context("a node has no process")?;
            let folder = self.folders.get(&name).context("a node has no folder")?;
            let mut sample = NodeSample {
                resident_bytes: resident(*process)?,
                applied_index: status.applied_index,
                snapshots: seen.snapshots,
                purges: seen.purges,
                node: name,
                ..NodeSample::default()
            };
            let tables = measure(folder, &mut sample)?;
            seen.compactions += u64::from(!seen.tables.is_subset(&tables));
            sample.tables = tables.len();
            seen.tables = tables;
            sample.compactions = seen.compactions;
            samples.push(sample);
        }
        Ok(samples)
    }
}

fn resident(process: i32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: u64 = kib.context("no VmRSS")?.parse()?;
    Ok(kib << 10)
}

/// Adds what lies in a data directory: `log`, `journal`, and the state with its checkpoints. Files count by their length: blocks that RocksDB
/// has reserved for a file that it is going to write say nothing of what it holds. Returns the tables that the stores work with.
fn measure(folder: &Path, sample: &mut NodeSample) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut tables = BTreeSet::new();
    let mut counted = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(within) = folders.pop() {
        let Ok(entries) = fs::read_dir(&within) else {
            // RocksDB, or the keeper of checkpoints, was faster.
            continue;
        };
        for entry in entries {
            let path = entry?.path();
            let Ok(metadata) = path.symlink_metadata() else {
                continue;
            };
            if metadata.is_dir() {
                folders.push(path);
                continue;
            }
            let store = path.strip_prefix(folder).unwrap_or(&path);
            let bytes = match store.components().next() {
                Some(first) if first.as_os_str() == "log" => &mut sample.log_bytes,
                Some(first) if first.as_os_str() == "journal" => &mut sample.journal_bytes,
                _ => &mut sample.state_bytes,
            };
            if counted.insert((metadata.dev(), metadata.ino())) {
                *bytes += metadata.len();
            }
            let linked = store.starts_with("checkpoints");
            if path.extension().is_some_and(|kind| kind == "sst") && !linked {
                tables.insert(path);
            }
        }
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_files_count_once_and_in_their_store() {
        let folder = tempfile::tempdir().unwrap();
        for store in ["log", "state/1", "checkpoints/7", "journal"] {
            fs::create_dir_all(folder.path().join(store)).unwrap();
        }
        let table = folder.path().join("state/1/000007.sst");
        fs::write(&table, vec![7; 64 << 10]).unwrap();
        fs::hard_link(&table, folder.path().join("checkpoints/7/000007.sst")).unwrap();
        fs::write(folder.path().join("log/000008.log"), vec![7; 32 << 10]).unwrap();
        let mut sample = NodeSample::default();
        let tables = measure(folder.path(), &mut sample).unwrap();
        assert_eq!(sample.log_bytes, 32 << 10);
        assert_eq!(sample.state_bytes, 64 << 10);
        assert_eq!(sample.journal_bytes, 0);
        assert_eq!(tables, BTreeSet::from([table]));
        let own = resident(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own > 1 << 20);
    }
}
