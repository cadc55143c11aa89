//! Registrations with four learners attached to each system that can have them: real ones, each with its own process and disk.
//!
//! Not in a whole run, which has 25 minutes: named with `--only`, or in a smoke run.

use std::sync::Arc;

use super::beside::{WRITERS, connect};
use super::{Bench, say};
use crate::load;
use crate::plan::Phase;
use crate::rows::System;
use crate::systems::Source;
use crate::systems::banyan::{self, Banyan, learner_site};
use crate::systems::etcd::{self, Etcd, Puts, Values};
use crate::systems::postgres::Postgres;

/// Learners of ours, and as many of the others as they permit.
const LEARNERS: usize = 4;

/// Starts the three with their learners, and measures.
pub(super) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    say("starting etcd, PostgreSQL and Banyan, with 4 learners each where that is permitted");
    let folder = bench.folder.join("attached");
    let etcd_folder = folder.join("etcd");
    let mut etcd = Etcd::start(&etcd_folder, &bench.authority, etcd::Timing::Default).await?;
    let of_etcd = etcd
        .attach_learners(&etcd_folder, &bench.authority, LEARNERS)
        .await?;
    let postgres =
        Postgres::start_with(&folder.join("postgres"), &bench.authority, LEARNERS).await?;
    let timing = banyan::Timing::Local;
    let mut banyan =
        Banyan::start_with(&folder.join("banyan"), timing, LEARNERS, |options| options).await?;
    bench.setting(
        "attached learners",
        format!(
            "{LEARNERS} learners of Banyan, real nodes in provinces; {of_etcd} of etcd, as many as it permits; {LEARNERS} asynchronous \
             standbys of PostgreSQL besides the two synchronous ones. All share the machine"
        ),
    );
    let source = || Source::new(Arc::clone(&bench.persons));
    let puts = Puts::new(etcd.channels(WRITERS)?, Values::Records(source()));
    let registrations = postgres.registrations(WRITERS, source()).await?;
    let ours = banyan::registrations(banyan.unary(WRITERS)?, source());
    connect(&puts, WRITERS).await?;
    connect(&registrations, WRITERS).await?;
    connect(&ours, WRITERS).await?;
    let window = bench.plan.window;
    for alternation in 1..=bench.plan.alternations {
        for (row, systems) in bench.plan.rows(Phase::Attached) {
            for system in systems {
                let figures = match system {
                    System::Etcd => load::closed(&puts, WRITERS, window).await,
                    System::Postgres => load::closed(&registrations, WRITERS, window).await,
                    _ => load::closed(&ours, WRITERS, window).await,
                };
                bench.note(row, *system, alternation, figures).await;
            }
        }
    }
    // A learner that had given up would have cost nothing.
    postgres.caught_up().await?;
    let learners = (0..LEARNERS).map(|learner| format!("{}-1", learner_site(learner)));
    let learners: Vec<String> = learners.collect();
    banyan
        .cluster
        .wait_caught_up(&learners, banyan::READY_WITHIN)
        .await?;
    etcd.check_learners()
}
