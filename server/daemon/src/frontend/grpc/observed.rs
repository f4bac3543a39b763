use http::Request;
use nerite_backend::{Phases, Response as EngineResponse};
use nerite_core::ModelVersion;
use nerite_core::admission::Admitted;
use nerite_proto::inference::{ModelInferRequest, ModelInferResponse};
use prost::Message;
use tonic::Status;

use crate::access_log::OpenEntry;
use crate::request_trace::{Arrival, Traced, Tracer};
use crate::serving::Serving;

/// A request on its way as those see it who note it down: its trace, and its line in the access log. Where nobody does,
/// each step costs a look. Dropped before its end, it was given up.
#[derive(Default)]
pub(super) struct Observed {
    arrival: Option<Arrival>,
    traced: Traced,
    entry: Option<OpenEntry>,
}

impl Observed {
    /// It has arrived. Its headers may be taken.
    pub(super) fn new<B>(serving: &Serving, request: &mut Request<B>) -> Self {
        let entry = serving.access_log.as_ref().and_then(|log| log.begin(request));
        let arrival = serving.tracer.arrival(request);
        Self { arrival, traced: Traced::default(), entry }
    }

    /// It has arrived on a stream that began with these headers.
    pub(super) fn on_stream(serving: &Serving, head: &Request<()>) -> Self {
        match serving.access_log.is_some() || serving.tracer.is_on() {
            true => Self::new(serving, &mut head.clone()),
            false => Self::default(),
        }
    }

    /// Its message has come.
    pub(super) fn read(&mut self) {
        if let Some(arrival) = &mut self.arrival {
            arrival.read();
        }
    }

    /// Its message, of so many bytes, says this.
    pub(super) fn decoded(&mut self, tracer: &Tracer, request: &ModelInferRequest, bytes: usize) {
        if let Some(arrival) = self.arrival.take() {
            self.traced = tracer.begin(arrival, request);
        }
        if let Some(entry) = &mut self.entry {
            entry.says(request, bytes);
            self.traced.id().into_iter().for_each(|trace_id| entry.traced(trace_id));
        }
    }

    /// It is for this version.
    pub(super) fn found(&mut self, model: &ModelVersion) {
        self.traced.found(model);
        if let Some(entry) = &mut self.entry {
            entry.found(model.version);
        }
    }

    /// It is handed to the model's queue.
    pub(super) fn queued(&mut self, model: &ModelVersion, admitted: &mut Admitted) {
        if let Some(entry) = &mut self.entry {
            entry.queued(admitted.rows);
        }
        self.traced.queued(model, admitted);
    }

    /// The engine's answer is there.
    pub(super) fn executed(
        &mut self,
        model: &ModelVersion,
        response: &EngineResponse,
        phases: impl Fn() -> Option<Phases>,
    ) {
        self.traced.executed(model, response, &phases);
        if let Some(entry) = &mut self.entry {
            entry.executed(phases());
        }
    }

    /// Its answer is to be sent, or one of several.
    pub(super) fn answered(&mut self, answer: &ModelInferResponse) {
        if let Some(entry) = &mut self.entry {
            entry.answered(answer.encoded_len());
        }
    }

    /// It ends with an answer, or with that failure.
    pub(super) fn ended(self, failure: impl FnOnce() -> Option<Status>) {
        let Self { traced, entry, .. } = self;
        if entry.is_none() && !traced.is_traced() {
            return;
        }
        let failure = failure();
        traced.ended(failure.as_ref());
        if let Some(entry) = entry {
            entry.ended(failure.as_ref());
        }
    }
}
