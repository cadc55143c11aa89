//! Voters 15 ms apart, one way, against the same voters without the delay: the same proxy, the same cluster, the same clients.

use std::sync::Arc;
use std::time::Duration;

use super::{Bench, say};
use crate::load;
use crate::plan::Phase;
use crate::proxy::Delay;
use crate::rows::System;
use crate::systems::Source;
use crate::systems::banyan::{self, Timing};
use crate::systems::delayed::Delayed;

const ONE_WAY: Duration = Duration::from_millis(15);
/// Clients with 256 callers each: a node serves that many calls of one stream at a time.
const CLIENTS: usize = 16;
const OUTSTANDING: usize = 4096;
/// A node serves 1,024 requests at a time unless told otherwise and refuses the rest: the row would measure how clients try again.
const LIMITS: &str = "[limits]\nrequests_in_flight_max = 8192\n";

/// Measures with and without the delay in turn.
pub(super) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    say("starting Banyan behind a proxy between its members");
    let delay = Delay::default();
    let folder = bench.folder.join("delay");
    let mut delayed = Delayed::start(&folder, Timing::Wide, LIMITS, &delay).await?;
    let banyan = &mut delayed.banyan;
    let source = Source::new(Arc::clone(&bench.persons));
    let target = banyan::registrations(banyan.streams(CLIENTS)?, source);
    let [heartbeat, min, max] = Timing::Wide.milliseconds();
    bench.setting(
        "delay",
        format!(
            "three voters, heartbeat {heartbeat} ms, election {min} to {max} ms, requests_in_flight_max 8192 instead of 1024; all traffic between members passes a proxy in the bench, which \
             holds it for 0 or {} ms one way; {CLIENTS} clients with 256 callers each on streams, not delayed themselves",
            ONE_WAY.as_millis()
        ),
    );
    for alternation in 1..=bench.plan.alternations {
        for (row, systems) in bench.plan.rows(Phase::Delay) {
            for system in systems {
                delay.set(match system {
                    System::BanyanDelayed => ONE_WAY,
                    _ => Duration::ZERO,
                });
                let figures = load::closed(&target, OUTSTANDING, bench.plan.window).await;
                bench.note(row, *system, alternation, figures).await;
                delay.set(Duration::ZERO);
                banyan.caught_up().await?;
            }
        }
    }
    Ok(())
}
