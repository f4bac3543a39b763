use http::{HeaderMap, Response};
use nerite_backend::{Phases, Response as EngineResponse};
use nerite_core::ModelVersion;
use nerite_core::admission::Admitted;
use nerite_proto::inference::{ModelInferRequest, ModelInferResponse};
use prost::Message;
use tonic::Status;
use tonic::body::Body;

use crate::access_log::Record;
use crate::request_trace::{Arrival, Traced, Tracer};

/// A request on its way as those see it who note it down: its trace, and its line in the access log. Where nobody does,
/// each step costs a look. Dropped before its end, it was given up.
pub(super) struct Observed<'a> {
    tracer: &'a Tracer,
    arrival: Option<Arrival>,
    traced: Traced<'a>,
    record: Option<Record>,
}

impl<'a> Observed<'a> {
    /// It has arrived. Its headers may be taken.
    pub(super) fn new(tracer: &'a Tracer, record: Option<Record>, headers: &mut HeaderMap) -> Self {
        Self { tracer, arrival: Some(tracer.arrival(headers)), traced: Traced::default(), record }
    }

    /// Its message has come.
    pub(super) fn read(&mut self) {
        if let Some(arrival) = &mut self.arrival {
            arrival.read();
        }
    }

    /// Its message, of so many bytes, says this.
    pub(super) fn decoded(&mut self, request: &ModelInferRequest, bytes: usize) {
        if let Some(arrival) = self.arrival.take() {
            self.traced = self.tracer.begin(arrival, request);
        }
        if let Some(record) = &mut self.record {
            record.says(request, bytes);
            self.traced.id().into_iter().for_each(|trace_id| record.traced(trace_id));
        }
    }

    /// It is for this version.
    pub(super) fn found(&mut self, model: &ModelVersion) {
        self.traced.found(model);
        if let Some(record) = &mut self.record {
            record.found(model.version);
        }
    }

    /// It is handed to the model's queue.
    pub(super) fn queued(&mut self, model: &ModelVersion, admitted: &mut Admitted) {
        if let Some(record) = &mut self.record {
            record.queued(admitted.rows);
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
        if let Some(record) = &mut self.record {
            record.executed(phases());
        }
    }

    /// Its answer is to be sent.
    pub(super) fn answered(&mut self, answer: &ModelInferResponse) {
        if let Some(record) = &mut self.record {
            record.answered(answer.encoded_len());
        }
    }

    /// It ends with this. An answer has its status behind it, a failure in the headers.
    pub(super) fn ended(self, response: &Response<Body>) {
        let failure = || Status::from_header_map(response.headers());
        self.traced.ended(failure);
        if let Some(record) = self.record {
            record.ended(failure());
        }
    }
}
