//! A node that answers as the test says and remembers what it was asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use banyan_wire::errors::{Code, from_status, to_status};
use banyan_wire::v1::call::Method;
use banyan_wire::v1::call_answer::Answer;
use banyan_wire::v1::cluster_admin_server::{ClusterAdmin, ClusterAdminServer};
use banyan_wire::v1::consistency::Level;
use banyan_wire::v1::registry_server::{Registry, RegistryServer};
use banyan_wire::v1::{self, ErrorDetail, batch_answer};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

use crate::certificates::Authority;

/// What a node does with one command, or with one call that is no write.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Accepts it.
    Accept,
    /// Accepts it with these findings.
    AcceptWith(Vec<v1::Finding>),
    /// Answers with the registry's "no" of this code.
    Reject(Code),
    /// Refuses it, or fails.
    Fail(Box<ErrorDetail>),
    /// Never answers.
    Silence,
    /// Answers with a status that is none of ours.
    Foreign(tonic::Code),
    /// Answers without an outcome.
    Nothing,
    /// Has a person with so many versions, and gives out ten in a page.
    Versions(u32),
    /// Knows everybody, and answers to so many numbers at a time.
    Persons(usize),
    /// Has so many pages of a scan, each with one person, whose id is the page.
    Pages(u8),
}

impl Reply {
    pub(crate) fn fail(detail: ErrorDetail) -> Self {
        Self::Fail(Box::new(detail))
    }
}

/// Says what the n-th call (from 0) is answered; for a batch, it is asked for each command with its place.
type Script = Arc<dyn Fn(usize, usize) -> Reply + Send + Sync>;

/// What a node saw of one call.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Keys of the commands, in order; empty for a call that is no write.
    pub(crate) keys: Vec<Vec<u8>>,
    /// The time that the client gave it.
    pub(crate) timeout: Option<String>,
}

pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Ends the server when the test ends.
    _tasks: JoinSet<()>,
}

impl Node {
    /// A node whose clients must come from the same authority.
    pub(crate) async fn start(
        authority: &Authority,
        name: &str,
        script: impl Fn(usize, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start_trusting(authority, authority, name, script).await
    }

    /// A node with a certificate of one authority that takes clients of another.
    pub(crate) async fn start_trusting(
        authority: &Authority,
        clients: &Authority,
        name: &str,
        script: impl Fn(usize, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let service = Service {
            seen: Arc::clone(&seen),
            script: Arc::new(script),
            streams: Arc::default(),
        };
        let (certificate, key) = authority.node();
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(certificate, key))
            .client_ca_root(Certificate::from_pem(clients.pem()));
        let server = Server::builder()
            .tls_config(tls)
            .unwrap()
            .add_service(RegistryServer::new(service.clone()))
            .add_service(ClusterAdminServer::new(service));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            server
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .unwrap();
        });
        Self {
            name: name.to_owned(),
            url,
            seen,
            _tasks: tasks,
        }
    }

    /// What it was asked up to now.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// An address on which nothing listens: a port that was let go may be another test's by the time it is asked.
pub(crate) fn nowhere() -> String {
    String::from("https://127.0.0.1:1")
}

#[derive(Clone)]
struct Service {
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Script,
    /// End with the service.
    streams: Arc<Mutex<JoinSet<()>>>,
}

impl Service {
    /// Notes a call and says which one it is.
    fn note<T>(&self, request: &Request<T>, keys: Vec<Vec<u8>>) -> usize {
        let timeout = request.metadata().get("grpc-timeout");
        let timeout = timeout.map(|value| value.to_str().unwrap().to_owned());
        let mut seen = self.seen.lock().unwrap();
        seen.push(Seen { keys, timeout });
        seen.len() - 1
    }

    /// A call that is no write.
    async fn plain<Q, A: Default>(&self, request: Request<Q>) -> Result<Response<A>, Status> {
        let call = self.note(&request, Vec::new());
        match (self.script)(call, 0) {
            Reply::Accept | Reply::Nothing => Ok(Response::new(A::default())),
            other => Err(without_answer(other).await),
        }
    }
}

async fn without_answer(reply: Reply) -> Status {
    match reply {
        Reply::Fail(detail) => to_status(&detail),
        Reply::Foreign(code) => Status::new(code, "from a proxy"),
        _ => {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            Status::cancelled("nobody waits any more")
        }
    }
}

/// A page of a history, as of a position that moves from call to call. A page that goes on must ask for no older state.
fn page(count: u32, call: usize, request: &v1::GetHistoryRequest) -> v1::GetHistoryResponse {
    let level = request.consistency.clone().and_then(|level| level.level);
    let session =
        matches!(&level, Some(Level::Session(session)) if session.token == call.to_string());
    assert_eq!(session, request.after_version > 0, "{level:?}");
    let last = count.min(request.after_version + 10);
    v1::GetHistoryResponse {
        versions: (request.after_version + 1..=last)
            .map(|version| v1::PersonVersion {
                version,
                ..Default::default()
            })
            .collect(),
        more: last < count,
        as_of: Some(v1::AsOf {
            position: call as u64 + 1,
            token: (call + 1).to_string().into(),
            ..Default::default()
        }),
    }
}

/// The first persons asked for, as of a position that moves from call to call. A call that goes on must ask for no older state.
fn persons(count: usize, call: usize, request: &v1::GetPersonsRequest) -> v1::GetPersonsResponse {
    let level = request.consistency.clone().and_then(|level| level.level);
    let session =
        matches!(&level, Some(Level::Session(session)) if session.token == call.to_string());
    assert_eq!(session, call > 0, "{level:?}");
    let answered = request.pins.iter().take(count);
    v1::GetPersonsResponse {
        answers: answered
            .map(|pin| v1::PersonAnswer {
                person: Some(v1::PersonVersion {
                    pin: pin.clone(),
                    ..Default::default()
                }),
            })
            .collect(),
        more: request.pins.len() > count,
        as_of: Some(v1::AsOf {
            position: call as u64 + 1,
            token: (call + 1).to_string().into(),
            ..Default::default()
        }),
    }
}

/// The page that the cursor names. A further page is asked for by its cursor alone.
fn scanned(count: u8, request: &v1::ScanPersonsRequest) -> v1::ScanPersonsResponse {
    let page = request.cursor.first().copied().unwrap_or_default();
    assert_eq!(page == 0, request.province == "40");
    let next = Some(page + 1).filter(|next| *next < count);
    v1::ScanPersonsResponse {
        persons: vec![v1::PersonVersion {
            person_id: page.into(),
            ..Default::default()
        }],
        cursor: next.map_or_else(Vec::new, |next| vec![next]).into(),
        ..Default::default()
    }
}

fn accepted(call: usize, findings: Vec<v1::Finding>) -> v1::Outcome {
    let accepted = v1::Accepted {
        findings,
        ..Default::default()
    };
    v1::Outcome {
        result: Some(v1::outcome::Result::Accepted(accepted)),
        replayed: call > 0,
        ..Default::default()
    }
}

fn rejected(code: Code) -> v1::Outcome {
    let rejected = v1::Rejected {
        code: code.label().to_owned(),
        name: code.name().to_owned(),
        ..Default::default()
    };
    v1::Outcome {
        result: Some(v1::outcome::Result::Rejected(rejected)),
        ..Default::default()
    }
}

#[tonic::async_trait]
impl Registry for Service {
    async fn submit(
        &self,
        request: Request<v1::SubmitRequest>,
    ) -> Result<Response<v1::SubmitResponse>, Status> {
        let call = self.note(&request, vec![request.get_ref().idempotency_key.to_vec()]);
        let outcome = match (self.script)(call, 0) {
            Reply::Accept => Some(accepted(call, Vec::new())),
            Reply::AcceptWith(findings) => Some(accepted(call, findings)),
            Reply::Reject(code) => Some(rejected(code)),
            Reply::Nothing => None,
            other => return Err(without_answer(other).await),
        };
        Ok(Response::new(v1::SubmitResponse {
            outcome,
            ..Default::default()
        }))
    }

    async fn submit_batch(
        &self,
        request: Request<v1::SubmitBatchRequest>,
    ) -> Result<Response<v1::SubmitBatchResponse>, Status> {
        let submissions = &request.get_ref().submissions;
        let keys: Vec<Vec<u8>> = submissions
            .iter()
            .map(|one| one.idempotency_key.to_vec())
            .collect();
        let count = keys.len();
        let call = self.note(&request, keys);
        let mut answers = Vec::new();
        for place in 0..count {
            let answer = match (self.script)(call, place) {
                Reply::Accept => Some(batch_answer::Answer::Outcome(accepted(call, Vec::new()))),
                Reply::Reject(code) => Some(batch_answer::Answer::Outcome(rejected(code))),
                Reply::AcceptWith(findings) => {
                    Some(batch_answer::Answer::Outcome(accepted(call, findings)))
                }
                Reply::Fail(detail) => Some(batch_answer::Answer::Error(*detail)),
                Reply::Nothing => None,
                other => return Err(without_answer(other).await),
            };
            answers.push(v1::BatchAnswer { answer });
        }
        Ok(Response::new(v1::SubmitBatchResponse {
            answers,
            ..Default::default()
        }))
    }

    async fn get_person(
        &self,
        request: Request<v1::GetPersonRequest>,
    ) -> Result<Response<v1::GetPersonResponse>, Status> {
        self.plain(request).await
    }

    async fn get_persons(
        &self,
        request: Request<v1::GetPersonsRequest>,
    ) -> Result<Response<v1::GetPersonsResponse>, Status> {
        let call = self.note(&request, Vec::new());
        match (self.script)(call, 0) {
            Reply::Persons(count) => Ok(Response::new(persons(count, call, request.get_ref()))),
            Reply::Accept => Ok(Response::new(Default::default())),
            other => Err(without_answer(other).await),
        }
    }

    async fn find_persons(
        &self,
        request: Request<v1::FindPersonsRequest>,
    ) -> Result<Response<v1::FindPersonsResponse>, Status> {
        self.plain(request).await
    }

    async fn get_history(
        &self,
        request: Request<v1::GetHistoryRequest>,
    ) -> Result<Response<v1::GetHistoryResponse>, Status> {
        let call = self.note(&request, Vec::new());
        let request = request.into_inner();
        match (self.script)(call, 0) {
            Reply::Versions(count) => Ok(Response::new(page(count, call, &request))),
            Reply::Accept => Ok(Response::new(Default::default())),
            other => Err(without_answer(other).await),
        }
    }

    async fn scan_persons(
        &self,
        request: Request<v1::ScanPersonsRequest>,
    ) -> Result<Response<v1::ScanPersonsResponse>, Status> {
        let call = self.note(&request, Vec::new());
        match (self.script)(call, 0) {
            Reply::Pages(count) => Ok(Response::new(scanned(count, request.get_ref()))),
            Reply::Accept => Ok(Response::new(Default::default())),
            other => Err(without_answer(other).await),
        }
    }

    type CallsStream = ReceiverStream<Result<v1::CallAnswer, Status>>;

    /// Each call is answered as its unary method would, as soon as it can be. A status without our details ends the stream.
    async fn calls(
        &self,
        request: Request<Streaming<v1::Call>>,
    ) -> Result<Response<Self::CallsStream>, Status> {
        let (answers, answered) = mpsc::channel(16);
        let (service, mut calls) = (self.clone(), request.into_inner());
        let serving = async move {
            let mut running = JoinSet::new();
            while let Ok(Some(call)) = calls.message().await {
                let (service, answers) = (service.clone(), answers.clone());
                running.spawn(async move { answers.send(service.answer(call).await).await });
            }
            running.join_all().await;
        };
        self.streams.lock().unwrap().spawn(serving);
        Ok(Response::new(ReceiverStream::new(answered)))
    }
}

impl Service {
    async fn answer(&self, call: v1::Call) -> Result<v1::CallAnswer, Status> {
        let time = Duration::from_millis(call.timeout_ms.into());
        let answer = match call.method.unwrap() {
            Method::Submit(request) => {
                let answer = self.submit(timed(request, time)).await;
                answer.map(|answer| Answer::Submit(answer.into_inner()))
            }
            Method::SubmitBatch(request) => {
                let answer = self.submit_batch(timed(request, time)).await;
                answer.map(|answer| Answer::SubmitBatch(answer.into_inner()))
            }
            Method::GetPerson(request) => {
                let answer = self.get_person(timed(request, time)).await;
                answer.map(|answer| Answer::GetPerson(answer.into_inner()))
            }
            Method::GetPersons(request) => {
                let answer = self.get_persons(timed(request, time)).await;
                answer.map(|answer| Answer::GetPersons(answer.into_inner()))
            }
            Method::ScanPersons(request) => {
                let answer = self.scan_persons(timed(request, time)).await;
                answer.map(|answer| Answer::ScanPersons(answer.into_inner()))
            }
            Method::FindPersons(request) => {
                let answer = self.find_persons(timed(request, time)).await;
                answer.map(|answer| Answer::FindPersons(answer.into_inner()))
            }
            Method::GetHistory(request) => {
                let answer = self.get_history(timed(request, time)).await;
                answer.map(|answer| Answer::GetHistory(answer.into_inner()))
            }
        };
        let answer =
            answer.or_else(|status| from_status(&status).map(Answer::Error).ok_or(status))?;
        Ok(v1::CallAnswer {
            id: call.id,
            answer: Some(answer),
        })
    }
}

fn timed<T>(message: T, time: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(time);
    request
}

#[tonic::async_trait]
impl ClusterAdmin for Service {
    async fn bootstrap(
        &self,
        request: Request<v1::BootstrapRequest>,
    ) -> Result<Response<v1::BootstrapResponse>, Status> {
        self.plain(request).await
    }

    async fn status(
        &self,
        request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        self.plain(request).await
    }

    async fn transfer_leader(
        &self,
        request: Request<v1::TransferLeaderRequest>,
    ) -> Result<Response<v1::TransferLeaderResponse>, Status> {
        self.plain(request).await
    }

    async fn start_digest(
        &self,
        request: Request<v1::StartDigestRequest>,
    ) -> Result<Response<v1::StartDigestResponse>, Status> {
        self.plain(request).await
    }

    async fn get_digest(
        &self,
        request: Request<v1::GetDigestRequest>,
    ) -> Result<Response<v1::GetDigestResponse>, Status> {
        self.plain(request).await
    }

    async fn take_snapshot(
        &self,
        request: Request<v1::TakeSnapshotRequest>,
    ) -> Result<Response<v1::TakeSnapshotResponse>, Status> {
        self.plain(request).await
    }

    async fn change_members(
        &self,
        request: Request<v1::ChangeMembersRequest>,
    ) -> Result<Response<v1::ChangeMembersResponse>, Status> {
        self.plain(request).await
    }
}
