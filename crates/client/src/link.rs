//! One try's way to one node: on the stream of calls that all calls to that node share, or as a unary call.

use std::sync::Arc;
use std::time::Duration;

use banyan_wire::v1;
use banyan_wire::v1::call::Method;
use banyan_wire::v1::call_answer::Answer;
use banyan_wire::v1::registry_client::RegistryClient;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::streams::CallStream;

/// Answers larger than this are refused by the client. A history of 1000 versions fits.
pub(crate) const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A connection, and the stream of calls on it where the client uses one.
pub(crate) struct Link {
    pub(crate) channel: Channel,
    pub(crate) stream: Option<Arc<CallStream>>,
    /// Whether a node that does not lead shall forward a write. Otherwise it says where the leader is, and the client goes there.
    pub(crate) forwarding: bool,
}

impl Link {
    /// The registry's service on the connection, for calls of their own.
    pub(crate) fn registry(&self) -> RegistryClient<Channel> {
        RegistryClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// Calls a method and waits for its answer. The node is told that the caller waits for `time`; the caller sees to it.
    pub(crate) async fn call(&self, method: Method, time: Duration) -> Result<Answer, Status> {
        match &self.stream {
            Some(stream) => stream.call(method, time).await,
            None => self.call_unary(method, time).await,
        }
    }

    async fn call_unary(&self, method: Method, time: Duration) -> Result<Answer, Status> {
        let mut registry = self.registry();
        Ok(match method {
            Method::Submit(request) => {
                Answer::Submit(registry.submit(timed(request, time)).await?.into_inner())
            }
            Method::SubmitBatch(request) => {
                let answer = registry.submit_batch(timed(request, time)).await?;
                Answer::SubmitBatch(answer.into_inner())
            }
            Method::GetPerson(request) => Answer::GetPerson(
                registry
                    .get_person(timed(request, time))
                    .await?
                    .into_inner(),
            ),
            Method::GetPersons(request) => {
                let answer = registry.get_persons(timed(request, time)).await?;
                Answer::GetPersons(answer.into_inner())
            }
            Method::ScanPersons(request) => {
                let answer = registry.scan_persons(timed(request, time)).await?;
                Answer::ScanPersons(answer.into_inner())
            }
            Method::FindPersons(request) => {
                let answer = registry.find_persons(timed(request, time)).await?;
                Answer::FindPersons(answer.into_inner())
            }
            Method::GetHistory(request) => {
                let answer = registry.get_history(timed(request, time)).await?;
                Answer::GetHistory(answer.into_inner())
            }
        })
    }

    pub(crate) async fn submit(
        &self,
        mut request: v1::SubmitRequest,
        time: Duration,
    ) -> Result<v1::SubmitResponse, Status> {
        request.hint_leader = !self.forwarding;
        match self.call(Method::Submit(request), time).await? {
            Answer::Submit(answer) => Ok(answer),
            _ => Err(other_method()),
        }
    }

    pub(crate) async fn get_person(
        &self,
        request: v1::GetPersonRequest,
        time: Duration,
    ) -> Result<v1::GetPersonResponse, Status> {
        match self.call(Method::GetPerson(request), time).await? {
            Answer::GetPerson(answer) => Ok(answer),
            _ => Err(other_method()),
        }
    }

    /// Never on the stream: an answer of a megabyte would stand before other callers' look-ups.
    pub(crate) async fn get_persons(
        &self,
        request: v1::GetPersonsRequest,
        time: Duration,
    ) -> Result<v1::GetPersonsResponse, Status> {
        let mut registry = self.registry();
        let answer = registry.get_persons(timed(request, time)).await?;
        Ok(answer.into_inner())
    }

    /// Never on the stream, as [`Link::get_persons`].
    pub(crate) async fn scan_persons(
        &self,
        request: v1::ScanPersonsRequest,
        time: Duration,
    ) -> Result<v1::ScanPersonsResponse, Status> {
        let mut registry = self.registry();
        let answer = registry.scan_persons(timed(request, time)).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn find_persons(
        &self,
        request: v1::FindPersonsRequest,
        time: Duration,
    ) -> Result<v1::FindPersonsResponse, Status> {
        match self.call(Method::FindPersons(request), time).await? {
            Answer::FindPersons(answer) => Ok(answer),
            _ => Err(other_method()),
        }
    }

    pub(crate) async fn get_history(
        &self,
        request: v1::GetHistoryRequest,
        time: Duration,
    ) -> Result<v1::GetHistoryResponse, Status> {
        match self.call(Method::GetHistory(request), time).await? {
            Answer::GetHistory(answer) => Ok(answer),
            _ => Err(other_method()),
        }
    }
}

/// A request that tells the node how long the client waits.
pub(crate) fn timed<T>(message: T, time: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(time);
    request
}

fn other_method() -> Status {
    Status::unknown("the answer is that of another method")
}
