//! What one process sends on one lane to one endpoint, and what comes back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use super::Link;
use crate::sim::runtime::Host;

/// A queue of its own between two endpoints: messages of one lane do not wait for those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane {
    number: u8,
    ordered: bool,
}

impl Lane {
    /// A lane whose answers come as they are ready. A lost message is lost alone.
    #[must_use]
    pub const fn unordered(number: u8) -> Self {
        Self {
            number,
            ordered: false,
        }
    }

    /// A lane whose answers come in the order of the requests, as on a stream of appends. A lost message breaks the connection.
    #[must_use]
    pub const fn ordered(number: u8) -> Self {
        Self {
            number,
            ordered: true,
        }
    }

    /// Its number. An ordered and an unordered lane of one number are two lanes.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.number
    }

    /// True when its answers come in order.
    #[must_use]
    pub const fn is_ordered(self) -> bool {
        self.ordered
    }
}

/// Who calls whom, and on which lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) lane: Lane,
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wire {
    /// When the last message is wholly on the wire.
    free_at: Duration,
    /// When the last message arrives.
    last_arrival: Duration,
}

impl Wire {
    /// Puts a message onto the wire; the time until it arrives, never zero. `in_order`: after all messages before it.
    pub(super) fn carry(
        &mut self,
        now: Duration,
        bytes: usize,
        in_order: bool,
        link: &Link,
        random: &mut ChaCha8Rng,
    ) -> Duration {
        self.free_at = self.free_at.max(now) + link.transmission(bytes);
        let mut arrival = self.free_at + link.delay(random);
        if in_order {
            arrival = arrival.max(self.last_arrival + Duration::from_nanos(1));
        }
        self.last_arrival = self.last_arrival.max(arrival);
        arrival - now
    }
}

/// One direction of a connection: its wire, and how far it gets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Half {
    pub(super) wire: Wire,
    /// Messages sent; the number of the next one.
    sent: u64,
    /// The first message that is not delivered because it, or one before it, was lost. Unordered lanes never have one.
    end: Option<u64>,
}

impl Half {
    fn after(before: Option<Half>) -> Self {
        Self {
            wire: before.map(|half| half.wire).unwrap_or_default(),
            sent: 0,
            end: None,
        }
    }

    /// The number of a message that is sent now.
    pub(super) fn next(&mut self) -> u64 {
        let number = self.sent;
        self.sent += 1;
        number
    }

    /// True when a message of this number is not delivered any more.
    pub(super) fn is_over(&self, number: u64) -> bool {
        self.end.is_some_and(|end| end <= number)
    }

    /// Delivers nothing from this number on.
    pub(super) fn end_at(&mut self, number: u64) {
        self.end = Some(self.end.map_or(number, |end| end.min(number)));
    }

    /// Delivers nothing of what is sent from now on.
    pub(super) fn end_here(&mut self) {
        self.end_at(self.sent);
    }
}

/// A connection, open until its sender closes it. Packets under way and handlers at work keep it after that.
#[derive(Debug)]
pub(super) struct Connection<A> {
    pub(super) path: Path,
    /// The process that calls.
    owner: Option<Host>,
    /// The side of the sender knows that it is broken. What is sent on it fails at once.
    pub(super) dead: bool,
    /// The sender knows it, too, or has given up: nothing is sent on it any more.
    pub(super) closed: bool,
    pub(super) requests: Half,
    pub(super) answers: Half,
    /// Which start of a server took the first request. An ordered connection ends with it.
    pub(super) server: Option<u64>,
    /// A notice of the break is under way, or was.
    pub(super) noticed: bool,
    /// Calls without an end.
    pub(super) calls: BTreeSet<u64>,
    /// Ordered lanes: calls that were delivered and whose answer was not sent, the oldest first.
    queue: VecDeque<u64>,
    /// Ordered lanes: answers that wait for one before them.
    ready: BTreeMap<u64, A>,
}

impl<A> Connection<A> {
    /// A connection of the process `owner`. After an older one of the same process its messages queue behind those of that one.
    pub(super) fn open(path: Path, owner: Option<Host>, before: Option<&Connection<A>>) -> Self {
        let before = before.filter(|before| before.owner == owner);
        Self {
            path,
            owner,
            dead: false,
            closed: false,
            requests: Half::after(before.map(|before| before.requests)),
            answers: Half::after(before.map(|before| before.answers)),
            server: None,
            noticed: false,
            calls: BTreeSet::new(),
            queue: VecDeque::new(),
            ready: BTreeMap::new(),
        }
    }

    /// True when what `owner` sends goes over this connection.
    pub(super) fn serves(&self, owner: Option<&Host>) -> bool {
        !self.closed && self.owner.as_ref() == owner
    }

    /// Notes that the receiver has a request.
    pub(super) fn delivered(&mut self, call: u64, server: u64) {
        self.server = Some(server);
        if self.path.lane.ordered {
            self.queue.push_back(call);
        }
    }

    /// Takes an answer, and gives those that may be sent now.
    pub(super) fn answered(&mut self, call: u64, answer: A) -> Vec<(u64, A)> {
        if !self.path.lane.ordered {
            return vec![(call, answer)];
        }
        self.ready.insert(call, answer);
        let mut now = Vec::new();
        while let Some(call) = self.queue.front()
            && let Some(answer) = self.ready.remove(call)
        {
            now.push((*call, answer));
            self.queue.pop_front();
        }
        now
    }
}
