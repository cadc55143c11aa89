//! Seeded bugs: the mistakes that the simulation must be able to catch, one at a time.
//!
//! A suite that has never failed proves nothing. Each of these bugs stands in the code as a single `if planted(…)`, in the place where somebody
//! could make it. Without the feature `seeded-bugs`, which only the proof's build sets, [`planted`] is `false` at compile time and
//! nothing of them is left in a program.

#[cfg(feature = "seeded-bugs")]
use std::sync::atomic::{AtomicUsize, Ordering};

/// A mistake that can be put in. Its name in reports is its own in lower case, and its first line says what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "seeded-bugs",
    derive(strum::IntoStaticStr, strum::VariantArray, strum::EnumMessage)
)]
#[cfg_attr(feature = "seeded-bugs", strum(serialize_all = "kebab-case"))]
pub enum SeededBug {
    /// The flusher is not waited for: an append counts as durable when it is queued.
    AnswerBeforeSync,
    /// A vote is given out before it is durable.
    VoteNotSynced,
    /// A leader that restarts goes on in its old term without an election.
    LeaderRestore,
    /// The commit position is saved as the end of the log.
    CommittedTooFar,
    /// A truncation of the log is reported done and not carried out on the disk.
    TruncationForgotten,
    /// The log is purged through what is applied, flushed or not.
    PurgePastFlush,
    /// Entries enter the state before this node's own log holds them durably.
    ApplyAheadOfLog,
    /// A group's changes and its applied position are written in two batches.
    PositionApart,
    /// Commands of one group do not see each other: two births may find the same number free.
    OverlayMissing,
    /// The outcome of a command is not kept under its idempotency key.
    OutcomeNotStored,
    /// Outcomes under idempotency keys are dropped before their time.
    KeysDroppedEarly,
    /// A correction leaves the old name in the index.
    NameIndexStale,
    /// A correction makes a new version that says what the one before it said.
    CorrectionForgotten,
    /// A command leaves no audit record.
    AuditLost,
    /// The document of a first registration is not kept: it registers a second person as readily.
    FormNotBound,
    /// A number that is given out is not counted on its page.
    PageNotCounted,
    /// The second command of an entry, and those behind it, leave no event.
    EventLost,
    /// A membership is applied without being stored in the state.
    MembershipNotStored,
    /// The first number of the salted sequence is given out, free or not.
    NumberNotLookedUp,
    /// Proposals that wait for a transfer of leadership are not let go when it is over.
    TransferHoldKept,
    /// A leader that was taken out of the voters goes on leading.
    RetiredLeaderStays,
    /// A change of voters whose leader was lost between its two steps stays joint.
    JointLeftOpen,
    /// A change of voters is judged on the membership that its caller saw, and made on whatever it is by then.
    ChangeJudgedBefore,
    /// A node that was taken out is added again under its old id.
    RetiredComesBack,
    /// The stamp of a leader is taken as it is, even when it is earlier than the last one.
    TimeGoesBack,
    /// A correction is accepted although the record has changed since its author read it.
    VersionNotCompared,
    /// The callers of one entry get each other's outcomes.
    OutcomesSwapped,
    /// Whoever is asked gives out a read barrier, without asking a quorum.
    BarrierNotConfirmed,
    /// Whoever takes itself for the leader gives out a read barrier, however long ago a quorum has answered it.
    NoLeaseCheck,
    /// A leader, confirmed by a quorum, gives out what it has applied and not what is committed: just elected, it may lack what its predecessor acknowledged.
    BarrierBeforeOwnTerm,
    /// A linearizable read does not wait until its node has applied the barrier.
    BarrierNotReached,
    /// The staleness of a node is counted from the answer to its question, not from the question.
    StalenessFromAnswer,
    /// A local read is answered however stale its node is.
    BoundNotChecked,
    /// A session read is answered from whatever state its node has.
    TokenIgnored,
    /// A leader stamps proposals whatever the other voters' clocks say.
    ClockNotJudged,
    /// A voter that lost its disk comes back empty under its old id.
    WipedVoterReturns,
}

#[cfg(feature = "seeded-bugs")]
static PLANTED: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Puts a bug in, in place of the one before; none takes it out. For the whole process: before anything else is started.
#[cfg(feature = "seeded-bugs")]
pub fn plant(bug: Option<SeededBug>) {
    PLANTED.store(bug.map_or(usize::MAX, |bug| bug as usize), Ordering::SeqCst);
}

/// Whether this bug was put in.
#[cfg(feature = "seeded-bugs")]
#[must_use]
pub fn planted(bug: SeededBug) -> bool {
    PLANTED.load(Ordering::Relaxed) == bug as usize
}

/// Whether this bug was put in: never.
#[cfg(not(feature = "seeded-bugs"))]
#[inline(always)]
#[must_use]
pub const fn planted(_: SeededBug) -> bool {
    false
}
