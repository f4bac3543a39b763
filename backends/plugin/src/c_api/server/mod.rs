//! Functions named `TRITONSERVER_`.

pub(crate) mod buffer_attributes;
pub(crate) mod error;
pub(crate) mod message;
pub(crate) mod parameter;
#[expect(clippy::module_inception, reason = "it is named for its object, as the others are")]
pub(crate) mod server;
