//! A request on its way.

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, Request};
use nerite_backend::{Phases, Response};
use nerite_core::ModelVersion;
use nerite_core::admission::Admitted;
use tonic::{Code, Status};

use super::batch_processor::BatchProcessor;
use super::record::{NamedTensor, Record};
use super::traceparent::Parent;
use crate::net::CallDeadline;
use crate::shortened::shortened;

/// A call that has arrived while requests may be traced; which model it is for, and so whether it is traced, is known
/// when its message has been read.
pub(crate) struct Arrival {
    pub(super) arrived: Instant,
    pub(super) read: Instant,
    pub(super) deadline: Option<Instant>,
    pub(super) parent: Option<Parent>,
    /// Kept only where the caller traces its call.
    pub(super) headers: HeaderMap,
}

/// A request on its way, which is noted down if it is traced. Dropped before its end, it was given up.
#[derive(Default)]
pub(crate) struct Traced(Option<Open>);

struct Open {
    processor: BatchProcessor,
    record: Box<Record>,
}

impl Arrival {
    /// Of a call that arrives now. Its headers are taken if its caller traces it.
    pub(super) fn new<B>(parent: Option<Parent>, request: &mut Request<B>) -> Arrival {
        let (arrived, deadline) = (Instant::now(), CallDeadline::of(request.extensions()));
        let sampled = parent.is_some_and(|parent| parent.sampled);
        let headers = if sampled { mem::take(request.headers_mut()) } else { HeaderMap::new() };
        Arrival { arrived, read: arrived, deadline, parent, headers }
    }

    /// The message has come.
    pub(crate) fn read(&mut self) {
        self.read = Instant::now();
    }
}

impl Traced {
    pub(super) fn new(processor: &BatchProcessor, record: Box<Record>) -> Traced {
        Traced(Some(Open { processor: processor.clone(), record }))
    }

    /// Whether it is traced.
    pub(crate) fn is_traced(&self) -> bool {
        self.0.is_some()
    }

    /// The trace that it is part of, if anybody outside can find it by that.
    pub(crate) fn id(&self) -> Option<u128> {
        let Open { record, .. } = self.0.as_ref()?;
        record.exported.then(|| record.mark.context().trace_id)
    }

    /// It is for this version.
    pub(crate) fn found(&mut self, model: &ModelVersion) {
        if let Some(Open { record, .. }) = &mut self.0 {
            record.version = Some(model.version);
        }
    }

    /// It is handed to the model's queue.
    pub(crate) fn queued(&mut self, model: &ModelVersion, admitted: &mut Admitted) {
        let Some(Open { record, .. }) = &mut self.0 else { return };
        if record.exported {
            admitted.meta.trace = Some(Arc::clone(&record.mark));
        }
        if record.trace.rule().setting.level.tensors {
            let named = model.spec.inputs.iter().zip(&admitted.inputs);
            let inputs = named.filter_map(|(input, tensor)| {
                Some(NamedTensor::new("TENSOR_QUEUE_INPUT", &input.name, tensor.as_ref()?))
            });
            record.tensors.extend(inputs);
        }
        record.queued = Some(Instant::now());
    }

    /// The engine's answer is there.
    pub(crate) fn executed(
        &mut self,
        model: &ModelVersion,
        response: &Response,
        phases: impl FnOnce() -> Option<Phases>,
    ) {
        let Some(Open { record, .. }) = &mut self.0 else { return };
        record.answered = Some(Instant::now());
        record.phases = phases();
        if record.trace.rule().setting.level.tensors {
            let outputs = response.outputs.iter().filter_map(|(slot, tensor)| {
                let output = model.spec.outputs.get(*slot)?;
                Some(NamedTensor::new("TENSOR_BACKEND_OUTPUT", &output.name, tensor))
            });
            record.tensors.extend(outputs);
        }
    }

    /// The answer is ready to be sent, or the failure.
    pub(crate) fn ended(mut self, failure: Option<&Status>) {
        let Some(Open { processor, mut record }) = self.0.take() else { return };
        record.ended = Instant::now();
        (record.code, record.message) = match failure {
            Some(status) => (status.code(), shortened(status.message())),
            None => (Code::Ok, String::new()),
        };
        processor.take(record);
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if let Some(Open { processor, mut record }) = self.0.take() {
            record.ended = Instant::now();
            if record.deadline.is_some_and(|deadline| deadline <= record.ended) {
                record.code = Code::DeadlineExceeded;
            }
            processor.take(record);
        }
    }
}
