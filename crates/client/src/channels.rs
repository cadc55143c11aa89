//! Connections to the nodes, made when first needed and shared by all clones of a client.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error, Identity};

use crate::context::Context;
use crate::link::Link;
use crate::options::{Options, Transport};
use crate::streams::CallStream;

/// Idle connections are probed this often, so that a node that vanished is noticed before the next call.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// A probe that is not answered for this long ends the connection.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// Flow-control windows: a batch of 1000 commands (about 1 MiB) goes out without waiting for the node's credit.
const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// Connections kept at most. Leader hints may name nodes that the context does not; a wrong hint must not grow this.
const CHANNELS_MAX: usize = 256;

/// One lazily made connection for each URL.
pub(crate) struct Channels {
    tls: ClientTlsConfig,
    connect_timeout: Duration,
    transport: Transport,
    open: Mutex<BTreeMap<String, Open>>,
}

struct Open {
    channel: Channel,
    stream: Option<Arc<CallStream>>,
}

impl Channels {
    /// Checks that the context's certificate, key and authority can be used; connects to nothing.
    pub(crate) fn new(context: &Context, options: &Options) -> Result<Self, Error> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(context.authority_pem()))
            .identity(Identity::from_pem(
                context.certificate_pem(),
                context.key_pem(),
            ));
        let channels = Self {
            tls,
            connect_timeout: options.connect_timeout,
            transport: options.transport,
            open: Mutex::new(BTreeMap::new()),
        };
        for target in context.targets() {
            channels.endpoint(&target.url)?;
        }
        Ok(channels)
    }

    /// The way to a URL. It connects, and connects again, when it is used.
    ///
    /// Must be called inside a tokio runtime.
    pub(crate) fn to(&self, url: &str) -> Result<Link, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = open.get_mut(url) {
            if known
                .stream
                .as_ref()
                .is_some_and(|stream| stream.has_ended())
            {
                known.stream = None;
            }
            return Ok(self.link(known));
        }
        let mut new = Open {
            channel: self.endpoint(url)?.connect_lazy(),
            stream: None,
        };
        let link = self.link(&mut new);
        if open.len() < CHANNELS_MAX {
            open.insert(url.to_owned(), new);
        }
        Ok(link)
    }

    fn link(&self, open: &mut Open) -> Link {
        let link = Link {
            channel: open.channel.clone(),
            stream: None,
            forwarding: false,
        };
        let stream = match self.transport {
            Transport::Unary => None,
            Transport::Streams => Some(Arc::clone(
                open.stream.get_or_insert_with(|| CallStream::on(&link)),
            )),
        };
        Link { stream, ..link }
    }

    fn endpoint(&self, url: &str) -> Result<Endpoint, Error> {
        let endpoint = Endpoint::from_shared(url.to_owned())?
            .user_agent(concat!("banyan-client/", env!("CARGO_PKG_VERSION")))?
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        endpoint.tls_config(self.tls.clone())
    }
}
