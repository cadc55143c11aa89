//! The client: who calls, which nodes there are, and the calls of the registry's service.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use banyan_domain::IdempotencyKey;
use banyan_wire::errors::Code;
use banyan_wire::v1;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::time::Instant;
use tonic::Status;

use crate::channels::Channels;
use crate::context::Context;
use crate::error::{CallError, ConnectError};
use crate::journey::{End, Journey, Roaming};
use crate::options::{Options, Stats, SubmitOptions};
use crate::target::{Target, normal_url};

/// A leader that could not be reached is not tried again sooner.
const FORWARD_TIME: Duration = Duration::from_secs(30);

/// The outcome of a write.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// What became of the command: accepted or rejected, and where in the log. `result` is always present.
    pub outcome: v1::Outcome,
    /// What the call took.
    pub stats: Stats,
}

impl Submitted {
    /// The accepted result, or `None` where the registry decided "no".
    #[must_use]
    pub fn accepted(&self) -> Option<&v1::Accepted> {
        match &self.outcome.result {
            Some(v1::outcome::Result::Accepted(accepted)) => Some(accepted),
            _ => None,
        }
    }

    /// The rejection, or `None` where the command was accepted.
    #[must_use]
    pub fn rejected(&self) -> Option<&v1::Rejected> {
        match &self.outcome.result {
            Some(v1::outcome::Result::Rejected(rejected)) => Some(rejected),
            _ => None,
        }
    }
}

/// A caller's way to the registry. Clones share connections and the knowledge of who leads.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("context", &self.shared.context)
            .finish_non_exhaustive()
    }
}

/// What all clones of a client share.
pub(crate) struct Shared {
    pub(crate) context: Context,
    pub(crate) options: Options,
    pub(crate) channels: Channels,
    leader: Mutex<Option<Target>>,
    /// Until then writes are forwarded by the nodes that can be reached, since the leader could not.
    forward_until: Mutex<Option<Instant>>,
    random: Mutex<StdRng>,
}

impl Shared {
    /// The target of a URL that a node named: one of the context's, or an unnamed one.
    pub(crate) fn target_of_url(&self, url: &str) -> Target {
        self.context.target(url).cloned().unwrap_or_else(|| Target {
            name: url.to_owned(),
            url: url.to_owned(),
        })
    }

    /// Draws from the random numbers for pauses. They need not repeat, and nothing else uses them.
    pub(crate) fn with_random<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn leader(&self) -> Option<Target> {
        self.leader
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn remember_leader(&self, target: &Target) {
        let mut leader = self.leader.lock().unwrap_or_else(PoisonError::into_inner);
        if leader.as_ref() != Some(target) {
            *leader = Some(target.clone());
        }
    }

    pub(crate) fn forwards(&self) -> bool {
        if self.options.forward {
            return true;
        }
        let until = *self
            .forward_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    pub(crate) fn forward_for_a_while(&self) {
        let mut until = self
            .forward_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if until.is_none_or(|until| until <= Instant::now()) {
            *until = Some(Instant::now() + FORWARD_TIME);
        }
    }

    pub(crate) fn forget_leader(&self, target: &Target) {
        let mut leader = self.leader.lock().unwrap_or_else(PoisonError::into_inner);
        if leader.as_ref() == Some(target) {
            *leader = None;
        }
    }
}

impl Client {
    /// A client with the default [`Options`]. It connects when it is first used.
    ///
    /// # Errors
    /// [`ConnectError::Tls`] if the context's certificate, key or authority cannot be used.
    pub fn connect(context: Context) -> Result<Self, ConnectError> {
        Self::with_options(context, Options::default())
    }

    /// A client with options of its own.
    ///
    /// # Errors
    /// [`ConnectError::Tls`] as above, [`ConnectError::ZeroOption`] for a bound of zero.
    pub fn with_options(context: Context, options: Options) -> Result<Self, ConnectError> {
        for (name, value) in [
            ("deadline", options.deadline),
            ("try_timeout", options.try_timeout),
            ("connect_timeout", options.connect_timeout),
            ("backoff_first", options.backoff_first),
            ("backoff_max", options.backoff_max),
        ] {
            if value.is_zero() {
                return Err(ConnectError::ZeroOption(name));
            }
        }
        let channels = Channels::new(&context, &options).map_err(|source| ConnectError::Tls {
            context: context.name().to_owned(),
            source,
        })?;
        Ok(Self {
            shared: Arc::new(Shared {
                context,
                options,
                channels,
                leader: Mutex::new(None),
                forward_until: Mutex::new(None),
                random: Mutex::new(StdRng::from_os_rng()),
            }),
        })
    }

    /// Who calls, and which nodes there are.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.shared.context
    }

    /// The bounds of its calls.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// Sends a command until it has an outcome. A rejection is an outcome, not an error.
    ///
    /// # Errors
    /// [`CallError`]. Only [`CallError::OutcomeUnknown`] leaves open whether the command took effect, and it is
    /// returned only when the deadline has passed; call again with the same key.
    pub async fn submit(
        &self,
        key: IdempotencyKey,
        command: v1::Command,
    ) -> Result<Submitted, CallError> {
        self.submit_with(key, command, &SubmitOptions::default())
            .await
    }

    /// [`Client::submit`] with options for this one write.
    ///
    /// # Errors
    /// As [`Client::submit`], and [`CallError::UnknownEndpoint`] for an endpoint that the context does not have.
    pub async fn submit_with(
        &self,
        key: IdempotencyKey,
        command: v1::Command,
        options: &SubmitOptions,
    ) -> Result<Submitted, CallError> {
        let request = v1::SubmitRequest {
            idempotency_key: key.as_bytes().to_vec().into(),
            command: Some(command),
            dry_run: options.dry_run,
            hint_leader: true,
        };
        let mut journey = self.write_journey(options)?;
        let answer = journey
            .run(|link, time| {
                let request = request.clone();
                async move { whole(link.submit(request, time).await?.outcome) }
            })
            .await;
        match answer {
            Ok(outcome)
                if journey.maybe_applied() && !options.dry_run && is_about_the_key(&outcome) =>
            {
                Err(CallError::OutcomeUnknown {
                    key,
                    reason: reason_of_key(&outcome),
                    stats: journey.stats(),
                })
            }
            Ok(outcome) => {
                journey.note_leader();
                Ok(Submitted {
                    outcome,
                    stats: journey.stats(),
                })
            }
            Err(end) => Err(write_error(
                end,
                key,
                !options.dry_run && journey.maybe_applied(),
                journey.stats(),
            )),
        }
    }

    /// The way of a write: the endpoint asked for, then the node that led last, then the context's order.
    pub(crate) fn write_journey(&self, options: &SubmitOptions) -> Result<Journey<'_>, CallError> {
        let first = options
            .first
            .as_deref()
            .map(|name| self.target(name))
            .transpose()?;
        let head = first.into_iter().chain(self.shared.leader());
        let route = distinct(head.chain(self.shared.context.targets().iter().cloned()));
        let deadline = options.deadline.unwrap_or(self.shared.options.deadline);
        Ok(Journey::new(
            &self.shared,
            route,
            Roaming::Anywhere,
            deadline,
        ))
    }

    /// The target of this name, or of this URL even if the context does not have it.
    pub(crate) fn target(&self, name: &str) -> Result<Target, CallError> {
        if let Some(target) = self.shared.context.target(name) {
            return Ok(target.clone());
        }
        if name.contains("://") {
            let url = normal_url(name)?;
            return Ok(Target {
                name: url.clone(),
                url,
            });
        }
        Err(CallError::UnknownEndpoint {
            name: name.to_owned(),
            known: self
                .shared
                .context
                .targets()
                .iter()
                .map(|t| t.name.clone())
                .collect(),
        })
    }
}

/// Targets in order, each once.
pub(crate) fn distinct(targets: impl Iterator<Item = Target>) -> Vec<Target> {
    let mut route: Vec<Target> = Vec::new();
    for target in targets {
        if !route.iter().any(|known| known.url == target.url) {
            route.push(target);
        }
    }
    route
}

/// An outcome that says something. A node that answers without one may still have proposed the command.
pub(crate) fn whole(outcome: Option<v1::Outcome>) -> Result<v1::Outcome, Status> {
    outcome
        .filter(|outcome| outcome.result.is_some())
        .ok_or_else(|| Status::unknown("the answer holds no outcome"))
}

/// Whether the registry refused a key for its age: that settles this try, and says nothing about an earlier one.
pub(crate) fn is_about_the_key(outcome: &v1::Outcome) -> bool {
    rejected(outcome).is_some_and(|rejected| {
        let code = rejected.code.parse();
        matches!(code, Ok(Code::KeyExpired | Code::KeyAhead))
    })
}

/// The words of such a refusal.
pub(crate) fn reason_of_key(outcome: &v1::Outcome) -> String {
    rejected(outcome).map_or_else(String::new, |rejected| {
        format!("{} {}: {}", rejected.code, rejected.name, rejected.message)
    })
}

fn rejected(outcome: &v1::Outcome) -> Option<&v1::Rejected> {
    match &outcome.result {
        Some(v1::outcome::Result::Rejected(rejected)) => Some(rejected),
        _ => None,
    }
}

/// How a write ends without an outcome. Once a try may have been proposed, nothing but an outcome settles it.
pub(crate) fn write_error(
    end: End,
    key: IdempotencyKey,
    maybe_applied: bool,
    stats: Stats,
) -> CallError {
    if !maybe_applied {
        return read_error(end, stats);
    }
    let trouble = match end {
        End::Refused(trouble) | End::Untrusted(trouble) => Some(trouble),
        End::Expired(trouble) => trouble,
    };
    CallError::OutcomeUnknown {
        key,
        reason: reason_of(trouble.as_ref()),
        stats,
    }
}

/// How a call without effect ends without an answer.
pub(crate) fn read_error(end: End, stats: Stats) -> CallError {
    match end {
        End::Refused(trouble) => {
            let detail = trouble.detail.unwrap_or_default();
            CallError::Refused { detail, stats }
        }
        End::Untrusted(trouble) => CallError::Untrusted {
            reason: trouble.reason,
            stats,
        },
        End::Expired(trouble) => CallError::Unavailable {
            reason: reason_of(trouble.as_ref()),
            detail: trouble.and_then(|trouble| trouble.detail),
            stats,
        },
    }
}

fn reason_of(trouble: Option<&crate::trouble::Trouble>) -> String {
    trouble.map_or_else(
        || String::from("the time ran out"),
        |trouble| trouble.reason.clone(),
    )
}
