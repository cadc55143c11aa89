//! What happens to messages, one by one and counted.

use std::time::Duration;

use super::Lane;

/// The direction of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// From a caller.
    Request,
    /// Back to it; also the refusal by an endpoint where nobody serves.
    Answer,
}

/// What happened to a message. Each is sent once, and then one other thing happens to it, or it is still under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It left its sender.
    Sent,
    /// Its receiver has it.
    Delivered,
    /// The link lost it.
    Lost,
    /// The link was cut when it left or when it arrived.
    Cut,
    /// It was sent on a connection that had lost a message before it.
    Broken,
    /// A request that arrived where nobody serves, or on a connection that belonged to a process which is gone.
    Refused,
    /// An answer that nobody waits for any more.
    Unclaimed,
}

/// One event of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: Kind,
    /// Whether it asks or answers.
    pub way: Way,
    /// Who sent this message: for an answer, the one that was asked.
    pub from: u64,
    /// Whom it is for.
    pub to: u64,
    /// The lane of the call.
    pub lane: Lane,
    /// Its size on the wire.
    pub bytes: usize,
    /// Virtual time since the start of the run.
    pub at: Duration,
}

/// How many messages met what, requests and answers together: see [`Kind`]. `sent` is the sum of the others and of what is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is told at the kind of its name")]
pub struct Counters {
    pub sent: u64,
    pub delivered: u64,
    pub lost: u64,
    pub cut: u64,
    pub broken: u64,
    pub refused: u64,
    pub unclaimed: u64,
}

impl Counters {
    /// Messages that were sent and have not met their end.
    #[must_use]
    pub fn under_way(&self) -> u64 {
        let ended =
            self.delivered + self.lost + self.cut + self.broken + self.refused + self.unclaimed;
        self.sent - ended
    }

    pub(super) fn count(&mut self, kind: Kind) {
        let counter = match kind {
            Kind::Sent => &mut self.sent,
            Kind::Delivered => &mut self.delivered,
            Kind::Lost => &mut self.lost,
            Kind::Cut => &mut self.cut,
            Kind::Broken => &mut self.broken,
            Kind::Refused => &mut self.refused,
            Kind::Unclaimed => &mut self.unclaimed,
        };
        *counter += 1;
    }
}
