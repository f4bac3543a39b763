//! What tells a traced request apart while it is executed.

use std::sync::{Arc, OnceLock};

use crate::Request;

/// A span's identity over all processes, as the W3C's trace context has it. Neither part is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanContext {
    /// The trace that it is part of.
    pub trace_id: u128,
    /// The span in it.
    pub span_id: u64,
}

/// The mark of a request whose trace goes on elsewhere. It is told of the batch that the request becomes part of.
#[derive(Debug)]
pub struct TraceMark {
    context: SpanContext,
    batch: OnceLock<TracedBatch>,
}

/// A batch with a traced request in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedBatch {
    /// How many requests it had.
    pub requests: usize,
    /// How many rows they had together.
    pub rows: u32,
    /// Those of them that are traced.
    pub traced: Arc<[SpanContext]>,
}

impl TraceMark {
    /// The mark of the request whose own span that is.
    pub fn new(context: SpanContext) -> TraceMark {
        TraceMark { context, batch: OnceLock::new() }
    }

    /// The request's own span.
    pub fn context(&self) -> SpanContext {
        self.context
    }

    /// The batch that it was executed in; `None` before that.
    pub fn batch(&self) -> Option<&TracedBatch> {
        self.batch.get()
    }
}

impl TracedBatch {
    /// Tells those of a batch's requests that are traced of the batch. Costs nothing where none is.
    pub fn note(requests: &[Request]) {
        let marks = || requests.iter().filter_map(|request| request.meta().trace.as_ref());
        if marks().next().is_none() {
            return;
        }
        let batch = TracedBatch {
            requests: requests.len(),
            rows: requests.iter().map(Request::rows).sum(),
            traced: marks().map(|mark| mark.context).collect(),
        };
        // A request that is executed again was in its first batch.
        marks().for_each(|mark| drop(mark.batch.set(batch.clone())));
    }
}
