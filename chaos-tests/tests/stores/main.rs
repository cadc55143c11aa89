//! The simulated disk and the real stores do the same: one seeded list of operations runs on both, and every answer is compared.
//!
//! What the real side may do and the simulation does not is out of reach here: a process killed while it writes, and a disk that fails. The
//! first is the crash tests' of the storage crate, both are the process suite's.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod drive;
mod faults;
mod reached;
mod real;
mod script;
mod shown;
mod side;
mod simulated;
#[path = "../../../crates/storage/tests/it/workload.rs"]
mod workload;

use std::collections::BTreeSet;

use drive::{Answer, drive};
use reached::Reached;
use real::Real;
use script::{Script, Weights};
use side::Side;
use simulated::Simulation;

/// Runs a script on both, compares them answer by answer, and counts what was reached.
fn compare(script: &Script, reached: &mut Reached) {
    let real = real::run(async |folder| drive(Real::nodes(folder, script.nodes), script).await.1);
    let simulated = simulated::run(script.seed, async || {
        drive(Simulation::nodes(script.seed, script.nodes).await, script)
            .await
            .1
    });
    same(script, &real, &simulated);
    reached.count(script, &real);
}

fn same(script: &Script, real: &[Vec<Answer>], simulated: &[Vec<Answer>]) {
    for (number, step) in script.steps.iter().enumerate() {
        assert_eq!(
            real[number], simulated[number],
            "seed {}, step {number}: {step:?}; left the stores, right the simulated disk",
            script.seed
        );
    }
    assert_eq!(real.len(), simulated.len());
}

#[test]
fn logs_answer_alike() {
    let mut reached = Reached::default();
    for seed in 0..16 {
        compare(&Script::new(seed, 1, 150, &Weights::LOG), &mut reached);
    }
    reached.must(&[
        "entries that do not follow",
        "a read that finds nothing",
        "a read from the first entry",
        "a read to the last entry",
        "a read of one entry",
        "a read of entries in the middle",
        "a truncation",
        "a truncation of everything",
        "a truncation past the end",
        "a purge",
        "a purge too early",
        "a purge without effect",
        "a purge past the last entry",
        "a start of a process",
    ]);
}

#[test]
fn states_answer_alike() {
    let mut reached = Reached::default();
    for seed in 100..112 {
        compare(&Script::new(seed, 2, 70, &Weights::STATE), &mut reached);
    }
    reached.must(&[
        "accepted",
        "rejected",
        "replayed",
        "a state that waits",
        "a checkpoint",
        "an installation",
        "an older snapshot",
        "a purge",
        "a purge too early",
        "a purge past the last entry",
        "a start of a process",
    ]);
}

#[test]
fn after_a_fault_both_refuse_the_same() {
    for fault in faults::Fault::ALL {
        let real = real::run(async |folder| {
            let mut nodes = Real::nodes(folder, 1);
            faults::run(nodes.remove(0), fault).await
        });
        let simulated = simulated::run(1, async || {
            let mut nodes = Simulation::nodes(1, 1).await;
            faults::run(nodes.remove(0), fault).await
        });
        for (real, simulated) in real.iter().zip(&simulated) {
            assert_eq!(
                real, simulated,
                "{fault:?}; left the stores, right the simulated disk"
            );
        }
        assert_eq!(real.len(), simulated.len());
    }
}

/// A process that is killed between two writes leaves its files as they are, and a copy of them is just that. What the stores find there must
/// be among what the simulated disk may leave, or the simulation is kinder than the world.
#[test]
fn what_a_killed_process_leaves_the_simulated_disk_may_leave() {
    let mut lost = 0;
    for seed in 200..206 {
        let script = Script::new(seed, 1, 40, &Weights::STATE);
        let (before, real) = real::run(async |folder| {
            let (nodes, _) = drive(Real::nodes(folder, 1), &script).await;
            let before = nodes[0].left();
            (before, nodes[0].killed().left())
        });
        let mut may_leave = BTreeSet::new();
        for disk in 0..40 {
            let left = simulated::run(seed, async || {
                let (mut nodes, _) = drive(Simulation::nodes(disk, 1).await, &script).await;
                nodes.remove(0).killed().await.left()
            });
            may_leave.insert(left);
        }
        assert!(
            may_leave.contains(&real),
            "seed {seed}: {real:?} is not among {may_leave:?}"
        );
        lost += usize::from(before != real);
    }
    assert!(
        lost > 1,
        "kills lost something of the state in {lost} of 6 runs"
    );
}
