//! What clients talk to. Protocols are known here and, as far as ports and deadlines need it, in `net`.

pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod metrics;
mod model_states;
mod status_page;
