//! The promises that a simulated nation is held to, by name.
//!
//! Each is checked where it can be seen first: most on every entry and every answer, some in a look at all nodes each ten milliseconds, some when all
//! faults are over. Durable state is looked at itself, because clients hardly ever see an answer that left before its sync.

macro_rules! invariants {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $source:literal;)+) => {
        /// A promise.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Invariant {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Invariant {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its name in reports, stable.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Where it comes from.
            #[must_use]
            pub const fn source(self) -> &'static str {
                match self {
                    $(Self::$variant => $source,)+
                }
            }
        }
    };
}

invariants! {
    /// An index that the leader counts as held by a voter is durable on that voter's disk.
    AcknowledgedIsDurable = "acknowledged is durable", "Raft (Ongaro 2014) figure 3.1, 'before responding'; ADR 0004";
    /// A node that has given a vote, or followed a leader, in a term never holds an older vote again, whatever power it loses.
    VotesNeverGoBack = "votes never go back", "Raft figure 3.1, votedFor and currentTerm";
    /// No two nodes lead in one term.
    OneLeaderPerTerm = "one leader per term", "Raft, election safety";
    /// Two entries with one index and one term hold the same bytes, on all disks.
    LogMatching = "log matching", "Raft, log matching property";
    /// All nodes apply the same entry at the same index, without gaps, and never go back within one life.
    AppliedPrefixEqual = "applied prefixes are equal", "Raft, state machine safety";
    /// Two states at one position hold the same keys and values.
    EqualPositionEqualDigest = "equal position, equal digest", "design decision 4; etcd 3.5.0 to 3.5.2 diverged here";
    /// After a loss of power the state stands at most where the log does.
    StateNotAheadOfLog = "the state is not ahead of the log", "design decision 3";
    /// No number belongs to two persons, not even one that was cancelled.
    OnePersonPerNumber = "one person per number", "Law 59/2014/QH13 Art. 12; design decision 7";
    /// A request, by its principal and key, has its effect once, and every answer tells of that one.
    EveryEffectOnce = "every effect once", "design section 4";
    /// A person's versions are numbered without gaps, and so are events.
    HistoryGapless = "history is gapless", "design decision 8";
    /// A correction is accepted only on the version that its author had read.
    CorrectionsCompare = "corrections compare versions", "compare-and-set; design section 4";
    /// A linearizable read shows every write that was acknowledged before it began, and no older state than another one before it.
    LinearizableReads = "linearizable reads are linearizable", "Herlihy and Wing 1990; ADR 0020";
    /// A read with a token shows at least the token's position; a session never goes back.
    SessionReads = "session reads are monotonic", "Terry et al. 1994; ADR 0020";
    /// A local read lacks no write that was acknowledged longer ago than it says.
    LocalReadsWithinBound = "local reads keep their bound", "proof in consensus::barrier";
    /// A read shows the record as it was at the position that it names.
    ReadsShowTheirPosition = "reads show their position", "design section 4";
    /// Every index leads to a record that has what the index says, and every record is in all its indexes.
    IndexesAgree = "indexes agree with records", "design decision 4";
    /// Whatever was acknowledged is there when all faults are over.
    AcknowledgedIsKept = "what was acknowledged is kept", "design section 1";
    /// Replicated time never goes back.
    TimeNeverGoesBack = "replicated time never goes back", "design decision 11";
    /// Replicated time is true to the bound, as long as most voters' clocks are.
    TimeIsTrue = "replicated time is true", "design decision 11; ADR 0028";
    /// A node stops on a fault only if its disk gave one, and starts again after any loss of power.
    NodesOutliveFaults = "nodes outlive faults", "design decision 3";
    /// When all faults are over the nation goes on: all nodes come to one position, writes and reads succeed.
    Convergence = "everything converges", "Raft, liveness under a fair network";
    /// No task panics.
    NoPanic = "nothing panics", "style 1.8";
}
