//! What the simulated runtime keeps true.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use openraft_rt::AsyncRuntime as _;
use openraft_rt::testing::Suite;
use openraft_rt_sim::SimJoinError;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{Host, Run, Simulated, now, outside, run, run_recorded};

const MS: Duration = Duration::from_millis(1);

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Runs its closure when dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Writes `name` into the log when dropped.
fn tombstone(log: &Log, name: &str) -> OnDrop<impl FnMut() + use<>> {
    let (log, name) = (log.clone(), name.to_owned());
    OnDrop(move || log.add(format!("drop {name}")))
}

/// A task that writes a line every millisecond, for ever.
async fn ticker(log: Log, name: &'static str) {
    let _tombstone = tombstone(&log, name);
    loop {
        Simulated::sleep(MS).await;
        log.add(format!("{name} at {}", now().as_millis()));
    }
}

#[test]
fn the_runtime_conforms_to_openraft() {
    Suite::<Simulated>::test_all();
}

#[test]
fn a_killed_host_never_runs_again_and_its_destructors_ran_in_the_order_of_spawning() {
    let log = Log::default();
    let seen = log.clone();
    run(1, async move {
        let (host, other) = (Host::new("a"), Host::new("b"));
        let first = host.spawn(ticker(log.clone(), "first"));
        drop(other.spawn(ticker(log.clone(), "other")));
        drop(host.spawn(ticker(log.clone(), "second")));
        drop(host.spawn({
            let log = log.clone();
            async move { drop(Simulated::spawn(ticker(log, "nested"))) }
        }));
        Simulated::sleep(MS * 3 / 2).await;
        assert_eq!(host.tasks(), 3);
        assert_eq!(
            log.take(),
            ["first at 1", "other at 1", "second at 1", "nested at 1"]
        );

        host.kill();
        host.kill();
        assert!(!host.is_alive() && other.is_alive());
        assert_eq!(host.tasks(), 0);
        assert_eq!(log.take(), ["drop first", "drop second", "drop nested"]);
        assert_eq!(first.await, Err(SimJoinError::Cancelled));
        Simulated::sleep(MS).await;
        assert_eq!(log.take(), ["other at 2"]);

        let late = host.spawn(ticker(log.clone(), "late"));
        assert_eq!(late.await, Err(SimJoinError::Cancelled));
        assert!(
            log.take().is_empty(),
            "a future that never ran has no locals"
        );
    })
    .expect_no_panic();
    assert_eq!(
        seen.take(),
        ["drop other"],
        "the end of a run drops what is left"
    );
}

#[test]
fn what_a_destructor_spawns_dies_with_its_host() {
    let log = Log::default();
    let seen = log.clone();
    run(1, async move {
        let host = Host::new("a");
        let late = log.clone();
        drop(host.spawn(async move {
            let _spawner = OnDrop(move || {
                late.add(format!(
                    "in {:?}",
                    Host::current().map(|host| host.name().to_owned())
                ));
                let late = late.clone();
                drop(Simulated::spawn(async move { late.add("late task ran") }));
            });
            std::future::pending::<()>().await;
        }));
        Simulated::sleep(MS).await;
        host.kill();
        Simulated::sleep(MS).await;
    })
    .expect_no_panic();
    assert_eq!(seen.take(), ["in Some(\"a\")"]);
}

#[test]
fn a_host_is_killed_from_a_task_outside_while_its_tasks_spawn() {
    let log = Log::default();
    let seen = log.clone();
    run(1, async move {
        let host = Host::new("a");
        drop(host.spawn({
            let log = log.clone();
            async move {
                for number in 0_u32.. {
                    let log = log.clone();
                    drop(Simulated::spawn(async move {
                        assert_eq!(Host::current().unwrap().name(), "a");
                        Simulated::sleep(MS * 2).await;
                        log.add(format!("task {number}"));
                    }));
                    Simulated::sleep(MS).await;
                }
            }
        }));
        let victim = host.clone();
        let killer = host.spawn(async move {
            // A task outside of hosts, although one of the host spawned it.
            let killer = outside(async move {
                assert_eq!(Host::current(), None);
                Simulated::sleep(MS * 9 / 2).await;
                victim.kill();
                now()
            });
            killer.await
        });
        assert_eq!(killer.await, Err(SimJoinError::Cancelled));
        assert_eq!(now(), MS * 9 / 2);
        Simulated::sleep(MS * 20).await;
    })
    .expect_no_panic();
    assert_eq!(seen.take(), ["task 0", "task 1", "task 2"]);
}

#[test]
fn a_host_that_kills_itself_is_a_fault_of_the_test() {
    let run = run(1, async {
        let host = Host::new("a");
        let own = host.clone();
        drop(host.spawn(async move { own.kill() }));
        Simulated::sleep(MS).await;
        assert!(host.is_alive());
    });
    let panic = run.panic.unwrap();
    assert!(
        panic
            .message
            .starts_with("a host is killed from outside of it")
    );
}

#[test]
fn a_paused_host_does_nothing_and_catches_up() {
    let log = Log::default();
    run(1, async move {
        let host = Host::new("a");
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        for (name, delay) in [("slow", 3), ("fast", 2), ("later", 30)] {
            let log = log.clone();
            drop(host.spawn(async move {
                Simulated::sleep(MS * delay).await;
                log.add(format!("{name} at {}", now().as_millis()));
            }));
        }
        drop(host.spawn({
            let log = log.clone();
            async move {
                while let Some(number) = receiver.recv().await {
                    log.add(format!("message {number} at {}", now().as_millis()));
                }
            }
        }));
        Simulated::sleep(MS).await;
        host.pause();
        host.pause();
        assert!(host.is_paused() && host.is_alive());
        sender.send(1_u32).unwrap();
        Simulated::sleep(MS * 4).await;
        sender.send(2).unwrap();
        drop(host.spawn({
            let log = log.clone();
            async move { log.add("spawned meanwhile") }
        }));
        Simulated::sleep(MS * 5).await;
        assert!(log.take().is_empty());

        host.resume();
        // Stopped again before any task could run: the wake-ups stay.
        host.pause();
        Simulated::sleep(MS).await;
        assert!(log.take().is_empty());
        host.resume();
        Simulated::sleep(MS).await;
        assert_eq!(
            log.take(),
            [
                "message 1 at 11",
                "message 2 at 11",
                "fast at 11",
                "slow at 11",
                "spawned meanwhile"
            ]
        );
        Simulated::sleep(MS * 30).await;
        assert_eq!(log.take(), ["later at 30"]);
    })
    .expect_no_panic();
}

#[test]
fn a_paused_host_can_be_killed() {
    let log = Log::default();
    run(1, async move {
        let host = Host::new("a");
        drop(host.spawn(ticker(log.clone(), "ticker")));
        Simulated::sleep(MS / 2).await;
        host.pause();
        Simulated::sleep(MS).await;
        host.kill();
        host.resume();
        Simulated::sleep(MS).await;
        assert_eq!(log.take(), ["drop ticker"]);
    })
    .expect_no_panic();
}

/// Twenty tasks in four hosts that sleep for random times, with a kill and a stop; gives what they did and the trace of the scheduler.
fn restless(seed: u64) -> (Vec<String>, Run<()>) {
    let log = Log::default();
    let seen = log.clone();
    let run = run_recorded(seed, async move {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let hosts: Vec<Host> = (0..4)
            .map(|number| Host::new(&format!("h{number}")))
            .collect();
        for number in 0..20_u64 {
            let log = log.clone();
            let mut random = ChaCha8Rng::seed_from_u64(seed * 100 + number);
            drop(hosts[number as usize % 4].spawn(async move {
                loop {
                    Simulated::sleep(MS * random.random_range(1..5)).await;
                    log.add(format!("{number} at {:?}", now()));
                }
            }));
        }
        Simulated::sleep(MS * random.random_range(20..40)).await;
        hosts[0].kill();
        hosts[1].pause();
        Simulated::sleep(MS * random.random_range(20..40)).await;
        hosts[1].resume();
        Simulated::sleep(MS * 20).await;
    });
    (seen.take(), run)
}

#[test]
fn one_seed_gives_one_trace_on_any_thread() {
    let (log, once) = restless(7);
    assert!(log.len() > 300 && once.trace.len() > 1000);
    let again = std::thread::spawn(|| restless(7)).join().unwrap();
    let (other, _) = std::thread::spawn(|| restless(8)).join().unwrap();
    assert_eq!(log, again.0);
    assert_eq!(once.trace, again.1.trace);
    assert_eq!((once.polls, once.elapsed), (again.1.polls, again.1.elapsed));
    assert_ne!(log, other);
}

#[test]
fn a_panic_is_recorded_with_its_host_and_does_not_end_the_run() {
    let run = run(1, async {
        let host = Host::new("unlucky");
        let handle = host.spawn(async {
            Simulated::sleep(MS).await;
            panic!("first {}", 1);
        });
        let error = handle.await.unwrap_err();
        assert!(Simulated::is_panic(&error));
        assert!(host.is_alive());
        let handle = outside(async { panic!("second") });
        assert!(Simulated::is_panic(&handle.await.unwrap_err()));
        Simulated::sleep(MS).await;
        "done"
    });
    assert_eq!((run.output, run.elapsed), ("done", MS * 2));
    let panic = run.panic.as_ref().unwrap();
    assert_eq!((panic.host.as_deref(), panic.at), (Some("unlucky"), MS));
    assert!(panic.message.starts_with("first 1 ("), "{}", panic.message);
    assert!(std::panic::catch_unwind(|| run.expect_no_panic()).is_err());
}

#[test]
fn panics_of_destructors_and_of_blocking_work_are_recorded() {
    for seed in 0..3 {
        let run = run(seed, async move {
            let host = Host::new("a");
            drop(host.spawn(async {
                let _bomb = OnDrop(|| panic!("boom"));
                std::future::pending::<()>().await;
            }));
            let work = host.spawn(async move {
                Simulated::spawn_blocking(move || assert!(seed != 2, "boom")).await
            });
            assert_eq!(work.await.unwrap().is_err(), seed == 2);
            if seed == 1 {
                host.kill();
            }
        });
        // In a run of seed 0 the bomb goes off when the run ends.
        let panic = run.panic.unwrap();
        assert_eq!(panic.host.as_deref(), Some("a"));
        assert!(panic.message.starts_with("boom"));
    }
}

#[test]
fn a_run_that_cannot_go_on_names_the_panic_that_caused_it() {
    let end = std::panic::catch_unwind(|| {
        drop(run(1, async {
            drop(Host::new("a").spawn(async { panic!("the cause") }));
            std::future::pending::<()>().await;
        }));
    });
    let message = super::panics::message(end.unwrap_err().as_ref());
    assert!(
        message.contains("the cause") && message.contains("deadlock"),
        "{message}"
    );

    // And the thread is free for the next run, without the panic of the last.
    let run = run(1, async { now() });
    assert_eq!(
        (run.output, run.panic, run.polls),
        (Duration::ZERO, None, 1)
    );
}

#[test]
fn a_run_inside_a_run_is_refused_and_a_handle_kept_after_a_run_keeps_no_task() {
    let log = Log::default();
    let kept = {
        let log = log.clone();
        run(1, async move {
            let host = Host::new("a");
            drop(host.spawn(ticker(log, "ticker")));
            Simulated::sleep(MS / 2).await;
            assert!(std::panic::catch_unwind(|| drop(run(2, async {}))).is_err());
            Simulated::sleep(MS / 4).await;
            host
        })
        .expect_no_panic()
    };
    assert_eq!(
        (log.take(), kept.tasks()),
        (vec!["drop ticker".to_owned()], 0)
    );
    kept.kill();
}
