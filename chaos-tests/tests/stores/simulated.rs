//! The disk of a simulated machine, and its process.

use std::sync::Arc;
use std::time::Duration;

use banyan_chaos_tests::sim::disk::{Disk, Machine, Speed};
use banyan_chaos_tests::sim::observer::Observer;
use banyan_chaos_tests::sim::runtime::{self, Host, Simulated};
use banyan_storage::GroupBounds;
use openraft_rt::AsyncRuntime as _;

use crate::shown::shown;
use crate::side::Side;

/// A process on a simulated machine.
pub(crate) struct Simulation {
    machine: Arc<Machine>,
    observer: Observer,
    host: Host,
    disk: Disk,
}

/// Runs `main` in virtual time.
pub(crate) fn run<T>(seed: u64, main: impl AsyncFnOnce() -> T) -> T {
    runtime::run(seed, main()).expect_no_panic()
}

/// Opens the disk in a process of its own, with groups smaller than the stores make them: what a group is must not show.
async fn open(machine: &Arc<Machine>, observer: &Observer) -> (Host, Disk) {
    let bounds = GroupBounds {
        bytes: 2 << 10,
        commands: 5,
        conformance: false,
    };
    let host = Host::new("stores");
    let (machine, observer) = (Arc::clone(machine), observer.clone());
    let opened = host.spawn(async move { Disk::open(&machine, observer, bounds) });
    let disk = opened.await.unwrap().unwrap();
    (host, disk)
}

impl Simulation {
    /// Empty ones; `seed` is what their disks draw from.
    pub(crate) async fn nodes(seed: u64, count: usize) -> Vec<Self> {
        let observer = Observer::new(false);
        let mut nodes = Vec::new();
        for number in 0..count {
            let speed = Speed {
                micros: (50, 900),
                stall_one_in: 40,
            };
            let machine = Machine::new(number as u64 + 1, seed, speed);
            let (host, disk) = open(&machine, &observer).await;
            nodes.push(Self {
                machine,
                observer: observer.clone(),
                host,
                disk,
            });
        }
        nodes
    }

    /// The process is killed, and another one starts.
    pub(crate) async fn killed(self) -> Self {
        self.host.kill();
        self.machine.process_killed();
        let (host, disk) = open(&self.machine, &self.observer).await;
        Self { host, disk, ..self }
    }
}

impl Side for Simulation {
    type Log = Disk;
    type State = Disk;

    fn log(&self) -> &Disk {
        &self.disk
    }

    fn state(&self) -> &Disk {
        &self.disk
    }

    async fn pause(&self, time: Duration) {
        Simulated::sleep(time).await;
    }

    async fn reopened(self) -> Self {
        self.killed().await
    }

    fn digest(&self) -> ([u8; 32], u64) {
        self.disk.image().digest().unwrap()
    }

    fn shown(&self) -> Vec<String> {
        shown(&self.disk.image().view()).unwrap()
    }
}
