//! Conversions between openraft's messages and those on the wire. Entries travel as the bytes that the log stores.

use banyan_wire::internal_v1 as wire;
use openraft::{
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, StreamAppendResult,
        TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse, VoteRequest,
        VoteResponse,
    },
    vote::RaftLeaderId as _,
};
use openraft_rt::AsyncRuntime;

use crate::{
    payload,
    types::{Entry, LeaderId, LogId, TypeConfig, Vote},
};

/// A message from a peer that lacks a part, or holds an entry that cannot be read or does not follow the one before.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MessageFault {
    #[error("the message has no {0}")]
    Missing(&'static str),
    #[error("an entry at index {found} stands where index {expected} is next")]
    Gap { expected: u64, found: u64 },
    #[error("an entry of term {found} at index {index} follows term {before}")]
    TermFalls { index: u64, found: u64, before: u64 },
    #[error("an entry of term {found} at index {index} comes from a leader of term {leader}")]
    TermAhead { index: u64, found: u64, leader: u64 },
    #[error(transparent)]
    Payload(#[from] payload::PayloadFault),
}

pub(crate) fn ballot_to_wire(vote: &Vote) -> wire::Ballot {
    wire::Ballot {
        term: vote.leader_id.term,
        node: vote.leader_id.voted_for,
        committed: vote.committed,
    }
}

pub(crate) fn ballot_from_wire(ballot: Option<wire::Ballot>) -> Result<Vote, MessageFault> {
    let ballot = ballot.ok_or(MessageFault::Missing("ballot"))?;
    Ok(Vote {
        leader_id: LeaderId::new(ballot.term, ballot.node),
        committed: ballot.committed,
    })
}

pub(crate) fn log_id_to_wire(log_id: &LogId) -> wire::LogPosition {
    wire::LogPosition {
        term: log_id.leader_id.term,
        index: log_id.index,
    }
}

pub(crate) fn log_id_from_wire(position: wire::LogPosition) -> LogId {
    LogId::new_term_index(position.term, position.index)
}

pub(crate) fn append_to_wire<R: AsyncRuntime>(
    request: AppendEntriesRequest<TypeConfig<R>>,
) -> wire::AppendRequest {
    wire::AppendRequest {
        ballot: Some(ballot_to_wire(&request.vote)),
        previous: request.prev_log_id.as_ref().map(log_id_to_wire),
        committed: request.leader_commit.as_ref().map(log_id_to_wire),
        entries: request.entries.into_iter().map(entry_to_wire).collect(),
    }
}

fn entry_to_wire(entry: Entry) -> wire::LogEntry {
    wire::LogEntry {
        position: Some(log_id_to_wire(&entry.log_id)),
        payload: payload::body_to_bytes(entry.payload),
    }
}

pub(crate) fn append_from_wire<R: AsyncRuntime>(
    request: wire::AppendRequest,
) -> Result<AppendEntriesRequest<TypeConfig<R>>, MessageFault> {
    let vote = ballot_from_wire(request.ballot)?;
    let prev_log_id = request.previous.map(log_id_from_wire);
    let mut before = prev_log_id;
    let mut entries = Vec::with_capacity(request.entries.len());
    for entry in request.entries {
        let position = entry
            .position
            .ok_or(MessageFault::Missing("position of an entry"))?;
        let log_id = log_id_from_wire(position);
        check_follows(before.as_ref(), &log_id, &vote)?;
        before = Some(log_id);
        entries.push(payload::entry_from_bytes(
            position.term,
            position.index,
            entry.payload,
        )?);
    }
    Ok(AppendEntriesRequest {
        vote,
        prev_log_id,
        leader_commit: request.committed.map(log_id_from_wire),
        entries,
    })
}

/// An entry must stand right after the one before it, the first one right after the position that the message names (or at index 0), and
/// terms never fall, nor reach past the leader's. openraft takes this for granted.
fn check_follows(
    before: Option<&LogId>,
    log_id: &LogId,
    leader: &Vote,
) -> Result<(), MessageFault> {
    let (index, found) = (log_id.index, log_id.leader_id.term);
    let expected = match before {
        None => Some(0),
        Some(before) => before.index.checked_add(1),
    };
    if expected != Some(index) {
        return Err(MessageFault::Gap {
            expected: expected.unwrap_or(u64::MAX),
            found: index,
        });
    }
    let before = before.map_or(0, |before| before.leader_id.term);
    if found < before {
        return Err(MessageFault::TermFalls {
            index,
            found,
            before,
        });
    }
    if found > leader.leader_id.term {
        return Err(MessageFault::TermAhead {
            index,
            found,
            leader: leader.leader_id.term,
        });
    }
    Ok(())
}

fn append_reply(outcome: wire::append_reply::Outcome) -> wire::AppendReply {
    wire::AppendReply {
        outcome: Some(outcome),
    }
}

pub(crate) fn stream_result_to_wire<R: AsyncRuntime>(
    result: &StreamAppendResult<TypeConfig<R>>,
) -> wire::AppendReply {
    append_reply(match result {
        Ok(matched) => {
            let position = matched.as_ref().map(log_id_to_wire);
            wire::append_reply::Outcome::Matched(wire::Matched { position })
        }
        Err(StreamAppendError::Conflict(log_id)) => {
            wire::append_reply::Outcome::Conflict(log_id_to_wire(log_id))
        }
        Err(StreamAppendError::HigherVote(vote)) => {
            wire::append_reply::Outcome::Higher(ballot_to_wire(vote))
        }
    })
}

pub(crate) fn stream_result_from_wire<R: AsyncRuntime>(
    reply: wire::AppendReply,
) -> Result<StreamAppendResult<TypeConfig<R>>, MessageFault> {
    Ok(
        match reply.outcome.ok_or(MessageFault::Missing("outcome"))? {
            wire::append_reply::Outcome::Matched(matched) => {
                Ok(matched.position.map(log_id_from_wire))
            }
            wire::append_reply::Outcome::Conflict(position) => {
                Err(StreamAppendError::Conflict(log_id_from_wire(position)))
            }
            wire::append_reply::Outcome::Higher(ballot) => Err(StreamAppendError::HigherVote(
                ballot_from_wire(Some(ballot))?,
            )),
        },
    )
}

/// `range` is the previous and the last log id of the request: a unary answer names none.
pub(crate) fn append_response_to_wire<R: AsyncRuntime>(
    response: AppendEntriesResponse<TypeConfig<R>>,
    previous: Option<LogId>,
    last: Option<LogId>,
) -> wire::AppendReply {
    match response {
        // A conflict with the very start of the log cannot be; if it is said all the same, nothing matches.
        AppendEntriesResponse::Conflict if previous.is_none() => {
            append_reply(wire::append_reply::Outcome::Matched(wire::Matched {
                position: None,
            }))
        }
        other => stream_result_to_wire::<R>(&other.into_stream_result(previous, last)),
    }
}

pub(crate) fn append_response_from_wire<R: AsyncRuntime>(
    reply: wire::AppendReply,
) -> Result<AppendEntriesResponse<TypeConfig<R>>, MessageFault> {
    Ok(match stream_result_from_wire::<R>(reply)? {
        Ok(matched) => AppendEntriesResponse::PartialSuccess(matched),
        Err(StreamAppendError::Conflict(_)) => AppendEntriesResponse::Conflict,
        Err(StreamAppendError::HigherVote(vote)) => AppendEntriesResponse::HigherVote(vote),
    })
}

pub(crate) fn vote_to_wire<R: AsyncRuntime>(
    request: &VoteRequest<TypeConfig<R>>,
) -> wire::VoteRequest {
    wire::VoteRequest {
        ballot: Some(ballot_to_wire(&request.vote)),
        last: request.last_log_id.as_ref().map(log_id_to_wire),
        leadership_transfer: request.leadership_transfer,
    }
}

pub(crate) fn vote_from_wire<R: AsyncRuntime>(
    request: wire::VoteRequest,
) -> Result<VoteRequest<TypeConfig<R>>, MessageFault> {
    let mut message = VoteRequest::new(
        ballot_from_wire(request.ballot)?,
        request.last.map(log_id_from_wire),
    );
    message.leadership_transfer = request.leadership_transfer;
    Ok(message)
}

pub(crate) fn vote_reply_to_wire<R: AsyncRuntime>(
    response: &VoteResponse<TypeConfig<R>>,
) -> wire::VoteReply {
    wire::VoteReply {
        ballot: Some(ballot_to_wire(&response.vote)),
        granted: response.vote_granted,
        last: response.last_log_id.as_ref().map(log_id_to_wire),
    }
}

pub(crate) fn vote_reply_from_wire<R: AsyncRuntime>(
    reply: wire::VoteReply,
) -> Result<VoteResponse<TypeConfig<R>>, MessageFault> {
    let vote = ballot_from_wire(reply.ballot)?;
    Ok(VoteResponse::new(
        vote,
        reply.last.map(log_id_from_wire),
        reply.granted,
    ))
}

pub(crate) fn transfer_to_wire<R: AsyncRuntime>(
    request: &TransferLeaderRequest<TypeConfig<R>>,
) -> wire::TransferRequest {
    wire::TransferRequest {
        from: Some(ballot_to_wire(request.from_leader())),
        to: *request.to_node_id(),
        last: request.last_log_id().map(log_id_to_wire),
    }
}

pub(crate) fn transfer_from_wire<R: AsyncRuntime>(
    request: wire::TransferRequest,
) -> Result<TransferLeaderRequest<TypeConfig<R>>, MessageFault> {
    let from = ballot_from_wire(request.from)?;
    Ok(TransferLeaderRequest::new(
        from,
        request.to,
        request.last.map(log_id_from_wire),
    ))
}

pub(crate) fn transfer_reply_to_wire<R: AsyncRuntime>(
    response: &TransferLeaderResponse<TypeConfig<R>>,
) -> wire::TransferReply {
    use wire::transfer_reply::Refusal;
    let refusal = match response {
        Ok(()) => None,
        Err(TransferLeaderError::VoteChanged { actual, .. }) => {
            Some(Refusal::VoteChanged(ballot_to_wire(actual)))
        }
        Err(TransferLeaderError::LogNotFlushed { actual, .. }) => {
            let actual = actual.as_ref().map(log_id_to_wire);
            Some(Refusal::LogNotFlushed(wire::LogNotFlushed { actual }))
        }
    };
    wire::TransferReply { refusal }
}

pub(crate) fn transfer_reply_from_wire<R: AsyncRuntime>(
    reply: wire::TransferReply,
    request: &TransferLeaderRequest<TypeConfig<R>>,
) -> Result<TransferLeaderResponse<TypeConfig<R>>, MessageFault> {
    use wire::transfer_reply::Refusal;
    Ok(match reply.refusal {
        None => Ok(()),
        Some(Refusal::VoteChanged(ballot)) => Err(TransferLeaderError::VoteChanged {
            expected: *request.from_leader(),
            actual: ballot_from_wire(Some(ballot))?,
        }),
        Some(Refusal::LogNotFlushed(flushed)) => Err(TransferLeaderError::LogNotFlushed {
            expected: request.last_log_id().copied(),
            actual: flushed.actual.map(log_id_from_wire),
        }),
    })
}

#[cfg(test)]
mod tests {
    use openraft::EntryPayload;
    use openraft_rt_tokio::TokioRuntime;

    use super::*;

    type C = TypeConfig<TokioRuntime>;

    #[test]
    fn an_append_survives_the_wire() {
        let entry = |index, payload| Entry {
            log_id: LogId::new_term_index(4, index),
            payload,
        };
        let request = AppendEntriesRequest::<C> {
            vote: Vote::new_committed(4, 2),
            prev_log_id: Some(LogId::new_term_index(3, 8)),
            leader_commit: None,
            entries: vec![
                entry(9, EntryPayload::Blank),
                entry(10, EntryPayload::Normal(payload::digest_mark(1))),
            ],
        };
        let back: AppendEntriesRequest<C> =
            append_from_wire(append_to_wire(request.clone())).unwrap();
        assert_eq!(back.vote, request.vote);
        assert_eq!(back.prev_log_id, request.prev_log_id);
        assert_eq!(back.leader_commit, request.leader_commit);
        assert_eq!(back.entries, request.entries);
    }

    #[test]
    fn entries_that_do_not_follow_each_other_are_malformed() {
        let position = |(term, index)| wire::LogPosition { term, index };
        let append = |previous: Option<(u64, u64)>, entries: &[(u64, u64)]| wire::AppendRequest {
            ballot: Some(wire::Ballot {
                term: 4,
                node: 2,
                committed: true,
            }),
            previous: previous.map(position),
            committed: None,
            entries: entries
                .iter()
                .map(|at| wire::LogEntry {
                    position: Some(position(*at)),
                    payload: payload::body_to_bytes(EntryPayload::Blank),
                })
                .collect(),
        };
        let accepted = [
            append(None, &[]),
            append(None, &[(0, 0), (1, 1)]),
            append(Some((3, 8)), &[(3, 9), (4, 10)]),
        ];
        for request in accepted {
            assert!(
                append_from_wire::<TokioRuntime>(request.clone()).is_ok(),
                "{request:?}"
            );
        }
        let refused = [
            (append(None, &[(1, 1)]), "the start of the log is missing"),
            (
                append(Some((3, 8)), &[(3, 10)]),
                "a gap after the previous entry",
            ),
            (append(Some((3, 8)), &[(3, 8)]), "the previous entry again"),
            (append(Some((3, 8)), &[(3, 9), (3, 11)]), "a hole"),
            (append(Some((3, 8)), &[(3, 9), (3, 9)]), "an index twice"),
            (
                append(Some((3, u64::MAX)), &[(3, 0)]),
                "an index past the last",
            ),
            (append(Some((3, 8)), &[(2, 9)]), "a term that falls"),
            (append(Some((3, 8)), &[(5, 9)]), "a term after the leader's"),
        ];
        for (request, what) in refused {
            assert!(append_from_wire::<TokioRuntime>(request).is_err(), "{what}");
        }
    }

    #[test]
    fn every_append_answer_survives_the_wire() {
        let results: [StreamAppendResult<C>; 4] = [
            Ok(None),
            Ok(Some(LogId::new_term_index(1, 2))),
            Err(StreamAppendError::Conflict(LogId::new_term_index(1, 3))),
            Err(StreamAppendError::HigherVote(Vote::new(5, 3))),
        ];
        for result in results {
            let back = stream_result_from_wire::<TokioRuntime>(
                stream_result_to_wire::<TokioRuntime>(&result),
            )
            .unwrap();
            assert_eq!(back, result);
        }
    }

    #[test]
    fn a_message_without_a_ballot_is_refused() {
        assert!(append_from_wire::<TokioRuntime>(wire::AppendRequest::default()).is_err());
        assert!(vote_from_wire::<TokioRuntime>(wire::VoteRequest::default()).is_err());
    }

    #[test]
    fn a_vote_for_a_transfer_stays_one() {
        let mut request = VoteRequest::<C>::new(Vote::new(2, 1), None);
        request.leadership_transfer = true;
        assert!(
            vote_from_wire::<TokioRuntime>(vote_to_wire(&request))
                .unwrap()
                .leadership_transfer
        );
    }
}
