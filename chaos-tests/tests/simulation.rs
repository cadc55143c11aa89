//! The simulation itself: one seed is one run, whatever ran before it and on whichever thread.

use std::time::Duration;

use banyan_chaos_tests::sim::{
    run::{self, Options, Report},
    sweep::{Sweep, sweep},
};

fn options(trace: bool) -> Options {
    Options {
        length: Duration::from_secs(8),
        trace,
        ..Options::default()
    }
}

fn same(one: &Report, other: &Report) {
    assert_eq!(one.seen.hash, other.seen.hash, "seed {}", one.seed);
    assert_eq!(one.seen.events, other.seen.events);
    assert_eq!(one.counts, other.counts);
    assert_eq!(one.messages, other.messages);
    assert_eq!(one.polls, other.polls);
    assert_eq!(one.simulated, other.simulated);
}

#[test]
fn one_seed_is_one_run_down_to_every_decision_of_the_scheduler() {
    for seed in [3, 14] {
        let first = run::run(seed, options(true));
        let again = run::run(seed, options(true));
        same(&first, &again);
        assert!(first.trace.len() > 10_000, "the run did something");
        let differs = first
            .trace
            .iter()
            .zip(&again.trace)
            .position(|(one, other)| one != other);
        assert_eq!(
            differs, None,
            "seed {seed}: the decisions differ from here on"
        );
        assert_eq!(first.trace.len(), again.trace.len());
        assert!(first.kept(), "{first}");
    }
}

#[test]
fn a_seed_in_a_sweep_is_the_same_as_alone() {
    let plan = Sweep {
        from: 20,
        count: 4,
        threads: 2,
        options: options(false),
        stop_at_first: false,
    };
    let reports = std::sync::Mutex::new(Vec::new());
    let totals = sweep(&plan, |report| {
        reports.lock().unwrap().push(report.clone());
    });
    assert_eq!(totals.seeds, 4);
    let mut hashes = std::collections::BTreeSet::new();
    for report in reports.into_inner().unwrap() {
        same(&report, &run::run(report.seed, options(false)));
        hashes.insert(report.seen.hash);
    }
    assert_eq!(hashes.len(), 4, "other seeds are other runs");
}
