use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use nerite_core::ModelVersion;
use nerite_core::admission::{Admitted, InferOutput, InferRequest, QueueTerms, admit};
use nerite_proto::inference::{ModelInferRequest, ModelInferResponse};
use prost::Message;
use tonic::Status;
use tonic::body::Body;

use super::compression::Encoding;
use super::metered::Metered;
use super::observed::Observed;
use super::outputs::{self, Wanted};
use super::parameters::Parameters;
use super::{incoming, inputs, outgoing, parameters, status, version};
use crate::inflight::Share;
use crate::net::CallDeadline;
use crate::serving::Serving;

/// How the calls are answered.
#[derive(Clone, Copy)]
pub(super) struct CallOptions {
    /// The longest message either way, in bytes.
    pub(super) limit: usize,
    /// Whether answers are compressed for those who accept it.
    pub(super) compress: bool,
}

/// A whole call: reads the message, and writes the answer. `share` accounts for both until the client has taken the answer.
///
/// It does what tonic does for the other calls, with less: at 4×16 tonic's streams and codecs are a fifth of what a small
/// request costs, and copy a large answer once more. And it sets no memory aside for what was only announced, which
/// matters where a message may be as large as here.
pub(super) async fn call<B>(
    serving: &Serving,
    request: Request<B>,
    share: Share,
    options: CallOptions,
    mut observed: Observed,
) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let CallOptions { limit, compress } = options;
    let deadline = CallDeadline::of(request.extensions());
    let accepted = if compress { Encoding::accepted(request.headers()) } else { None };
    let encoding = Encoding::of_request(request.headers());
    let share = Arc::new(share);
    let answer = async {
        let body = Metered::new(request.into_body(), Arc::clone(&share));
        let message = incoming::read(body, encoding?, &share, limit).await?;
        observed.read();
        let bytes = message.len();
        let request =
            ModelInferRequest::decode(message).map_err(|error| Status::internal(error.to_string()))?;
        observed.decoded(&serving.tracer, &request, bytes);
        infer(serving, request, deadline, &mut observed).await
    };
    let response = match answer.await {
        Ok(answer) => {
            observed.answered(&answer);
            outgoing::reply(answer, accepted, limit, share).await
        }
        Err(status) => status.into_http(),
    };
    // An answer has its status behind it, a failure in the headers.
    observed.ended(|| Status::from_header_map(response.headers()));
    response
}

/// The way of a request that prost has decoded: look up, read, validate, queue, wait, encode. `deadline` is when the
/// caller gives up.
async fn infer(
    serving: &Serving,
    request: ModelInferRequest,
    deadline: Option<Instant>,
    observed: &mut Observed,
) -> Result<ModelInferResponse, Status> {
    let received = Instant::now();
    let model = find(serving, &request, observed)?;
    if model.spec.decoupled {
        model.refused(received);
        return Err(status::unsupported(
            "ModelInfer RPC doesn't support models with decoupled transaction policy",
        ));
    }
    let Ready { id, mut admitted, wanted, .. } = prepare(&model, request, deadline, received)?;
    observed.queued(&model, &mut admitted);
    let response = {
        let mut answer = model.infer(admitted, received);
        let response = (&mut answer).await;
        observed.executed(&model, &response, || answer.phases());
        response
    };
    if let Some(error) = response.error {
        return Err(status::of_backend(error));
    }
    outputs::encode(&model, id, &wanted, response)
}

/// The version that a request is for, which has then received it.
pub(super) fn find(
    serving: &Serving,
    request: &ModelInferRequest,
    observed: &mut Observed,
) -> Result<Arc<ModelVersion>, Status> {
    if serving.is_exiting() {
        return Err(status::exiting());
    }
    let number = version::parse(&request.model_version)?;
    let model =
        serving.registry.lookup(&request.model_name, number).map_err(|error| status::of_lookup(&error))?;
    model.statistics().received();
    observed.found(&model);
    Ok(model)
}

/// A request that can be queued, and what its answer is to look like.
pub(super) struct Ready {
    pub(super) id: String,
    pub(super) admitted: Admitted,
    pub(super) wanted: Vec<Wanted>,
    /// Whether the end of a decoupled model's responses is told, if there is nothing else in it.
    pub(super) empty_final_response: bool,
}

/// Reads and validates a request that was received at that time for a version, which accounts for it if it is refused.
pub(super) fn prepare(
    model: &ModelVersion,
    request: ModelInferRequest,
    deadline: Option<Instant>,
    received: Instant,
) -> Result<Ready, Status> {
    let ready = try_prepare(model, request, deadline);
    ready.inspect_err(|_| model.refused(received))
}

fn try_prepare(
    model: &ModelVersion,
    request: ModelInferRequest,
    deadline: Option<Instant>,
) -> Result<Ready, Status> {
    let parameters = parameters::parse(request.parameters)?;
    let Parameters { sequence, priority, timeout, empty_final_response, custom: parameters } = parameters;
    let terms = QueueTerms { priority, timeout, deadline, since: None };
    let inputs = inputs::inputs(&model.spec.name, request.inputs, request.raw_input_contents)?;
    let wanted = request.outputs.iter().map(Wanted::parse).collect::<Result<Vec<_>, _>>()?;
    let outputs = request.outputs.into_iter().map(|output| InferOutput { name: output.name }).collect();
    let id = request.id.clone();
    let request = InferRequest { id: request.id, inputs, outputs, sequence, terms, parameters };
    let admitted = admit(&model.spec, request).map_err(|refusal| status::of_refusal(&refusal))?;
    Ok(Ready { id, admitted, wanted, empty_final_response })
}
