//! What clients talk to. Protocols are known here and, as far as ports and deadlines need it, in `net`.

pub mod grpc;
pub mod http;
pub mod metrics;
