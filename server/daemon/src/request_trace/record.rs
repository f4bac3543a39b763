//! A request on its way, and what is left of it: its trace.

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use nerite_backend::{Phases, Response, Tensor, TraceMark};
use nerite_core::ModelVersion;
use nerite_core::admission::Admitted;
use tonic::{Code, Status};

use super::book::Rule;
use super::collector::Collector;
use super::context::Parent;

/// A call that has arrived while requests may be traced; which model it is for, and so whether it is traced, is known
/// when its message has been read.
pub(crate) struct Arrival(pub(super) Option<Waiting>);

pub(super) struct Waiting {
    pub(super) arrived: Instant,
    pub(super) read: Instant,
    pub(super) parent: Option<Parent>,
    /// Kept only where the caller traces its call.
    pub(super) headers: HeaderMap,
}

/// A request on its way, which is noted down if it is traced. Dropped before its end, it was given up.
#[derive(Default)]
pub(crate) struct Traced<'a>(Option<Open<'a>>);

struct Open<'a> {
    collector: &'a Collector,
    record: Box<Record>,
}

/// All that is known of a traced request.
pub(super) struct Record {
    pub(super) rule: Arc<Rule>,
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

impl Arrival {
    /// The message has come.
    pub(crate) fn read(&mut self) {
        if let Some(waiting) = &mut self.0 {
            waiting.read = Instant::now();
        }
    }
}

impl<'a> Traced<'a> {
    pub(super) fn new(collector: &'a Collector, record: Box<Record>) -> Traced<'a> {
        Traced(Some(Open { collector, record }))
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
        if record.rule.setting.level.tensors {
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
        if record.rule.setting.level.tensors {
            let outputs = response.outputs.iter().filter_map(|(slot, tensor)| {
                let output = model.spec.outputs.get(*slot)?;
                Some(NamedTensor::new("TENSOR_BACKEND_OUTPUT", &output.name, tensor))
            });
            record.tensors.extend(outputs);
        }
    }

    /// The answer is ready to be sent, or the failure.
    pub(crate) fn ended(mut self, failure: impl FnOnce() -> Option<Status>) {
        let Some(Open { collector, mut record }) = self.0.take() else { return };
        (record.code, record.message) = match failure() {
            Some(status) => (status.code(), status.message().to_owned()),
            None => (Code::Ok, String::new()),
        };
        collector.take(record);
    }
}

impl Drop for Traced<'_> {
    fn drop(&mut self) {
        if let Some(Open { collector, record }) = self.0.take() {
            collector.take(record);
        }
    }
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
    fn new(activity: &'static str, name: &str, tensor: &Tensor) -> NamedTensor {
        NamedTensor { activity, name: name.to_owned(), tensor: tensor.clone() }
    }
}

impl Waiting {
    pub(super) fn new(parent: Option<Parent>, headers: &mut HeaderMap) -> Waiting {
        let arrived = Instant::now();
        let sampled = parent.is_some_and(|parent| parent.sampled);
        let headers = if sampled { mem::take(headers) } else { HeaderMap::new() };
        Waiting { arrived, read: arrived, parent, headers }
    }
}
