//! Which callers share an entry, and in which order they go.

use banyan_domain::Timestamp;
use bytes::Bytes;

use super::*;

const NOW: Timestamp = Timestamp(7);

fn job(
    ask: Ask,
) -> (
    Job,
    Arc<Ticket>,
    oneshot::Receiver<Result<Answer, ProposeError>>,
) {
    let (answer, answered) = oneshot::channel();
    let ticket = Arc::new(Ticket::default());
    (
        Job {
            ask,
            ticket: Arc::clone(&ticket),
            caller: Caller::new(answer, None),
        },
        ticket,
        answered,
    )
}

/// Both queues, empty.
fn queues() -> (mpsc::Sender<Job>, mpsc::Sender<Job>, Jobs) {
    let (single, single_jobs) = mpsc::channel(16);
    let (bulk, bulk_jobs) = mpsc::channel(16);
    (single, bulk, Jobs::new(single_jobs, bulk_jobs))
}

fn counts(batch: &Batch) -> Vec<usize> {
    batch.callers.iter().map(|(count, _)| *count).collect()
}

fn commands(count: usize, bytes: usize) -> Ask {
    Ask::Batch(EncodedBatch {
        kind: BatchKind::Commands,
        bytes: Bytes::from(vec![0; bytes]),
        count,
    })
}

fn values(count: usize) -> Ask {
    Ask::Batch(EncodedBatch {
        kind: BatchKind::Values,
        bytes: Bytes::from(vec![0; count]),
        count,
    })
}

#[test]
fn values_share_entries_with_values_and_not_with_commands() {
    let (single, _bulk, mut jobs) = queues();
    let mut answers = Vec::new();
    for ask in [values(1), values(2), commands(3, 10), commands(4, 10)] {
        let (job, _, answered) = job(ask);
        answers.push(answered);
        single.try_send(job).ok().unwrap();
    }
    for (kind, expected) in [("values", [1, 2]), ("commands", [3, 4])] {
        let first = jobs.waiting(false).unwrap();
        let batch = gather(first, &mut jobs, NOW).unwrap();
        assert_eq!(payload::kind(batch.payload.bytes()), kind);
        assert_eq!(counts(&batch), expected);
    }
}

#[tokio::test]
async fn waiting_callers_share_an_entry_up_to_its_bounds() {
    let (single, bulk, mut jobs) = queues();
    let mut answers = Vec::new();
    for (queue, ask) in [
        (&bulk, commands(400, 10)),
        (&bulk, commands(500, 10)),
        (&bulk, commands(200, 10)),
        (&single, Ask::DigestMark),
    ] {
        let (job, _, answered) = job(ask);
        answers.push(answered);
        queue.try_send(job).ok().unwrap();
    }
    let first = jobs.first().await.unwrap();
    let batch = gather(first, &mut jobs, NOW).unwrap();
    assert_eq!(payload::kind(batch.payload.bytes()), "digest mark", "alone");
    let first = jobs.first().await.unwrap();
    let batch = gather(first, &mut jobs, NOW).unwrap();
    assert_eq!(counts(&batch), [400, 500]);
    let first = jobs.first().await.unwrap();
    let batch = gather(first, &mut jobs, NOW).unwrap();
    assert_eq!(counts(&batch), [200]);
}

#[tokio::test]
async fn single_callers_go_first_and_bulk_ones_are_not_starved() {
    let (single, bulk, mut jobs) = queues();
    let mut answers = Vec::new();
    let mut begun_by = Vec::new();
    for _ in 0..8 {
        // Full entries of bulk commands wait all the time, and so do single ones.
        for (queue, count) in [(&bulk, 1_000), (&single, 1)] {
            let (job, _, answered) = job(commands(count, 10));
            answers.push(answered);
            if queue.try_send(job).is_err() {
                panic!("the queue is full");
            }
        }
        let first = jobs.first().await.unwrap();
        let batch = gather(first, &mut jobs, NOW).unwrap();
        begun_by.push(counts(&batch)[0]);
    }
    assert_eq!(begun_by, [1, 1, 1, 1_000, 1, 1, 1, 1_000]);
}

#[test]
fn a_caller_that_gave_up_is_not_proposed() {
    let (_single, _bulk, mut jobs) = queues();
    let (first, ticket, _answered) = job(commands(1, 10));
    assert!(ticket.give_up());
    assert!(gather(first, &mut jobs, NOW).is_none());
    let (second, ticket, _answered) = job(commands(1, 10));
    assert!(gather(second, &mut jobs, NOW).is_some());
    assert!(!ticket.give_up(), "taken: the outcome is unknown");
}

#[test]
fn a_large_caller_goes_alone() {
    let (single, _bulk, mut jobs) = queues();
    let (first, ..) = job(commands(1, ENTRY_BYTES_JOINED + 1));
    let (second, ..) = job(commands(1, 10));
    single.try_send(second).ok().unwrap();
    let batch = gather(first, &mut jobs, NOW).unwrap();
    assert_eq!(batch.callers.len(), 1);
    assert!(jobs.waiting(false).is_some(), "it waits for the next one");
}
