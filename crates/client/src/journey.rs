//! One call's way through the nodes: which endpoint next, after which pause, until when.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::Rng as _;
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use crate::channels::Channels;
use crate::client::Shared;
use crate::link::Link;
use crate::options::{Options, Stats};
use crate::target::{Target, normal_url};
use crate::trouble::{Next, Trouble};

/// Leader hints in a row that are followed without a pause. More than two means that nodes disagree.
const HINTS_AT_ONCE_MAX: u32 = 2;
/// A further try gets at least this long. A shorter one would rarely be answered, and a write that was sent without an
/// answer turns "not served" into "unknown".
const TRY_TIME_MIN: Duration = Duration::from_millis(10);

/// Where a call may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Roaming {
    /// Anywhere, and to the leader if told where it is.
    Anywhere,
    /// To any endpoint of the context; leader hints count as "not here".
    Endpoints,
    /// To one endpoint only, again and again until the deadline.
    Stay,
    /// To one endpoint only, once.
    Once,
}

/// Why a journey ended without an answer.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// The request is refused.
    Refused(Trouble),
    /// The time is up.
    Expired(Option<Trouble>),
    /// No endpoint and the caller trust each other.
    Untrusted(Trouble),
}

/// One call under way.
pub(crate) struct Journey<'a> {
    shared: &'a Shared,
    roaming: Roaming,
    deadline: Instant,
    route: Vec<Target>,
    here: usize,
    tried: BTreeSet<usize>,
    untrusted: BTreeSet<usize>,
    hints_in_row: u32,
    pauses: u32,
    maybe_applied: bool,
    /// Writes are forwarded by the nodes that are called.
    forwarding: bool,
    stats: Stats,
}

impl<'a> Journey<'a> {
    /// A call that starts at the first endpoint of the route. The route is not empty.
    pub(crate) fn new(
        shared: &'a Shared,
        route: Vec<Target>,
        roaming: Roaming,
        deadline: Duration,
    ) -> Self {
        assert!(!route.is_empty(), "a call has an endpoint to go to");
        Self {
            shared,
            roaming,
            deadline: Instant::now() + deadline,
            route,
            here: 0,
            tried: BTreeSet::new(),
            untrusted: BTreeSet::new(),
            hints_in_row: 0,
            pauses: 0,
            maybe_applied: false,
            forwarding: shared.forwards(),
            stats: Stats::default(),
        }
    }

    /// Whether some try may have been proposed without its outcome reaching us.
    pub(crate) fn maybe_applied(&self) -> bool {
        self.maybe_applied
    }

    /// Notes who answered a write, for the writes to come.
    pub(crate) fn note_leader(&self) {
        if self.forwarding {
            self.shared.forward_for_a_while();
        }
        // The leader, or a node that can be reached and sends writes on to it: either is where the next one goes first.
        self.shared.remember_leader(self.target());
    }

    /// What the call took up to here.
    pub(crate) fn stats(&self) -> Stats {
        self.stats.clone()
    }

    /// The endpoint that was called last.
    pub(crate) fn target(&self) -> &Target {
        &self.route[self.here]
    }

    /// Sends the request until a node answers it or the call ends.
    pub(crate) async fn run<T, F, Fut>(&mut self, mut attempt: F) -> Result<T, End>
    where
        F: FnMut(Link, Duration) -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        loop {
            match self.attempt_once(&mut attempt).await {
                Ok(answer) => {
                    self.hints_in_row = 0;
                    return Ok(answer);
                }
                Err(trouble) => self.go_on(trouble).await?,
            }
        }
    }

    async fn attempt_once<T, F, Fut>(&mut self, attempt: &mut F) -> Result<T, Trouble>
    where
        F: FnMut(Link, Duration) -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        let target = &self.route[self.here];
        self.stats.tries += 1;
        self.stats.endpoint.clone_from(&target.name);
        self.tried.insert(self.here);
        let channels: &Channels = &self.shared.channels;
        let mut link = channels.to(&target.url).map_err(|error| Trouble {
            next: Next::Other(None),
            reason: format!("{}: {error}", target.name),
            detail: None,
            maybe_applied: false,
        })?;
        link.forwarding = self.forwarding;
        let time = self.shared.options.try_timeout.min(self.left());
        // The node answers a little before this time is up, so that its own words arrive.
        // Boxed: tonic's future is some 20 KiB, and callers keep many of ours side by side.
        match timeout(time, Box::pin(attempt(link, time))).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(status)) => Err(Trouble::of_status(&status)),
            Err(_) => Err(Trouble::silence(time)),
        }
    }

    /// Chooses the next endpoint after trouble and waits as long as needed, or ends the call.
    pub(crate) async fn go_on(&mut self, trouble: Trouble) -> Result<(), End> {
        self.maybe_applied |= trouble.maybe_applied;
        tracing::debug!(
            endpoint = %self.stats.endpoint, tries = self.stats.tries, reason = %trouble.reason, "a try had no answer"
        );
        if trouble.next == Next::Refused {
            return Err(End::Refused(trouble));
        }
        if !matches!(trouble.next, Next::Wait(_)) {
            self.shared.forget_leader(&self.route[self.here]);
        }
        if self.hints_in_row > 0 && trouble.detail.is_none() {
            // The leader cannot be reached from here, or does not answer: the nodes that can be reached send the write on.
            self.forwarding = true;
        }
        if self.roaming == Roaming::Once {
            return Err(match trouble.next {
                Next::Untrusted => End::Untrusted(trouble),
                _ => End::Expired(Some(trouble)),
            });
        }
        if trouble.next == Next::Untrusted {
            self.untrusted.insert(self.here);
            let all = self.roaming == Roaming::Stay || self.untrusted.len() == self.route.len();
            if all {
                return Err(End::Untrusted(trouble));
            }
        }
        let tries_max = self.shared.options.tries_max;
        if tries_max.is_some_and(|most| self.stats.tries >= most.get()) {
            return Err(End::Expired(Some(trouble)));
        }
        let pause = self.choose(&trouble.next);
        if pause + TRY_TIME_MIN >= self.left() {
            // The rest of the deadline is still spent waiting: a caller that gives up early learns nothing sooner,
            // and one that reads "unknown" must be able to rely on the whole time having been used.
            sleep(self.left()).await;
            return Err(End::Expired(Some(trouble)));
        }
        if !pause.is_zero() {
            sleep(pause).await;
        }
        Ok(())
    }

    /// Moves to the next endpoint and says how long to wait before calling it.
    fn choose(&mut self, next: &Next) -> Duration {
        match next {
            Next::Leader(url) if self.roaming == Roaming::Anywhere => self.follow(url),
            Next::Wait(hint) => self.backoff().max(*hint),
            Next::Other(hint) => self.move_on(*hint),
            Next::Leader(_) | Next::Untrusted | Next::Refused => self.move_on(None),
        }
    }

    /// Goes where a node says that the leader is. A hint that is no URL of ours is not followed.
    fn follow(&mut self, url: &str) -> Duration {
        let Ok(url) = normal_url(url) else {
            return self.move_on(None);
        };
        let place = match self.route.iter().position(|target| target.url == url) {
            Some(place) => place,
            None => {
                self.route.push(self.shared.target_of_url(&url));
                self.route.len() - 1
            }
        };
        let moved = place != self.here;
        self.here = place;
        self.stats.redirects += 1;
        self.hints_in_row += 1;
        if moved && self.hints_in_row <= HINTS_AT_ONCE_MAX {
            Duration::ZERO
        } else {
            self.backoff()
        }
    }

    /// Goes to the next endpoint of the route, at once if the call has not been there yet.
    fn move_on(&mut self, hint: Option<Duration>) -> Duration {
        self.hints_in_row = 0;
        if self.roaming == Roaming::Stay {
            return self.backoff().max(hint.unwrap_or_default());
        }
        let count = self.route.len();
        let others = (1..count).map(|step| (self.here + step) % count);
        let fresh = others.clone().find(|place| !self.tried.contains(place));
        if let Some(place) = fresh {
            self.here = place;
            return Duration::ZERO;
        }
        let trusted = others.clone().find(|place| !self.untrusted.contains(place));
        self.here = trusted.unwrap_or(self.here);
        self.backoff().max(hint.unwrap_or_default())
    }

    /// The next pause: doubles each time up to its bound, drawn from the upper half.
    fn backoff(&mut self) -> Duration {
        let longest = longest_pause(&self.shared.options, self.pauses);
        self.pauses = self.pauses.saturating_add(1);
        let share = self
            .shared
            .with_random(|random| random.random_range(0.5..=1.0));
        longest.mul_f64(share)
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// The longest that the pause after `pauses` earlier ones may be.
fn longest_pause(options: &Options, pauses: u32) -> Duration {
    options
        .backoff_first
        .saturating_mul(1_u32 << pauses.min(16))
        .min(options.backoff_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_stop_at_the_bound() {
        let options = Options::default();
        let pauses: Vec<u128> = (0..8)
            .map(|n| longest_pause(&options, n).as_millis())
            .collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 500, 500]);
        assert_eq!(longest_pause(&options, u32::MAX), options.backoff_max);
    }
}
