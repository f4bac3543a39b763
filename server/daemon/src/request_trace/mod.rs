//! Traces of single requests: to an OpenTelemetry receiver, or into a file in Triton's format. (The log is another thing,
//! and goes through the crate `tracing`.)
//!
//! ```text
//! TraceSetting ──▶ Overrides ──▶ Rules, one atomic swap
//!                                 │ rule of the model
//! request ──▶ Arrival ──▶ Sampler ──▶ Traced (a Record) ──▶ BatchProcessor ──▶ Exporter: otlp | file
//!             if on       no allocation                     bounded queue      a thread of its own
//! ```
//!
//! Nothing here ever waits on the way of a request: what finds the queue full is dropped and counted.

mod batch_processor;
mod clock;
mod file;
mod otlp;
mod overrides;
mod record;
mod rules;
mod sampler;
mod setting;
mod traced;
mod traceparent;
mod tracer;
mod triton_format;

pub(crate) use setting::{Change, Field};
pub(crate) use traced::{Arrival, Traced};
pub(crate) use traceparent::trace_id;
pub(crate) use tracer::{Shown, Tracer};
