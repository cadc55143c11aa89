//! Who may say what, with real certificates on real connections.

use std::time::Duration;

use banyan_consensus::{Consensus, LogPolicy, PeerTls, StartError};
use banyan_domain::NodeId;
use banyan_wire::internal_v1::{
    AppendRequest, Ballot, LogEntry, LogPosition, SnapshotFrame, SnapshotOffer, TransferRequest,
    VoteRequest, peer_client::PeerClient, snapshot_frame,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::{cluster::Cluster, pki::CLUSTER};

async fn connect(tls: &PeerTls, endpoint: &str) -> PeerClient<Channel> {
    let host = endpoint.split(':').next().expect("a host").to_owned();
    let config = ClientTlsConfig::new()
        .identity(Identity::from_pem(&tls.certificate_pem, &tls.key_pem))
        .ca_certificate(Certificate::from_pem(&tls.authority_pem))
        .domain_name(host);
    let channel = Endpoint::from_shared(format!("https://{endpoint}"))
        .expect("an endpoint")
        .tls_config(config)
        .expect("TLS")
        .connect_lazy();
    PeerClient::new(channel)
}

/// What each kind of call is answered, when it claims to come from `node` in a term that would win.
async fn try_everything(
    client: &mut PeerClient<Channel>,
    node: u64,
) -> Vec<(&'static str, Option<Status>)> {
    let ballot = |committed| {
        Some(Ballot {
            term: 1_000,
            node,
            committed,
        })
    };
    let append = AppendRequest {
        ballot: ballot(true),
        ..AppendRequest::default()
    };
    let vote = VoteRequest {
        ballot: ballot(false),
        last: Some(LogPosition {
            term: 999,
            index: 1 << 40,
        }),
        leadership_transfer: true,
    };
    let transfer = TransferRequest {
        from: ballot(true),
        to: 1,
        last: None,
    };
    let offer = SnapshotOffer {
        ballot: ballot(true),
        ..SnapshotOffer::default()
    };
    let offer = SnapshotFrame {
        kind: Some(snapshot_frame::Kind::Offer(offer)),
    };

    let mut answers = vec![
        ("append", client.append(append.clone()).await.err()),
        ("vote", client.vote(vote).await.err()),
        ("pre-vote", client.pre_vote(vote).await.err()),
        ("transfer", client.transfer_leader(transfer).await.err()),
    ];
    let stream = match client.append_stream(tokio_stream::iter([append])).await {
        Ok(stream) => stream.into_inner().message().await.err(),
        Err(status) => Some(status),
    };
    answers.push(("append stream", stream));
    let snapshot = match client.snapshot(tokio_stream::iter([offer])).await {
        Ok(stream) => stream.into_inner().message().await.err(),
        Err(status) => Some(status),
    };
    answers.push(("snapshot", snapshot));
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learners_certificate_cannot_vote_append_transfer_or_send_snapshots() {
    let cluster = Cluster::started(3, 1, LogPolicy::default()).await;
    cluster.propose(0..5).await;
    cluster.caught_up(1).await;
    let learner = &cluster.nodes[&4].member;
    let address = learner
        .peer_endpoint
        .parse::<std::net::SocketAddr>()
        .expect("an address")
        .ip();
    let endpoint = cluster.nodes[&1].member.peer_endpoint.clone();
    let term = cluster.consensus(1).status().term;

    let tls = cluster.authority.peer(4, "learner", address);
    let mut client = connect(&tls, &endpoint).await;
    // As itself, and in the name of a voter.
    for claimed in [4, 2] {
        for (what, refused) in try_everything(&mut client, claimed).await {
            let status =
                refused.unwrap_or_else(|| panic!("{what} as node {claimed} was not refused"));
            assert_eq!(
                status.code(),
                Code::PermissionDenied,
                "{what} as node {claimed}: {status:?}"
            );
        }
    }
    let status = cluster.consensus(1).status();
    assert_eq!(status.peer_calls_refused, 12, "each refusal is counted");
    assert_eq!(status.term, term, "nothing was disturbed");
    cluster.propose(5..10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_cannot_be_admitted_is_refused_before_its_message_is_read() {
    let cluster = Cluster::started(3, 1, LogPolicy::default()).await;
    let endpoint = cluster.nodes[&1].member.peer_endpoint.clone();
    // Larger than any message may be, which whoever reads it would say.
    let entry = LogEntry {
        position: Some(LogPosition { term: 1, index: 0 }),
        payload: vec![0; 9 << 20].into(),
    };
    let append = AppendRequest {
        entries: vec![entry],
        ..AppendRequest::default()
    };
    for (node, standing, code) in [
        (4, "learner", Code::PermissionDenied),
        (2, "voter", Code::OutOfRange),
    ] {
        let address = cluster.nodes[&node].address.ip();
        let tls = cluster.authority.peer(node, standing, address);
        let mut client = connect(&tls, &endpoint).await;
        let status = client.append(append.clone()).await.unwrap_err();
        assert_eq!(status.code(), code, "{standing}: {status:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_with_a_gap_do_not_reach_the_log() {
    let cluster = Cluster::started(3, 0, LogPolicy::default()).await;
    cluster.propose(0..5).await;
    cluster.caught_up(1).await;
    let term = cluster.consensus(1).status().term;
    let endpoint = cluster.nodes[&1].member.peer_endpoint.clone();
    let tls = cluster
        .authority
        .peer(2, "voter", cluster.nodes[&2].address.ip());
    let mut client = connect(&tls, &endpoint).await;
    let entry = |index| LogEntry {
        position: Some(LogPosition { term: 1_000, index }),
        payload: Vec::new().into(),
    };
    let append = AppendRequest {
        ballot: Some(Ballot {
            term: 1_000,
            node: 2,
            committed: true,
        }),
        previous: Some(LogPosition { term, index: 3 }),
        entries: vec![entry(5), entry(6)],
        ..AppendRequest::default()
    };
    let refused = client.append(append.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    let mut answers = client
        .append_stream(tokio_stream::iter([append]))
        .await
        .expect("a stream")
        .into_inner();
    let refused = answers.message().await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    assert_eq!(cluster.consensus(1).status().term, term);
    cluster.propose(5..10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_cannot_open_streams_without_end_on_one_connection() {
    let cluster = Cluster::started(3, 0, LogPolicy::default()).await;
    let endpoint = cluster.nodes[&1].member.peer_endpoint.clone();
    let tls = cluster
        .authority
        .peer(2, "voter", cluster.nodes[&2].address.ip());
    let client = connect(&tls, &endpoint).await;
    let open = || {
        let mut client = client.clone();
        async move {
            // A stream without a message, until what keeps it open is dropped.
            let (keep, silent) = tokio::sync::mpsc::channel::<AppendRequest>(1);
            let call = client.append_stream(ReceiverStream::new(silent));
            let opened = tokio::time::timeout(Duration::from_secs(2), call).await?;
            Ok::<_, tokio::time::error::Elapsed>((keep, opened.expect("a stream")))
        }
    };
    let mut streams = Vec::new();
    let refused = loop {
        match open().await {
            Ok(stream) => streams.push(stream),
            Err(elapsed) => break elapsed,
        }
        assert!(streams.len() < 1_000, "there is no end");
    };
    assert!(!streams.is_empty(), "{refused}");
    // Others are not held up, nor is this one once it has let go of a stream.
    cluster.propose(0..5).await;
    streams.pop();
    open().await.expect("in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_voters_of_this_cluster_that_speak_for_themselves_are_heard() {
    let cluster = Cluster::started(3, 1, LogPolicy::default()).await;
    cluster.propose(0..5).await;
    cluster.caught_up(1).await;
    let address = "127.0.9.99".parse().expect("an address");
    let endpoint = cluster.nodes[&1].member.peer_endpoint.clone();
    let peer = |cluster: &str, rest: &str| format!("banyan://{cluster}/{rest}");
    let cases = [
        ("one voter for another", peer(CLUSTER, "peer/3/voter"), 2),
        (
            "a learner of the membership with a voter's certificate",
            peer(CLUSTER, "peer/4/voter"),
            4,
        ),
        ("a stranger", peer(CLUSTER, "peer/9/voter"), 9),
        (
            "a voter of another cluster",
            peer("other-cluster", "peer/2/voter"),
            2,
        ),
        ("an operator", peer(CLUSTER, "operator/operator@central"), 2),
    ];
    for (what, uri, claimed) in cases {
        let tls = cluster.authority.issue(&uri, &[address]);
        let mut client = connect(&tls, &endpoint).await;
        for (call, refused) in try_everything(&mut client, claimed).await {
            let status = refused.unwrap_or_else(|| panic!("{call} of {what} was not refused"));
            assert_eq!(
                status.code(),
                Code::PermissionDenied,
                "{call} of {what}: {status:?}"
            );
        }
    }
    // Another authority does not get as far as a call.
    let stranger = crate::pki::Authority::new().peer(2, "voter", address);
    let ours = cluster.authority.peer(2, "voter", address);
    let tls = PeerTls {
        authority_pem: ours.authority_pem,
        ..stranger
    };
    let mut client = connect(&tls, &endpoint).await;
    for (call, refused) in try_everything(&mut client, 2).await {
        let status =
            refused.unwrap_or_else(|| panic!("{call} under another authority was not refused"));
        assert_ne!(
            status.code(),
            Code::PermissionDenied,
            "{call}: the handshake must fail before the call"
        );
    }
    cluster.propose(5..10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_answers_at_anothers_address_is_not_taken_for_it() {
    let mut cluster = Cluster::started(3, 0, LogPolicy::default()).await;
    cluster.propose(0..5).await;
    let leader = cluster.leader().await;
    let victim = (1..=3).find(|id| *id != leader).expect("a follower");
    let address: std::net::SocketAddr = cluster.nodes[&victim]
        .member
        .peer_endpoint
        .parse()
        .expect("an address");
    cluster.kill(victim).await;

    // Under a good certificate of the same authority, for the right address, but of another node.
    let tls = cluster.authority.peer(7, "voter", address.ip());
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .expect("the port");
    let config = tonic::transport::ServerTlsConfig::new()
        .identity(Identity::from_pem(&tls.certificate_pem, &tls.key_pem))
        .client_ca_root(Certificate::from_pem(&tls.authority_pem));
    let (reporter, service) = impostor::service();
    let server = tonic::transport::Server::builder()
        .tls_config(config)
        .expect("TLS")
        .add_service(service)
        .serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener));
    let server = tokio::spawn(server);

    cluster.propose(5..25).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(reporter.calls(), 0, "no call reached the wrong node");
    let status = cluster.consensus(leader).status();
    let acked = status.members[&NodeId(victim)].acked;
    assert!(
        acked.is_none_or(|acked| acked > Duration::from_secs(1)),
        "the wrong node was heard: {status:?}"
    );
    server.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_does_not_start_under_anothers_certificate() {
    let cluster = Cluster::started(1, 0, LogPolicy::default()).await;
    let address = "127.0.9.1".parse().expect("an address");
    for uri in [
        format!("banyan://{CLUSTER}/peer/2/voter"),
        "banyan://other-cluster/peer/1/voter".to_owned(),
        format!("banyan://{CLUSTER}/operator/operator@central"),
    ] {
        let options = banyan_consensus::StartOptions {
            cluster: CLUSTER.to_owned(),
            node: cluster.nodes[&1].member.clone(),
            members: cluster.members(),
            stores: cluster.stores(1),
            tls: cluster.authority.issue(&uri, &[address]),
            timing: banyan_consensus::Timing::CALM,
            log_policy: LogPolicy::default(),
            preference: banyan_consensus::Preference::default(),
            clock: std::sync::Arc::new(banyan_consensus::SystemClock),
            clock_offset_max: banyan_consensus::OFFSET_MAX,
            raw_values: banyan_consensus::RawValues::Refused,
        };
        let refused = <Consensus>::start(options).await;
        assert!(
            matches!(refused, Err(StartError::Tls(_))),
            "{uri}: {refused:?}"
        );
    }
}

/// A peer service that counts whatever reaches it.
mod impostor {
    use std::{
        pin::Pin,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use banyan_wire::internal_v1::{
        AppendReply, AppendRequest, PingReply, PingRequest, SnapshotAnswer, SnapshotFrame,
        TransferReply, TransferRequest, VoteReply, VoteRequest,
        peer_server::{Peer, PeerServer},
    };
    use tokio_stream::Stream;
    use tonic::{Request, Response, Status, Streaming};

    #[derive(Clone, Default)]
    pub(super) struct Reporter(Arc<AtomicUsize>);

    impl Reporter {
        pub(super) fn calls(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }

        fn refuse<T>(&self) -> Result<T, Status> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Err(Status::unavailable("not who you think"))
        }
    }

    pub(super) fn service() -> (Reporter, PeerServer<Reporter>) {
        let reporter = Reporter::default();
        (reporter.clone(), PeerServer::new(reporter))
    }

    type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

    #[tonic::async_trait]
    impl Peer for Reporter {
        type AppendStreamStream = Answers<AppendReply>;
        type SnapshotStream = Answers<SnapshotAnswer>;

        async fn append_stream(
            &self,
            _: Request<Streaming<AppendRequest>>,
        ) -> Result<Response<Self::AppendStreamStream>, Status> {
            self.refuse()
        }

        async fn append(&self, _: Request<AppendRequest>) -> Result<Response<AppendReply>, Status> {
            self.refuse()
        }

        async fn vote(&self, _: Request<VoteRequest>) -> Result<Response<VoteReply>, Status> {
            self.refuse()
        }

        async fn pre_vote(&self, _: Request<VoteRequest>) -> Result<Response<VoteReply>, Status> {
            self.refuse()
        }

        async fn transfer_leader(
            &self,
            _: Request<TransferRequest>,
        ) -> Result<Response<TransferReply>, Status> {
            self.refuse()
        }

        async fn ping(&self, _: Request<PingRequest>) -> Result<Response<PingReply>, Status> {
            self.refuse()
        }

        async fn snapshot(
            &self,
            _: Request<Streaming<SnapshotFrame>>,
        ) -> Result<Response<Self::SnapshotStream>, Status> {
            self.refuse()
        }
    }
}
