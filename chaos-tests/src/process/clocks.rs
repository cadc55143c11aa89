//! Wall clocks of nodes that can be set while they run.
//!
//! A small library (`clock.c`) is compiled for the run and preloaded: it changes what shows the wall clock, and leaves `CLOCK_MONOTONIC` and
//! `CLOCK_BOOTTIME` as they are, as a step of the real wall clock does. libfaketime, which would do the same, does not start a node: it
//! allocates memory while it makes itself ready, inside the allocator that asks it for the time (0.9.10 with jemalloc, a deadlock).
//! Not every node runs under it, so that a run shows the others exactly as they are.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use banyan_topology::Topology;
use nix::time::{ClockId, clock_gettime};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::preload::{self, Preloaded};

const SOURCE: &str = include_str!("clock.c");
/// Voters under the library. Fewer than half of five: a majority's clocks are right.
const NODES: usize = 2;
/// Where the fields of `struct setting` stand in a clock's file.
const AHEAD: u64 = 0;
const SINCE_BOOT: u64 = 8;
const PER_MILLION: u64 = 16;
const SETTING_BYTES: u64 = 24;

/// The clocks of a run.
pub(super) struct Clocks {
    folder: PathBuf,
    /// Why no clock can be set.
    missing: Option<String>,
    object: PathBuf,
    nodes: Vec<String>,
}

impl Clocks {
    /// Draws voters of different sites, whose clocks can be set.
    ///
    /// # Errors
    /// The files cannot be made.
    pub(super) fn prepare(
        folder: &Path,
        topology: &Topology,
        rng: &mut ChaCha8Rng,
    ) -> Result<Clocks> {
        let mut clocks = Clocks {
            folder: folder.join("clocks"),
            missing: None,
            object: PathBuf::new(),
            nodes: Vec::new(),
        };
        match preload::compile(&clocks.folder, "clock", SOURCE) {
            Ok(object) => clocks.object = object,
            Err(error) => {
                clocks.missing = Some(format!("{error:#}"));
                return Ok(clocks);
            }
        }
        let mut voters: Vec<_> = topology.voters().collect();
        voters.shuffle(rng);
        let mut sites = BTreeSet::new();
        voters.retain(|node| sites.insert(node.site().to_owned()));
        clocks.nodes = voters
            .iter()
            .take(NODES)
            .map(|node| node.name().to_owned())
            .collect();
        for node in &clocks.nodes {
            let file = File::create(clocks.file(node)).context("cannot make a clock's file")?;
            file.set_len(SETTING_BYTES)
                .context("cannot make a clock's file")?;
        }
        Ok(clocks)
    }

    /// Nodes whose clock can be set.
    pub(super) fn nodes(&self) -> &[String] {
        &self.nodes
    }

    pub(super) fn missing(&self) -> Option<&str> {
        self.missing.as_deref()
    }

    /// What makes a node's clock one that can be set.
    pub(super) fn preloaded(&self, node: &str) -> Option<Preloaded> {
        let has = self.nodes.iter().any(|name| name == node);
        has.then(|| Preloaded::new(&self.object, "BANYAN_CHAOS_CLOCK", self.file(node)))
    }

    /// Sets a node's clock so many seconds ahead or, if negative, back.
    ///
    /// # Errors
    /// The clock's file cannot be written.
    pub(super) fn step(&self, node: &str, seconds: i64) -> Result<()> {
        self.write(node, AHEAD, seconds.saturating_mul(1_000_000_000))
    }

    /// Makes a node's clock go faster by so many per million from now on or, if negative, slower.
    ///
    /// # Errors
    /// As [`Clocks::step`].
    pub(super) fn skew(&self, node: &str, per_million: i64) -> Result<()> {
        let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).context("no clock since boot")?;
        let nanoseconds = boot.tv_sec().saturating_mul(1_000_000_000) + boot.tv_nsec();
        self.write(node, SINCE_BOOT, nanoseconds)?;
        self.write(node, PER_MILLION, per_million)
    }

    /// Sets all clocks right.
    ///
    /// # Errors
    /// As [`Clocks::step`].
    pub(super) fn right(&self) -> Result<()> {
        self.nodes.iter().try_for_each(|node| {
            self.write(node, PER_MILLION, 0)?;
            self.write(node, AHEAD, 0)
        })
    }

    fn file(&self, node: &str) -> PathBuf {
        self.folder.join(node)
    }

    /// Written in place, never anew: the process has this very file in its memory.
    fn write(&self, node: &str, place: u64, value: i64) -> Result<()> {
        let path = self.file(node);
        OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|file| file.write_all_at(&value.to_ne_bytes(), place))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::process::Command;

    use rand::SeedableRng;

    use super::*;

    const TOPOLOGY: &str = include_str!("../../../cluster/local.toml");

    /// What `date` shows under a node's clock, in seconds since 1970.
    fn shown(wrapper: &[OsString]) -> i64 {
        let [program, arguments @ ..] = wrapper else {
            panic!("the node has a clock of its own");
        };
        let told = Command::new(program)
            .args(arguments)
            .args(["date", "+%s"])
            .output()
            .unwrap();
        String::from_utf8(told.stdout)
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    }

    fn wrapper(clocks: &Clocks, node: &str) -> Vec<OsString> {
        preload::wrapper(&[clocks.preloaded(node).unwrap()])
    }

    #[test]
    fn step_shows_at_once_and_goes_away_again() {
        let folder = tempfile::tempdir().unwrap();
        let topology = Topology::parse(TOPOLOGY).unwrap().topology;
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let clocks = Clocks::prepare(folder.path(), &topology, &mut rng).unwrap();
        assert_eq!(clocks.missing(), None);
        let [first, second] = clocks.nodes() else {
            panic!("two voters have clocks: {:?}", clocks.nodes());
        };
        clocks.step(first, -86_400).unwrap();
        let (stepped, right) = (wrapper(&clocks, first), wrapper(&clocks, second));
        let apart = shown(&right) - shown(&stepped);
        assert!((86_300..86_500).contains(&apart), "{apart} s");
        clocks.right().unwrap();
        let apart = shown(&right) - shown(&stepped);
        assert!((-100..100).contains(&apart), "{apart} s");
    }
}
