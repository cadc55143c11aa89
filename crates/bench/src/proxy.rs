//! A relay of TCP connections that holds every byte for a time: a wide-area network between two members of one machine.
//!
//! Bytes keep their order and are not paced: only time is added, the same in both directions.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

const CHUNK_BYTES: usize = 64 << 10;
/// Chunks on their way in one direction of one connection; past it the sender waits, as with a full window.
const CHUNKS_MAX: usize = 1024;

/// How long bytes are held, one way. Shared by relays, and may be changed while they run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Delay(Arc<AtomicU64>);

impl Delay {
    /// From now on.
    pub(crate) fn set(&self, delay: Duration) {
        let microseconds = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        self.0.store(microseconds, Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// Relays that run until this is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    relays: JoinSet<()>,
    delay: Delay,
}

impl Proxy {
    pub(crate) fn new(delay: Delay) -> Proxy {
        Proxy {
            relays: JoinSet::new(),
            delay,
        }
    }

    /// Relays connections that come to `at` to `to`, from when this returns. Where it listens, for a port of zero.
    ///
    /// # Errors
    /// That `at` cannot be listened on.
    pub(crate) async fn relay(&mut self, at: SocketAddr, to: SocketAddr) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(at).await?;
        let here = listener.local_addr()?;
        let delay = self.delay.clone();
        self.relays.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    // A connection that cannot be taken is the caller's to try again.
                    accepted = listener.accept() => if let Ok((near, _)) = accepted {
                        connections.spawn(connection(near, to, delay.clone()));
                    },
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(here)
    }
}

/// Carries one connection. An end of either side ends the other after the delay.
async fn connection(near: TcpStream, to: SocketAddr, delay: Delay) {
    let Ok(far) = TcpStream::connect(to).await else {
        return;
    };
    let _ = near.set_nodelay(true);
    let _ = far.set_nodelay(true);
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::join!(
        direction(near_read, far_write, delay.clone()),
        direction(far_read, near_write, delay)
    );
}

async fn direction(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Delay) {
    let (chunks, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_MAX);
    let reading = async move {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            match from.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    let chunk = buffer.get(..count).unwrap_or_default().to_vec();
                    if chunks
                        .send((Instant::now() + delay.get(), chunk))
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
            }
        }
    };
    let writing = async move {
        while let Some((when, chunk)) = due.recv().await {
            if when > Instant::now() {
                tokio::time::sleep_until(when).await;
            }
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(reading, writing);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: &str = "127.0.0.1:0";

    /// A server that sends back what it gets, behind a proxy.
    async fn echo(delay: Duration) -> (Proxy, SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind(LOOPBACK).await.unwrap();
        let server = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (mut read, mut write) = stream.into_split();
            tokio::io::copy(&mut read, &mut write).await.unwrap();
            write.shutdown().await.unwrap();
        });
        let held = Delay::default();
        held.set(delay);
        let mut proxy = Proxy::new(held);
        let at = proxy
            .relay(LOOPBACK.parse().unwrap(), server)
            .await
            .unwrap();
        (proxy, at, tasks)
    }

    #[tokio::test]
    async fn bytes_come_back_whole_and_in_order() {
        let (_proxy, at, _tasks) = echo(Duration::from_millis(2)).await;
        let (mut read, mut write) = TcpStream::connect(at).await.unwrap().into_split();
        let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let sending = async {
            write.write_all(&sent).await.unwrap();
            write.shutdown().await.unwrap();
        };
        let mut received = Vec::new();
        let (_, result) = tokio::join!(sending, read.read_to_end(&mut received));
        result.unwrap();
        assert!(
            received == sent,
            "{} of {} bytes",
            received.len(),
            sent.len()
        );
    }

    #[tokio::test]
    async fn each_direction_is_held_for_the_delay() {
        let delay = Duration::from_millis(40);
        let (_proxy, at, _tasks) = echo(delay).await;
        let mut stream = TcpStream::connect(at).await.unwrap();
        for _ in 0..3 {
            let start = Instant::now();
            stream.write_all(b"x").await.unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            // A lower bound only: what else the machine does may add to it.
            assert!(start.elapsed() >= 2 * delay);
        }
    }
}
