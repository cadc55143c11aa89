//! `Registry`: the methods by name; what they do stands in `submit` and `read`.

use std::sync::Arc;

use banyan_wire::errors;
use banyan_wire::v1::registry_server::Registry;
use banyan_wire::v1::{
    ErrorDetail, FindPersonsRequest, FindPersonsResponse, GetHistoryRequest, GetHistoryResponse,
    GetPersonRequest, GetPersonResponse, SubmitBatchRequest, SubmitBatchResponse, SubmitRequest,
    SubmitResponse,
};
use tonic::{Request, Response, Status};

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

fn respond<T>(answer: Result<T, ErrorDetail>) -> Result<Response<T>, Status> {
    answer
        .map(Response::new)
        .map_err(|detail| errors::to_status(&detail))
}

#[tonic::async_trait]
impl Registry for RegistryService {
    async fn submit(
        &self,
        request: Request<SubmitRequest>,
    ) -> Result<Response<SubmitResponse>, Status> {
        let (context, request) = self.open(request)?;
        respond(self.0.submit(&context, request).await)
    }

    async fn submit_batch(
        &self,
        request: Request<SubmitBatchRequest>,
    ) -> Result<Response<SubmitBatchResponse>, Status> {
        let (context, request) = self.open(request)?;
        respond(self.0.submit_batch(&context, request).await)
    }

    async fn get_person(
        &self,
        request: Request<GetPersonRequest>,
    ) -> Result<Response<GetPersonResponse>, Status> {
        let (context, request) = self.open(request)?;
        respond(self.0.get_person(&context, request).await)
    }

    async fn find_persons(
        &self,
        request: Request<FindPersonsRequest>,
    ) -> Result<Response<FindPersonsResponse>, Status> {
        let (context, request) = self.open(request)?;
        respond(self.0.find_persons(&context, request).await)
    }

    async fn get_history(
        &self,
        request: Request<GetHistoryRequest>,
    ) -> Result<Response<GetHistoryResponse>, Status> {
        let (context, request) = self.open(request)?;
        respond(self.0.get_history(&context, request).await)
    }
}
