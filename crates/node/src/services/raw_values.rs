//! `RawValues`: values by key, through the same gate, consensus and storage as registrations. Only nodes of the bench serve it (ADR 0027).

use std::sync::Arc;

use banyan_consensus::ENTRY_BYTES_MAX;
use banyan_domain::limits::BATCH_COMMANDS_MAX;
use banyan_domain::{FieldFault, Role};
use banyan_wire::errors::{self, Code};
use banyan_wire::internal_v1::numbered_put_answer::Answer;
use banyan_wire::internal_v1::raw_values_server::RawValues;
use banyan_wire::internal_v1::{
    GetValueAnswer, GetValueRequest, NumberedPut, NumberedPutAnswer, PutValueAnswer,
    PutValueRequest, PutValuesRequest, RawValue,
};
use banyan_wire::v1::ErrorDetail;
use tonic::{Request, Response, Status, Streaming};

use super::calls::{Calls, Head, ServeCall};
use super::context::{CallContext, ServiceParts};
use super::outcomes;
use crate::edge::authorisation::{self, RAW_VALUES};

/// Bytes of a key: 1 to this.
const KEY_BYTES_MAX: usize = 128;
/// Bytes of a value at most.
const VALUE_BYTES_MAX: usize = 2_048;
/// Faults that one answer tells of: a status travels in headers, which have a bound.
const FAULTS_TOLD_MAX: usize = 20;
/// What keys and lengths of the encoding add to a value, at most.
const FRAME_BYTES_MAX: usize = 16;

const _: () = assert!(
    BATCH_COMMANDS_MAX * (KEY_BYTES_MAX + VALUE_BYTES_MAX + FRAME_BYTES_MAX) <= ENTRY_BYTES_MAX,
    "the largest batch fits into one entry"
);

/// `RawValues`.
#[derive(Clone)]
pub struct RawValuesService(Arc<PutStream>);

/// Serves the puts of streams.
pub struct PutStream(Arc<ServiceParts>);

impl RawValuesService {
    /// The service over the node's parts.
    #[must_use]
    pub fn new(parts: Arc<ServiceParts>) -> Self {
        Self(Arc::new(PutStream(parts)))
    }
}

impl PutStream {
    async fn put(
        &self,
        context: &CallContext,
        values: &[RawValue],
    ) -> Result<PutValueAnswer, ErrorDetail> {
        check_role(context)?;
        check_values(values)?;
        let put = self.0.consensus.put_values(values, context.remaining());
        let position = put
            .await
            .map_err(|error| outcomes::propose_detail(&error))?;
        Ok(PutValueAnswer {
            position: position.index,
            term: position.term,
        })
    }

    fn get(&self, context: &CallContext, key: &[u8]) -> Result<GetValueAnswer, ErrorDetail> {
        check_role(context)?;
        let state = &self.0.stores.state;
        let view = state
            .view()
            .map_err(|fault| outcomes::storage_detail(&fault))?;
        let value = view
            .raw_value(key)
            .map_err(|fault| outcomes::view_detail(&fault))?;
        Ok(GetValueAnswer { value })
    }
}

#[tonic::async_trait]
impl RawValues for RawValuesService {
    async fn put(
        &self,
        request: Request<PutValueRequest>,
    ) -> Result<Response<PutValueAnswer>, Status> {
        let (context, request) = open(request)?;
        let values: Vec<RawValue> = request.value.into_iter().collect();
        answer(self.0.put(&context, &values).await)
    }

    type PutStreamStream = Calls<PutStream>;

    async fn put_stream(
        &self,
        request: Request<Streaming<NumberedPut>>,
    ) -> Result<Response<Calls<PutStream>>, Status> {
        Calls::of(Arc::clone(&self.0), request)
    }

    async fn put_batch(
        &self,
        request: Request<PutValuesRequest>,
    ) -> Result<Response<PutValueAnswer>, Status> {
        let (context, request) = open(request)?;
        answer(self.0.put(&context, &request.values).await)
    }

    async fn get(
        &self,
        request: Request<GetValueRequest>,
    ) -> Result<Response<GetValueAnswer>, Status> {
        let (context, request) = open(request)?;
        answer(self.0.get(&context, &request.key))
    }
}

impl ServeCall for PutStream {
    type Call = NumberedPut;
    type Served = PutValueAnswer;
    type Answer = NumberedPutAnswer;

    fn head(call: &NumberedPut) -> Head {
        Head {
            id: call.id,
            row: authorisation::find(RAW_VALUES, "/banyan.internal.v1.RawValues/Put"),
            timeout_ms: 0,
        }
    }

    async fn serve_call(
        self: Arc<Self>,
        context: CallContext,
        call: NumberedPut,
    ) -> Result<PutValueAnswer, ErrorDetail> {
        let values: Vec<RawValue> = call.value.into_iter().collect();
        self.put(&context, &values).await
    }

    fn answer(id: u64, served: Result<PutValueAnswer, ErrorDetail>) -> NumberedPutAnswer {
        NumberedPutAnswer {
            id,
            answer: Some(served.map_or_else(Answer::Error, Answer::Put)),
        }
    }
}

fn open<T>(request: Request<T>) -> Result<(CallContext, T), Status> {
    let context =
        CallContext::of(request.extensions()).map_err(|detail| errors::to_status(&detail))?;
    Ok((context, request.into_inner()))
}

fn answer<T>(answer: Result<T, ErrorDetail>) -> Result<Response<T>, Status> {
    answer
        .map(Response::new)
        .map_err(|detail| errors::to_status(&detail))
}

/// The table lets registrars in, too; there is nothing here for them.
fn check_role(context: &CallContext) -> Result<(), ErrorDetail> {
    match context.actor().role {
        Role::Centre => Ok(()),
        _ => Err(ErrorDetail::new(
            Code::NotAuthorised,
            "raw values are for the centre",
        )),
    }
}

fn check_values(values: &[RawValue]) -> Result<(), ErrorDetail> {
    let count = values.len();
    if !(1..=BATCH_COMMANDS_MAX).contains(&count) {
        let text = format!("a batch holds 1 to {BATCH_COMMANDS_MAX} values, this one {count}");
        return Err(ErrorDetail::new(Code::BatchSize, text));
    }
    let mut faults = Vec::new();
    for (place, value) in values.iter().enumerate() {
        let (key, length) = (value.key.len(), value.value.len());
        if !(1..=KEY_BYTES_MAX).contains(&key) {
            let rule = format!("must have 1 to {KEY_BYTES_MAX} bytes, has {key}");
            faults.push(FieldFault::new(format!("values[{place}].key"), rule));
        }
        if length > VALUE_BYTES_MAX {
            let rule = format!("must have at most {VALUE_BYTES_MAX} bytes, has {length}");
            faults.push(FieldFault::new(format!("values[{place}].value"), rule));
        }
    }
    faults.truncate(FAULTS_TOLD_MAX);
    if faults.is_empty() {
        return Ok(());
    }
    Err(ErrorDetail::invalid_fields(&faults))
}
