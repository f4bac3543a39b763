use std::time::Instant;

use crate::Request;

/// Requests to be executed together. Their rows add up to at most the model's `max_batch_size`, their inputs, but for
/// [ragged](crate::Ragged) ones, agree in every extent but the first, and they give the same set of optional inputs; a
/// model without batching gets exactly one.
#[derive(Debug)]
pub struct Batch {
    requests: Vec<Request>,
}

impl Batch {
    /// A batch of these requests.
    pub fn new(requests: Vec<Request>) -> Batch {
        Batch { requests }
    }

    /// The requests, in the order in which they came. Each is released when it is dropped.
    pub fn into_requests(self) -> Vec<Request> {
        self.requests
    }
}

/// When an execution went through its phases. `start <= input_end <= infer_end <= end`.
#[derive(Clone, Copy, Debug)]
pub struct Phases {
    /// The engine began with the batch.
    pub start: Instant,
    /// Its inputs were in place.
    pub input_end: Instant,
    /// The model had run.
    pub infer_end: Instant,
    /// The outputs were in place.
    pub end: Instant,
}

/// What an instance tells the server of its executions, as opposed to single requests.
pub trait Executions: Send + Sync {
    /// The model ran once, for so many rows. To be told before the requests are answered: who has an answer finds it
    /// counted.
    fn executed(&self, rows: u32, phases: &Phases);
    /// A failed batch of so many requests is run again one by one.
    fn rerun(&self, requests: usize);
}
