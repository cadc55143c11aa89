//! The longest time in which no write was acknowledged to any client, when the leader is killed. Counted alike for all.
//!
//! 16 writers with one registration under way each. A try without an answer is given up after 200 ms, and the next one goes to another member
//! after 5 ms; both the same for each system.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use banyan_client::Options;

use super::{Bench, say};
use crate::figures::Figures;
use crate::load::{self, Target, Window};
use crate::plan::Phase;
use crate::rows::System;
use crate::systems::banyan::{self, Banyan};
use crate::systems::etcd::{self, Etcd, MEMBERS, Puts, Values};
use crate::systems::{RETRY_PAUSE, Source};

const WRITERS: usize = 16;
const TRY_WITHIN: Duration = Duration::from_millis(200);
/// Load before the kill, the warm-up included.
const BEFORE: Duration = Duration::from_millis(2500);

/// Counts the time between acknowledgements.
struct Watched<T> {
    inner: Arc<T>,
    since: Instant,
    /// Nanoseconds from `since` to the newest acknowledgement.
    newest: AtomicU64,
    /// The longest time between two of them.
    longest: AtomicU64,
}

impl<T> Watched<T> {
    fn new(inner: Arc<T>) -> Watched<T> {
        Watched {
            inner,
            since: Instant::now(),
            newest: AtomicU64::new(0),
            longest: AtomicU64::new(0),
        }
    }

    fn acknowledged(&self) {
        let now = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let before = self.newest.fetch_max(now, Ordering::Relaxed);
        self.longest
            .fetch_max(now.saturating_sub(before), Ordering::Relaxed);
    }

    /// Forgets what was before: the kill is next.
    fn forget(&self) {
        self.longest.store(0, Ordering::Relaxed);
    }

    /// The longest time, one that has not ended included.
    fn longest(&self) -> Duration {
        self.acknowledged();
        Duration::from_nanos(self.longest.load(Ordering::Relaxed))
    }
}

impl<T: Target> Target for Watched<T> {
    type Request = T::Request;

    fn request(&self, slot: usize) -> T::Request {
        self.inner.request(slot)
    }

    async fn call(&self, slot: usize, request: T::Request) -> Result<u64, String> {
        let answer = self.inner.call(slot, request).await;
        if answer.is_ok() {
            self.acknowledged();
        }
        answer
    }
}

/// Load, and in it the kill.
async fn stopped<T: Target>(
    target: &Arc<T>,
    window: Window,
    kill: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Figures> {
    let watched = Arc::new(Watched::new(Arc::clone(target)));
    let killing = async {
        tokio::time::sleep(BEFORE.min(window.total() / 2)).await;
        watched.forget();
        kill().await
    };
    // Long enough for any of them to go on, also in a smoke run.
    let window = Window {
        counted: window.counted.max(Duration::from_secs(6)),
        ..window
    };
    let loading = load::closed(&watched, WRITERS, window);
    let (mut figures, killed) = tokio::join!(loading, killing);
    killed?;
    figures.stop_ms = Some(watched.longest().as_secs_f64() * 1000.0);
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

#[cfg(test)]
mod tests {
    use super::*;

    struct Server {
        gone: std::sync::atomic::AtomicBool,
    }

    impl Target for Server {
        type Request = ();

        fn request(&self, _slot: usize) {}

        async fn call(&self, _slot: usize, (): ()) -> Result<u64, String> {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if self.gone.load(Ordering::Relaxed) {
                return Err("gone".to_owned());
            }
            Ok(1)
        }
    }

    #[tokio::test]
    async fn stop_is_the_time_without_an_acknowledgement() {
        let server = Arc::new(Server {
            gone: std::sync::atomic::AtomicBool::new(false),
        });
        let watched = Arc::new(Watched::new(Arc::clone(&server)));
        load::drain(&watched, 2, 10).await.unwrap();
        watched.forget();
        server.gone.store(true, Ordering::Relaxed);
        assert!(load::drain(&watched, 1, 1).await.is_err());
        tokio::time::sleep(Duration::from_millis(120)).await;
        server.gone.store(false, Ordering::Relaxed);
        load::drain(&watched, 2, 10).await.unwrap();
        assert!(watched.longest() >= Duration::from_millis(120));
    }
}
