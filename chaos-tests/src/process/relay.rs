//! One connection of a relay: each direction is held, slowed or broken as the weather is.

use std::net::SocketAddr;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;

use super::network::{Trouble, Weather};

const CHUNK_BYTES: usize = 16 << 10;
/// A lost packet is one of many of a chunk, and a broken connection costs more than a lost packet: so many times fewer are broken.
const BREAKS_LESS: f64 = 20.0;

/// Carries a connection from `sender` to `receiver`, who listens at `to`, until either ends it or the weather does.
pub(super) async fn connection(
    near: TcpStream,
    to: SocketAddr,
    sender: &str,
    receiver: &str,
    weather: watch::Receiver<Weather>,
) {
    let Ok(far) = connect(to).await else {
        return;
    };
    let _ = near.set_nodelay(true);
    let _ = far.set_nodelay(true);
    let port = near.peer_addr().map_or(0, |address| address.port());
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let there = Direction::new(sender, receiver, weather.clone(), port);
    let back = Direction::new(receiver, sender, weather, port);
    // A loss in one direction ends the other, too. An end of one side is passed on.
    tokio::select! {
        () = there.carry(near_read, far_write) => {}
        () = back.carry(far_read, near_write) => {}
    }
}

async fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    TcpSocket::new_v4()?.connect(to).await
}

struct Direction {
    sender: String,
    receiver: String,
    weather: watch::Receiver<Weather>,
    rng: ChaCha8Rng,
}

impl Direction {
    fn new(
        sender: &str,
        receiver: &str,
        weather: watch::Receiver<Weather>,
        port: u16,
    ) -> Direction {
        Direction {
            sender: sender.to_owned(),
            receiver: receiver.to_owned(),
            weather,
            rng: ChaCha8Rng::seed_from_u64(u64::from(port)),
        }
    }

    /// Returns when the direction has ended, or is to be broken.
    async fn carry(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let count = match from.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(count) => count,
            };
            if !self.lets_through(count).await {
                return;
            }
            let chunk = buffer.get(..count).unwrap_or_default();
            if to.write_all(chunk).await.is_err() {
                return;
            }
        }
    }

    /// Waits for as long as nothing comes through; `false`: the connection breaks.
    async fn lets_through(&mut self, bytes: usize) -> bool {
        let (sender, receiver) = (self.sender.clone(), self.receiver.clone());
        let is_open = |weather: &Weather| weather.of_link(&sender, &receiver) != Some(Trouble::Cut);
        let (kilobits, trouble) = match self.weather.wait_for(is_open).await {
            Ok(now) => (
                now.kilobits(&self.sender),
                now.of_link(&self.sender, &self.receiver),
            ),
            Err(_) => return false,
        };
        if let Some(Trouble::Lossy { percent }) = trouble {
            let breaks = f64::from(percent) / 100.0 / BREAKS_LESS;
            if self.rng.random_bool(breaks) {
                return false;
            }
        }
        if let Some(kilobits) = kilobits {
            let bits = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(8);
            // Bits at kilobits a second take milliseconds.
            tokio::time::sleep(Duration::from_millis(bits / u64::from(kilobits.max(1)))).await;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn cut_holds_one_direction_and_what_was_held_arrives_afterwards() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (to, at) = (server.local_addr().unwrap(), front.local_addr().unwrap());
        let weather = watch::Sender::new(Weather::default());
        let seen = weather.subscribe();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let (near, _) = front.accept().await.unwrap();
            connection(near, to, "a", "b", seen).await;
        });
        let mut near = TcpStream::connect(at).await.unwrap();
        near.write_all(b"1").await.unwrap();
        let (mut far, _) = server.accept().await.unwrap();
        let mut byte = [0];
        far.read_exact(&mut byte).await.unwrap();

        let mut cut = Weather::default();
        cut.trouble(&["b".to_owned()], &["a".to_owned()], Trouble::Cut);
        weather.send_replace(cut);
        far.write_all(b"2").await.unwrap();
        near.write_all(b"3").await.unwrap();
        far.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"3");
        let held = tokio::time::timeout(Duration::from_millis(100), near.read(&mut byte)).await;
        assert!(held.is_err(), "it came through a cut");

        weather.send_replace(Weather::default());
        near.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"2");
    }
}
