//! Pings: a voter that stays silent costs the others nothing, and neither does one of its connections the other.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use banyan_consensus::{
    Clock as _, Member, PingWire, SystemClock, Timing, TokioRuntime,
    network::{Links, PeerNetwork},
};
use banyan_domain::{NodeId, Timestamp};
use futures::{FutureExt as _, future::BoxFuture};
use tokio::{net::TcpStream, sync::Semaphore};

use crate::{
    cluster::PATIENCE,
    pki::{Authority, CLUSTER, listening},
    script::{self, until},
};

/// The clocks of nodes 2 and 3. The latter answers at once, the former as often as it is let.
struct Voters {
    asked: BTreeMap<u64, AtomicU64>,
    answers_of_second: Arc<Semaphore>,
}

impl Voters {
    fn new() -> Self {
        Self {
            asked: [2, 3].map(|node| (node, AtomicU64::new(0))).into(),
            answers_of_second: Arc::new(Semaphore::new(0)),
        }
    }

    fn asked(&self, node: u64) -> u64 {
        self.asked[&node].load(Ordering::SeqCst)
    }
}

impl PingWire for Voters {
    fn ping(&self, node: u64, _: &Member) -> BoxFuture<'static, Result<Timestamp, String>> {
        self.asked[&node].fetch_add(1, Ordering::SeqCst);
        let answers = (node == 2).then(|| Arc::clone(&self.answers_of_second));
        async move {
            if let Some(answers) = answers {
                answers.acquire().await.expect("open").forget();
            }
            Ok(SystemClock.now())
        }
        .boxed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_voter_does_not_delay_the_pings_of_the_others() {
    let directory = tempfile::tempdir().expect("a directory");
    let voters = Arc::new(Voters::new());
    let (leader, _stores) = script::start_with_pings(
        &directory.path().join("data"),
        &script::peers(),
        Timing::millis(100, 400, 800),
        voters.clone(),
    )
    .await;
    assert_eq!(voters.asked(3), 0, "there is no membership yet");
    leader
        .bootstrap(&script::members(), PATIENCE)
        .await
        .expect("it leads");
    let heard = || {
        let offsets = leader.clock_offsets();
        offsets.into_keys().map(NodeId::get).collect::<Vec<_>>()
    };
    until("node 3 is asked again and again", || voters.asked(3) >= 3).await;
    assert_eq!(voters.asked(2), 1, "its first answer is still missing");
    assert_eq!(heard(), [3]);

    voters.answers_of_second.add_permits(1);
    until("node 2 is asked again", || voters.asked(2) == 2).await;
    assert_eq!(heard(), [2, 3]);

    // The tasks end with consensus, although a handle of it is left: each lets go of the wire.
    leader.shutdown(None).await;
    voters.answers_of_second.add_permits(100);
    until("all tasks end", || Arc::strong_count(&voters) == 1).await;
    drop(leader);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_connections_to_a_voter_are_opened_at_once() {
    let (listener, member) = listening(NodeId(2)).await;
    let tls = Authority::new().peer(1, "voter", Ipv4Addr::LOCALHOST.into());
    // Whoever waits for one connection waits until it is given up as broken, and closed.
    let timing = Timing::millis(10_000, 30_000, 60_000);
    let network = PeerNetwork::<TokioRuntime>::new(CLUSTER, tls, timing, Links::default());
    let pinging = tokio::spawn(network.ping(2, &member));
    let accepting = async {
        let (first, _) = listener.accept().await.expect("a connection");
        let (second, _) = listener.accept().await.expect("another connection");
        [first, second]
    };
    let opened = tokio::time::timeout(PATIENCE, accepting).await;
    let [first, second] = opened.expect("two connections");
    assert!(
        is_open(&first) && is_open(&second),
        "one was given up before the other was tried"
    );
    pinging.abort();
}

/// Whether the other side has not closed the connection, whatever it sent.
fn is_open(connection: &TcpStream) -> bool {
    let mut sent = [0; 4_096];
    loop {
        match connection.try_read(&mut sent) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}
