//! The simulated network: requests and answers that are late, lost, cut off or overtaken, all from one seed.
//!
//! Contract of use: one [`Network`] a run, used inside [`run`](super::runtime::run). A process serves under its id with
//! [`Network::serve`]; anybody calls with [`Network::call`], clients too, which are endpoints without a server. Messages are values of any
//! type: `Q` asks, `A` answers. Their destructors must not call the network.
//!
//! ```text
//!   caller's host          no host                     receiver's host
//!   call() ── request ──▶ delay, loss, cut ──▶ inbox ──▶ handler, a task for each request
//!   await  ◀── answer ──  delay, loss, cut ◀──────────── its result
//! ```
//!
//! Kept true:
//! - Requests that one process sends on one lane to one endpoint arrive in the order of sending; lanes overtake each other.
//! - On an ordered lane answers come in that order, too, and nothing that was sent after a lost message is delivered on its connection.
//! - A packet under way belongs to no process. It outlives the crash of its sender and finds the process that serves when it arrives.
//! - No message takes no time.
//! - A process that dies says nothing, as after a loss of power: who waits for its answer waits until its own patience ends. Only
//!   what arrives after that is refused.
//!
//! Deliberately absent: duplicates, which no connection makes, and flow control: nothing is refused for being too much.

mod connection;
mod event;
mod link;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use openraft_rt::AsyncRuntime as _;
use tokio::sync::{mpsc, oneshot};

use super::runtime::{Host, Simulated, outside};
use state::{Delivery, Packet, Reply, State};

pub use connection::Lane;
pub use event::{Counters, Event, Kind, Way};
pub use link::Link;

/// Why a call has no answer. What the receiver did is unknown, but for `Unreachable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum CallError {
    /// The link is up and nobody serves there: refused after one round trip, and not handled.
    #[error("no process serves at the receiver")]
    Unreachable,
    /// No answer came within the time that the caller gave.
    #[error("no answer came in time")]
    Silent,
    /// The connection of an ordered lane broke.
    #[error("the connection broke before the answer came")]
    Broken,
}

/// What sees every event; see [`Network::on_event`].
type Hook = Arc<dyn Fn(&Event) + Send + Sync>;

/// The network of one run. Clones are the same network.
pub struct Network<Q, A>(Arc<Shared<Q, A>>);

struct Shared<Q, A> {
    state: Mutex<State<Q, A>>,
    /// Apart from the state, so that the hook may ask the network.
    hook: Mutex<Option<Hook>>,
}

impl<Q, A> Clone for Network<Q, A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Q: Send + 'static, A: Send + 'static> Network<Q, A> {
    /// A network without processes whose links are all as `link` says. `seed` is for the network alone: derive it from that of the run.
    #[must_use]
    pub fn new(seed: u64, link: Link) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State::new(seed, link)),
            hook: Mutex::new(None),
        }))
    }

    /// From now on requests to `id` are handled in tasks of `host`, each in one of its own, begun in the order of arrival. Replaces what
    /// served `id` before: that is how a process starts again. The handler goes when its host is killed.
    pub fn serve<H>(&self, id: u64, host: &Host, handler: H)
    where
        H: Fn(u64, Q) -> BoxFuture<'static, A> + Send + Sync + 'static,
    {
        // Without a bound: what waits here is what callers have under way, and a stopped process takes messages as a kernel would.
        let (inbox, requests) = mpsc::unbounded_channel();
        drop(host.spawn(answer_all(self.clone(), handler, requests)));
        self.with(|state| state.serve(id, host.clone(), inbox));
    }

    /// Nobody serves `id` any more. A killed host serves nothing anyway; this also ends a server whose host lives on.
    pub fn gone(&self, id: u64) {
        self.with(|state| state.gone(id));
    }

    /// Sends `request`, of `bytes` on the wire, at once, and gives its answer. `within` counts from now.
    ///
    /// The process that calls is the host of the current task; one that was started again has connections of its own. Dropping the future
    /// gives the call up, but not the request.
    ///
    /// On an ordered lane the sender goes on with one connection until it has seen that a call of it failed, or has given one up: only then
    /// does it know, and what it sends next goes over a new connection. Until then calls on a broken one fail as `Broken`.
    ///
    /// # Errors
    /// [`CallError`], each after some time has passed; only a call on a connection that is known to be broken fails at once.
    pub fn call(
        &self,
        from: u64,
        to: u64,
        lane: Lane,
        bytes: usize,
        within: Duration,
        request: Q,
    ) -> impl Future<Output = Result<A, CallError>> + Send + use<Q, A> {
        let (sender, receiver) = oneshot::channel();
        let path = connection::Path { from, to, lane };
        let reply = self.with(|state| state.call(Host::current(), path, bytes, request, sender));
        let claim = Claim {
            network: self.clone(),
            reply,
            answered: false,
        };
        let answer = Simulated::timeout(within, receiver);
        async move {
            // The whole claim: a block that named only a field of it would leave the rest behind, to be dropped at once.
            let mut claim = claim;
            let result = match answer.await {
                Ok(Ok(result)) => result,
                // The state keeps the sender for as long as there is a claim, so this is the deadline.
                Ok(Err(_)) | Err(_) => Err(CallError::Silent),
            };
            claim.answered = result.is_ok();
            result
        }
    }

    /// Nothing that `from` sends reaches `to` any more, what is under way included. The way back stays as it is.
    pub fn cut(&self, from: u64, to: u64) {
        self.with(|state| state.cuts.insert((from, to)));
    }

    /// Takes back [`Network::cut`].
    pub fn heal(&self, from: u64, to: u64) {
        self.with(|state| state.cuts.remove(&(from, to)));
    }

    /// Takes back all cuts. Links stay as they are: see [`Network::reset_links`].
    pub fn heal_all(&self) {
        self.with(|state| state.cuts.clear());
    }

    /// True when what `from` sends to `to` is cut off.
    #[must_use]
    pub fn is_cut(&self, from: u64, to: u64) -> bool {
        self.with(|state| state.is_cut(from, to))
    }

    /// What is sent from `from` to `to` from now on goes over a link as `link` says. The way back stays as it is.
    ///
    /// # Panics
    /// When a value of `link` is out of its bounds.
    pub fn set_link(&self, from: u64, to: u64, link: Link) {
        link.check();
        self.with(|state| state.links.insert((from, to), link));
    }

    /// The link from `from` to `to` as it is now.
    #[must_use]
    pub fn link(&self, from: u64, to: u64) -> Link {
        self.with(|state| state.link(from, to))
    }

    /// Changes the links that have no setting of their own.
    ///
    /// # Panics
    /// When a value of `link` is out of its bounds.
    pub fn set_default_link(&self, link: Link) {
        link.check();
        self.with(|state| state.default_link = link);
    }

    /// Makes all links as the default one.
    pub fn reset_links(&self) {
        self.with(|state| state.links.clear());
    }

    /// How answers are weighed, in bytes on the wire; without this they are all of 64 bytes.
    pub fn measure_answers(&self, bytes: impl Fn(&A) -> usize + Send + 'static) {
        self.with(|state| state.measure = Box::new(bytes));
    }

    /// What happened to messages so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.with(|state| state.counters)
    }

    /// Calls `hook` with every event from now on, in order. One hook at a time; it must hold no clone of this network, which would then
    /// never be freed.
    pub fn on_event(&self, hook: Box<dyn Fn(&Event) + Send + Sync>) {
        let mut place = self.0.hook.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(Arc::from(hook));
    }

    /// Changes the state; then tells the hook, and sends packets on their way. Both may call back, so neither is done under the lock.
    fn with<T>(&self, change: impl FnOnce(&mut State<Q, A>) -> T) -> T {
        let (result, events, due) = {
            let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            let result = change(&mut state);
            (
                result,
                std::mem::take(&mut state.events),
                std::mem::take(&mut state.due),
            )
        };
        if !events.is_empty() {
            let hook = {
                let place = self.0.hook.lock().unwrap_or_else(PoisonError::into_inner);
                place.clone()
            };
            if let Some(hook) = hook {
                events.iter().for_each(|event| hook(event));
            }
        }
        for (delay, packet) in due {
            drop(outside(carry(self.clone(), delay, packet)));
        }
        result
    }
}

impl<Q, A> fmt::Debug for Network<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}

/// One packet under way.
async fn carry<Q: Send + 'static, A: Send + 'static>(
    network: Network<Q, A>,
    delay: Duration,
    packet: Packet<Q, A>,
) {
    Simulated::sleep(delay).await;
    network.with(|state| state.arrive(packet));
}

/// The server of one process, a task of its host.
async fn answer_all<Q, A, H>(
    network: Network<Q, A>,
    handler: H,
    mut requests: mpsc::UnboundedReceiver<Delivery<Q, A>>,
) where
    Q: Send + 'static,
    A: Send + 'static,
    H: Fn(u64, Q) -> BoxFuture<'static, A> + Send + Sync + 'static,
{
    let handler = Arc::new(handler);
    while let Some(Delivery { request, reply }) = requests.recv().await {
        drop(Simulated::spawn(answer_one(
            network.clone(),
            Arc::clone(&handler),
            request,
            reply,
        )));
    }
}

async fn answer_one<Q, A, H>(network: Network<Q, A>, handler: Arc<H>, request: Q, reply: Reply<A>)
where
    Q: Send + 'static,
    A: Send + 'static,
    H: Fn(u64, Q) -> BoxFuture<'static, A> + Send + Sync + 'static,
{
    let answer = handler(reply.from(), request).await;
    network.with(|state| state.answered(reply, answer));
}

/// A caller that waits. Dropped without an answer, it gives the call up.
struct Claim<Q: Send + 'static, A: Send + 'static> {
    network: Network<Q, A>,
    reply: Reply<A>,
    answered: bool,
}

impl<Q: Send + 'static, A: Send + 'static> Drop for Claim<Q, A> {
    fn drop(&mut self) {
        if !self.answered {
            self.network.with(|state| state.give_up(&self.reply));
        }
    }
}
