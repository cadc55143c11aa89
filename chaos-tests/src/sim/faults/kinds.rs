//! The kinds of fault.

/// A kind of fault.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr, strum::VariantArray,
)]
pub enum Kind {
    /// A machine loses power.
    #[strum(serialize = "power cut")]
    PowerCut,
    /// Several machines lose power at one moment.
    #[strum(serialize = "power cut of many")]
    PowerCutOfMany,
    /// A machine loses power just as it syncs.
    #[strum(serialize = "power cut armed")]
    PowerCutAtSync,
    /// A process is killed.
    #[strum(serialize = "kill")]
    Kill,
    /// All machines of a site lose power.
    #[strum(serialize = "site loss")]
    SiteLoss,
    /// A process is stopped for a while.
    #[strum(serialize = "pause")]
    Pause,
    /// A wall clock is set wrong.
    #[strum(serialize = "clock step")]
    ClockStep,
    /// Nothing gets from one node to another.
    #[strum(serialize = "one-way cut")]
    OneWayCut,
    /// A site is cut off.
    #[strum(serialize = "site partition")]
    SitePartition,
    /// Two halves reach each other through one node only.
    #[strum(serialize = "bridge partition")]
    BridgePartition,
    /// The leader is cut off from its peers, and clients reach it.
    #[strum(serialize = "leader isolated")]
    LeaderIsolated,
    /// Messages are lost.
    #[strum(serialize = "lossy links")]
    LossyLinks,
    /// A node's links are slow.
    #[strum(serialize = "slow links")]
    SlowLinks,
    /// A disk stalls.
    #[strum(serialize = "disk stall")]
    DiskStall,
    /// A disk is full.
    #[strum(serialize = "disk full")]
    DiskFull,
    /// A bit flips on a disk.
    #[strum(serialize = "bit flip")]
    BitFlip,
    /// A disk is lost for good.
    #[strum(serialize = "disk lost")]
    DiskLost,
    /// Leadership is moved.
    #[strum(serialize = "leader transfer")]
    LeaderTransfer,
    /// A learner is added.
    #[strum(serialize = "learner added")]
    AddLearner,
    /// A learner becomes a voter, or a voter a learner.
    #[strum(serialize = "voters changed")]
    Promote,
    /// A member is removed.
    #[strum(serialize = "member removed")]
    Remove,
    /// A node that lags is killed while a snapshot is on its way.
    #[strum(serialize = "snapshot cut short")]
    SnapshotCutShort,
    /// All nodes are restarted, one after another, with a hand-over.
    #[strum(serialize = "rolling restart")]
    RollingRestart,
    /// A node is restarted with settings of another release.
    #[strum(serialize = "mixed versions")]
    MixedVersions,
}

impl Kind {
    /// Its name in reports, stable.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}
