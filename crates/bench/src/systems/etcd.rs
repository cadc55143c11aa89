//! etcd: three members with TLS and client certificates on both ports, synced as it is by default.

mod learners;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use banyan_drill::wait_for;
use nix::sys::signal::Signal;
use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic_prost::ProstCodec;

use super::etcd_messages::{
    PutRequest, PutResponse, RangeRequest, RangeResponse, StatusRequest, StatusResponse, path,
};
use super::raw::RawSource;
use super::{Pins, Source};
use crate::authority::{Authority, Pair};
use crate::load::{Failure, Target};
use crate::process::{Launch, Running, free_ports};

const ETCD: &str = "/usr/bin/etcd";
const READY_WITHIN: Duration = Duration::from_secs(40);
/// How many members there are.
pub(crate) const MEMBERS: usize = 3;

/// Times of heartbeats and elections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timing {
    /// Those that etcd has by itself: 100 ms and 1000 ms.
    Default,
    /// A heartbeat of 30 ms and elections after 150 to 300 ms. etcd wants its election time to be five heartbeats or more, and draws the wait
    /// from one to two election times.
    Fast,
}

impl Timing {
    pub(crate) fn arguments(self) -> &'static [&'static str] {
        match self {
            Timing::Default => &[],
            Timing::Fast => &["--heartbeat-interval=30", "--election-timeout=150"],
        }
    }
}

/// A cluster that runs.
pub(crate) struct Etcd {
    members: Vec<Member>,
    /// They get the log, and neither vote nor serve.
    learners: Vec<Running>,
    tls: ClientTlsConfig,
}

struct Member {
    launch: Launch,
    running: Option<Running>,
    url: String,
}

impl Etcd {
    /// Starts three members on empty directories and waits until they have a leader.
    ///
    /// # Errors
    /// That a member does not start or answer.
    pub(crate) async fn start(
        folder: &Path,
        authority: &Authority,
        timing: Timing,
    ) -> anyhow::Result<Etcd> {
        std::fs::create_dir_all(folder)?;
        let server = authority.issue("etcd")?;
        let client = authority.issue("etcd-client")?;
        let read = |path: &Path| {
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
        };
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(&authority.certificate())?))
            .identity(Identity::from_pem(
                read(&client.certificate)?,
                read(&client.key)?,
            ));
        let ports: [u16; 2 * MEMBERS] = free_ports()?;
        let (clients, peers) = ports.split_at(MEMBERS);
        let names = ["m1", "m2", "m3"];
        let all: Vec<String> = names
            .iter()
            .zip(peers)
            .map(|(name, port)| format!("{name}=https://127.0.0.1:{port}"))
            .collect();
        let mut members = Vec::new();
        for ((name, client), peer) in names.into_iter().zip(clients).zip(peers) {
            let authority = authority.certificate();
            let launch = Launch {
                name: format!("etcd {name}"),
                program: PathBuf::from(ETCD),
                arguments: arguments(folder, name, [*client, *peer], &server, &authority)
                    .into_iter()
                    .chain([format!("--initial-cluster={}", all.join(","))])
                    .chain(timing.arguments().iter().map(|text| (*text).to_owned()))
                    .collect(),
                log: folder.join(format!("{name}.log")),
                user: None,
            };
            members.push(Member {
                running: Some(launch.start()?),
                launch,
                url: format!("https://127.0.0.1:{client}"),
            });
        }
        let mut etcd = Etcd {
            members,
            learners: Vec::new(),
            tls,
        };
        etcd.leader().await?;
        Ok(etcd)
    }

    /// A connection to a member.
    ///
    /// # Errors
    /// That the certificates cannot be used.
    pub(crate) fn channel(&self, member: usize) -> anyhow::Result<Channel> {
        let url = self.members[member % MEMBERS].url.clone();
        Ok(self.endpoint(url)?.connect_lazy())
    }

    fn endpoint(&self, url: String) -> anyhow::Result<Endpoint> {
        let endpoint = Endpoint::from_shared(url)?
            .tls_config(self.tls.clone())?
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(2));
        Ok(endpoint)
    }

    /// Connections for so many clients, spread over the members.
    ///
    /// # Errors
    /// As [`Etcd::channel`].
    pub(crate) fn channels(&self, clients: usize) -> anyhow::Result<Vec<Channel>> {
        (0..clients).map(|client| self.channel(client)).collect()
    }

    async fn status(&self, member: usize) -> Result<StatusResponse, String> {
        let channel = self.channel(member).map_err(|error| error.to_string())?;
        unary(&channel, path::STATUS, StatusRequest {}).await
    }

    /// The version that the members say.
    ///
    /// # Errors
    /// That the first one does not answer.
    pub(crate) async fn version(&self) -> anyhow::Result<String> {
        Ok(self.status(0).await.map_err(anyhow::Error::msg)?.version)
    }

    /// Waits until all members answer and agree on the leader; which one it is.
    ///
    /// # Errors
    /// That they do not, or that one has ended.
    pub(crate) async fn leader(&mut self) -> anyhow::Result<usize> {
        let found = wait_for::condition("one leader of etcd", READY_WITHIN, async || {
            let mut leaders = BTreeMap::new();
            let mut ids = Vec::new();
            for member in 0..MEMBERS {
                let status = self.status(member).await?;
                let id = status.header.unwrap_or_default().member_id;
                ids.push(id);
                *leaders.entry(status.leader).or_insert(0) += 1;
            }
            let agreed = leaders.into_iter().find(|(_, count)| *count == MEMBERS);
            agreed
                .and_then(|(leader, _)| ids.iter().position(|id| *id == leader))
                .ok_or_else(|| "the members do not agree on one".to_owned())
        })
        .await;
        for member in &mut self.members {
            if let Some(running) = &mut member.running {
                running.check()?;
            }
        }
        Ok(found?)
    }

    /// Waits until all members have applied what the furthest has.
    ///
    /// # Errors
    /// That they do not.
    pub(crate) async fn caught_up(&self) -> anyhow::Result<()> {
        wait_for::condition("level members of etcd", READY_WITHIN, async || {
            let mut applied = Vec::new();
            for member in 0..MEMBERS {
                applied.push(self.status(member).await?.raft_applied_index);
            }
            let spread = applied.iter().max().unwrap_or(&0) - applied.iter().min().unwrap_or(&0);
            if spread < 100 {
                Ok(())
            } else {
                Err(format!("{spread} entries lie between them"))
            }
        })
        .await?;
        Ok(())
    }

    /// Sends SIGKILL to a member.
    pub(crate) fn kill(&mut self, member: usize) {
        self.members[member % MEMBERS].running = None;
    }

    /// Starts a member that was killed, on its old data.
    ///
    /// # Errors
    /// That it cannot be started.
    pub(crate) fn restart(&mut self, member: usize) -> anyhow::Result<()> {
        let member = &mut self.members[member % MEMBERS];
        member.running = Some(member.launch.start()?);
        Ok(())
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let members = self.members.iter_mut();
        let running = members.filter_map(|member| member.running.as_mut());
        for running in running.chain(&mut self.learners) {
            running.end_with(Signal::SIGKILL);
        }
    }
}

fn arguments(
    folder: &Path,
    name: &str,
    [client, peer]: [u16; 2],
    server: &Pair,
    authority: &Path,
) -> Vec<String> {
    let (certificate, key) = (server.certificate.display(), server.key.display());
    let authority = authority.display();
    vec![
        format!("--name={name}"),
        format!("--data-dir={}", folder.join(name).display()),
        format!("--listen-client-urls=https://127.0.0.1:{client}"),
        format!("--advertise-client-urls=https://127.0.0.1:{client}"),
        format!("--listen-peer-urls=https://127.0.0.1:{peer}"),
        format!("--initial-advertise-peer-urls=https://127.0.0.1:{peer}"),
        format!("--cert-file={certificate}"),
        format!("--key-file={key}"),
        format!("--trusted-ca-file={authority}"),
        "--client-cert-auth".to_owned(),
        format!("--peer-cert-file={certificate}"),
        format!("--peer-key-file={key}"),
        format!("--peer-trusted-ca-file={authority}"),
        "--peer-client-cert-auth".to_owned(),
        // The default of 2 GB would stop writes late in a run; it has no other effect.
        "--quota-backend-bytes=8589934592".to_owned(),
        "--log-level=error".to_owned(),
        "--logger=zap".to_owned(),
    ]
}

/// One call with one answer.
async fn unary<Q, A>(channel: &Channel, path: &'static str, request: Q) -> Result<A, String>
where
    Q: Message + Send + Sync + 'static,
    A: Message + Default + Send + Sync + 'static,
{
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.map_err(|error| error.to_string())?;
    let codec = ProstCodec::<Q, A>::default();
    let answer = grpc
        .unary(
            tonic::Request::new(request),
            PathAndQuery::from_static(path),
            codec,
        )
        .await
        .map_err(|status| status.to_string())?;
    Ok(answer.into_inner())
}

/// Puts of whole records by number, or of raw values.
pub(crate) struct Puts {
    channels: Vec<Channel>,
    values: Values,
    /// `None`: there is one try, at the client's member.
    roaming: Option<Roaming>,
}

/// How clients leave a member that does not answer.
struct Roaming {
    try_within: Duration,
    /// Where each client is.
    places: Vec<AtomicUsize>,
}

/// What is put.
pub(crate) enum Values {
    /// The encoded registration under the person's number.
    Records(Source),
    /// A raw value under its key.
    Raw(RawSource),
}

impl Puts {
    pub(crate) fn new(channels: Vec<Channel>, values: Values) -> Arc<Puts> {
        Arc::new(Puts {
            channels,
            values,
            roaming: None,
        })
    }

    /// Puts of so many clients, each of which goes to the next member when a try has no answer in this time.
    pub(crate) fn roaming(
        channels: Vec<Channel>,
        values: Values,
        try_within: Duration,
        clients: usize,
    ) -> Arc<Puts> {
        let count = channels.len();
        let places = (0..clients).map(|client| AtomicUsize::new(client % count));
        let places = places.collect();
        Arc::new(Puts {
            channels,
            values,
            roaming: Some(Roaming { try_within, places }),
        })
    }
}

impl Target for Puts {
    type Request = PutRequest;

    fn request(&self, _slot: usize) -> PutRequest {
        match &self.values {
            Values::Records(source) => {
                let person = source.next();
                PutRequest {
                    key: key(&person.pin),
                    value: person.record(),
                }
            }
            Values::Raw(source) => {
                let (key, value) = source.next();
                PutRequest {
                    key: key.into_bytes(),
                    value,
                }
            }
        }
    }

    async fn call(&self, slot: usize, request: PutRequest) -> Result<u64, Failure> {
        let count = self.channels.len();
        let Some(roaming) = &self.roaming else {
            let channel = &self.channels[slot % count];
            unary::<_, PutResponse>(channel, path::PUT, request).await?;
            return Ok(1);
        };
        let place = &roaming.places[slot % roaming.places.len()];
        loop {
            let here = place.load(Ordering::Relaxed);
            let put = unary::<_, PutResponse>(&self.channels[here], path::PUT, request.clone());
            if let Ok(Ok(_)) = tokio::time::timeout(roaming.try_within, put).await {
                return Ok(1);
            }
            place.store((here + 1) % count, Ordering::Relaxed);
            tokio::time::sleep(super::RETRY_PAUSE).await;
        }
    }
}

/// Reads of records by number.
pub(crate) struct Gets {
    pub(crate) channels: Vec<Channel>,
    pub(crate) pins: Pins,
    /// From the member's own state; else linearizable.
    pub(crate) serializable: bool,
}

impl Target for Gets {
    type Request = RangeRequest;

    fn request(&self, slot: usize) -> RangeRequest {
        RangeRequest {
            key: key(&self.pins.draw(slot)),
            serializable: self.serializable,
        }
    }

    async fn call(&self, slot: usize, request: RangeRequest) -> Result<u64, Failure> {
        let channel = &self.channels[slot % self.channels.len()];
        let answer: RangeResponse = unary(channel, path::RANGE, request).await?;
        match answer.kvs.as_slice() {
            [found] if !found.value.is_empty() => Ok(1),
            _ => Err("the member does not know the person".to_owned().into()),
        }
    }
}

fn key(pin: &str) -> Vec<u8> {
    format!("person/{pin}").into_bytes()
}
