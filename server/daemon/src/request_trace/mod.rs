//! Traces of single requests: to an OpenTelemetry receiver, or into a file in Triton's format. (The log is another thing,
//! and goes through the crate `tracing`.)
//!
//! ```text
//! TraceSetting ──▶ Overrides ──▶ Book, one atomic swap
//!                                 │ rule of the model
//! request ──▶ Arrival ──▶ Sampler ──▶ Traced (a Record) ──▶ Collector ──▶ Sink: otlp | file
//!             if on       no allocation                     bounded queue   a thread of its own
//! ```
//!
//! Nothing here ever waits on the way of a request: what finds the queue full is dropped and counted.

mod book;
mod clock;
mod collector;
mod context;
mod file;
mod json;
mod otlp;
mod record;
mod sampler;
mod setting;
mod tracer;

pub(crate) use context::trace_id;
pub(crate) use record::{Arrival, Traced};
pub(crate) use setting::{Change, Field};
pub(crate) use tracer::{Shown, Tracer};
