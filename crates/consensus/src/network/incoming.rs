//! Connections of peers: accepted, shaken hands with, each handshake with a deadline, and so many at once.

use std::{io, sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _};
use openraft_rt::AsyncRuntime;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// The longest that a handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// Handshakes under way at one time; the next connection waits in the system's backlog.
const HANDSHAKES_MAX: usize = 256;
/// Pause after the system refused to accept (out of descriptors), so that the loop does not spin.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(50);

/// The connections that arrive on `listener` and show a certificate that `config` accepts. It never ends and never fails: what is refused is
/// logged and dropped.
pub(crate) fn connections<R: AsyncRuntime>(
    listener: TcpListener,
    config: Arc<ServerConfig>,
) -> impl Stream<Item = io::Result<TlsStream<TcpStream>>> + Send {
    let acceptor = TlsAcceptor::from(config);
    futures::stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((stream, listener)),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a peer's connection");
                    R::sleep(ACCEPT_RETRY_PAUSE).await;
                }
            }
        }
    })
    .map(move |stream| handshake::<R>(acceptor.clone(), stream))
    .buffer_unordered(HANDSHAKES_MAX)
    .filter_map(|shaken| async move { shaken.map(Ok) })
}

async fn handshake<R: AsyncRuntime>(
    acceptor: TlsAcceptor,
    stream: TcpStream,
) -> Option<TlsStream<TcpStream>> {
    // Appends and their answers are waited for: Nagle's delay would only add to them.
    let _ = stream.set_nodelay(true);
    match R::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, "handshake of a peer refused");
            None
        }
        Err(_elapsed) => {
            tracing::debug!("handshake of a peer took too long");
            None
        }
    }
}
