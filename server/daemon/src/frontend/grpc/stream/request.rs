//! A request of a stream, from its message to its responses.

use std::collections::VecDeque;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::Request;
use nerite_backend::Response;
use nerite_core::ModelVersion;
use nerite_core::execution::{Responses, Room};
use nerite_proto::inference::{ModelInferRequest, ModelInferResponse, ModelStreamInferResponse};
use prost::Message as _;
use tonic::Status;

use super::super::infer::{Ready, find, prepare};
use super::super::observed::Observed;
use super::super::outputs::Wanted;
use super::super::{outgoing, outputs, parameters, status};
use super::messages::Message;
use crate::inflight::Share;
use crate::serving::Serving;

/// What the requests of a stream have in common.
pub(super) struct Common {
    pub(super) serving: Arc<Serving>,
    /// The call's headers and extensions.
    pub(super) head: Request<()>,
    /// When the caller gives up.
    pub(super) deadline: Option<Instant>,
    /// The longest message, in bytes.
    pub(super) limit: usize,
    /// Where decoupled models' responses wait to be sent.
    pub(super) room: Arc<Room>,
}

/// A request that has been dealt with as far as this is done at once.
pub(super) enum Begun {
    /// It gets one response, in the order of its stream.
    Ordinary(Pin<Box<dyn Future<Output = Reply> + Send>>),
    /// It gets as many as it gets, when they come.
    Decoupled(Box<Decoupled>),
    /// It was refused. `in_order`: what its client hears of it has to wait for the requests before it.
    Refused { reply: Reply, in_order: bool },
}

/// A message of the answer, and what accounts for it until the client has taken it.
pub(super) struct Reply {
    pub(super) message: Result<VecDeque<Bytes>, Failure>,
    pub(super) shares: Shares,
}

/// What went wrong, and what is known of the request that it went wrong with.
pub(super) struct Failure {
    pub(super) status: Status,
    of: ModelInferResponse,
}

/// What a request, or a response to it, has in flight.
pub(super) struct Shares {
    bytes: Arc<Share>,
    _request: Option<Share>,
}

impl Failure {
    fn new(status: Status, mut of: ModelInferResponse, last: bool) -> Failure {
        parameters::set_final(&mut of.parameters, last);
        Failure { status, of }
    }

    /// The message that tells of it.
    pub(super) fn message(self) -> VecDeque<Bytes> {
        let error_message = self.status.message().to_owned();
        outgoing::encode_failure(&ModelStreamInferResponse { error_message, infer_response: Some(self.of) })
    }
}

impl Reply {
    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.message.iter().flatten().map(Bytes::len).sum()
    }
}

/// Begins with the request that a message holds: looks its model up, reads, validates and queues it. What is no request at
/// all ends the stream.
pub(super) fn begin(common: &Common, Message { bytes, share }: Message) -> Result<Begun, Status> {
    let Common { serving, head, deadline, .. } = common;
    let mut observed = Observed::on_stream(serving, head);
    observed.read();
    let (received, length) = (Instant::now(), bytes.len());
    let request = ModelInferRequest::decode(bytes).map_err(|error| Status::internal(error.to_string()))?;
    observed.decoded(&serving.tracer, &request, length);
    let id = request.id.clone();
    let mut shares = Shares { bytes: share, _request: None };
    let refused = |status: Status, shares, observed: Observed, in_order| {
        observed.ended(|| Some(status.clone()));
        let of = ModelInferResponse { id: id.clone(), ..Default::default() };
        Begun::Refused { reply: Reply { message: Err(Failure::new(status, of, true)), shares }, in_order }
    };
    match serving.inflight.request() {
        Ok(share) => shares._request = Some(share),
        Err(full) => return Ok(refused(status::of_full(&full), shares, observed, true)),
    }
    let model = match find(serving, &request, &mut observed) {
        Ok(model) => model,
        Err(status) => return Ok(refused(status, shares, observed, true)),
    };
    let decoupled = model.spec.decoupled;
    let mut ready = match prepare(&model, request, *deadline, received) {
        Ok(ready) => ready,
        Err(status) => return Ok(refused(status, shares, observed, !decoupled)),
    };
    observed.queued(&model, &mut ready.admitted);
    Ok(match decoupled {
        false => Begun::Ordinary(ordinary(common, model, ready, received, shares, observed)),
        true => {
            let Ready { id, admitted, wanted, empty_final_response } = ready;
            let responses = model.infer_many(admitted, received, &common.room);
            let observed = Some(observed);
            let (shares, limit) = (shares, common.limit);
            let made =
                Decoupled { model, id, wanted, empty_final_response, responses, shares, limit, observed };
            Begun::Decoupled(Box::new(made))
        }
    })
}

/// Queues an ordinary request, and waits for its answer when polled.
fn ordinary(
    common: &Common,
    model: Arc<ModelVersion>,
    ready: Ready,
    received: Instant,
    shares: Shares,
    mut observed: Observed,
) -> Pin<Box<dyn Future<Output = Reply> + Send>> {
    let Ready { id, admitted, wanted, .. } = ready;
    let (mut answer, limit) = (model.infer(admitted, received), common.limit);
    Box::pin(async move {
        let mut response = (&mut answer).await;
        observed.executed(&model, &response, || answer.phases());
        response.last = true;
        let message = encode(&model, &id, &wanted, response, limit, &shares.bytes, &mut observed);
        observed.ended(|| message.as_ref().err().map(|failure| failure.status.clone()));
        Reply { message, shares }
    })
}

/// A request of a decoupled model.
pub(super) struct Decoupled {
    model: Arc<ModelVersion>,
    id: String,
    wanted: Vec<Wanted>,
    empty_final_response: bool,
    responses: Responses,
    shares: Shares,
    limit: usize,
    /// Until the last response.
    observed: Option<Observed>,
}

impl Decoupled {
    /// Itself, with its next response; nothing if it has had its last.
    pub(super) async fn next(mut self: Box<Self>) -> (Box<Decoupled>, Option<Response>) {
        let response = self.responses.next().await;
        (self, response)
    }

    /// What the client is sent of a response, if anything.
    pub(super) fn reply(&mut self, response: Response) -> Option<Reply> {
        let Decoupled { model, id, wanted, empty_final_response, responses, shares, limit, observed } = self;
        let last = response.last;
        let is_empty =
            response.error.is_none() && response.outputs.is_empty() && response.parameters.is_empty();
        // Taken at the end: the others are noted down as they go.
        let mut noted = if last { observed.take()? } else { Observed::default() };
        let noting = if last { &mut noted } else { observed.as_mut()? };
        if last {
            noting.executed(model, &response, || responses.phases());
        }
        let beside = Shares { bytes: Arc::new(shares.bytes.beside()), _request: None };
        // The request counts until the client has taken its last response.
        let shares = if last { mem::replace(shares, beside) } else { beside };
        let message = match last && is_empty && !*empty_final_response {
            true => None,
            false => Some(encode(model, id, wanted, response, *limit, &shares.bytes, noting)),
        };
        if last {
            let failure = message.as_ref().and_then(|message| message.as_ref().err());
            noted.ended(|| failure.map(|failure| failure.status.clone()));
        }
        Some(Reply { message: message?, shares })
    }
}

/// A response as a message of the stream, which `share` then accounts for.
fn encode(
    model: &ModelVersion,
    id: &str,
    wanted: &[Wanted],
    response: Response,
    limit: usize,
    share: &Share,
    observed: &mut Observed,
) -> Result<VecDeque<Bytes>, Failure> {
    let last = response.last;
    let failed = |status| {
        let (model_name, model_version) = (model.spec.name.clone(), model.version.to_string());
        let of = ModelInferResponse { id: id.to_owned(), model_name, model_version, ..Default::default() };
        Failure::new(status, of, last)
    };
    if let Some(error) = response.error {
        return Err(failed(status::of_backend(error)));
    }
    let mut answer = outputs::encode(model, id.to_owned(), wanted, response).map_err(failed)?;
    parameters::set_final(&mut answer.parameters, last);
    observed.answered(&answer);
    let pieces = outgoing::encode_in_stream(answer, limit).map_err(failed)?;
    let length = pieces.iter().map(Bytes::len).sum();
    share.add(length).map_err(|full| failed(status::of_full(&full)))?;
    Ok(pieces)
}
