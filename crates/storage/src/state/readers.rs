//! The threads for long reads, so that none of them holds up the runtime that serves everybody else.
//!
//! A look-up costs less than the hand-over to another thread and stays where it is. A thousand look-ups, or a page of a scan, take
//! milliseconds, and from a cold disk a tenth of a second.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::pending::Pending;

/// Two, so that one page from a cold disk does not stand before everything else.
const THREADS: usize = 2;
/// Reads that may wait.
const QUEUE: usize = 64;

/// As many long reads wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{QUEUE} long reads are waiting, as many as may")]
pub struct ReadersBusy;

type Job = Box<dyn FnOnce() + Send>;

pub(super) struct Readers {
    jobs: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(super) fn start() -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let receiver = Arc::new(Mutex::new(receiver));
        let threads = (0..THREADS)
            .map(|number| {
                let receiver = Arc::clone(&receiver);
                std::thread::Builder::new()
                    .name(format!("state-read-{number}"))
                    .spawn(move || run(&receiver))
            })
            .collect::<io::Result<_>>()?;
        Ok(Self {
            jobs: Some(sender),
            threads,
        })
    }

    pub(super) fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Pending<T>, ReadersBusy> {
        let (answer, pending) = Pending::new("state");
        let job = move || {
            // Nobody waits any more: the caller's time is up.
            if !answer.is_closed() {
                let _ = answer.send(Ok(work()));
            }
        };
        match self.jobs.as_ref().map(|jobs| jobs.try_send(Box::new(job))) {
            Some(Err(TrySendError::Full(_))) => Err(ReadersBusy),
            // If the threads are gone, so is the answer, and the future says so.
            Some(Ok(()) | Err(TrySendError::Disconnected(_))) | None => Ok(pending),
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.jobs.take();
        for thread in self.threads.drain(..) {
            if thread.thread().id() != std::thread::current().id() {
                // A panic of the thread has been reported by the thread.
                let _ = thread.join();
            }
        }
    }
}

fn run(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn the_queue_is_bounded_and_reads_that_nobody_waits_for_are_not_done() {
        let readers = Readers::start().unwrap();
        let (begun, beginning) = mpsc::channel();
        let mut ends = Vec::new();
        let held: Vec<_> = (0..THREADS)
            .map(|number| {
                let (end, ending) = mpsc::channel::<()>();
                ends.push(end);
                let begun = begun.clone();
                let work = move || {
                    begun.send(()).unwrap();
                    let _ = ending.recv();
                    number
                };
                readers.read(work).unwrap()
            })
            .collect();
        for _ in 0..THREADS {
            beginning.recv().unwrap();
        }
        // Both threads are at work: the queue fills.
        let given_up = begun.clone();
        drop(readers.read(move || given_up.send(())).unwrap());
        let waiting: Vec<_> = (1..QUEUE)
            .map(|number| readers.read(move || number).unwrap())
            .collect();
        assert_eq!(readers.read(|| ()).unwrap_err(), ReadersBusy);

        drop(ends);
        for (number, pending) in held.into_iter().enumerate() {
            assert_eq!(pending.wait().unwrap(), number);
        }
        for (number, pending) in waiting.into_iter().enumerate() {
            assert_eq!(pending.wait().unwrap(), number + 1);
        }
        drop(begun);
        drop(readers);
        assert!(beginning.recv().is_err(), "a read was done for nobody");
    }
}
