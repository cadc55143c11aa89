//! The promises that a simulated nation is held to, by name.
//!
//! Each is checked where it can be seen first: most on every entry and every answer, some in a look at all nodes each ten milliseconds, some when all
//! faults are over. Durable state is looked at itself, because clients hardly ever see an answer that left before its sync.

use strum::EnumProperty as _;

/// A promise. Its name stands in reports, and its source here.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr, strum::EnumProperty,
)]
pub enum Invariant {
    /// An index that the leader counts as held by a voter is durable on that voter's disk.
    #[strum(
        serialize = "acknowledged is durable",
        props(source = "Raft (Ongaro 2014) figure 3.1, 'before responding'; ADR 0004")
    )]
    AcknowledgedIsDurable,
    /// A node that has given a vote, or followed a leader, in a term never holds an older vote again, whatever power it loses.
    #[strum(
        serialize = "votes never go back",
        props(source = "Raft figure 3.1, votedFor and currentTerm")
    )]
    VotesNeverGoBack,
    /// No two nodes lead in one term.
    #[strum(
        serialize = "one leader per term",
        props(source = "Raft, election safety")
    )]
    OneLeaderPerTerm,
    /// Two entries with one index and one term hold the same bytes, on all disks.
    #[strum(
        serialize = "log matching",
        props(source = "Raft, log matching property")
    )]
    LogMatching,
    /// All nodes apply the same entry at the same index, without gaps, and never go back within one life.
    #[strum(
        serialize = "applied prefixes are equal",
        props(source = "Raft, state machine safety")
    )]
    AppliedPrefixEqual,
    /// Two states at one position hold the same keys and values.
    #[strum(
        serialize = "equal position, equal digest",
        props(source = "design decision 4; etcd 3.5.0 to 3.5.2 diverged here")
    )]
    EqualPositionEqualDigest,
    /// After a loss of power the state stands at most where the log does.
    #[strum(
        serialize = "the state is not ahead of the log",
        props(source = "design decision 3")
    )]
    StateNotAheadOfLog,
    /// A node that was taken out of the membership never is a member again.
    #[strum(
        serialize = "who was taken out stays out",
        props(
            source = "design: an id names one node for ever; Raft, servers keep what they promised"
        )
    )]
    TakenOutStaysOut,
    /// Every set of voters can lose one and still decide, as whoever changes them asks for.
    #[strum(
        serialize = "one voter to spare",
        props(source = "design, survival goals; judged on the membership that is changed")
    )]
    OneVoterToSpare,
    /// No number belongs to two persons, not even one that was cancelled.
    #[strum(
        serialize = "one person per number",
        props(source = "Law 59/2014/QH13 Art. 12; design decision 7")
    )]
    OnePersonPerNumber,
    /// A request, by its principal and key, has its effect once, and every answer tells of that one.
    #[strum(serialize = "every effect once", props(source = "design section 4"))]
    EveryEffectOnce,
    /// A person's versions are numbered without gaps, and so are events.
    #[strum(serialize = "history is gapless", props(source = "design decision 8"))]
    HistoryGapless,
    /// A correction is accepted only on the version that its author had read.
    #[strum(
        serialize = "corrections compare versions",
        props(source = "compare-and-set; design section 4")
    )]
    CorrectionsCompare,
    /// A linearizable read shows every write that was acknowledged before it began, and no older state than another one before it.
    #[strum(
        serialize = "linearizable reads are linearizable",
        props(source = "Herlihy and Wing 1990; ADR 0020")
    )]
    LinearizableReads,
    /// A read with a token shows at least the token's position; a session never goes back.
    #[strum(
        serialize = "session reads are monotonic",
        props(source = "Terry et al. 1994; ADR 0020")
    )]
    SessionReads,
    /// A local read lacks no write that was acknowledged longer ago than it says.
    #[strum(
        serialize = "local reads keep their bound",
        props(source = "proof in consensus::barrier")
    )]
    LocalReadsWithinBound,
    /// A read shows the record as it was at the position that it names.
    #[strum(
        serialize = "reads show their position",
        props(source = "design section 4")
    )]
    ReadsShowTheirPosition,
    /// Every index leads to a record that has what the index says, and every record is in all its indexes.
    #[strum(
        serialize = "indexes agree with records",
        props(source = "design decision 4")
    )]
    IndexesAgree,
    /// Whatever was acknowledged is there when all faults are over.
    #[strum(
        serialize = "what was acknowledged is kept",
        props(source = "design section 1")
    )]
    AcknowledgedIsKept,
    /// Replicated time never goes back.
    #[strum(
        serialize = "replicated time never goes back",
        props(source = "design decision 11")
    )]
    TimeNeverGoesBack,
    /// Replicated time is true to the bound, as long as most voters' clocks are.
    #[strum(
        serialize = "replicated time is true",
        props(source = "design decision 11; ADR 0028")
    )]
    TimeIsTrue,
    /// A node stops on a fault only if its disk gave one, and starts again after any loss of power.
    #[strum(
        serialize = "nodes outlive faults",
        props(source = "design decision 3")
    )]
    NodesOutliveFaults,
    /// When all faults are over the nation goes on: all nodes come to one position, writes and reads succeed.
    #[strum(
        serialize = "everything converges",
        props(source = "Raft, liveness under a fair network")
    )]
    Convergence,
    /// No task panics.
    #[strum(serialize = "nothing panics", props(source = "style 1.8"))]
    NoPanic,
}

impl Invariant {
    /// Its name in reports, stable.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Where it comes from.
    #[must_use]
    pub fn source(self) -> &'static str {
        self.get_str("source").unwrap_or_default()
    }
}
