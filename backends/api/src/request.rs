use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::{BackendError, Batch, Cancel, Phases, Responder, Slot, Slots, Tensor, TraceMark};

/// A request's inputs by slot; `None` where an optional one was left out.
pub type Inputs = SmallVec<[Option<Tensor>; 2]>;

/// What a request carries besides its tensors.
#[derive(Clone, Debug, Default)]
pub struct Meta {
    /// The caller's name for it; may be empty.
    pub id: String,
    /// The sequence that it is part of.
    pub sequence: Sequence,
    /// Its priority level, 1 the highest; 0 for the model's default.
    pub priority: u64,
    /// How long it asks to wait at most, if it asks.
    pub timeout: Option<Duration>,
    /// Parameters that the server does not interpret, in no particular order.
    pub parameters: Vec<(String, Parameter)>,
    /// Set if it is traced.
    pub trace: Option<Arc<TraceMark>>,
}

/// A request's place in a sequence of requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    /// Which sequence.
    pub id: CorrelationId,
    /// It is the first of its sequence.
    pub start: bool,
    /// It is the last of its sequence.
    pub end: bool,
}

/// What the requests of a sequence have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CorrelationId {
    /// A number; 0 for a request that is part of no sequence.
    Number(u64),
    /// A name.
    Text(String),
}

impl CorrelationId {
    /// Whether it is one: neither 0 nor an empty text.
    pub fn is_given(&self) -> bool {
        match self {
            CorrelationId::Number(number) => *number != 0,
            CorrelationId::Text(text) => !text.is_empty(),
        }
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CorrelationId::Number(number) => number.fmt(f),
            CorrelationId::Text(text) => text.fmt(f),
        }
    }
}

impl Default for CorrelationId {
    fn default() -> CorrelationId {
        CorrelationId::Number(0)
    }
}

/// The value of a request parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Parameter {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// A text.
    String(String),
}

/// One inference to be done: owned, sendable, and living for as long as the engine needs its inputs.
///
/// Dropping it *releases* it: the server may then give its place to another, unload its model, and so on. Releasing is
/// apart from answering, which goes through the [`Responder`] and may come earlier or later.
pub struct Request {
    inputs: Inputs,
    wanted: Slots,
    rows: u32,
    meta: Meta,
    responder: Responder,
}

impl Request {
    /// A request for `rows` rows (1 for a model without batching) whose inputs the server has validated.
    pub fn new(inputs: Inputs, wanted: Slots, rows: u32, meta: Meta, responder: Responder) -> Request {
        Request { inputs, wanted, rows, meta, responder }
    }

    /// The inputs by slot of the model's declaration.
    pub fn inputs(&self) -> &[Option<Tensor>] {
        &self.inputs
    }

    /// The inputs, for one who keeps the request for longer than them.
    pub fn take_inputs(&mut self) -> Inputs {
        std::mem::take(&mut self.inputs)
    }

    /// Whether the caller asked for this output.
    pub fn wants(&self, output: Slot) -> bool {
        self.wanted.contains(output)
    }

    /// The outputs that the caller asked for.
    pub fn wanted(&self) -> &Slots {
        &self.wanted
    }

    /// Gives it an input that its caller does not give: a control of its sequence, or a state.
    pub fn supply(&mut self, input: Slot, tensor: Tensor) {
        if input >= self.inputs.len() {
            self.inputs.resize(input + 1, None);
        }
        self.inputs[input] = Some(tensor);
    }

    /// Takes back what it was supplied with.
    pub fn withhold(&mut self, input: Slot) {
        if let Some(input) = self.inputs.get_mut(input) {
            *input = None;
        }
    }

    /// Asks for an output that the server needs, whether its caller does or not.
    pub fn want(&mut self, output: Slot) {
        self.wanted.insert(output);
    }

    /// Gives it another place in a sequence.
    pub fn place_in(&mut self, sequence: Sequence) {
        self.meta.sequence = sequence;
    }

    /// How many rows of a batch it takes.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// What it carries besides its tensors.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The way to answer it; may outlive the request.
    pub fn responder(&self) -> Responder {
        self.responder.clone()
    }

    /// The same request, answered through what `replace` makes of its responder.
    pub fn answered_through(mut self, replace: impl FnOnce(Responder) -> Responder) -> Request {
        self.responder = replace(self.responder.clone());
        self
    }

    /// Whether it is still wanted.
    pub fn cancel(&self) -> &Cancel {
        self.responder.exchange().cancel()
    }

    /// Accounts for its execution, which failed if `result` says so, whatever the response says. Call it before the
    /// last response, so that whoever has the answer finds it counted. An engine that answers first may call it until
    /// it releases the request, and the request is counted then.
    pub fn report(&self, phases: &Phases, result: Result<(), &BackendError>) {
        self.responder.exchange().report(phases, result);
    }

    /// Keeps a state for the next request of its sequence: an output of that slot, unless it comes with a response.
    /// `false` if the model's sequences have no such state, of another type or shape for
    /// instance. To be called before the request is released.
    pub fn update_state(&self, output: Slot, state: Tensor) -> bool {
        self.responder.exchange().update_state(output, state)
    }

    /// Gives it back to be executed once more, as the next of its sequence: models with iterative sequences are executed
    /// until they have answered. The request itself, if its model is none of these.
    pub fn execute_again(self) -> Option<Request> {
        let responder = self.responder();
        responder.exchange().execute_again(self)
    }

    /// Answers it with an error and releases it.
    pub fn fail(self, error: BackendError) {
        self.responder().send(crate::Response::error(error));
    }
}

impl From<Request> for Batch {
    fn from(request: Request) -> Batch {
        Batch::new(vec![request])
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.responder.exchange().release();
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("id", &self.meta.id).field("rows", &self.rows).finish_non_exhaustive()
    }
}
