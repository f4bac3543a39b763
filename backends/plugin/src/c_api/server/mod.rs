//! Functions named `TRITONSERVER_`.

pub(crate) mod error;
