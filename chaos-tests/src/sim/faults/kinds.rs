//! The kinds of fault.

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its name in reports, stable.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

kinds! {
    /// A machine loses power.
    PowerCut = "power cut",
    /// Several machines lose power at one moment.
    PowerCutOfMany = "power cut of many",
    /// A machine loses power just as it syncs.
    PowerCutAtSync = "power cut armed",
    /// A process is killed.
    Kill = "kill",
    /// All machines of a site lose power.
    SiteLoss = "site loss",
    /// A process is stopped for a while.
    Pause = "pause",
    /// A wall clock is set wrong.
    ClockStep = "clock step",
    /// Nothing gets from one node to another.
    OneWayCut = "one-way cut",
    /// A site is cut off.
    SitePartition = "site partition",
    /// Two halves reach each other through one node only.
    BridgePartition = "bridge partition",
    /// The leader is cut off from its peers, and clients reach it.
    LeaderIsolated = "leader isolated",
    /// Messages are lost.
    LossyLinks = "lossy links",
    /// A node's links are slow.
    SlowLinks = "slow links",
    /// A disk stalls.
    DiskStall = "disk stall",
    /// A disk is full.
    DiskFull = "disk full",
    /// A bit flips on a disk.
    BitFlip = "bit flip",
    /// A disk is lost for good.
    DiskLost = "disk lost",
    /// Leadership is moved.
    LeaderTransfer = "leader transfer",
    /// A learner is added.
    AddLearner = "learner added",
    /// A learner becomes a voter, or a voter a learner.
    Promote = "voters changed",
    /// A member is removed.
    Remove = "member removed",
    /// A node that lags is killed while a snapshot is on its way.
    SnapshotCutShort = "snapshot cut short",
    /// All nodes are restarted, one after another, with a hand-over.
    RollingRestart = "rolling restart",
    /// A node is restarted with settings of another release.
    MixedVersions = "mixed versions",
}
