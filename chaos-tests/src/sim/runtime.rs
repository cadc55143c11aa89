//! The simulated runtime: virtual time, one thread, and processes that can lose power or be stopped.
//!
//! Contract of use: [`run`] runs one future and all that it spawns, on a virtual clock that starts at zero. A [`Host`] is one simulated
//! process: what is spawned in it, and what that spawns in turn, ends with it. Code under test is generic over
//! [`openraft_rt::AsyncRuntime`] and runs on [`Simulated`].
//!
//! Kept true: equal seeds give equal runs. Tasks are polled in the order in which they became runnable, so orders vary only through the
//! delays that simulated disks and networks add. Nothing outlives a run, and runs on several threads do not touch each other.
//!
//! Deliberately absent: threads, real time, and clocks that drift.

mod host;
mod panics;
mod task;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::time::Duration;

use openraft_rt::{AsyncRuntime, OptionalSend};
use openraft_rt_sim::{Elapsed, SimInstant, SimJoinError, SimRuntime, SimSleep, SimTimeout};

pub use host::Host;
pub use panics::TaskPanic;
pub use task::JoinHandle;

thread_local! {
    /// Whether a run is under way.
    static RUNNING: Cell<bool> = const { Cell::new(false) };
    /// Futures polled in this run.
    static POLLS: Cell<u64> = const { Cell::new(0) };
}

/// What a run left.
#[derive(Debug)]
#[must_use = "a run may have recorded a panic"]
pub struct Run<T> {
    /// What the main future returned.
    pub output: T,
    /// The first panic inside a task or a destructor of a task, also one that the code under test caught itself.
    pub panic: Option<TaskPanic>,
    /// How often a future was polled, the main one included; not those of stopped hosts.
    pub polls: u64,
    /// Virtual time that passed.
    pub elapsed: Duration,
    /// Every decision of the scheduler, one a line; empty unless [`run_recorded`] made the run.
    pub trace: Vec<String>,
}

impl<T> Run<T> {
    /// The output of a run without a panic.
    ///
    /// # Panics
    /// When a task panicked, with its message.
    #[track_caller]
    pub fn expect_no_panic(self) -> T {
        if let Some(panic) = self.panic {
            panic!("{panic}");
        }
        self.output
    }
}

/// Runs `main`, and all that it spawns, until it is ready; then drops the tasks that are left, in the order of spawning.
///
/// `seed` feeds what the code under test draws from its runtime; simulated disks, networks and clients have generators of their own.
///
/// # Panics
/// When `main` panics, when nothing can run and no timer is pending, when 100,000 polls do not move the clock, and when a run is under way
/// on this thread. The message then begins with the first panic of a task, if there was one: it is mostly the cause.
pub fn run<T>(seed: u64, main: impl Future<Output = T>) -> Run<T> {
    start(seed, main, false)
}

/// As [`run`], and keeps the decisions of the scheduler: to compare two runs line by line. Takes about twice the time, and memory without
/// a bound: for single seeds.
pub fn run_recorded<T>(seed: u64, main: impl Future<Output = T>) -> Run<T> {
    start(seed, main, true)
}

/// Virtual time since the start of the run.
///
/// # Panics
/// Outside a run.
#[track_caller]
pub fn now() -> Duration {
    <SimInstant as openraft_rt::Instant>::now().elapsed_since_start()
}

/// Spawns `future` in no host: what belongs to the world around the processes, as packets under way and the script of the faults do.
pub fn outside<T>(future: T) -> JoinHandle<T::Output>
where
    T: Future + Send + 'static,
    T::Output: Send + 'static,
{
    task::spawn_in(None, future)
}

fn start<T>(seed: u64, main: impl Future<Output = T>, record: bool) -> Run<T> {
    let thread = Thread::enter();
    panics::install_hook();
    let mut runtime = SimRuntime::with_seed(seed);
    if record {
        runtime.record_trace(true);
    }

    let result = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async move {
            let mut main = pin!(main);
            let output = poll_fn(|context| {
                count_poll();
                main.as_mut().poll(context)
            })
            .await;
            (output, now())
        })
    }));
    // Only what was asked for: openraft-rt-sim writes a trace of its own where its variable asks for one.
    let trace = if record {
        runtime.take_trace()
    } else {
        Vec::new()
    };
    drop(runtime);

    let panic = panics::take_first();
    let polls = POLLS.get();
    drop(thread);
    match (result, panic) {
        (Ok((output, elapsed)), panic) => Run {
            output,
            panic,
            polls,
            elapsed,
            trace,
        },
        (Err(payload), None) => resume_unwind(payload),
        (Err(payload), Some(panic)) => {
            let end = panics::message(payload.as_ref());
            panic!("{panic}; the run then ended with: {end}");
        }
    }
}

fn count_poll() {
    POLLS.set(POLLS.get() + 1);
}

/// The state of this thread, fresh for one run and cleared after it, whatever ends it.
struct Thread;

impl Thread {
    fn enter() -> Self {
        assert!(!RUNNING.replace(true), "one run at a time goes on a thread");
        Self
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        RUNNING.set(false);
        POLLS.set(0);
        panics::forget();
    }
}

/// The runtime for code under simulation: `SimRuntime`, with hosts.
///
/// - A spawned task belongs to the host that spawned it.
/// - Blocking work runs at once, on the thread of the caller, and takes no virtual time.
/// - [`AsyncRuntime::block_on`] makes a run of its own with seed 0, for conformance suites; use [`run`] elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Simulated;

impl AsyncRuntime for Simulated {
    type JoinError = SimJoinError;
    type JoinHandle<T: OptionalSend + 'static> = JoinHandle<T>;
    type Sleep = SimSleep;
    type Instant = SimInstant;
    type TimeoutError = Elapsed;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = SimTimeout<T>;
    type ThreadLocalRng = <SimRuntime as AsyncRuntime>::ThreadLocalRng;
    type Mpsc = <SimRuntime as AsyncRuntime>::Mpsc;
    type Watch = <SimRuntime as AsyncRuntime>::Watch;
    type Oneshot = <SimRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <SimRuntime as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        task::spawn_in(Host::current(), future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        SimRuntime::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        SimRuntime::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        SimRuntime::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        SimRuntime::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        SimRuntime::is_panic(join_error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        SimRuntime::thread_rng()
    }

    fn new(_threads: usize) -> Self {
        Self
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        run(0, future).expect_no_panic()
    }

    fn spawn_blocking<F, T>(f: F) -> impl Future<Output = Result<T, io::Error>> + Send
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let result = task::within(Host::current().as_ref(), f)
            .ok_or_else(|| io::Error::other("blocking work panicked"));
        std::future::ready(result)
    }
}
