//! The machine that a run was made on: without it no figure says anything.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

const SYNCS: usize = 200;

/// What is told of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) kernel: String,
    pub(crate) memory_mib: u64,
    /// Median time of appending 4 KiB and `fdatasync`, on the file system that all systems write to, before they were started.
    pub(crate) fdatasync_median_us: u64,
    /// Mean number of runnable threads over the last minute, before anything was started: what else the machine did.
    pub(crate) load_before: f64,
}

impl Machine {
    /// Looks, and syncs a file in `folder` a few hundred times.
    ///
    /// # Errors
    /// That the file cannot be written.
    pub(crate) fn look(folder: &Path) -> anyhow::Result<Machine> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let after = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(':'));
            value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        let memory = after(&read("/proc/meminfo"), "MemTotal");
        let kib = memory
            .split_whitespace()
            .next()
            .and_then(|word| word.parse().ok());
        let load = read("/proc/loadavg");
        let load_before = load
            .split_whitespace()
            .next()
            .and_then(|word| word.parse().ok());
        Ok(Machine {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: after(&read("/proc/cpuinfo"), "model name"),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_mib: kib.unwrap_or(0_u64) / 1024,
            fdatasync_median_us: fdatasync_median(folder)?,
            load_before: load_before.unwrap_or(0.0),
        })
    }
}

fn fdatasync_median(folder: &Path) -> anyhow::Result<u64> {
    let path = folder.join("fdatasync");
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .open(&path)?;
    let block = [7_u8; 4096];
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let start = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(start.elapsed().as_micros() as f64);
    }
    fs::remove_file(&path)?;
    Ok(crate::ratios::median(&times).unwrap_or(0.0) as u64)
}
