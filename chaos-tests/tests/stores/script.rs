//! Seeded lists of operations. Where they aim they say relative to what the log holds then: both sides hold the same, or have differed before.

use std::time::Duration;

use banyan_domain::{Outcome, Position};
use banyan_storage::{EntryKind, StateEntry};
use rand::{Rng, SeedableRng, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;

use crate::workload::Workload;

/// An index, said relative to something else.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Near {
    /// The first entry, or the next one of an empty log.
    First(i64),
    /// The last entry, or the one before the next.
    Last(i64),
    /// The last applied entry.
    Applied(i64),
}

/// What is done to a node.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Entries of these sizes in bytes, from so far behind the end of the log; if `hole`, the last of them leaves one out.
    Append {
        shift: i64,
        hole: bool,
        sizes: Vec<usize>,
        term: u64,
    },
    Read {
        from: Near,
        until: Near,
        bytes_max: usize,
    },
    Vote(u64),
    Committed(u64),
    Truncate(Option<Near>),
    Purge(Near),
    /// The next entries that the log has, in so many calls that do not wait for each other.
    Apply {
        count: usize,
        calls: usize,
    },
    /// Entries that the log gets after the call.
    ApplyAhead(usize),
    Checkpoint,
    /// The newest checkpoint of this node goes to that one.
    Install(usize),
    /// Until everything that was asked for is done.
    Wait,
    /// The process ends and starts again, after a checkpoint or not.
    Reopen {
        checkpoint: bool,
    },
}

/// An operation, and where it is done.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) node: usize,
    pub(crate) op: Op,
    /// Virtual time that passes after it.
    pub(crate) pause: Duration,
}

/// How often each kind of operation is drawn.
pub(crate) struct Weights {
    append: u32,
    read: u32,
    markers: u32,
    truncate: u32,
    purge: u32,
    apply: u32,
    checkpoint: u32,
    install: u32,
    wait: u32,
    reopen: u32,
    /// Commands in an entry at most; none: entries are blank.
    commands: usize,
}

impl Weights {
    pub(crate) const LOG: Self = Self {
        append: 28,
        read: 28,
        markers: 10,
        truncate: 8,
        purge: 8,
        apply: 8,
        checkpoint: 3,
        install: 0,
        wait: 5,
        reopen: 2,
        commands: 0,
    };
    pub(crate) const STATE: Self = Self {
        append: 22,
        read: 4,
        markers: 3,
        truncate: 1,
        purge: 16,
        apply: 40,
        checkpoint: 8,
        install: 10,
        wait: 4,
        reopen: 2,
        commands: 7,
    };
}

/// Everything that both sides are given.
pub(crate) struct Script {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    /// Index of the first entry of a log that was never purged.
    pub(crate) begins: u64,
    pub(crate) steps: Vec<Step>,
    /// What may be applied, from index 1 on, with the outcomes of the domain's reference model.
    pub(crate) entries: Vec<(StateEntry, Vec<Outcome>)>,
}

impl Script {
    pub(crate) fn new(seed: u64, nodes: usize, steps: usize, weights: &Weights) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut workload = Workload::new(seed);
        let entries = (1..=400)
            .map(|index| match weights.commands {
                0 => (blank(index), Vec::new()),
                most => workload.entry(rng.random_range(1..=most)),
            })
            .collect();
        let mut steps: Vec<Step> = (0..steps)
            .map(|_| Step {
                node: rng.random_range(0..nodes),
                op: draw(&mut rng, weights, nodes),
                pause: Duration::from_micros(if rng.random_bool(0.5) {
                    0
                } else {
                    rng.random_range(0..4_000)
                }),
            })
            .collect();
        for node in 0..nodes {
            let pause = Duration::ZERO;
            let op = Op::Wait;
            steps.push(Step { node, op, pause });
        }
        Self {
            seed,
            nodes,
            begins: seed % 2,
            steps,
            entries,
        }
    }
}

fn blank(index: u64) -> StateEntry {
    StateEntry {
        position: Position { term: 1, index },
        kind: EntryKind::Blank,
    }
}

fn near(rng: &mut ChaCha8Rng) -> Near {
    let by = rng.random_range(-4..5);
    match rng.random_range(0..5) {
        0 | 1 => Near::First(by),
        2 => Near::Last(-rng.random_range(0..40)),
        _ => Near::Last(by),
    }
}

fn draw(rng: &mut ChaCha8Rng, weights: &Weights, nodes: usize) -> Op {
    type Draw = fn(&mut ChaCha8Rng, usize) -> Op;
    let table: [(u32, Draw); 10] = [
        (weights.append, append),
        (weights.read, |rng, _| Op::Read {
            from: near(rng),
            until: near(rng),
            bytes_max: *[0, 1, 300, 600, 1_000, 5_000, 30_000, usize::MAX]
                .choose(rng)
                .unwrap(),
        }),
        (weights.markers, |rng, _| match rng.random_bool(0.5) {
            true => Op::Vote(rng.random()),
            false => Op::Committed(rng.random()),
        }),
        (weights.truncate, |rng, _| {
            Op::Truncate((!rng.random_ratio(1, 12)).then(|| near(rng)))
        }),
        (weights.purge, |rng, _| {
            Op::Purge(match rng.random_range(0..4) {
                0 => near(rng),
                1 => Near::First(rng.random_range(-2..6)),
                _ => Near::Applied(rng.random_range(-6..3)),
            })
        }),
        (weights.apply, |rng, _| match rng.random_range(0..6) {
            0 => Op::ApplyAhead(rng.random_range(1..6)),
            _ => Op::Apply {
                count: rng.random_range(0..12),
                calls: rng.random_range(1..4),
            },
        }),
        (weights.checkpoint, |_, _| Op::Checkpoint),
        (weights.install, |rng, nodes| {
            Op::Install(rng.random_range(0..nodes))
        }),
        (weights.wait, |_, _| Op::Wait),
        (weights.reopen, |rng, _| Op::Reopen {
            checkpoint: rng.random_bool(0.4),
        }),
    ];
    let (_, draw) = table.choose_weighted(rng, |(weight, _)| *weight).unwrap();
    draw(rng, nodes)
}

fn append(rng: &mut ChaCha8Rng, _: usize) -> Op {
    let count = rng.random_range(0..10);
    // Never empty, as entries are in production: where a bound on bytes is met exactly, the stores take an empty one or leave it, as it lies
    // in memory or not.
    let unit = if rng.random_bool(0.5) { 1 } else { 100 };
    let sizes = (0..count)
        .map(|_| rng.random_range(1..=600 / unit) * unit)
        .collect();
    let shift = match rng.random_range(0..12) {
        0 => rng.random_range(-3..0),
        1 => rng.random_range(1..4),
        _ => 0,
    };
    Op::Append {
        shift,
        hole: rng.random_ratio(1, 15),
        sizes,
        term: rng.random(),
    }
}
