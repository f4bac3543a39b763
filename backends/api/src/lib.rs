//! The boundary between the server and its engines.
//!
//! The server hands an [`Instance`] a [`Batch`] of owned [`Request`]s; the engine answers each through its
//! [`Responder`], from whatever thread and at whatever time suits it, and releases each by dropping it. Nothing here
//! knows a network protocol, a configuration format or a particular engine.
//!
//! An engine that takes one contiguous tensor per input and gives one per output implements [`Compute`] instead and is
//! wrapped in [`Batched`], which gathers, scatters, times, and runs a failed batch again one by one.

#![forbid(unsafe_code)]

mod aligned;
mod backend;
mod batch;
mod batched;
pub mod bools;
mod buffer;
mod cancel;
mod compute;
mod declaration;
mod dtype;
mod error;
mod hidden;
mod host;
pub mod metrics;
mod optimization;
mod ragged;
mod request;
mod responder;
mod shape;
mod slots;
pub mod strings;
mod tensor;
mod trace;
mod unfinished;

pub use aligned::AlignedBytes;
pub use backend::{Artifact, Backend, Condition, Instance, InstanceKind, InstanceSpec, Model};
pub use batch::{Batch, Executions, Phases};
pub use batched::Batched;
pub use buffer::{Buffer, Data};
pub use cancel::{Cancel, CancelGuard};
pub use compute::{Compute, Outputs, Run};
pub use declaration::{Configuration, Declaration, TensorDeclaration};
pub use dtype::DType;
pub use error::{BackendError, Code};
pub use hidden::is_hidden;
pub use host::{Host, InferAnswer, InferCall, LoadParameter, OnAnswer};
pub use optimization::{Accelerator, Optimization};
pub use ragged::{BatchInput, BatchInputKind, BatchInputType, BatchOutput, Ragged};
pub use request::{CorrelationId, Inputs, Meta, Parameter, Request, Sequence};
pub use responder::{Exchange, Responder, Response, Sent};
pub use shape::Shape;
pub use slots::{Slot, Slots};
pub use tensor::Tensor;
pub use trace::{SpanContext, TraceMark, TracedBatch};
pub use unfinished::{Unfinished, call_engine, lose_thread};
