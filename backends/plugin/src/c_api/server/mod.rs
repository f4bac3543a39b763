//! Functions named `TRITONSERVER_`.

pub(crate) mod buffer_attributes;
pub(crate) mod data_type;
pub(crate) mod error;
pub(crate) mod infer;
pub(crate) mod inference_input;
pub(crate) mod inference_request;
pub(crate) mod inference_response;
pub(crate) mod inference_trace;
pub(crate) mod log;
pub(crate) mod message;
pub(crate) mod metric;
pub(crate) mod parameter;
pub(crate) mod response_allocator;
#[expect(clippy::module_inception, reason = "it is named for its object, as the others are")]
pub(crate) mod server;
pub(crate) mod unsupported;
