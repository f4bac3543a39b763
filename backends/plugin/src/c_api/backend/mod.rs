//! Functions named `TRITONBACKEND_`.

pub(crate) mod attribute;
#[expect(clippy::module_inception, reason = "it is named for its object, as the others are")]
pub(crate) mod backend;
pub(crate) mod factory;
pub(crate) mod input;
pub(crate) mod instance;
pub(crate) mod memory;
pub(crate) mod model;
pub(crate) mod output;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod response_statistics;
pub(crate) mod state;
pub(crate) mod statistics;
