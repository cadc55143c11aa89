//! The state of the network, and what it does with each message. Time passes outside: what arrives later is put into `due`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use tokio::sync::{mpsc, oneshot};

use super::connection::{Connection, Path};
use super::{CallError, Counters, Event, Kind, Link, Way};
use crate::sim::runtime::{Host, now};

/// The size of an answer where nobody measures answers.
const ANSWER_BYTES: usize = 64;
/// The size of a refusal.
const REFUSAL_BYTES: usize = 40;

type Shared<A> = Arc<Mutex<Connection<A>>>;

/// What is under way.
pub(super) enum Packet<Q, A> {
    Request {
        reply: Reply<A>,
        number: u64,
        bytes: usize,
        request: Q,
    },
    Answer {
        reply: Reply<A>,
        number: u64,
        bytes: usize,
        result: Result<A, CallError>,
    },
    /// The sender learns that its connection broke.
    Notice(Shared<A>),
}

/// Where an answer belongs.
pub(super) struct Reply<A> {
    connection: Shared<A>,
    call: u64,
    path: Path,
}

impl<A> Clone for Reply<A> {
    fn clone(&self) -> Self {
        Self {
            connection: Arc::clone(&self.connection),
            ..*self
        }
    }
}

impl<A> Reply<A> {
    /// The endpoint that called.
    pub(super) fn from(&self) -> u64 {
        self.path.from
    }
}

/// A request in the inbox of a process.
pub(super) struct Delivery<Q, A> {
    pub(super) request: Q,
    pub(super) reply: Reply<A>,
}

/// A process that serves.
struct Server<Q, A> {
    host: Host,
    /// Counts the starts of servers, so that a process that was started again is another one.
    start: u64,
    inbox: mpsc::UnboundedSender<Delivery<Q, A>>,
}

/// Everything a network knows.
pub(super) struct State<Q, A> {
    random: ChaCha8Rng,
    pub(super) default_link: Link,
    pub(super) links: BTreeMap<(u64, u64), Link>,
    pub(super) cuts: BTreeSet<(u64, u64)>,
    pub(super) measure: Box<dyn Fn(&A) -> usize + Send>,
    pub(super) counters: Counters,
    /// For the hook.
    pub(super) events: Vec<Event>,
    /// What arrives after a time.
    pub(super) due: Vec<(Duration, Packet<Q, A>)>,
    servers: BTreeMap<u64, Server<Q, A>>,
    starts: u64,
    /// The last connection of each path, perhaps closed.
    connections: BTreeMap<Path, Shared<A>>,
    /// Calls without an end.
    calls: BTreeMap<u64, oneshot::Sender<Result<A, CallError>>>,
    calls_made: u64,
}

impl<Q, A> State<Q, A> {
    pub(super) fn new(seed: u64, link: Link) -> Self {
        link.check();
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            default_link: link,
            links: BTreeMap::new(),
            cuts: BTreeSet::new(),
            measure: Box::new(|_| ANSWER_BYTES),
            counters: Counters::default(),
            events: Vec::new(),
            due: Vec::new(),
            servers: BTreeMap::new(),
            starts: 0,
            connections: BTreeMap::new(),
            calls: BTreeMap::new(),
            calls_made: 0,
        }
    }

    pub(super) fn serve(
        &mut self,
        id: u64,
        host: Host,
        inbox: mpsc::UnboundedSender<Delivery<Q, A>>,
    ) {
        let start = self.starts;
        self.starts += 1;
        self.servers.insert(id, Server { host, start, inbox });
    }

    pub(super) fn gone(&mut self, id: u64) {
        self.servers.remove(&id);
    }

    pub(super) fn is_cut(&self, from: u64, to: u64) -> bool {
        self.cuts.contains(&(from, to))
    }

    pub(super) fn link(&self, from: u64, to: u64) -> Link {
        let own = self.links.get(&(from, to));
        own.copied().unwrap_or(self.default_link)
    }

    /// Sends a request; where its answer will belong.
    pub(super) fn call(
        &mut self,
        owner: Option<Host>,
        path: Path,
        bytes: usize,
        request: Q,
        sender: oneshot::Sender<Result<A, CallError>>,
    ) -> Reply<A> {
        let call = self.calls_made;
        self.calls_made += 1;
        let connection = self.connection(path, owner);
        let reply = Reply {
            connection: Arc::clone(&connection),
            call,
            path,
        };
        let number = {
            let mut open = lock(&connection);
            if open.dead {
                // As a write to a socket that was reset: the error is there before anything is sent.
                drop(sender.send(Err(CallError::Broken)));
                return reply;
            }
            open.calls.insert(call);
            open.requests.next()
        };
        self.calls.insert(call, sender);
        if let Some(delay) = self.send(&connection, Way::Request, number, bytes) {
            let packet = Packet::Request {
                reply: reply.clone(),
                number,
                bytes,
                request,
            };
            self.due.push((delay, packet));
        }
        reply
    }

    /// Takes the answer of a handler.
    pub(super) fn answered(&mut self, reply: Reply<A>, answer: A) {
        let Reply {
            connection,
            call,
            path,
        } = reply;
        let now = lock(&connection).answered(call, answer);
        for (call, answer) in now {
            let bytes = (self.measure)(&answer);
            let reply = Reply {
                connection: Arc::clone(&connection),
                call,
                path,
            };
            self.answer(reply, Ok(answer), bytes);
        }
    }

    /// The caller has no answer and does not wait any more. It knows what that says about the connection.
    pub(super) fn give_up(&mut self, reply: &Reply<A>) {
        self.calls.remove(&reply.call);
        let mut open = lock(&reply.connection);
        open.calls.remove(&reply.call);
        open.closed |= reply.path.lane.is_ordered();
    }

    pub(super) fn arrive(&mut self, packet: Packet<Q, A>) {
        match packet {
            Packet::Request {
                reply,
                number,
                bytes,
                request,
            } => self.request_arrives(reply, number, bytes, request),
            Packet::Answer {
                reply,
                number,
                bytes,
                result,
            } => self.answer_arrives(&reply, number, bytes, result),
            Packet::Notice(connection) => {
                let Path { from, to, .. } = lock(&connection).path;
                // Over a cut link nobody learns anything: the sender waits until its own patience ends.
                if !self.is_cut(from, to) && !self.is_cut(to, from) {
                    self.fail(&connection);
                }
            }
        }
    }

    fn request_arrives(&mut self, reply: Reply<A>, number: u64, bytes: usize, request: Q) {
        if !self.gets_through(&reply.connection, Way::Request, number, bytes) {
            return;
        }
        let path = reply.path;
        let bound = lock(&reply.connection).server;
        let server = self.servers.get(&path.to);
        let server = server.filter(|server| server.host.is_alive() && !server.inbox.is_closed());
        let refusal = match server {
            None => CallError::Unreachable,
            // The process that had the beginning of this stream is gone: the new one knows nothing of the connection.
            Some(server)
                if path.lane.is_ordered() && bound.is_some_and(|start| start != server.start) =>
            {
                CallError::Broken
            }
            Some(server) => {
                lock(&reply.connection).delivered(reply.call, server.start);
                // Cannot fail: that the inbox is open was seen above.
                drop(server.inbox.send(Delivery { request, reply }));
                self.note(Kind::Delivered, Way::Request, path, bytes);
                return;
            }
        };
        self.note(Kind::Refused, Way::Request, path, bytes);
        if path.lane.is_ordered() {
            lock(&reply.connection).requests.end_at(number);
        }
        self.answer(reply, Err(refusal), REFUSAL_BYTES);
    }

    fn answer_arrives(
        &mut self,
        reply: &Reply<A>,
        number: u64,
        bytes: usize,
        result: Result<A, CallError>,
    ) {
        let Reply {
            connection,
            call,
            path,
        } = reply;
        if !self.gets_through(connection, Way::Answer, number, bytes) {
            return;
        }
        let refused = result.is_err();
        let kind = match self.calls.remove(call) {
            None => Kind::Unclaimed,
            Some(sender) => {
                lock(connection).calls.remove(call);
                // The claim of the caller goes together with its receiver, so somebody receives.
                drop(sender.send(result));
                Kind::Delivered
            }
        };
        self.note(kind, Way::Answer, *path, bytes);
        if refused && path.lane.is_ordered() {
            self.fail(connection);
        }
    }

    fn answer(&mut self, reply: Reply<A>, result: Result<A, CallError>, bytes: usize) {
        let number = lock(&reply.connection).answers.next();
        if let Some(delay) = self.send(&reply.connection, Way::Answer, number, bytes) {
            let packet = Packet::Answer {
                reply,
                number,
                bytes,
                result,
            };
            self.due.push((delay, packet));
        }
    }

    /// Sends a message, as far as connection, cuts and loss let it; the time until it arrives.
    fn send(
        &mut self,
        connection: &Shared<A>,
        way: Way,
        number: u64,
        bytes: usize,
    ) -> Option<Duration> {
        let path = lock(connection).path;
        self.note(Kind::Sent, way, path, bytes);
        if !self.gets_through(connection, way, number, bytes) {
            return None;
        }
        let (from, to) = ends(path, way);
        let link = self.link(from, to);
        if link.loses(&mut self.random) {
            self.note(Kind::Lost, way, path, bytes);
            self.breaks(connection, way, number);
            return None;
        }
        let mut open = lock(connection);
        let (half, in_order) = match way {
            Way::Request => (&mut open.requests, true),
            Way::Answer => (&mut open.answers, path.lane.is_ordered()),
        };
        Some(
            half.wire
                .carry(now(), bytes, in_order, &link, &mut self.random),
        )
    }

    /// What is asked when a message leaves and when it arrives: false when it ends here.
    fn gets_through(
        &mut self,
        connection: &Shared<A>,
        way: Way,
        number: u64,
        bytes: usize,
    ) -> bool {
        let (path, over) = {
            let open = lock(connection);
            let half = match way {
                Way::Request => &open.requests,
                Way::Answer => &open.answers,
            };
            (open.path, half.is_over(number))
        };
        let (from, to) = ends(path, way);
        if over {
            self.note(Kind::Broken, way, path, bytes);
        } else if self.is_cut(from, to) {
            self.note(Kind::Cut, way, path, bytes);
            self.breaks(connection, way, number);
        } else {
            return true;
        }
        false
    }

    /// Breaks the connection of an ordered lane, because this message of it was lost. What was sent before goes on.
    fn breaks(&mut self, connection: &Shared<A>, way: Way, number: u64) {
        let mut open = lock(connection);
        let Path { from, to, lane } = open.path;
        if !lane.is_ordered() {
            return;
        }
        match way {
            Way::Request => open.requests.end_at(number),
            Way::Answer => {
                open.answers.end_at(number);
                open.requests.end_here();
            }
        }
        if !open.noticed {
            open.noticed = true;
            let notice = self.link(from, to).notice(&mut self.random);
            self.due
                .push((notice, Packet::Notice(Arc::clone(connection))));
        }
    }

    /// The side of the sender learns that the connection is broken: all calls of it fail.
    fn fail(&mut self, connection: &Shared<A>) {
        let calls = {
            let mut open = lock(connection);
            open.dead = true;
            std::mem::take(&mut open.calls)
        };
        for call in calls {
            if let Some(sender) = self.calls.remove(&call) {
                drop(sender.send(Err(CallError::Broken)));
            }
        }
    }

    /// The connection over which `owner` sends.
    fn connection(&mut self, path: Path, owner: Option<Host>) -> Shared<A> {
        let last = self.connections.get(&path);
        if let Some(last) = last
            && lock(last).serves(owner.as_ref())
        {
            return Arc::clone(last);
        }
        let before = last.map(|last| lock(last));
        let new = Connection::open(path, owner, before.as_deref());
        drop(before);
        let new = Arc::new(Mutex::new(new));
        self.connections.insert(path, Arc::clone(&new));
        new
    }

    fn note(&mut self, kind: Kind, way: Way, path: Path, bytes: usize) {
        let (from, to) = ends(path, way);
        self.counters.count(kind);
        self.events.push(Event {
            kind,
            way,
            from,
            to,
            lane: path.lane,
            bytes,
            at: now(),
        });
    }
}

/// Sender and receiver of a message.
fn ends(path: Path, way: Way) -> (u64, u64) {
    match way {
        Way::Request => (path.from, path.to),
        Way::Answer => (path.to, path.from),
    }
}

fn lock<A>(connection: &Shared<A>) -> MutexGuard<'_, Connection<A>> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}
