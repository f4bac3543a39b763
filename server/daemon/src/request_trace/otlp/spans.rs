//! The spans of a request.
//!
//! ```text
//! InferRequest                                     from its arrival to its answer
//! ├─ decode                                        from the last byte of its message to the queue
//! ├─ queue                                         until its batch is executed
//! ├─ batch ──links──▶ the other traced requests    the execution
//! │  └─ compute                                    the model's part of it
//! └─ encode                                        from the engine's answer to bytes
//! ```

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use nerite_backend::SpanContext;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::{Span, Status, status::StatusCode};
use tonic::Code;

use super::super::clock::Clock;
use super::super::record::Record;

/// How many spans a request has.
pub(in super::super) const SPANS: usize = 6;

/// More links than this are left out; OpenTelemetry's own limit.
const MOST_LINKS: usize = 128;

/// W3C's flag of what is traced.
const SAMPLED: u32 = 1;
/// OpenTelemetry's flags: that it is known whether the parent is in another process, and that it is.
const KNOWN_IF_REMOTE: u32 = 0x100;
const REMOTE: u32 = 0x200;

/// The spans of a request, the first around all others.
pub(super) fn of(record: &Record, clock: &Clock) -> Vec<Span> {
    let root = record.mark.context();
    let maker = Maker { record, clock };
    let mut spans = Vec::with_capacity(SPANS);
    spans.push(maker.request(root));
    spans.push(maker.child(root, "decode", record.read, record.decoded()));
    if let Some(queued) = record.queued {
        let until = record.phases.map(|phases| phases.start).or(record.answered).unwrap_or(record.ended);
        spans.push(maker.child(root, "queue", queued, until));
    }
    if let Some(phases) = record.phases {
        let batch = maker.batch(root, phases.start, phases.end);
        let parent = SpanContext { trace_id: root.trace_id, span_id: number(&batch.span_id) };
        spans.push(batch);
        spans.push(maker.child(parent, "compute", phases.input_end, phases.infer_end));
    }
    if let Some(answered) = record.answered {
        spans.push(maker.child(root, "encode", answered, record.ended));
    }
    spans
}

struct Maker<'a> {
    record: &'a Record,
    clock: &'a Clock,
}

impl Maker<'_> {
    fn request(&self, context: SpanContext) -> Span {
        let record = self.record;
        let mut attributes = vec![
            text("rpc.system", "grpc"),
            text("rpc.service", "inference.GRPCInferenceService"),
            text("rpc.method", "ModelInfer"),
            integer("rpc.grpc.status_code", i64::from(i32::from(record.code))),
            text("triton.model_name", &record.model),
        ];
        if let Some(version) = record.version {
            attributes.push(integer("triton.model_version", i64::try_from(version).unwrap_or(i64::MAX)));
        }
        if !record.request_id.is_empty() {
            attributes.push(text("triton.request_id", &record.request_id));
        }
        let parent = record.parent.map(|parent| parent.context.span_id);
        Span {
            kind: SpanKind::Server.into(),
            parent_span_id: parent.map(|id| id.to_be_bytes().to_vec()).unwrap_or_default(),
            flags: SAMPLED | KNOWN_IF_REMOTE | if parent.is_some() { REMOTE } else { 0 },
            attributes,
            status: Some(self.status()),
            ..self.span(context, "InferRequest", record.arrived, record.ended)
        }
    }

    fn batch(&self, parent: SpanContext, start: Instant, end: Instant) -> Span {
        let mut span = self.child(parent, "batch", start, end);
        let Some(batch) = self.record.mark.batch() else { return span };
        span.attributes = vec![
            integer("nerite.batch.requests", i64::try_from(batch.requests).unwrap_or(i64::MAX)),
            integer("nerite.batch.rows", batch.rows.into()),
        ];
        let others = batch.traced.iter().filter(|other| **other != parent);
        span.links = others.clone().take(MOST_LINKS).map(link).collect();
        span.dropped_links_count = others.count().saturating_sub(MOST_LINKS) as u32;
        span
    }

    fn child(&self, parent: SpanContext, name: &str, start: Instant, end: Instant) -> Span {
        let context = SpanContext { trace_id: parent.trace_id, span_id: self.span_id(name) };
        Span {
            kind: SpanKind::Internal.into(),
            parent_span_id: parent.span_id.to_be_bytes().to_vec(),
            flags: SAMPLED | KNOWN_IF_REMOTE,
            ..self.span(context, name, start, end)
        }
    }

    /// The same whenever the record is sent: a receiver that has it already can tell.
    fn span_id(&self, name: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.record.mark.context().span_id, name).hash(&mut hasher);
        hasher.finish().max(1)
    }

    fn span(&self, context: SpanContext, name: &str, start: Instant, end: Instant) -> Span {
        Span {
            trace_id: context.trace_id.to_be_bytes().to_vec(),
            span_id: context.span_id.to_be_bytes().to_vec(),
            trace_state: self.record.state.clone(),
            name: name.to_owned(),
            start_time_unix_nano: self.clock.nanos(start),
            end_time_unix_nano: self.clock.nanos(end),
            ..Span::default()
        }
    }

    /// As OpenTelemetry has it for servers: what its caller did wrong is no error of the server's.
    fn status(&self) -> Status {
        let code = match self.record.code {
            Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => StatusCode::Error,
            _ => StatusCode::Unset,
        };
        Status { code: code.into(), message: self.record.message.clone() }
    }
}

fn link(other: &SpanContext) -> Link {
    Link {
        trace_id: other.trace_id.to_be_bytes().to_vec(),
        span_id: other.span_id.to_be_bytes().to_vec(),
        flags: SAMPLED | KNOWN_IF_REMOTE,
        ..Link::default()
    }
}

fn number(id: &[u8]) -> u64 {
    id.try_into().map_or(0, u64::from_be_bytes)
}

/// A text by a key.
pub(super) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn integer(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
