//! The latency of writes with 63 learners attached, against the same without.
//!
//! The learners are simulated, and say so: each has a port, a certificate and a place in the membership, takes every append that the
//! leader sends, acknowledges it at once, and asks for read barriers as often as a real one. It keeps nothing and syncs nothing, since a
//! real one does that on a machine of its own; 63 nodes would measure two cores with 63 databases. What is measured is what a leader
//! pays for them, and its peers' connections.

use std::sync::Arc;

use super::{Bench, say};
use crate::learners::Learners;
use crate::load;
use crate::plan::Phase;
use crate::rows::System;
use crate::systems::Source;
use crate::systems::banyan::{self, Banyan, Timing, learner_site};

const LEARNERS: usize = 63;
const PER_SECOND: f64 = 500.0;

/// Measures with and without learners in turn.
pub(super) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    say("starting Banyan without learners, and with 63 simulated ones");
    let mut alone = Banyan::start(&bench.folder.join("alone"), Timing::Local).await?;
    let names: Vec<String> = (0..LEARNERS)
        .map(|learner| format!("{}-1", learner_site(learner)))
        .collect();
    let simulated = names.iter().cloned().collect();
    let folder = bench.folder.join("learners");
    let mut joined = Banyan::start_with(&folder, Timing::Local, LEARNERS, |mut options| {
        options.simulated = simulated;
        options
    })
    .await?;
    let learners = Learners::start(&mut joined, &names).await?;
    let target = |banyan: &Banyan| -> anyhow::Result<_> {
        let source = Source::new(Arc::clone(&bench.persons));
        Ok(banyan::registrations(banyan.streams(1)?, source))
    };
    let (alone_target, joined_target) = (target(&alone)?, target(&joined)?);
    bench.setting(
        "learners",
        "63 simulated learners in one thread of the bench: each acknowledges every append and asks for a barrier every 100 ms, over mutual \
         TLS; it stores nothing. They share the machine's cores with the voters and the load",
    );
    for alternation in 1..=bench.plan.alternations {
        for (row, systems) in bench.plan.rows(Phase::Learners) {
            for system in systems {
                let target = match system {
                    System::BanyanLearners => &joined_target,
                    _ => &alone_target,
                };
                let before = learners.counts();
                let figures = load::open(target, 1, PER_SECOND, bench.plan.window).await;
                if *system == System::BanyanLearners {
                    let after = learners.counts();
                    learners.check(before, after, figures.operations)?;
                }
                bench.note(row, *system, alternation, figures).await;
            }
        }
    }
    alone.caught_up().await?;
    joined.caught_up().await?;
    Ok(())
}
