//! What is left of a traced request: its trace.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use nerite_backend::{Phases, Tensor, TraceMark};
use tonic::Code;

use super::rules::OpenTrace;
use super::traceparent::Parent;

/// All that is known of a traced request.
pub(super) struct Record {
    pub(super) trace: OpenTrace,
    /// Its number among the traces of this process, from 1 on.
    pub(super) number: u64,
    pub(super) mark: Arc<TraceMark>,
    /// Whether anybody outside can find it by its mark.
    pub(super) exported: bool,
    pub(super) parent: Option<Parent>,
    pub(super) state: String,
    pub(super) model: String,
    pub(super) version: Option<u64>,
    pub(super) request_id: String,
    /// When its caller gives up.
    pub(super) deadline: Option<Instant>,
    pub(super) arrived: Instant,
    /// Its message had come.
    pub(super) read: Instant,
    /// It was handed to the model's queue; `None` if it was refused before that.
    pub(super) queued: Option<Instant>,
    /// `None` if it was not executed.
    pub(super) phases: Option<Phases>,
    /// The engine's answer was there.
    pub(super) answered: Option<Instant>,
    /// The answer was ready to be sent.
    pub(super) ended: Instant,
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) tensors: Vec<NamedTensor>,
}

/// An input or output of a traced request.
pub(super) struct NamedTensor {
    pub(super) activity: &'static str,
    pub(super) name: String,
    pub(super) tensor: Tensor,
}

impl Record {
    /// How many bytes of tensors it holds on to.
    pub(super) fn bytes(&self) -> usize {
        self.tensors.iter().map(|named| named.tensor.data.len()).sum()
    }

    /// When its message had been made sense of, or it ended before that.
    pub(super) fn decoded(&self) -> Instant {
        self.queued.unwrap_or(self.ended)
    }
}

impl NamedTensor {
    /// A copy: the original would keep the buffer of its whole message or batch.
    pub(super) fn new(activity: &'static str, name: &str, tensor: &Tensor) -> NamedTensor {
        let data = Bytes::copy_from_slice(&tensor.data.clone().into_bytes());
        let tensor = Tensor { data: data.into(), ..tensor.clone() };
        NamedTensor { activity, name: name.to_owned(), tensor }
    }
}
