//! Seeded bugs: the mistakes that the simulation must be able to catch, one at a time.
//!
//! A suite that has never failed proves nothing. Each of these bugs stands in the code as a single `if planted(…)`, in the place where somebody
//! could make it. Without the feature `seeded-bugs`, which only the proof's build sets, [`planted`] is `false` at compile time and
//! nothing of them is left in a program.

#[cfg(feature = "seeded-bugs")]
use std::sync::atomic::{AtomicUsize, Ordering};

macro_rules! seeded_bugs {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A mistake that can be put in.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum SeededBug {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl SeededBug {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its name in reports, stable.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What it does, in a sentence.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($doc,)+),)+
                }
            }
        }
    };
}

seeded_bugs! {
    /// The flusher is not waited for: an append counts as durable when it is queued.
    AnswerBeforeSync = "answer-before-sync",
    /// A vote is given out before it is durable.
    VoteNotSynced = "vote-not-synced",
    /// A leader that restarts goes on in its old term without an election.
    LeaderRestore = "leader-restore",
    /// The commit position is saved as the end of the log.
    CommittedTooFar = "committed-too-far",
    /// A truncation of the log is reported done and not carried out on the disk.
    TruncationForgotten = "truncation-forgotten",
    /// The log is purged through what is applied, flushed or not.
    PurgePastFlush = "purge-past-flush",
    /// Entries enter the state before this node's own log holds them durably.
    ApplyAheadOfLog = "apply-ahead-of-log",
    /// A group's changes and its applied position are written in two batches.
    PositionApart = "position-apart",
    /// Commands of one group do not see each other: two births may find the same number free.
    OverlayMissing = "overlay-missing",
    /// The outcome of a command is not kept under its idempotency key.
    OutcomeNotStored = "outcome-not-stored",
    /// Outcomes under idempotency keys are dropped before their time.
    KeysDroppedEarly = "keys-dropped-early",
    /// A correction leaves the old name in the index.
    NameIndexStale = "name-index-stale",
    /// The second command of an entry, and those behind it, leave no event.
    EventLost = "event-lost",
    /// A membership is applied without being stored in the state.
    MembershipNotStored = "membership-not-stored",
    /// The first number of the salted sequence is given out, free or not.
    NumberNotLookedUp = "number-not-looked-up",
    /// The stamp of a leader is taken as it is, even when it is earlier than the last one.
    TimeGoesBack = "time-goes-back",
    /// A correction is accepted although the record has changed since its author read it.
    VersionNotCompared = "version-not-compared",
    /// The callers of one entry get each other's outcomes.
    OutcomesSwapped = "outcomes-swapped",
    /// Whoever is asked gives out a read barrier, without asking a quorum.
    BarrierNotConfirmed = "barrier-not-confirmed",
    /// Whoever takes itself for the leader gives out a read barrier, however long ago a quorum has answered it.
    NoLeaseCheck = "no-lease-check",
    /// A linearizable read does not wait until its node has applied the barrier.
    BarrierNotReached = "barrier-not-reached",
    /// The staleness of a node is counted from the answer to its question, not from the question.
    StalenessFromAnswer = "staleness-from-answer",
    /// A local read is answered however stale its node is.
    BoundNotChecked = "bound-not-checked",
    /// A session read is answered from whatever state its node has.
    TokenIgnored = "token-ignored",
    /// A leader stamps proposals whatever the other voters' clocks say.
    ClockNotJudged = "clock-not-judged",
    /// A voter that lost its disk comes back empty under its old id.
    WipedVoterReturns = "wiped-voter-returns",
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
