//! The binary interface of Triton's backend C API as Rust types: what passes between a server and a plugin.
//!
//! Types only. There is no function here and nothing to link with, so that the server, which defines the API's
//! functions, and the SDK, which imports them, agree on one description without depending on each other.
//!
//! - **Handles** ([`Request`], [`Model`], …) are opaque: they exist behind pointers alone, and whoever made one knows
//!   what is behind it.
//! - **Enumerations** ([`DataType`], [`ErrorCode`], …) are numbers with names. C lets the other side pass any number,
//!   which would be undefined behaviour for a Rust `enum`; here an unknown number is a value without a name.
//! - **Flags** ([`RequestFlags`], …) are numbers whose bits have names.
//! - **Functions** are types of pointers: callbacks, and in [`entry`] what a plugin exports.
//!
//! Names are those of the API without their prefix, `TRITONBACKEND_` or `TRITONSERVER_`; each type's documentation
//! gives the full name.

#![no_std]

#[macro_use]
mod number;

mod allocator;
mod backend;
mod data_type;
pub mod entry;
mod error;
mod handle;
mod instance_group;
mod log;
mod memory;
mod metric;
mod parameter;
mod request;
mod response;
mod server;
mod trace;

pub use allocator::{
    ResponseAllocatorAllocFn, ResponseAllocatorBufferAttributesFn, ResponseAllocatorQueryFn,
    ResponseAllocatorReleaseFn, ResponseAllocatorStartFn,
};
pub use backend::{ArtifactType, ExecutionPolicy};
pub use data_type::DataType;
pub use error::ErrorCode;
pub use handle::{
    Backend, BackendAttribute, Batcher, BufferAttributes, Error, InferenceRequest, InferenceResponse,
    InferenceTrace, Input, MemoryManager, Message, Metric, MetricArgs, MetricFamily, Metrics, Model,
    ModelInstance, ModelInstanceResponseStatistics, Output, Parameter, Request, Response, ResponseAllocator,
    ResponseFactory, Server, ServerOptions, State,
};
pub use instance_group::InstanceGroupKind;
pub use log::{LogFormat, LogLevel};
pub use memory::MemoryType;
pub use metric::{MetricFormat, MetricKind};
pub use parameter::ParameterType;
pub use request::{InferenceRequestReleaseFn, RequestFlags, RequestReleaseFlags};
pub use response::{InferenceResponseCompleteFn, ResponseCompleteFlags};
pub use server::{ModelBatchFlags, ModelControlMode, ModelIndexFlags, ModelTxnPropertyFlags, RateLimitMode};
pub use trace::{
    InferenceTraceActivity, InferenceTraceActivityFn, InferenceTraceLevel, InferenceTraceReleaseFn,
    InferenceTraceTensorActivityFn,
};

/// `TRITONBACKEND_API_VERSION_MAJOR`: a plugin and a server work together only where these are equal.
pub const BACKEND_API_VERSION_MAJOR: u32 = 1;

/// `TRITONBACKEND_API_VERSION_MINOR`: a server offers at least what a plugin of the same or a lower number may call.
pub const BACKEND_API_VERSION_MINOR: u32 = 19;

/// `TRITONSERVER_API_VERSION_MAJOR`, of the functions whose names begin with `TRITONSERVER_`.
pub const SERVER_API_VERSION_MAJOR: u32 = 1;

/// `TRITONSERVER_API_VERSION_MINOR`, as it was when the backend API had its version 1.19.
pub const SERVER_API_VERSION_MINOR: u32 = 34;

/// The version of the model configuration's format, the only one there is: what `TRITONBACKEND_ModelConfig` and
/// `TRITONBACKEND_ModelSetConfig` take as `config_version`.
pub const MODEL_CONFIG_VERSION: u32 = 1;
