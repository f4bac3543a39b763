use std::time::Duration;

use crate::{BackendError, Cancel, Parameter, Sequence, Tensor};

/// What a backend may ask of the server that it runs in, besides being given requests.
///
/// A backend may be made before the server can answer; until then every call fails with
/// [`Unavailable`](crate::Code::Unavailable).
pub trait Host: Send + Sync {
    /// Whether the version of the model, the latest if none is given, can be called.
    fn is_model_ready(&self, model: &str, version: Option<u64>) -> Result<bool, BackendError>;

    /// Whether the model may answer a request any number of times.
    fn is_decoupled(&self, model: &str, version: Option<u64>) -> Result<bool, BackendError>;

    /// How many rows a request of the model may have; 0 for a model that does not batch.
    fn max_batch_size(&self, model: &str, version: Option<u64>) -> Result<u32, BackendError>;

    /// Whether the server is ready, as clients hear it.
    fn is_ready(&self) -> bool;

    /// Whether the server itself has a metric of that name, or one whose series are called so.
    fn has_metric(&self, name: &str) -> bool;

    /// Has something done soon, on a thread where it may block.
    fn aside(&self, work: Box<dyn FnOnce() + Send>);

    /// Has another model, or the same, answer a request. It returns at once; `on_answer` is called for each response,
    /// on any thread on which it may block, one after another, and for the last time with [`InferAnswer::last`] set.
    /// The next response of a decoupled model is not read before it has returned. If it is dropped before the last
    /// response, none will come. An error means that it never will be called.
    fn infer(&self, call: InferCall, on_answer: OnAnswer) -> Result<(), BackendError>;

    /// Loads a model, as a client may; returns when it can be called. `parameters` are those of a client's call.
    fn load_model(&self, model: &str, parameters: Vec<(String, LoadParameter)>) -> Result<(), BackendError>;

    /// Unloads a model, as a client may, with those that depend on it if asked to.
    fn unload_model(&self, model: &str, with_dependents: bool) -> Result<(), BackendError>;
}

/// Is called for each response to an [`InferCall`].
pub type OnAnswer = Box<dyn FnMut(InferAnswer) + Send>;

/// A parameter of a load.
#[derive(Clone, Debug, PartialEq)]
pub enum LoadParameter {
    /// `config`: a configuration in JSON.
    Text(String),
    /// `file:<path>`: a file's content.
    Bytes(Vec<u8>),
}

/// A request by a backend.
#[derive(Debug)]
pub struct InferCall {
    /// The model's name.
    pub model: String,
    /// The version; the latest if none is given.
    pub version: Option<u64>,
    /// The caller's name for the request; may be empty.
    pub id: String,
    /// The sequence that it is part of.
    pub sequence: Sequence,
    /// The priority level, 1 the highest; 0 for the model's default.
    pub priority: u64,
    /// How long it may wait, where the model's policy allows it to say so.
    pub timeout: Option<Duration>,
    /// The inputs by name.
    pub inputs: Vec<(String, Tensor)>,
    /// The outputs asked for; none means all.
    pub outputs: Vec<String>,
    /// Parameters that the server does not interpret.
    pub parameters: Vec<(String, Parameter)>,
    /// Cancelled by the caller when it wants no more answers.
    pub cancel: Cancel,
}

/// A response to an [`InferCall`].
#[derive(Debug)]
pub struct InferAnswer {
    /// The model that answers.
    pub model: String,
    /// Its version.
    pub version: u64,
    /// The outputs by name, or why there are none.
    pub outputs: Result<Vec<(String, Tensor)>, BackendError>,
    /// Parameters of the response.
    pub parameters: Vec<(String, Parameter)>,
    /// Whether the response is there only to say that no other comes: it has no content.
    pub empty: bool,
    /// Whether it is the last.
    pub last: bool,
}
