//! What plugins may ask of this server: to call other models, to load and unload them.
//!
//! ```text
//! Host::infer ─▶ lookup ─▶ admit ─▶ ModelVersion ─▶ a task that waits ─▶ on_answer, on a thread that may block
//! ```
//!
//! A call by a model goes the way of a client's, but for what limits clients. It counts for nothing of what is in
//! flight, since it is part of a request that does: the request that waits for it would hold the room that it waits
//! for. And it is taken while the server exits, for as long as its model is served, so that the requests in flight can
//! end.

use std::sync::{Arc, Weak, mpsc};
use std::time::Instant;

use nerite_backend::{
    BackendError, Cancel, Code, Host, InferAnswer, InferCall, LoadParameter, OnAnswer, Response, Tensor,
};
use nerite_core::ModelVersion;
use nerite_core::admission::{InferInput, InferOutput, InferRequest, QueueTerms, admit};
use nerite_core::execution::{Answer, Responses, Room};
use nerite_core::lifecycle::Overrides;
use nerite_core::model::OutputSpec;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Notify;

use crate::control::{Control, ControlError};
use crate::frontend::metrics::has_family;
use crate::serving::Serving;

/// How many responses of a decoupled model may wait for the model that called it, and how many bytes of them.
const UNREAD: (usize, usize) = (64, 64 << 20);

/// The server as plugins see it. It does not keep the server alive.
pub(crate) struct DaemonHost {
    serving: Weak<Serving>,
    runtime: Handle,
}

impl DaemonHost {
    /// The host that answers for that server, with tasks on this runtime.
    pub(crate) fn new(serving: &Arc<Serving>, runtime: Handle) -> DaemonHost {
        DaemonHost { serving: Arc::downgrade(serving), runtime }
    }

    fn serving(&self) -> Result<Arc<Serving>, BackendError> {
        self.serving.upgrade().ok_or_else(|| BackendError::new(Code::Unavailable, "Server exiting"))
    }

    fn lookup(&self, model: &str, version: Option<u64>) -> Result<Arc<ModelVersion>, BackendError> {
        let found = self.serving()?.registry.lookup(model, version);
        found.map_err(|error| BackendError::new(error.code(), error.to_string()))
    }

    /// Does something with the control of models, and waits for it on this thread, whichever it is.
    fn control<F>(&self, act: impl FnOnce(Arc<Serving>) -> F) -> Result<(), BackendError>
    where
        F: Future<Output = Result<(), BackendError>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::sync_channel(1);
        let acting = act(self.serving()?);
        self.runtime.spawn(async move {
            // Whoever asked waits for it.
            let _ = sender.send(acting.await);
        });
        let wait = || {
            let gone = || BackendError::new(Code::Unavailable, "Server exiting");
            receiver.recv().unwrap_or_else(|_| Err(gone()))
        };
        // A fast model is executed on a thread of the network, which has to go on with what it has to do besides.
        match Handle::try_current() {
            Ok(current) if current.runtime_flavor() == RuntimeFlavor::MultiThread => {
                tokio::task::block_in_place(wait)
            }
            _ => wait(),
        }
    }
}

impl Host for DaemonHost {
    fn is_model_ready(&self, model: &str, version: Option<u64>) -> Result<bool, BackendError> {
        Ok(self.serving()?.registry.lookup(model, version).is_ok_and(|version| version.is_sound()))
    }

    fn is_decoupled(&self, model: &str, version: Option<u64>) -> Result<bool, BackendError> {
        Ok(self.lookup(model, version)?.spec.decoupled)
    }

    fn max_batch_size(&self, model: &str, version: Option<u64>) -> Result<u32, BackendError> {
        Ok(self.lookup(model, version)?.spec.max_batch_size)
    }

    fn is_ready(&self) -> bool {
        self.serving.upgrade().is_some_and(|serving| serving.is_ready())
    }

    fn has_metric(&self, name: &str) -> bool {
        has_family(name)
    }

    fn aside(&self, work: Box<dyn FnOnce() + Send>) {
        self.runtime.spawn_blocking(work);
    }

    fn infer(&self, call: InferCall, on_answer: OnAnswer) -> Result<(), BackendError> {
        let received = Instant::now();
        let model = self.lookup(&call.model, call.version)?;
        model.statistics().received();
        let (request, cancel) = request(call);
        let wanted = request.outputs.iter().map(|output| output.name.clone()).collect();
        let admitted = admit(&model.spec, request).map_err(|refusal| {
            model.refused(received);
            BackendError::new(refusal.code(), refusal.to_string())
        })?;
        let caller = Caller { model: Arc::clone(&model), wanted, on_answer };
        if model.spec.decoupled {
            let room = Arc::new(Room::new(UNREAD.0, UNREAD.1));
            self.runtime.spawn(many(model.infer_many(admitted, received, &room), cancel, caller));
        } else {
            self.runtime.spawn(one(model.infer(admitted, received), cancel, caller));
        }
        // A task that is spawned on one of the network's threads waits for that thread alone until another is spawned there.
        // The caller may be a model that is executed on it and waits for the answer.
        self.runtime.spawn(async {});
        Ok(())
    }

    fn load_model(&self, model: &str, parameters: Vec<(String, LoadParameter)>) -> Result<(), BackendError> {
        let (model, overrides) = (model.to_owned(), overrides(parameters)?);
        self.control(
            |serving| async move { control(&serving)?.load(model, overrides).await.map_err(of_control) },
        )
    }

    fn unload_model(&self, model: &str, with_dependents: bool) -> Result<(), BackendError> {
        let model = model.to_owned();
        self.control(|serving| async move {
            control(&serving)?.unload(model, with_dependents).await.map_err(of_control)
        })
    }
}

fn control(serving: &Serving) -> Result<&Control, BackendError> {
    let none = || BackendError::new(Code::Unsupported, "this server's models cannot be controlled");
    serving.control.as_ref().ok_or_else(none)
}

fn of_control(error: ControlError) -> BackendError {
    BackendError::new(error.code(), error.to_string())
}

/// The load parameters: `config`, and `file:<path>` for each file; with the texts that clients hear.
fn overrides(parameters: Vec<(String, LoadParameter)>) -> Result<Overrides, BackendError> {
    let mut overrides = Overrides::default();
    for (name, parameter) in parameters {
        match (name.strip_prefix("file:"), parameter) {
            (Some(path), LoadParameter::Bytes(content)) => {
                overrides.files.push((path.into(), content.into()))
            }
            (None, LoadParameter::Text(config)) if name == "config" => overrides.config = Some(config.into()),
            (Some(_), _) => return Err(mistyped(&name, "bytes_param")),
            (None, _) if name == "config" => return Err(mistyped(&name, "string_param")),
            (None, _) => {
                return Err(BackendError::invalid(format!("unrecognized load parameter '{name}'.")));
            }
        }
    }
    Ok(overrides)
}

fn mistyped(name: &str, expected: &str) -> BackendError {
    BackendError::invalid(format!("invalid value type for load parameter '{name}', expected {expected}."))
}

/// The call in the core's terms, and what cancels it.
fn request(call: InferCall) -> (InferRequest, Cancel) {
    let InferCall { id, sequence, priority, timeout, inputs, outputs, parameters, cancel, .. } = call;
    let input = |(name, tensor): (String, Tensor)| {
        let Tensor { dtype, shape, data } = tensor;
        // No buffer at all means that its elements were forgotten.
        let data = (!data.buffers().is_empty()).then(|| data.into_bytes());
        InferInput { name, datatype: dtype.wire_name().to_owned(), shape: shape.to_vec(), data }
    };
    let request = InferRequest {
        id,
        inputs: inputs.into_iter().map(input).collect(),
        outputs: outputs.into_iter().map(|name| InferOutput { name }).collect(),
        sequence,
        terms: QueueTerms { priority, timeout, ..QueueTerms::default() },
        parameters,
    };
    (request, cancel)
}

/// Who called, and what it wants.
struct Caller {
    model: Arc<ModelVersion>,
    /// The outputs; none means all.
    wanted: Vec<String>,
    on_answer: OnAnswer,
}

impl Caller {
    /// Gives an answer, on a thread where it may block, and comes back when it was taken. It does not if the server
    /// exits.
    async fn tell(mut self, answer: InferAnswer) -> Option<Caller> {
        let telling = tokio::task::spawn_blocking(move || {
            (self.on_answer)(answer);
            self
        });
        telling.await.ok()
    }

    /// Gives a response, or the news that there is none any more.
    async fn answer(self, response: Response) -> Option<Caller> {
        let answer = self.of(response);
        self.tell(answer).await
    }

    fn of(&self, response: Response) -> InferAnswer {
        let Response { outputs, parameters, error, last } = response;
        let is_bare = outputs.is_empty() && parameters.is_empty() && error.is_none();
        let empty = last && is_bare && self.model.spec.decoupled;
        let outputs = match error {
            Some(error) => Err(error),
            None if empty => Ok(Vec::new()),
            None => self.named(outputs.into_vec()),
        };
        let (model, version) = (self.model.spec.name.clone(), self.model.version);
        // The one answer of an ordinary model is its last, whatever it says.
        let last = last || !self.model.spec.decoupled;
        InferAnswer { model, version, outputs, parameters, empty, last }
    }

    /// The outputs that are wanted, in the order in which they are, or all in the configuration's. A decoupled model
    /// may leave out any.
    fn named(
        &self,
        mut given: Vec<(nerite_backend::Slot, Tensor)>,
    ) -> Result<Vec<(String, Tensor)>, BackendError> {
        let spec = &self.model.spec;
        let by_name = |name: &String| spec.outputs.iter().find(|output| output.name == *name);
        let wanted: Vec<&OutputSpec> = match self.wanted.as_slice() {
            [] => spec.outputs.iter().collect(),
            names => names.iter().filter_map(by_name).collect(),
        };
        let mut named = Vec::with_capacity(wanted.len());
        for output in wanted {
            match given.iter().position(|(slot, _)| *slot == output.slot) {
                Some(place) => {
                    let (_, tensor) = given.swap_remove(place);
                    named.push((output.name.clone(), output.as_configured(tensor, spec.batching())));
                }
                None if spec.decoupled => {}
                None => {
                    let (model, output) = (&spec.name, &output.name);
                    return Err(BackendError::internal(format!("model '{model}' gave no output '{output}'")));
                }
            }
        }
        Ok(named)
    }
}

/// What a caller hears that has cancelled its call.
fn cancelled() -> Response {
    Response::error(BackendError::new(Code::Cancelled, "the request was cancelled by the model that made it"))
}

/// Waits for the one answer.
async fn one(answer: Answer, cancel: Cancel, caller: Caller) {
    let stop = Arc::new(Notify::new());
    let stops = Arc::clone(&stop);
    let _watching = cancel.on_cancel(move || stops.notify_one());
    let response = tokio::select! {
        // What has been answered is not cancelled any more.
        biased;
        response = answer => response,
        () = stop.notified() => cancelled(),
    };
    caller.answer(response).await;
}

/// Waits for each of many responses, and for the caller to take it.
async fn many(mut responses: Responses, cancel: Cancel, mut caller: Caller) {
    let stop = Arc::new(Notify::new());
    let stops = Arc::clone(&stop);
    let _watching = cancel.on_cancel(move || stops.notify_one());
    loop {
        let response = tokio::select! {
            // Here the other way round: responses may come without end.
            biased;
            () = stop.notified() => break,
            response = responses.next() => response,
        };
        let Some(response) = response else { return };
        let last = response.last;
        let Some(told) = caller.answer(response).await else { return };
        if last {
            return;
        }
        caller = told;
    }
    // The engine hears of it before the caller does.
    drop(responses);
    caller.answer(cancelled()).await;
}

#[cfg(test)]
mod tests;
