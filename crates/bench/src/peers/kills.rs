//! The longest time in which no write was acknowledged to any client, when the leader is killed. Counted alike for all.
//!
//! 16 writers with one registration under way each. A try without an answer is given up after 200 ms, and the next one goes to another member
//! after 5 ms; both the same for each system.

use std::sync::Arc;
use std::time::Duration;

use banyan_client::Options;

use super::{Bench, say};
use crate::figures::Figures;
use crate::load::{Target, Window};
use crate::plan::Phase;
use crate::rows::System;
use crate::systems::banyan::{self, Banyan};
use crate::systems::etcd::{self, Etcd, MEMBERS, Puts, Values};
use crate::systems::{RETRY_PAUSE, Source};
use crate::watched::interrupted;

/// Writers, each with one registration under way.
const WRITERS: usize = 16;
const TRY_WITHIN: Duration = Duration::from_millis(200);
/// Load before the kill, the warm-up included.
const BEFORE: Duration = Duration::from_millis(2500);

/// Load, and in it the kill.
async fn stopped<T: Target>(
    target: &Arc<T>,
    window: Window,
    kill: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Figures> {
    let before = BEFORE.min(window.total() / 2);
    // Long enough for any of them to go on, also in a smoke run.
    let window = Window {
        counted: window.counted.max(Duration::from_secs(6)),
        ..window
    };
    let (figures, ()) = interrupted(target, WRITERS, window, before, kill).await?;
    Ok(figures)
}

/// Kills leaders in turn.
pub(super) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    say("starting etcd twice and Banyan, to kill their leaders");
    let authority = &bench.authority;
    let folder = |name: &str| bench.folder.join("kills").join(name);
    let mut slow = Etcd::start(&folder("etcd"), authority, etcd::Timing::Default).await?;
    let mut fast = Etcd::start(&folder("etcd-fast"), authority, etcd::Timing::Fast).await?;
    let mut banyan = Banyan::start(&folder("banyan"), banyan::Timing::Local).await?;
    let source = || Source::new(Arc::clone(&bench.persons));
    let puts = |etcd: &Etcd| -> anyhow::Result<Arc<Puts>> {
        Ok(Puts::roaming(
            etcd.channels(MEMBERS)?,
            Values::Records(source()),
            TRY_WITHIN,
            WRITERS,
        ))
    };
    let (slow_puts, fast_puts) = (puts(&slow)?, puts(&fast)?);
    let options = Options {
        try_timeout: TRY_WITHIN,
        backoff_first: RETRY_PAUSE,
        backoff_max: RETRY_PAUSE,
        ..Options::default()
    };
    let writes = banyan::registrations(banyan.clients(WRITERS, &options)?, source());
    bench.setting(
        "leader_kill",
        format!(
            "16 writers; a try without an answer within {TRY_WITHIN:?} goes to the next member after {RETRY_PAUSE:?}, for each system alike; \
             Banyan's election 150 to 300 ms with a heartbeat of 50 ms, etcd once with its defaults and once with {}: its election time must be \
             five heartbeats, and it draws from one to two election times",
            etcd::Timing::Fast.arguments().join(" ")
        ),
    );
    let window = bench.plan.window;
    for alternation in 1..=bench.plan.alternations {
        for (row, systems) in bench.plan.rows(Phase::Kills) {
            for system in systems {
                let figures = match system {
                    System::Etcd => of_etcd(&mut slow, &slow_puts, window).await?,
                    System::EtcdFast => of_etcd(&mut fast, &fast_puts, window).await?,
                    _ => of_banyan(&mut banyan, &writes, window).await?,
                };
                bench.note(row, *system, alternation, figures).await;
            }
        }
    }
    Ok(())
}

async fn of_etcd(etcd: &mut Etcd, puts: &Arc<Puts>, window: Window) -> anyhow::Result<Figures> {
    let leader = etcd.leader().await?;
    let figures = stopped(puts, window, async || {
        etcd.kill(leader);
        Ok(())
    })
    .await?;
    etcd.restart(leader)?;
    etcd.leader().await?;
    etcd.caught_up().await?;
    Ok(figures)
}

async fn of_banyan(
    banyan: &mut Banyan,
    writes: &Arc<banyan::Registrations>,
    window: Window,
) -> anyhow::Result<Figures> {
    let leader = banyan.leader().await?;
    let cluster = &mut banyan.cluster;
    let figures = stopped(writes, window, async || {
        Ok(cluster.kill_node(&leader).await?)
    })
    .await?;
    banyan.cluster.start_node(&leader)?;
    banyan.caught_up().await?;
    Ok(figures)
}
