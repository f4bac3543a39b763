use std::time::{Duration, Instant};

use bytes::Bytes;
use nerite_backend::{Parameter, Sequence};

/// A request as a front end decoded it, before it was checked against its model.
#[derive(Clone, Debug, Default)]
pub struct InferRequest {
    /// The caller's name for it; may be empty.
    pub id: String,
    /// The inputs, in the caller's order.
    pub inputs: Vec<InferInput>,
    /// The outputs asked for, in the caller's order; none means all.
    pub outputs: Vec<InferOutput>,
    /// The sequence that it is part of.
    pub sequence: Sequence,
    /// How it may wait.
    pub terms: QueueTerms,
    /// Parameters that the server does not interpret.
    pub parameters: Vec<(String, Parameter)>,
}

/// What a caller says of how its request may wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueTerms {
    /// Its priority level, 1 the highest; 0 for the model's default.
    pub priority: u64,
    /// How long it may wait, where the model's policy allows it to say so.
    pub timeout: Option<Duration>,
    /// When its caller gives up; it is then not executed any more.
    pub deadline: Option<Instant>,
    /// Since when it waits; `None` if it does not before it is in the queue.
    pub since: Option<Instant>,
}

/// An input as a front end decoded it.
#[derive(Clone, Debug)]
pub struct InferInput {
    /// Its name.
    pub name: String,
    /// The wire name of its element type.
    pub datatype: String,
    /// Its shape, with the batch dimension if the model has one.
    pub shape: Vec<i64>,
    /// Its elements in wire layout; `None` if the request carries none for it.
    pub data: Option<Bytes>,
}

/// An output asked for.
#[derive(Clone, Debug)]
pub struct InferOutput {
    /// Its name.
    pub name: String,
}
