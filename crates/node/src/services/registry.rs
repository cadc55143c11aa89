//! `Registry`: the methods by name; who serves them stands in `forward`, what they do in `submit`, `read`, `many` and `scan`.

use std::sync::Arc;

use banyan_wire::errors;
use banyan_wire::v1::call::Method;
use banyan_wire::v1::call_answer::Answer;
use banyan_wire::v1::registry_server::Registry;
use banyan_wire::v1::{
    Call, FindPersonsRequest, FindPersonsResponse, GetHistoryRequest, GetHistoryResponse,
    GetPersonRequest, GetPersonResponse, GetPersonsRequest, GetPersonsResponse, ScanPersonsRequest,
    ScanPersonsResponse, SubmitBatchRequest, SubmitBatchResponse, SubmitRequest, SubmitResponse,
};
use tonic::{Request, Response, Status, Streaming};

use super::calls::Calls;
use super::context::{CallContext, ServiceParts};

/// `Registry`.
#[derive(Clone)]
pub struct RegistryService(Arc<ServiceParts>);

impl RegistryService {
    /// The service over the node's parts.
    #[must_use]
    pub fn new(parts: Arc<ServiceParts>) -> Self {
        Self(parts)
    }

    fn open<T>(&self, request: Request<T>) -> Result<(CallContext, T), Status> {
        let context =
            CallContext::of(request.extensions()).map_err(|detail| errors::to_status(&detail))?;
        Ok((context, request.into_inner()))
    }
}

/// Serves a unary method and takes its own kind of answer out of the common one.
macro_rules! serve {
    ($self:ident, $request:ident, $kind:ident) => {{
        let (context, request) = $self.open($request)?;
        match $self.0.serve(&context, Method::$kind(request)).await {
            Answer::$kind(answer) => Ok(Response::new(answer)),
            Answer::Error(detail) => Err(errors::to_status(&detail)),
            _ => Err(Status::internal("the answer is of another method")),
        }
    }};
}

#[tonic::async_trait]
impl Registry for RegistryService {
    async fn submit(
        &self,
        request: Request<SubmitRequest>,
    ) -> Result<Response<SubmitResponse>, Status> {
        serve!(self, request, Submit)
    }

    async fn submit_batch(
        &self,
        request: Request<SubmitBatchRequest>,
    ) -> Result<Response<SubmitBatchResponse>, Status> {
        serve!(self, request, SubmitBatch)
    }

    async fn get_person(
        &self,
        request: Request<GetPersonRequest>,
    ) -> Result<Response<GetPersonResponse>, Status> {
        serve!(self, request, GetPerson)
    }

    async fn get_persons(
        &self,
        request: Request<GetPersonsRequest>,
    ) -> Result<Response<GetPersonsResponse>, Status> {
        serve!(self, request, GetPersons)
    }

    async fn find_persons(
        &self,
        request: Request<FindPersonsRequest>,
    ) -> Result<Response<FindPersonsResponse>, Status> {
        serve!(self, request, FindPersons)
    }

    async fn get_history(
        &self,
        request: Request<GetHistoryRequest>,
    ) -> Result<Response<GetHistoryResponse>, Status> {
        serve!(self, request, GetHistory)
    }

    async fn scan_persons(
        &self,
        request: Request<ScanPersonsRequest>,
    ) -> Result<Response<ScanPersonsResponse>, Status> {
        serve!(self, request, ScanPersons)
    }

    type CallsStream = Calls<ServiceParts>;

    async fn calls(
        &self,
        request: Request<Streaming<Call>>,
    ) -> Result<Response<Calls<ServiceParts>>, Status> {
        Calls::of(Arc::clone(&self.0), request)
    }
}
