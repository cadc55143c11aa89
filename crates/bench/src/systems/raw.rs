//! Raw values: one 600-byte value by key, the same for every system; and the clients of a cluster of ours that carries them.
//!
//! That cluster is three voters of `banyan-bench-node`: the node that `banyand` runs, with one more service (ADR 0027).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use banyan_drill::wait_for;
use banyan_wire::internal_v1::numbered_put_answer::Answer;
use banyan_wire::internal_v1::raw_values_client::RawValuesClient;
use banyan_wire::internal_v1::{
    GetValueRequest, NumberedPut, NumberedPutAnswer, PutValueRequest, PutValuesRequest, RawValue,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::banyan::{BATCH, Banyan, VOTERS};
use crate::load::{Failure, Target};

/// Bytes of a value.
const VALUE_BYTES: usize = 600;
/// The program of a node that carries raw values; it lies beside this one.
const NODE: &str = "banyan-bench-node";
/// Puts of one stream that wait for the connection to take them.
const QUEUE: usize = 256;
const LEVEL_WITHIN: Duration = Duration::from_secs(40);

/// Values to put at one system: each key is handed out once, in no order.
#[derive(Clone, Default)]
pub(crate) struct RawSource(Arc<AtomicU64>);

impl RawSource {
    pub(crate) fn next(&self) -> (String, Vec<u8>) {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        let key = format!("raw/{:016x}", mix(number));
        // Bytes that do not compress.
        let words = (1..).map(|word: u64| mix(number.wrapping_mul(1 << 10).wrapping_add(word)));
        let value = words.flat_map(u64::to_le_bytes).take(VALUE_BYTES).collect();
        (key, value)
    }

    fn next_message(&self) -> RawValue {
        let (key, value) = self.next();
        RawValue {
            key: key.into(),
            value: value.into(),
        }
    }
}

/// The mixer of SplitMix64 (Steele, Lea and Flood, 2014): each number gives another one.
fn mix(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Where the program of the nodes lies.
///
/// # Errors
/// That it was not built.
pub(crate) fn node_program() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(NODE);
    ensure!(
        path.is_file(),
        "{} is missing: `make build` makes it",
        path.display()
    );
    Ok(path)
}

/// The ways to the nodes of a cluster that carries raw values.
pub(crate) struct RawNodes {
    tls: ClientTlsConfig,
}

impl RawNodes {
    /// Reads the certificate of the centre.
    ///
    /// # Errors
    /// That it cannot be read.
    pub(crate) fn of(banyan: &Banyan) -> anyhow::Result<RawNodes> {
        let pki = banyan.cluster.layout().pki();
        let centre = banyan.cluster.centre_name();
        let read = |name: String| {
            let path = pki.join(name);
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read("server-ca.pem".to_owned())?))
            .identity(Identity::from_pem(
                read(format!("clients/{centre}.pem"))?,
                read(format!("clients/{centre}.key"))?,
            ));
        Ok(RawNodes { tls })
    }

    /// A client of a node, with a connection of its own.
    ///
    /// # Errors
    /// That there is no such node, or that the certificate cannot be used.
    pub(crate) fn client(
        &self,
        banyan: &Banyan,
        node: &str,
    ) -> anyhow::Result<RawValuesClient<Channel>> {
        let node = banyan.cluster.topology().node(node).context("no node")?;
        let endpoint = Endpoint::from_shared(format!("https://{}", node.client_endpoint()))?
            .tls_config(self.tls.clone())?
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(2));
        Ok(RawValuesClient::new(endpoint.connect_lazy()))
    }

    /// The same, so many.
    ///
    /// # Errors
    /// As [`RawNodes::client`].
    pub(crate) fn clients(
        &self,
        banyan: &Banyan,
        node: &str,
        count: usize,
    ) -> anyhow::Result<Vec<RawValuesClient<Channel>>> {
        (0..count).map(|_| self.client(banyan, node)).collect()
    }

    /// Puts a value at the leader and waits until every voter holds it: what is acknowledged is stored, and as it was sent.
    ///
    /// # Errors
    /// That a voter does not.
    pub(crate) async fn check(
        &self,
        banyan: &Banyan,
        leader: &str,
        source: &RawSource,
    ) -> anyhow::Result<()> {
        let sent = source.next_message();
        let put = PutValueRequest {
            value: Some(sent.clone()),
        };
        self.client(banyan, leader)?.put(put).await?;
        for voter in VOTERS {
            let client = self.client(banyan, voter)?;
            wait_for::condition("the value at every voter", LEVEL_WITHIN, async || {
                let get = GetValueRequest {
                    key: sent.key.clone(),
                };
                let answer = client.clone().get(get).await;
                match answer.map_err(|status| status.to_string())?.into_inner() {
                    answer if answer.value.as_ref() == Some(&sent.value) => Ok(()),
                    answer if answer.value.is_none() => Err(format!("{voter} does not know it")),
                    _ => Err(format!("{voter} holds another one")),
                }
            })
            .await?;
        }
        Ok(())
    }
}

/// Values, one a call.
pub(crate) struct Puts {
    pub(crate) clients: Vec<RawValuesClient<Channel>>,
    pub(crate) source: RawSource,
}

impl Target for Puts {
    type Request = PutValueRequest;

    fn request(&self, _slot: usize) -> PutValueRequest {
        PutValueRequest {
            value: Some(self.source.next_message()),
        }
    }

    async fn call(&self, slot: usize, request: PutValueRequest) -> Result<u64, Failure> {
        let mut client = self.clients[slot % self.clients.len()].clone();
        let answer = client.put(request).await;
        answer.map_err(|status| status.to_string())?;
        Ok(1)
    }
}

/// Values, [`BATCH`] a call.
pub(crate) struct Batches {
    pub(crate) clients: Vec<RawValuesClient<Channel>>,
    pub(crate) source: RawSource,
}

impl Target for Batches {
    type Request = PutValuesRequest;

    fn request(&self, _slot: usize) -> PutValuesRequest {
        PutValuesRequest {
            values: (0..BATCH).map(|_| self.source.next_message()).collect(),
        }
    }

    async fn call(&self, slot: usize, request: PutValuesRequest) -> Result<u64, Failure> {
        let count = request.values.len() as u64;
        let mut client = self.clients[slot % self.clients.len()].clone();
        let answer = client.put_batch(request).await;
        answer.map_err(|status| status.to_string())?;
        Ok(count)
    }
}

/// Values on one stream: calls go out as they come, and a number tells the answers apart.
pub(crate) struct PutStream {
    puts: mpsc::Sender<NumberedPut>,
    desk: Arc<Desk>,
    next: AtomicU64,
    source: RawSource,
    /// Hands out the answers; it ends with this.
    _answers: JoinSet<()>,
}

type Waiting = oneshot::Sender<Result<(), String>>;

/// Who waits for which answer; none once the stream has ended.
struct Desk(Mutex<Option<HashMap<u64, Waiting>>>);

impl Desk {
    fn waiting(&self) -> MutexGuard<'_, Option<HashMap<u64, Waiting>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand_out(&self, answer: NumberedPutAnswer) {
        let caller = self
            .waiting()
            .as_mut()
            .and_then(|waiting| waiting.remove(&answer.id));
        let Some(caller) = caller else {
            return;
        };
        // The caller may have stopped waiting.
        let _ = caller.send(match answer.answer {
            Some(Answer::Put(_)) => Ok(()),
            Some(Answer::Error(detail)) => Err(detail.message),
            None => Err("the answer is empty".to_owned()),
        });
    }
}

impl PutStream {
    /// Opens a stream.
    ///
    /// # Errors
    /// That the node refuses it.
    pub(crate) async fn open(
        mut client: RawValuesClient<Channel>,
        source: RawSource,
    ) -> anyhow::Result<PutStream> {
        let (puts, outgoing) = mpsc::channel(QUEUE);
        let opened = client.put_stream(ReceiverStream::new(outgoing)).await;
        let mut incoming = match opened {
            Ok(opened) => opened.into_inner(),
            Err(status) => bail!("the stream was not opened: {status}"),
        };
        let desk = Arc::new(Desk(Mutex::new(Some(HashMap::new()))));
        let mut answers = JoinSet::new();
        let handing = Arc::clone(&desk);
        answers.spawn(async move {
            while let Ok(Some(answer)) = incoming.message().await {
                handing.hand_out(answer);
            }
            // Whoever waits learns of the end by the loss of its sender.
            handing.waiting().take();
        });
        Ok(PutStream {
            puts,
            desk,
            next: AtomicU64::new(1),
            source,
            _answers: answers,
        })
    }
}

impl Target for PutStream {
    type Request = RawValue;

    fn request(&self, _slot: usize) -> RawValue {
        self.source.next_message()
    }

    async fn call(&self, _slot: usize, value: RawValue) -> Result<u64, Failure> {
        let ended = || "the stream has ended".to_owned();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (caller, answer) = oneshot::channel();
        let before = self
            .desk
            .waiting()
            .as_mut()
            .ok_or_else(ended)?
            .insert(id, caller);
        debug_assert!(before.is_none(), "numbers are given once");
        let value = Some(value);
        self.puts
            .send(NumberedPut { id, value })
            .await
            .map_err(|_| ended())?;
        answer.await.map_err(|_| ended())??;
        Ok(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_are_distinct_and_values_have_their_size() {
        let source = RawSource::default();
        let mut keys = BTreeSet::new();
        for _ in 0..10_000 {
            let (key, value) = source.clone().next();
            assert_eq!(value.len(), VALUE_BYTES);
            assert!(keys.insert(key));
        }
        let same = RawSource::default().next();
        assert!(keys.contains(&same.0), "the same for every system");
    }
}
