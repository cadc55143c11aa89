//! What waits to be proposed: callers with few commands, callers with many, and in which order they go.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use banyan_domain::{Outcome, Position};
use tokio::sync::{mpsc, oneshot};

use crate::{
    load::{Admitted, Class},
    payload::EncodedBatch,
    propose_error::ProposeError,
};

/// What a caller waits for.
pub(crate) enum Ask {
    /// Commands or raw values, which share entries with those of other callers.
    Batch(EncodedBatch),
    /// A digest mark goes alone into its entry.
    DigestMark,
}

pub(crate) enum Answer {
    Outcomes(Vec<Outcome>),
    /// The position of the entry that holds the caller's values.
    Values(Position),
    DigestMark(Position),
}

/// Where a caller's commands are: waiting, taken by the task, or given up by the caller before they were taken.
#[derive(Default)]
pub(crate) struct Ticket(AtomicU8);

impl Ticket {
    const WAITING: u8 = 0;
    const TAKEN: u8 = 1;
    const GIVEN_UP: u8 = 2;

    fn settle(&self, to: u8) -> bool {
        self.0
            .compare_exchange(Self::WAITING, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// True if the task may propose them.
    pub(crate) fn take(&self) -> bool {
        self.settle(Self::TAKEN)
    }

    /// True if they were not taken, and now will not be.
    pub(crate) fn give_up(&self) -> bool {
        self.settle(Self::GIVEN_UP)
    }
}

pub(crate) struct Job {
    pub(crate) ask: Ask,
    pub(crate) ticket: Arc<Ticket>,
    pub(crate) caller: Caller,
}

/// Who waits, and the place that it takes among what is outstanding.
pub(crate) struct Caller {
    answer: oneshot::Sender<Result<Answer, ProposeError>>,
    _place: Option<Admitted>,
}

impl Caller {
    pub(crate) fn new(
        answer: oneshot::Sender<Result<Answer, ProposeError>>,
        place: Option<Admitted>,
    ) -> Self {
        Self {
            answer,
            _place: place,
        }
    }

    pub(crate) fn answer(self, answer: Result<Answer, ProposeError>) {
        // The caller may have stopped waiting.
        let _ = self.answer.send(answer);
    }
}

/// What waits to be proposed. Callers with few commands go first; one entry in four begins with a caller that has many, so that neither kind
/// waits for the other to end.
pub(crate) struct Jobs {
    single: mpsc::Receiver<Job>,
    bulk: mpsc::Receiver<Job>,
    /// Taken out of its queue, but did not fit.
    next_single: Option<Job>,
    next_bulk: Option<Job>,
    entries: u64,
}

impl Jobs {
    pub(crate) fn new(single: mpsc::Receiver<Job>, bulk: mpsc::Receiver<Job>) -> Self {
        Self {
            single,
            bulk,
            next_single: None,
            next_bulk: None,
            entries: 0,
        }
    }

    /// The job that an entry begins with; none when every handle is gone.
    pub(crate) async fn first(&mut self) -> Option<Job> {
        self.entries += 1;
        let bulk_first = self.entries.is_multiple_of(4);
        if let Some(job) = self.waiting(bulk_first) {
            return Some(job);
        }
        tokio::select! {
            Some(job) = self.single.recv() => Some(job),
            Some(job) = self.bulk.recv() => Some(job),
            else => None,
        }
    }

    /// A job that waits now, if there is one.
    pub(crate) fn waiting(&mut self, bulk_first: bool) -> Option<Job> {
        let single = |jobs: &mut Self| {
            jobs.next_single
                .take()
                .or_else(|| jobs.single.try_recv().ok())
        };
        let bulk = |jobs: &mut Self| jobs.next_bulk.take().or_else(|| jobs.bulk.try_recv().ok());
        if bulk_first {
            bulk(self).or_else(|| single(self))
        } else {
            single(self).or_else(|| bulk(self))
        }
    }

    /// Puts back what did not fit.
    pub(crate) fn put_back(&mut self, job: Job) {
        let bulk = match &job.ask {
            Ask::Batch(encoded) => Class::of(encoded.count) == Class::Bulk,
            Ask::DigestMark => false,
        };
        if bulk {
            self.next_bulk = Some(job);
        } else {
            self.next_single = Some(job);
        }
    }
}
